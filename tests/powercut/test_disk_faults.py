"""A disk that fails, stalls or is full while the broker runs: nothing acknowledged is lost, the broker goes on later."""

import itertools
import os
import shutil

import oracle
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from ledger import Ledger, Topic, origin_of, value_of
from load import CORES, FLAGS, LIBRDKAFKA, Load
from machine import Broker, Mounted, Recorder, scratch, wait_until

SMALL_CACHE = ["--set", "storage.cache-memory=1MiB"]


class Bench:
    """A broker on a recording disk, a topic with two partitions, and a producer that takes no for an answer."""

    def __init__(self, home):
        self.home = home
        self.recorder = Recorder(home)
        self.ledger = Ledger()
        self.mounted = Mounted(self.recorder.disk, home / "disk", "ext4").make()
        self.disk = self.mounted.__enter__()
        self.broker = Broker(self.disk / "data", cores=CORES, flags=FLAGS + SMALL_CACHE)
        self.broker.log_path = home / "broker.log"
        self.numbers = itertools.count()
        self.refusals = []

    def __enter__(self):
        self.broker.start()
        load = Load(self.broker.address, self.ledger, self.recorder.position)
        admin = AdminClient({**LIBRDKAFKA, "bootstrap.servers": self.broker.address})
        load.create(admin, Topic("faults", 2), {"segment.bytes": "1048576"})
        return self

    def __exit__(self, *_):
        if self.broker.process.poll() is None:
            self.broker.kill()
        self.recorder.say("heal")
        self.mounted.__exit__()
        self.recorder.close()

    def producer(self, timeout_ms=60_000):
        return Producer({**LIBRDKAFKA, "bootstrap.servers": self.broker.address, "acks": "all", "linger.ms": 0,
                         "enable.idempotence": True, "retry.backoff.ms": 20, "message.timeout.ms": timeout_ms})

    def produce(self, producer, count, size):
        """Hands over `count` records; what is acknowledged goes into the ledger."""
        for number in itertools.islice(self.numbers, count):
            origin = ("w", number)
            self.ledger.sent.add(origin)
            producer.produce("faults", value_of(*origin, size), partition=number % 2,
                             on_delivery=lambda error, message, origin=origin: self.delivered(origin, error, message))
            producer.poll(0)

    def delivered(self, origin, error, message):
        if error is not None:
            self.refusals.append(error)
            return
        place = (message.topic(), message.partition(), message.offset(), self.recorder.position())
        self.ledger.records[origin] = place

    def produce_all(self, count, size):
        """`count` records, all of which must be acknowledged."""
        producer = self.producer()
        before = len(self.ledger.records)
        self.produce(producer, count, size)
        assert producer.flush(60) == 0
        assert len(self.ledger.records) == before + count, self.refusals[:1]

    def has_ended(self):
        return self.broker.process.poll() is not None

    def restart(self):
        """Mounts the file system anew, as after a reboot, and starts the broker."""
        if not self.has_ended():
            self.broker.kill()
        self.mounted.__exit__()
        self.mounted = Mounted(self.recorder.disk, self.home / "disk", "ext4")
        self.mounted.__enter__()
        code, report = self.broker.check()
        assert code in (0, 7), report
        self.broker.start()

    def verify(self):
        """Everything acknowledged is there, and what is there is right."""
        found = oracle.Found(self.broker.address)
        try:
            oracle.check(self.ledger, self.recorder.position(), found)
        finally:
            found.close()


@pytest.fixture
def bench():
    home = scratch("powercut-faults-")
    with Bench(home) as running:
        yield running
        print(running.broker.log()[-6000:])
    shutil.rmtree(home)


@pytest.mark.parametrize("kind", ["write", "flush"])
@pytest.mark.parametrize("size", [200, 200_000])
def test_the_broker_ends_when_its_disk_fails_and_has_lost_nothing(bench, kind, size):
    bench.produce_all(100, size)
    bench.recorder.say(f"fail {kind} 1")
    producer = bench.producer(timeout_ms=3_000)
    bench.produce(producer, 20, size)
    wait_until("the broker ends", bench.has_ended, 30)
    assert bench.broker.process.returncode != 0
    producer.flush(10)
    _, struck = bench.recorder.say("heal")
    assert struck == 1
    bench.restart()
    bench.produce_all(100, size)
    bench.verify()


def test_a_read_that_fails_once_is_tried_again(bench):
    bench.produce_all(200, 50_000)
    bench.broker.stop()
    bench.broker.start()
    bench.recorder.say("fail read 1")
    bench.verify()
    assert bench.recorder.say("heal")[1] == 1, "the disk was read"


def test_reads_that_keep_failing_are_errors_to_the_client_and_all_is_there_after_a_start_on_a_sound_disk(bench):
    bench.produce_all(200, 50_000)
    bench.broker.stop()
    bench.broker.start()
    bench.recorder.say("fail read 1000000")
    for offset, value in read_some(bench.broker.address, 5):
        assert bench.ledger.records[origin_of(value)][1:3] == (0, offset)
    assert bench.recorder.say("heal")[1] > 1, "the disk was read"
    assert not bench.has_ended(), bench.broker.log()
    # The broker takes what it could not read twice for damaged, until a start reads it again.
    bench.broker.stop()
    bench.broker.start()
    bench.produce_all(10, 100)
    bench.verify()


def read_some(address, seconds):
    """What a consumer of partition 0 sees within some seconds, errors left out."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**LIBRDKAFKA, "bootstrap.servers": address, "group.id": "none",
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition("faults", 0, 0)])
    try:
        messages = consumer.consume(1_000, timeout=seconds)
        return [(message.offset(), message.value()) for message in messages if message.error() is None]
    except KafkaException:
        return []
    finally:
        consumer.close()


def test_a_disk_that_stalls_for_five_seconds_costs_time_and_nothing_else(bench):
    bench.produce_all(100, 1_000)
    bench.recorder.say("stall 5000")
    bench.produce_all(300, 1_000)
    assert not bench.has_ended(), bench.broker.log()
    bench.verify()


def test_a_full_disk_refuses_records_until_there_is_room_and_loses_none(bench):
    bench.produce_all(100, 10_000)
    filler = bench.disk / "filler"
    stat = os.statvfs(bench.disk)
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, (stat.f_bavail - 2048) * stat.f_frsize)
    producer = bench.producer(timeout_ms=3_000)
    for _ in range(40):
        if bench.refusals or bench.has_ended():
            break
        bench.produce(producer, 10, 100_000)
        producer.flush(10)
    assert bench.refusals, "a full disk refuses records"
    assert not bench.has_ended(), bench.broker.log()
    bench.verify()
    filler.unlink()
    bench.refusals.clear()
    bench.produce_all(50, 100_000)
    bench.verify()
