"""kill -9 in a loop while producers run: nothing acknowledged is lost, moved or reordered."""

import os
import random
import threading

from confluent_kafka import KafkaException, Producer

from broker import wait_until

PARTITIONS = 4
ROUNDS = int(os.environ.get("TEST_KILL_ROUNDS", "50"))
SEED = int(os.environ.get("TEST_SEED", "20261121"))


class Writer(threading.Thread):
    """One idempotent producer; remembers what was acknowledged where."""

    def __init__(self, name, address, stop):
        super().__init__(daemon=True)
        self.label = name
        self.stop = stop
        self.acknowledged = {}
        self.sent = 0
        self.failure = None
        self.producer = Producer({
            "bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1,
            "message.timeout.ms": 300_000, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50,
            "retry.backoff.ms": 10, "log_level": 0})

    def run(self):
        try:
            while not self.stop.is_set():
                self.send()
                self.producer.poll(0.001)
            assert self.producer.flush(120) == 0, "everything is acknowledged in the end"
        except (AssertionError, KafkaException) as error:
            self.failure = error

    def send(self):
        if len(self.producer) > 200:
            self.producer.poll(0.01)
            return
        partition = self.sent % PARTITIONS
        value = f"{self.label}:{self.sent}".encode() + b"." * (self.sent * 37 % 3000)
        self.producer.produce("loop", value, partition=partition, on_delivery=self.delivered)
        self.sent += 1

    def delivered(self, error, message):
        assert error is None, error
        self.acknowledged[(message.partition(), message.offset())] = message.value()


def read_all(address):
    """(partition, offset) -> value of the whole topic, by librdkafka."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "none",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition("loop", p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    values, ended = {}, set()
    while len(ended) < PARTITIONS:
        for message in consumer.consume(10_000, timeout=1.0):
            if message.error():
                ended.add(message.partition())
            else:
                values[(message.partition(), message.offset())] = message.value()
    consumer.close()
    return values


def test_fifty_kills_lose_nothing_that_was_acknowledged(broker):
    print(f"seed {SEED}, rounds {ROUNDS}")
    rng = random.Random(SEED)
    assert broker.cli("topic", "create", "loop", "--partitions", str(PARTITIONS)).returncode == 0
    stop = threading.Event()
    writers = [Writer(name, broker.address, stop) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for number in range(ROUNDS):
        before = sum(len(writer.acknowledged) for writer in writers)
        wait_until("progress after the restart",
                   lambda: sum(len(w.acknowledged) for w in writers) > before, 60)
        stop.wait(rng.random() * 0.3)
        broker.kill()
        if number % 10 == 9:
            code, report = broker.check()
            assert code in (0, 7), report
        broker.start()
    stop.set()
    for writer in writers:
        writer.join(150)
        assert writer.failure is None, writer.failure
    check_history(writers, read_all(broker.address))
    broker.stop()
    code, report = broker.check()
    assert code == 0, report
    print({w.label: len(w.acknowledged) for w in writers})


def check_history(writers, stored):
    """Every acknowledged record at its offset; each writer's records once and in order; offsets dense."""
    for writer in writers:
        for place, value in writer.acknowledged.items():
            assert stored.get(place) == value, f"{place} of {writer.label}"
    for partition in range(PARTITIONS):
        offsets = sorted(offset for p, offset in stored if p == partition)
        assert offsets == list(range(len(offsets))), "offsets are dense"
        last = {}
        for offset in offsets:
            label, number = stored[(partition, offset)].split(b".")[0].split(b":")
            assert last.get(label, -1) < int(number), f"{label} reordered or duplicated at {partition}/{offset}"
            last[label] = int(number)
