"""Record batches and produce requests made by hand, so that they can lie."""

import struct
import time

from kafka.record.util import calc_crc32c

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PRODUCE = 0


def varint(value):
    """Zigzag varint."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if value == 0:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def record(delta, value):
    """One record without key and headers."""
    body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(payload, records=1, codec=0, **lies):
    """A batch around `payload` of so many records; `lies` override single fields after everything else is right."""
    now = int(time.time() * 1000)
    fields = {"base_offset": 0, "leader_epoch": -1, "magic": 2, "attributes": codec, "last_delta": records - 1,
              "base_timestamp": now, "max_timestamp": now, "producer": -1, "epoch": -1,
              "sequence": -1, "count": records}
    fields.update({name: value for name, value in lies.items() if name in fields})
    covered = struct.pack(">hiqqqhii", fields["attributes"], fields["last_delta"], fields["base_timestamp"],
                          fields["max_timestamp"], fields["producer"], fields["epoch"], fields["sequence"],
                          fields["count"]) + payload
    crc = lies.get("crc", calc_crc32c(covered))
    tail = struct.pack(">ibI", fields["leader_epoch"], fields["magic"], crc) + covered
    return struct.pack(">qi", fields["base_offset"], lies.get("length", len(tail))) + tail


def produce_body(topic, partition, records, acks=-1):
    """Body of Produce 3 to 8."""
    name = topic.encode()
    return (struct.pack(">hhi", -1, acks, 30_000) + struct.pack(">ih", 1, len(name)) + name
            + struct.pack(">iii", 1, partition, len(records)) + records)


def produce(wire, topic, partition, records, correlation=1):
    """Sends one Produce 7 and returns (error code, base offset)."""
    wire.send(PRODUCE, 7, correlation, produce_body(topic, partition, records))
    answered, body = wire.receive()
    assert answered == correlation
    at = 4 + 2 + len(topic.encode()) + 4
    _, error, base = struct.unpack(">ihq", body[at:at + 14])
    return error, base


def xerial(blocks):
    """Snappy blocks in Java's framing."""
    head = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    return head + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def snappy_bomb(size):
    """One raw snappy block of `size` zeros, about 21 times smaller."""
    plain, value = bytearray(), size
    while value >= 0x80:
        plain.append(value & 0x7F | 0x80)
        value >>= 7
    plain.append(value)
    plain += b"\x00\x00"  # one literal zero
    left = size - 1
    copies, rest = divmod(left, 64)
    plain += bytes([(63 << 2) | 2, 1, 0]) * copies
    if rest:
        plain += bytes([((rest - 1) << 2) | 2, 1, 0])
    return bytes(plain)


def bombs(size):
    """Codec name -> (number, compressed `size` zero bytes)."""
    import gzip

    import lz4.frame
    import zstandard

    zeros = b"\0" * size
    return {
        "gzip": (GZIP, gzip.compress(zeros, 1)),
        "snappy": (SNAPPY, xerial([snappy_bomb(size)])),
        "lz4": (LZ4, lz4.frame.compress(zeros, block_linked=False)),
        "zstd": (ZSTD, zstandard.compress(zeros)),
    }
