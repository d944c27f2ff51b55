"""What the clients were told, and at which position of the recording they knew it."""

import hashlib
import pickle
import threading
from dataclasses import dataclass, field, replace


def value_of(producer, number, size):
    """The value of a record: says where it comes from, and is wrong if any byte of it is."""
    head = f"{producer}:{number}:{size}:".encode()
    if size <= len(head):
        return head
    filler = hashlib.sha256(head).digest()
    return head + (filler * (size // len(filler) + 1))[: size - len(head)]


def origin_of(value):
    """(producer, number) of an intact value; fails for any other."""
    producer, number, size, _ = value[:80].split(b":", 3)
    origin = producer.decode(), int(number)
    assert value == value_of(*origin, int(size)), f"the value of {origin} is not what was sent"
    return origin


@dataclass
class Topic:
    """One life of a topic; positions are None while it has not happened."""

    name: str
    partitions: int
    retention_bytes: int = 0
    create_asked: int = 0
    created: int | None = None
    delete_asked: int | None = None
    deleted: int | None = None


@dataclass
class Ledger:
    """Everything that was acknowledged in one run."""

    # (producer, number) -> (topic, partition, offset, position after the acknowledgement)
    records: dict = field(default_factory=dict)
    # (producer, number) of everything handed to a client
    sent: set = field(default_factory=set)
    topics: list = field(default_factory=list)
    # (group, topic, partition) -> [(offset, position before asking, position after the answer or None)]
    commits: dict = field(default_factory=dict)
    # (topic, partition, producer id, epoch) -> [(label, number, first sequence, position before asking)]
    batches: dict = field(default_factory=dict)
    # (topic, partition) -> [(first offset to keep, position before asking, position after the answer or None)]
    trims: dict = field(default_factory=dict)

    def __post_init__(self):
        self.lock = threading.Lock()

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key != "lock"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.lock = threading.Lock()

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self, file)

    @staticmethod
    def load(path):
        with open(path, "rb") as file:
            return pickle.load(file)

    def acknowledged_at(self, cut):
        """(topic, partition, offset) -> (producer, number) of what was acknowledged before the cut."""
        return {(topic, partition, offset): origin
                for origin, (topic, partition, offset, position) in self.records.items() if position <= cut}

    def carried_over(self, cut, found, position):
        """The ledger of a second run that starts from a power cut after `cut`: what was certain then is so from the
        beginning; what a client has `found` after the start is from `position` on."""
        later = Ledger(sent=set(self.sent))
        certain = self.acknowledged_at(cut)
        for part, records in found.records.items():
            for offset, value in records:
                is_certain = (*part, offset) in certain
                later.records[origin_of(value)] = (*part, offset, 0 if is_certain else position)
        for topic in self.topics:
            if topic.name in found.topics and topic.create_asked <= cut and not before(topic.deleted, cut):
                created = 0 if before(topic.created, cut) else position
                later.topics.append(replace(topic, create_asked=0, created=created, deleted=None,
                                            delete_asked=0 if before(topic.delete_asked, cut) else None))
        for group in {group for group, _, _ in self.commits}:
            for (topic, partition), offset in found.committed(group).items():
                later.commits[(group, topic, partition)] = [[offset, 0, position]]
        for target, source in ((later.commits, self.commits), (later.trims, self.trims)):
            for key, entries in source.items():
                carried = [[what, 0, 0 if before(done, cut) else None] for what, asked, done in entries if asked <= cut]
                target[key] = carried + target.get(key, [])
        return later


def before(position, cut):
    """Whether something happened for certain before the cut."""
    return position is not None and position <= cut
