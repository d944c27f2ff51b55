"""Checks a history while it grows, so that a run of hours needs no memory of hours.

What must hold of one topic (numbers after the letter H are those of the reliability design's history checker):
offsets dense and each read once, in order (H1, H7, H8); every acknowledged record read at its offset with its value
(H3, H4, H16); each writer's records in the order it sent them, none twice (H2, H9); nothing read that nobody was told
of in the end; watermarks and committed offsets never go back (H13).
"""

import collections
import threading


class Violation(AssertionError):
    """Something that must never happen, happened."""


class History:
    """Acknowledgements and reads of one topic, matched as they come."""

    def __init__(self, partitions):
        self.lock = threading.Lock()
        self.partitions = partitions
        self.acknowledged = {}
        self.read = {}
        self.next = [0] * partitions
        self.last = collections.defaultdict(lambda: -1)
        self.matched = 0
        self.marks = {}

    def acknowledge(self, partition, offset, value):
        """`value` starts with label:number, padded with dots."""
        with self.lock:
            self._match(self.read, self.acknowledged, (partition, offset), identity(value))

    def deliver(self, partition, offset, value):
        """The next record of one partition, as a consumer got it."""
        with self.lock:
            if offset != self.next[partition]:
                raise Violation(f"partition {partition}: offset {offset} was read where {self.next[partition]} belongs")
            self.next[partition] = offset + 1
            label, number = identity(value)
            padding = value[value.index(b".") if b"." in value else len(value):]
            if padding.strip(b"."):
                raise Violation(f"partition {partition}, offset {offset}: damaged value")
            if self.last[label, partition] >= number:
                raise Violation(f"partition {partition}, offset {offset}: {label}:{number} after "
                                f"{label}:{self.last[label, partition]}")
            self.last[label, partition] = number
            self._match(self.acknowledged, self.read, (partition, offset), (label, number))

    def _match(self, other, own, place, what):
        if place in own:
            raise Violation(f"two records at {place}: {own[place]} and {what}")
        if place not in other:
            own[place] = what
        elif other.pop(place) == what:
            self.matched += 1
        else:
            raise Violation(f"{place} holds something else than {what}")

    def mark(self, name, value):
        """A watermark or a committed offset was seen at `value`."""
        with self.lock:
            if self.marks.get(name, value) > value:
                raise Violation(f"{name} went back from {self.marks[name]} to {value}")
            self.marks[name] = value

    def finish(self):
        """After everything was flushed and read to the end."""
        with self.lock:
            if self.acknowledged:
                raise Violation(f"{len(self.acknowledged)} acknowledged records were never read, the first at "
                                f"{sorted(self.acknowledged.items())[:5]}")
            if self.read:
                raise Violation(f"{len(self.read)} records were read that no writer was told of, the first at "
                                f"{sorted(self.read.items())[:5]}")


def identity(value):
    """(label, number) of a record."""
    label, number = value.split(b".")[0].split(b":")
    return label, int(number)
