"""What the broker answers to odd, half, wrong and pipelined requests; nothing is answered by silence."""

import struct

from broker import wait_until
from wire import Wire, text

API_VERSIONS, METADATA, PRODUCE, FETCH, LIST_OFFSETS = 18, 3, 0, 1, 2


def test_an_unknown_version_of_api_versions_gets_version_0_with_error_35(broker):
    wire = Wire(broker.address)
    wire.send(API_VERSIONS, 99, 7)
    correlation, body = wire.receive()
    error, count = struct.unpack(">hi", body[:6])
    assert (correlation, error) == (7, 35)
    assert count >= 1
    wire.send(API_VERSIONS, 0, 8)
    correlation, body = wire.receive()
    assert (correlation, struct.unpack(">h", body[:2])[0]) == (8, 0), "the connection goes on"


def test_produce_is_advertised_from_0_and_metadata_from_0(broker):
    wire = Wire(broker.address)
    wire.send(API_VERSIONS, 0, 1)
    _, body = wire.receive()
    count = struct.unpack(">i", body[2:6])[0]
    ranges = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", body[6:6 + 6 * count])}
    assert ranges[PRODUCE] == (0, 13)
    assert ranges[METADATA] == (0, 13)
    assert ranges[FETCH] == (4, 18)


def test_wrong_requests_close_the_connection_with_one_line_and_the_broker_lives_on(broker):
    cases = {
        "unknown api key": lambda w: w.send(999, 0, 1),
        "version below ours": lambda w: w.send(FETCH, 0, 1),
        "produce 0, advertised but not served": lambda w: w.send(PRODUCE, 0, 1, b"\0" * 20),
        "negative length": lambda w: w.send_raw(struct.pack(">i", -5)),
        "oversized frame": lambda w: w.send_raw(struct.pack(">i", 2**31 - 1)),
        "tls hello": lambda w: w.send_raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64),
        "http": lambda w: w.send_raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "garbage body": lambda w: w.send(METADATA, 1, 1, b"\xff\xff\xff\x7f"),
    }
    for name, send in cases.items():
        before = len(broker.log().splitlines())
        wire = Wire(broker.address)
        send(wire)
        assert wire.is_closed(), name
        wait_until(f"a log line for {name}", lambda: len(broker.log().splitlines()) > before)
    wire = Wire(broker.address)
    wire.send(API_VERSIONS, 0, 1)
    assert wire.receive()[0] == 1


def test_a_frame_that_arrives_byte_by_byte_is_answered(broker):
    wire = Wire(broker.address)
    header = struct.pack(">hhih", API_VERSIONS, 0, 42, 5) + b"probe"
    for byte in struct.pack(">i", len(header)) + header:
        wire.send_raw(bytes([byte]))
    assert wire.receive()[0] == 42


def test_half_a_frame_and_a_closed_connection_hurt_nobody(broker):
    wire = Wire(broker.address)
    wire.send_raw(struct.pack(">i", 1000) + b"abc")
    wire.close()
    wire = Wire(broker.address)
    wire.send(API_VERSIONS, 0, 1)
    assert wire.receive()[0] == 1


def test_pipelined_requests_are_answered_in_order(broker):
    broker.cli("topic", "create", "order", "--partitions", "4")
    wire = Wire(broker.address)
    for number in range(90):
        if number % 3 == 0:
            body = struct.pack(">i", 1) + text(b"order") + struct.pack(">i", 4)
            body += b"".join(struct.pack(">iq", p, -1) for p in range(4))
            wire.send(LIST_OFFSETS, 1, number, struct.pack(">i", -1) + body)
        elif number % 3 == 1:
            wire.send(METADATA, 1, number, struct.pack(">i", -1))
        else:
            wire.send(API_VERSIONS, 0, number)
    assert [wire.receive()[0] for _ in range(90)] == list(range(90))


def test_a_request_for_partitions_of_several_cores_is_answered_once_and_whole(broker):
    broker.cli("topic", "create", "many", "--partitions", "8")
    wire = Wire(broker.address)
    body = struct.pack(">i", 1) + text(b"many") + struct.pack(">i", 8)
    body += b"".join(struct.pack(">iq", p, -2) for p in range(8))
    wire.send(LIST_OFFSETS, 1, 5, struct.pack(">i", -1) + body)
    correlation, answer = wire.receive()
    assert correlation == 5
    topics, name_len = struct.unpack(">ih", answer[:6])
    assert (topics, answer[6:6 + name_len]) == (1, b"many")
    (partitions,) = struct.unpack(">i", answer[6 + name_len:10 + name_len])
    rows = list(struct.iter_unpack(">ihqq", answer[10 + name_len:]))
    assert partitions == 8 and sorted(row[0] for row in rows) == list(range(8))
    assert all(row[1] == 0 and row[3] == 0 for row in rows)
