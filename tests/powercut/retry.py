"""A producer whose batches can be sent again: after a power cut they are there once."""

import struct
import time

from kafka.record.default_records import DefaultRecordBatchBuilder

from ledger import value_of
from machine import Wire

PRODUCE, INIT_PRODUCER_ID = 0, 22
# A broker remembers the last five batches of a producer on a partition.
REMEMBERED = 5


class Sender:
    """An idempotent producer on a raw connection, one batch at a time."""

    def __init__(self, address, identity=None):
        self.wire = Wire(address)
        self.correlation = 0
        self.identity = identity or self.ask_identity()

    def ask(self, key, version, body):
        self.correlation += 1
        self.wire.send(key, version, self.correlation, body)
        correlation, answer = self.wire.receive()
        assert correlation == self.correlation, "answers come in order"
        return answer

    def ask_identity(self):
        """(producer id, epoch) of a new producer."""
        answer = self.ask(INIT_PRODUCER_ID, 0, struct.pack(">hi", -1, 60_000))
        _, error, producer, epoch = struct.unpack(">ihqh", answer)
        assert error == 0, f"no producer id: error {error}"
        return producer, epoch

    def produce(self, topic, partition, sequence, values):
        """Sends one batch; returns the offset of its first record."""
        error, offset = self.try_produce(topic, partition, sequence, values)
        assert error == 0, f"{topic}/{partition} sequence {sequence}: error {error}"
        return offset

    def try_produce(self, topic, partition, sequence, values, timeout_ms=30_000):
        """Sends one batch; returns (error, offset of its first record)."""
        builder = DefaultRecordBatchBuilder(2, 0, False, *self.identity, sequence, 1 << 22)
        for number, value in enumerate(values):
            builder.append(number, timestamp=int(time.time() * 1000), key=None, value=value, headers=[])
        batch = bytes(builder.build())
        name = topic.encode()
        body = struct.pack(">hhii", -1, -1, timeout_ms, 1) + struct.pack(">h", len(name)) + name
        body += struct.pack(">iii", 1, partition, len(batch)) + batch
        answer = self.ask(PRODUCE, 4, body)
        at = 4 + 2 + len(name) + 4
        answered, error, offset = struct.unpack_from(">ihq", answer, at)
        assert answered == partition
        return error, offset

    def close(self):
        self.wire.close()


def batch_of(label, number):
    """The origins and values of a batch: a few records, now and then large ones."""
    count = 1 + number % 4
    size = 20_000 if number % 7 == 3 else 300
    origins = [(label, 10 * number + place) for place in range(count)]
    return origins, [value_of(*origin, size) for origin in origins]


def run(load, label, topic, partition):
    """Sends batches until the load is over; what was asked and answered goes into the ledger."""
    sender = Sender(load.address)
    batches = load.ledger.batches.setdefault((topic.name, partition, *sender.identity), [])
    sequence = 0
    for number in range(100_000):
        if load.over.is_set():
            break
        origins, values = batch_of(label, number)
        load.ledger.sent.update(origins)
        batches.append((label, number, sequence, load.position()))
        offset = sender.produce(topic.name, partition, sequence, values)
        position = load.position()
        for place, origin in enumerate(origins):
            load.ledger.records[origin] = (topic.name, partition, offset + place, position)
        sequence += len(values)
    sender.close()


def send_again(ledger, cut, address):
    """Sends again what was on its way at the cut, and what was answered just before; each must be answered with the
    offset it has, and what follows must be taken."""
    for (topic, partition, *identity), batches in ledger.batches.items():
        asked = [batch for batch in batches if batch[3] <= cut]
        sender = Sender(address, tuple(identity))
        for label, number, sequence, _ in asked[-REMEMBERED + 1:]:
            origins, values = batch_of(label, number)
            offset = sender.produce(topic, partition, sequence, values)
            place = ledger.records.get(origins[0])
            assert place is None or place[2] == offset, f"{topic}/{partition}: {origins[0]} is at {offset}, was {place}"
        sender.close()
