"""Damage at rest: whatever happens to a stopped directory, no wrong byte is served and no loss goes unsaid.

TEST_DAMAGE_CASES (default 50) cases from TEST_SEED; one case again: TEST_SEED=<its seed> TEST_DAMAGE_CASES=1.
"""

import collections
import os
import random
import shutil
import struct
import time

from broker import Broker
from mutator import damage
from reading import append, read_all
from wire import Wire, text

CASES = int(os.environ.get("TEST_DAMAGE_CASES", "50"))
SEED = int(os.environ.get("TEST_SEED", "20261121"))
FLAGS = ["--set", "storage.journal-size=1MiB", "--set", "group.offsets-partitions=2",
         "--set", "group.initial-rebalance-delay=0"]
TOPICS = {"small": 3, "large": 2, "cut": 1}
DELETE_RECORDS = 21
# What `check` says: clean, damaged, repaired by the next start.
CLEAN, DAMAGED, REPAIRABLE = 0, 1, 7


def write_history(broker, rng):
    """Fills a broker with something of every kind; returns (topic, partition) -> values, in offset order."""
    for topic, partitions in TOPICS.items():
        done = broker.cli("topic", "create", topic, "--partitions", str(partitions), "--config", "segment.bytes=1048576")
        assert done.returncode == 0, done.stderr
    values = collections.defaultdict(list)
    for round_number in range(4):
        for number in range(60):
            for topic, partitions in TOPICS.items():
                size = 70_000 if topic == "large" else rng.randrange(10, 3000)
                if topic == "large" and number % 6:
                    continue
                partition = number % partitions
                value = f"{topic}/{partition}/{round_number}/{number}:".encode() + rng.randbytes(size)
                error, offset = append(broker.address, topic, partition, value)
                assert (error, offset) == (0, len(values[topic, partition]))
                values[topic, partition].append(value)
        if round_number < 3:
            if round_number == 0:
                assert broker.cli("topic", "create", "gone").returncode == 0
                append(broker.address, "gone", 0, b"soon deleted")
            if round_number == 1:
                assert broker.cli("topic", "delete", "gone").returncode == 0
                delete_records(broker.address, "cut", 0, 30)
            broker.kill() if round_number != 1 else broker.stop()
            broker.start()
    return values


def delete_records(address, topic, partition, upto):
    wire = Wire(address)
    body = struct.pack(">i", 1) + text(topic.encode()) + struct.pack(">iiqi", 1, partition, upto, 10_000)
    wire.send(DELETE_RECORDS, 1, 1, body)
    _, answer = wire.receive()
    low, error = struct.unpack(">qh", answer[-10:])
    assert (low, error) == (upto, 0)
    wire.close()


class Case:
    """One damaged copy of one directory."""

    def __init__(self, directory, values, seed):
        self.values = values
        self.seed = seed
        self.did = damage(directory, seed)
        self.broker = Broker(directory, flags=FLAGS)
        self.code, self.report = self.broker.check()

    def fail(self, what):
        raise AssertionError(f"seed {self.seed} ({'; '.join(self.did)}): {what}\ncheck ({self.code}): {self.report}\n"
                             f"log: {self.broker.log()[-3000:]}")

    def run(self):
        """Starts, reads, writes; returns how it ended, in one word."""
        if self.code not in (CLEAN, DAMAGED, REPAIRABLE):
            return self.refused("check")
        try:
            self.broker.start()
        except AssertionError:
            return self.refused("start")
        try:
            complete = all([self.partition(topic, partition) for topic, partition in self.values])
            self.broker.stop()
        finally:
            if self.broker.process.poll() is None:
                self.broker.kill()
        if not complete and self.code != DAMAGED:
            self.fail("something acknowledged is gone, and check did not say damaged")
        return {CLEAN: "clean", DAMAGED: "lost a part" if not complete else "damaged, all there",
                REPAIRABLE: "repaired"}[self.code]

    def refused(self, by):
        """A start that is refused says why in one error, and is no crash."""
        if by == "start":
            code, said = self.broker.process.returncode, self.broker.log()
        else:
            code, said = self.code, self.report
        if code < 0 or code > 6 or "panicked" in said or "error" not in said.lower():
            self.fail(f"{by} ended with {code}: {said[-500:]}")
        if by == "start" and self.code == CLEAN:
            self.fail("check is content, but the start is refused")
        return f"{by} refused"

    def partition(self, topic, partition):
        """Reads one partition and appends to it; whether every acknowledged record is there."""
        acknowledged = self.values[topic, partition]
        result = read_all(self.broker.address, topic, partition, len(acknowledged))
        if isinstance(result, int):
            if result not in (3, 6, 56):
                self.fail(f"{topic}/{partition} answers error {result}")
            return False
        start, end, found, lost = result
        for offset, value in found.items():
            if offset >= len(acknowledged) or acknowledged[offset] != value:
                self.fail(f"{topic}/{partition}: offset {offset} holds bytes that are not its own")
        deleted = 30 if topic == "cut" else 0
        error, offset = append(self.broker.address, topic, partition, b"new after damage")
        if error == 0 and offset < len(acknowledged):
            self.fail(f"{topic}/{partition}: offset {offset} was acknowledged before and is given out again")
        return all(offset in found for offset in range(deleted, len(acknowledged)))


def test_damaged_directories_serve_no_wrong_byte_and_name_what_is_lost(tmp_path):
    print(f"seed {SEED}, cases {CASES}")
    rng = random.Random(7)
    with Broker(tmp_path / "clean", flags=FLAGS) as broker:
        values = write_history(broker, rng)
        # The seal that tells rot from a torn tail follows the last write within milliseconds; the design says openly that
        # damage to exactly the last group of a broker killed before that reads as torn.
        time.sleep(0.2)
        broker.kill()
        shutil.copytree(tmp_path / "clean", tmp_path / "killed")
        broker.start()
        broker.stop()
        assert broker.check()[0] == CLEAN
    endings = collections.Counter()
    failures = []
    for seed in range(SEED, SEED + CASES):
        source = tmp_path / ("clean" if seed % 2 else "killed")
        directory = tmp_path / f"case-{seed}"
        shutil.copytree(source, directory)
        try:
            endings[Case(directory, values, seed).run()] += 1
        except AssertionError as error:
            # The others are of interest as well.
            print(error, flush=True)
            failures.append(seed)
        shutil.rmtree(directory)
    print(dict(endings))
    assert not failures, f"seeds {failures} of the directories in {tmp_path}"
    assert CASES < 50 or len(endings) >= 4, "the cases reach different endings"
