"""A disk that does not answer for longer than the fence allows: clients are told at once, and nothing is lost."""

import shutil
import socket
import time

import pytest
from bench import BlockBench
from confluent_kafka.admin import NewTopic
from ledger import Topic
from machine import scratch, wait_until


@pytest.fixture
def bench():
    home = scratch("powercut-stall-")
    running = BlockBench(home)
    running.broker.flags += ["--set", "storage.stall-fence=3s"]
    with running:
        yield running
        print(running.broker.log()[-6000:])
    shutil.rmtree(home)


def is_refused(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def is_closed(connection):
    """Waits for the end. One that no core accepted before it stood still is reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def is_quiet(bench):
    before = bench.position()
    time.sleep(0.3)
    return bench.position() == before


def test_a_disk_that_does_not_come_back_is_fenced_its_clients_are_told_and_nothing_is_lost(bench):
    bench.produce_all(100, 1_000)
    host, port = bench.broker.address.rsplit(":", 1)
    waiting = [socket.create_connection((host, int(port)), timeout=60) for _ in range(8)]
    bench.recorder.say("stall 120000")
    producer = bench.producer(timeout_ms=3_000)
    bench.produce(producer, 20, 1_000)
    for connection in waiting:
        assert is_closed(connection), "the connection ends while the disk still stalls"
        connection.close()
    wait_until("connections are refused", lambda: is_refused(bench.broker.address), 10)
    assert "has not come back" in bench.broker.log()
    assert "the disk stalls" in bench.broker.log()
    producer.flush(10)
    bench.recorder.say("heal")
    wait_until("the broker ends", bench.has_ended, 60)
    assert bench.broker.process.returncode > 0
    bench.restart()
    bench.produce_all(100, 1_000)
    bench.verify()


def test_a_metadata_log_that_does_not_come_back_is_fenced_as_well(bench):
    bench.produce_all(100, 1_000)
    admin = bench.admin()
    admin.list_topics(timeout=10)
    wait_until("no write of a data core is on its way", lambda: is_quiet(bench))
    bench.recorder.say("stall 120000")
    topic = Topic("asked-for", 2)
    topic.create_asked = bench.position()
    bench.ledger.topics.append(topic)
    # Nobody waits for the answer.
    asked = admin.create_topics([NewTopic(topic.name, num_partitions=2, replication_factor=1)], request_timeout=5)
    wait_until("connections are refused", lambda: is_refused(bench.broker.address), 30)
    assert "a write of the metadata log has not come back" in bench.broker.log()
    del asked, admin
    bench.recorder.say("heal")
    wait_until("the broker ends", bench.has_ended, 60)
    assert bench.broker.process.returncode == 71
    bench.restart()
    bench.produce_all(100, 1_000)
    bench.verify()
