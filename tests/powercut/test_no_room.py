"""Files of one kind find no room while the broker runs: it refuses what it cannot keep, loses nothing, and goes on by
itself once there is room."""

import shutil
import time
from dataclasses import dataclass

import pytest
from bench import StrictBench
from ledger import value_of
from machine import scratch, wait_until
from retry import Sender

REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR = 7, 56
# Longer than the broker takes to look for room again.
TIMEOUT_MS = 6_000


@dataclass(frozen=True)
class Kind:
    """Files of one kind, and a load that needs more of them."""

    pattern: str
    record_bytes: int
    segment_bytes: int
    # Whether appends need these files; what can be derived again is missing without harm.
    is_needed: bool


KINDS = {
    "journal": Kind("data/core-*/journal/*.j", 3_000, 1 << 24, True),
    "segment": Kind("data/p/*.seg", 60_000, 1 << 19, True),
    "manifest": Kind("data/core-*/manifest.*", 40_000, 1 << 16, True),
    "index": Kind("data/p/*.idx*", 60_000, 1 << 18, False),
    "snapshot": Kind("data/p/*.snap*", 60_000, 1 << 18, False),
}


class Stubborn:
    """A producer of one partition that sends each batch until it is acknowledged."""

    def __init__(self, bench, partition, size):
        self.bench = bench
        self.partition = partition
        self.size = size
        self.sender = Sender(bench.broker.address)
        self.number = 0

    def step(self):
        """Sends a batch once; returns the error, which must be one that tells a client to try again."""
        origin = (f"s{self.partition}", self.number)
        self.bench.ledger.sent.add(origin)
        begun = time.monotonic()
        values = [value_of(*origin, self.size)]
        error, offset = self.sender.try_produce("faults", self.partition, self.number, values, TIMEOUT_MS)
        assert time.monotonic() - begun < TIMEOUT_MS / 1000 + 5, "an answer came in time"
        assert error in (0, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR), error
        if error == 0:
            self.bench.ledger.records[origin] = ("faults", self.partition, offset, self.bench.position())
            self.number += 1
        return error

    def go_on(self, count):
        """Sends until so many more are acknowledged."""
        upto = self.number + count
        deadline = time.monotonic() + 60
        while self.number < upto:
            assert time.monotonic() < deadline, "appends are taken again"
            self.step()


def open_bench(kind):
    return StrictBench(scratch("powercut-room-"), config={"segment.bytes": str(kind.segment_bytes)})


def start_again(bench):
    """After kill -9: nothing is damaged, and the broker starts."""
    if not bench.has_ended():
        bench.broker.kill()
    code, report = bench.broker.check()
    assert code in (0, 7), report
    bench.broker.start()


def stop_and_check(bench):
    """After an orderly stop there is nothing at all to be said."""
    bench.broker.stop()
    code, report = bench.broker.check()
    assert code == 0, report


@pytest.mark.parametrize("need", ["create", "grow"])
@pytest.mark.parametrize("name", KINDS)
def test_files_of_one_kind_without_room_cost_refusals_and_no_record(name, need):
    kind = KINDS[name]
    with open_bench(kind) as bench:
        writers = [Stubborn(bench, partition, kind.record_bytes) for partition in (0, 1)]
        for writer in writers:
            writer.go_on(5)
        bench.disk.say(f"enospc {need} {kind.pattern}")
        refused = 0
        deadline = time.monotonic() + 90
        while bench.struck() == 0 or (kind.is_needed and refused < 3):
            assert time.monotonic() < deadline, f"struck {bench.struck()}, refused {refused}"
            refused += sum(writer.step() != 0 for writer in writers)
        assert not bench.has_ended(), bench.broker.log()
        bench.verify()
        if not kind.is_needed:
            assert refused == 0
            for writer in writers:
                writer.go_on(20)
        bench.disk.say("heal")
        for writer in writers:
            writer.go_on(20)
        bench.verify()
        start_again(bench)
        bench.verify()
        for writer in writers:
            writer.sender.close()
        stop_and_check(bench)
    shutil.rmtree(bench.home)
