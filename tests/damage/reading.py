"""Reads partitions by hand: every batch checked, every error seen as the code it is."""

import struct

from batches import batch, produce, record
from kafka.record.util import calc_crc32c
from wire import Wire, text

FETCH, LIST_OFFSETS = 1, 2
STORAGE_ERROR, UNKNOWN_TOPIC, NOT_LEADER, OUT_OF_RANGE = 56, 3, 6, 1


def offset_at(wire, topic, partition, timestamp):
    """(error, offset) by ListOffsets 1."""
    body = struct.pack(">ii", -1, 1) + text(topic.encode()) + struct.pack(">iiq", 1, partition, timestamp)
    wire.send(LIST_OFFSETS, 1, 1, body)
    _, answer = wire.receive()
    _, error, _, offset = struct.unpack(">ihqq", answer[-22:])
    return error, offset


def fetch(wire, topic, partition, offset):
    """(error, records bytes) by Fetch 4 without waiting."""
    body = (struct.pack(">iiiib", -1, 0, 0, 1 << 20, 0) + struct.pack(">i", 1) + text(topic.encode())
            + struct.pack(">iiqi", 1, partition, offset, 1 << 20))
    wire.send(FETCH, 4, 2, body)
    _, answer = wire.receive()
    at = 4 + 4 + 2 + len(topic.encode()) + 4
    _, error, _, _, aborted = struct.unpack(">ihqqi", answer[at:at + 26])
    assert aborted <= 0
    return error, answer[at + 30:]


def varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def records(data):
    """(offset, value) of whole, valid, uncompressed batches; raises on anything else."""
    while data:
        base, length = struct.unpack(">qi", data[:12])
        whole, data = data[:12 + length], data[12 + length:]
        assert len(whole) == 12 + length, "batches are served whole"
        (crc,) = struct.unpack(">I", whole[17:21])
        assert calc_crc32c(whole[21:]) == crc, f"the batch at {base} has a wrong checksum"
        (count,) = struct.unpack(">i", whole[57:61])
        at = 61
        for _ in range(count):
            size, at = varint(whole, at)
            end, at = at + size, at + 1
            _, at = varint(whole, at)
            delta, at = varint(whole, at)
            key, at = varint(whole, at)
            at += max(key, 0)
            value, at = varint(whole, at)
            yield base + delta, whole[at:at + value]
            at = end


def read_all(address, topic, partition, upto):
    """(log start, end, offset -> value, offsets that answer an error) of one partition, or the error that closes it.

    Errors are followed offset by offset below `upto` only: a hole behind it may be 2^48 offsets wide.
    """
    wire = Wire(address)
    error, start = offset_at(wire, topic, partition, -2)
    if error:
        return error
    error, end = offset_at(wire, topic, partition, -1)
    if error:
        return error
    found, lost, at = {}, set(), start
    while at < end:
        error, data = fetch(wire, topic, partition, at)
        if error:
            assert error in (STORAGE_ERROR, NOT_LEADER), f"error {error} at {topic}/{partition}/{at}"
            lost.add(at)
            at += 1
            if at >= upto:
                break
            continue
        before = at
        for offset, value in records(data):
            if offset >= before:
                found[offset] = value
                at = offset + 1
        assert at > before, f"no progress at {topic}/{partition}/{at}"
    wire.close()
    return start, end, found, lost


def append(address, topic, partition, value):
    """(error, offset) of one new record."""
    wire = Wire(address)
    result = produce(wire, topic, partition, batch(record(0, value)))
    wire.close()
    return result
