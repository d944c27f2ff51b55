"""A disk that fails, stalls or is full while the broker runs: nothing acknowledged is lost, the broker goes on later."""

import os
import shutil

import pytest
from bench import BlockBench
from confluent_kafka import KafkaException
from ledger import origin_of
from load import LIBRDKAFKA
from machine import scratch, wait_until

@pytest.fixture
def bench():
    home = scratch("powercut-faults-")
    with BlockBench(home) as running:
        yield running
        print(running.broker.log()[-6000:])
    shutil.rmtree(home)


@pytest.mark.parametrize("kind", ["write", "flush"])
@pytest.mark.parametrize("size", [200, 200_000])
def test_the_broker_ends_when_its_disk_fails_and_has_lost_nothing(bench, kind, size):
    # No segment is completed: the one failure could strike its index, which is made anew when it is needed.
    bench.create_topic("long", {"segment.bytes": str(64 << 20)})
    bench.produce_all(100, size, "long")
    bench.recorder.say(f"fail {kind} 1")
    producer = bench.producer(timeout_ms=3_000)
    bench.produce(producer, 20, size, "long")
    wait_until("the broker ends", bench.has_ended, 30)
    assert bench.broker.process.returncode != 0
    producer.flush(10)
    _, struck = bench.recorder.say("heal")
    assert struck == 1
    bench.restart()
    bench.produce_all(100, size, "long")
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
