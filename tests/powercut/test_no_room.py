"""Files of one kind find no room while the broker runs: it refuses what it cannot keep, loses nothing, and goes on by
itself once there is room."""

import itertools
import shutil
import time
from dataclasses import dataclass

import pytest
from bench import StrictBench
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from ledger import Topic, value_of
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


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.is_needed])
def test_a_broker_that_keeps_looking_for_room_stops_in_order_without_it(name):
    kind = KINDS[name]
    with open_bench(kind) as bench:
        writers = [Stubborn(bench, partition, kind.record_bytes) for partition in (0, 1)]
        for writer in writers:
            writer.go_on(5)
        bench.disk.say(f"enospc grow {kind.pattern}")
        # It tries again every other second, and takes some records each time, until nothing is left to put them in.
        upto = time.monotonic() + 12
        refused = 0
        while time.monotonic() < upto:
            refused += sum(writer.step() != 0 for writer in writers)
        assert refused > 0
        bench.verify()
        for writer in writers:
            writer.sender.close()
        bench.broker.stop()
        bench.disk.say("heal")
        bench.broker.start()
        bench.verify()
        bench.produce_all(20, 1_000)
        bench.verify()
        stop_and_check(bench)
    shutil.rmtree(bench.home)


WRITTEN_AT_START = {"journal": "data/core-*/journal/*", "manifest": "data/core-*/manifest.*", "raft": "data/raft/*"}


@pytest.mark.parametrize("name", WRITTEN_AT_START)
def test_a_start_without_room_serves_what_is_there_or_says_why_not(name):
    with StrictBench(scratch("powercut-room-")) as bench:
        bench.produce_all(50, 3_000)
        bench.broker.kill()
        bench.disk.say(f"enospc grow {WRITTEN_AT_START[name]}")
        for _ in range(2):
            try:
                bench.broker.start()
                bench.verify()
                bench.broker.kill()
            except AssertionError as error:
                assert "broker ended with 5" in str(error)
                assert "fix: free space on the device" in bench.broker.log()
            code, report = bench.broker.check()
            assert code in (0, 7), report
        assert bench.struck() > 0 or name == "manifest", "a start writes none while the present one has space"
        bench.disk.say("heal")
        bench.broker.start()
        bench.verify()
        bench.produce_all(20, 3_000)
        stop_and_check(bench)
    shutil.rmtree(bench.home)


@pytest.mark.parametrize("need", ["create", "grow"])
@pytest.mark.parametrize("pattern", ["data/superblock.*", "data/core-*", "data/raft*", "data/*"])
def test_a_first_start_without_room_says_so_and_the_next_one_succeeds(pattern, need):
    bench = StrictBench(scratch("powercut-room-"))
    bench.disk.say(f"enospc {need} {pattern}")
    refusals = [start_fails(bench.broker) for _ in range(2)]
    struck = bench.struck()
    bench.disk.say("heal")
    with bench:
        assert struck > 0
        assert all("ended with 5" in refusal and "fix: free space" in refusal for refusal in refusals), refusals
        bench.produce_all(20, 3_000)
        stop_and_check(bench)
    shutil.rmtree(bench.home)


def start_fails(broker):
    """What a start that must fail says."""
    with pytest.raises(AssertionError) as refusal:
        broker.start()
    return str(refusal.value)


METADATA = "data/raft/*"
EXISTS = KafkaError.TOPIC_ALREADY_EXISTS
ACCEPTED = {KafkaError.KAFKA_STORAGE_ERROR, KafkaError.REQUEST_TIMED_OUT, KafkaError._TIMED_OUT}


def fill_metadata_log(bench):
    """Changes configs until the metadata log finds no room; returns the error of the change that met it."""
    admin = bench.admin()
    deadline = time.monotonic() + 120
    for number in itertools.count():
        entry = ConfigEntry("retention.ms", str(1_000_000_000 + number), incremental_operation=AlterConfigOpType.SET)
        change = ConfigResource(ConfigResource.Type.TOPIC, "faults", incremental_configs=[entry])
        asked = admin.incremental_alter_configs([change], request_timeout=4)
        try:
            asked[change].result(10)
        except KafkaException as error:
            return error.args[0].code()
        assert time.monotonic() < deadline, "the log is full some time"


def try_to_create(bench, name, seconds):
    """Asks for a topic once; returns the code of the answer, which comes in time."""
    topic = Topic(name, 2)
    topic.create_asked = bench.position()
    bench.ledger.topics.append(topic)
    begun = time.monotonic()
    new = NewTopic(name, num_partitions=2, replication_factor=1)
    # The answer is lost with the client.
    admin = bench.admin()
    asked = admin.create_topics([new], request_timeout=seconds, operation_timeout=seconds)
    try:
        asked[name].result(seconds + 5)
        topic.created = bench.position()
        return 0
    except KafkaException as error:
        return error.args[0].code()
    finally:
        assert time.monotonic() - begun < seconds + 2, "an answer came in time"


def topics_of(bench):
    """name -> number of partitions that have a leader."""
    topics = bench.admin().list_topics(timeout=10).topics
    return {name: sum(part.leader >= 0 for part in topic.partitions.values()) for name, topic in topics.items()}


@pytest.mark.parametrize("need", ["create", "grow"])
def test_a_metadata_log_without_room_refuses_changes_and_nothing_else(need):
    with StrictBench(scratch("powercut-room-")) as bench:
        bench.produce_all(20, 3_000)
        writer = Stubborn(bench, 0, 3_000)
        bench.disk.say(f"enospc {need} {METADATA}")
        assert fill_metadata_log(bench) in ACCEPTED
        assert bench.struck() > 0
        assert try_to_create(bench, "early", 4) in ACCEPTED
        assert "early" not in topics_of(bench)
        # Whatever needs no change of metadata goes on.
        writer.go_on(50)
        bench.verify()
        assert not bench.has_ended(), bench.broker.log()
        assert "no room for the metadata log" in bench.broker.log()
        bench.disk.say("heal")
        wait_until("topics can be created again", lambda: try_to_create(bench, "late", 4) in (0, EXISTS))
        assert topics_of(bench)["late"] == 2
        bench.produce_all(20, 3_000, topic="late")
        writer.go_on(20)
        bench.verify()
        start_again(bench)
        assert topics_of(bench)["late"] == 2
        bench.produce_all(20, 3_000, topic="late")
        bench.verify()
        writer.sender.close()
        stop_and_check(bench)
    shutil.rmtree(bench.home)


def test_a_broker_that_is_killed_while_its_metadata_log_has_no_room_has_whole_topics_only():
    with StrictBench(scratch("powercut-room-")) as bench:
        bench.disk.say(f"enospc grow {METADATA}")
        assert fill_metadata_log(bench) in ACCEPTED
        for number in range(3):
            assert try_to_create(bench, f"t{number}", 2) in ACCEPTED
        bench.broker.kill()
        bench.disk.say("heal")
        start_again(bench)
        found = topics_of(bench)
        assert all(found[name] == 2 for name in found if name.startswith("t")), found
        bench.produce_all(20, 3_000)
        bench.verify()
        stop_and_check(bench)
    shutil.rmtree(bench.home)
