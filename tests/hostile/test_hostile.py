"""Garbage, lies, bombs, silence and floods: the broker lives within its bounds and serves the others."""

import random
import selectors
import socket
import struct
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from batches import batch, bombs, produce, produce_body, record
from broker import wait_until
from wire import Wire, text
from witness import Witness

SEED = 20261121
API_VERSIONS, METADATA, PRODUCE, FETCH, LIST_OFFSETS = 18, 3, 0, 1, 2
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20)


def create(broker, topic, partitions=1):
    done = broker.cli("topic", "create", topic, "--partitions", str(partitions))
    assert done.returncode == 0, done.stderr


def log_end(broker, topic):
    """End offset of partition 0, by ListOffsets 1."""
    wire = Wire(broker.address)
    name = topic.encode()
    body = struct.pack(">ii", -1, 1) + text(name) + struct.pack(">iiq", 1, 0, -1)
    wire.send(LIST_OFFSETS, 1, 1, body)
    _, answer = wire.receive()
    wire.close()
    return struct.unpack(">q", answer[-8:])[0]


def closes(sock, seconds=20):
    """Whether the other side ends the connection; what it sends before is thrown away."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
        return True
    except (ConnectionResetError, BrokenPipeError):
        return True
    except TimeoutError:
        return False


def test_garbage_of_every_kind_ends_only_its_own_connection(hostile_broker):
    rng = random.Random(SEED)
    with Witness(hostile_broker, "garbage"):
        for number in range(1500):
            kind = number % 6
            noise = rng.randbytes(rng.randrange(1, 300))
            if kind == 0:
                data = noise
            elif kind == 1:
                data = TLS_HELLO
            elif kind == 2:
                data = b"GET /metrics HTTP/1.1\r\nHost: broker\r\n\r\n"
            elif kind == 3:  # a whole frame of noise
                data = struct.pack(">i", len(noise)) + noise
            elif kind == 4:  # a right header with a body of noise
                header = struct.pack(">hhih", rng.randrange(0, 70), rng.randrange(0, 19), number, -1)
                data = struct.pack(">i", len(header) + len(noise)) + header + noise
            else:  # a length that nobody keeps
                data = struct.pack(">i", rng.choice([-1, 2**31 - 1, 101 << 20, 5000])) + noise
            with connect(hostile_broker.address) as sock:
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    continue
                assert closes(sock), f"case {number} stays open after its client is done"


def test_batches_that_lie_are_refused_and_leave_no_offset(hostile_broker):
    create(hostile_broker, "lies")
    honest = record(0, b"honest") + record(1, b"record")
    lies = {
        "crc": batch(honest, 2, crc=12345),
        "count too high": batch(honest, 2, count=3),
        "count of millions": batch(honest, 2, count=2**31 - 1, last_delta=2**31 - 2),
        "count too low": batch(honest, 2, count=1),
        "count zero": batch(honest, 2, count=0),
        "negative count": batch(honest, 2, count=-1),
        "last delta too high": batch(honest, 2, last_delta=100),
        "negative last delta": batch(honest, 2, last_delta=-1),
        "length too short": batch(honest, 2, length=60),
        "length too long": batch(honest, 2, length=4000),
        "negative length": batch(honest, 2, length=-1),
        "magic 3": batch(honest, 2, magic=3),
        "magic 1": batch(honest, 2, magic=1),
        "unknown codec": batch(honest, 2, codec=7),
        "control batch": batch(honest, 2, attributes=0x20),
        "transactional without a producer": batch(honest, 2, attributes=0x10),
        "record longer than the batch": batch(record(0, b"x")[:-3], 1),
        "offset deltas out of order": batch(record(1, b"a") + record(0, b"b"), 2),
        "two batches in one partition": batch(honest, 2) + batch(honest, 2),
        "nothing at all": b"",
        "half a header": batch(honest, 2)[:30],
        "a base offset of its own": batch(honest, 2, base_offset=999),
    }
    answers = {}
    for name, data in lies.items():
        wire = Wire(hostile_broker.address)
        answers[name], _ = produce(wire, "lies", 0, data)
        wire.close()
    assert log_end(hostile_broker, "lies") == 0, answers
    assert 0 not in answers.values(), answers
    print(answers)
    wire = Wire(hostile_broker.address)
    assert produce(wire, "lies", 0, batch(honest, 2)) == (0, 0), "the honest batch is taken"


@pytest.mark.parametrize("validate", ["true", "false"])
def test_bombs_in_every_codec_take_no_memory(hostile_broker, validate):
    hostile_broker.stop()
    hostile_broker.flags += ["--set", f"produce.validate-compressed={validate}"]
    hostile_broker.start()
    create(hostile_broker, "bombs")
    with Witness(hostile_broker, "bombs"):
        for name, (codec, payload) in bombs(300 << 20).items():
            data = batch(payload, 1, codec)
            for _ in range(3):
                wire = Wire(hostile_broker.address)
                error, _ = produce(wire, "bombs", 0, data)
                wire.close()
                if validate == "true":
                    assert error in (2, 10, 87), f"{name}: {error}"
                else:
                    assert error in (0, 10), f"{name}: {error}"


def test_ten_thousand_silent_connections_cost_little(hostile_broker):
    with Witness(hostile_broker, "silence"):
        before = hostile_broker.memory()
        silent = [connect(hostile_broker.address) for _ in range(10_000)]
        wait_until("all accepted", lambda: hostile_broker.descriptors() >= 10_000, 60)
        # Half of them say something and stop in the middle of it.
        for sock in silent[::2]:
            sock.sendall(struct.pack(">ih", 5000, API_VERSIONS))
        wire = Wire(hostile_broker.address)
        wire.send(API_VERSIONS, 0, 1)
        assert wire.receive()[0] == 1
        each = (hostile_broker.memory() - before) / len(silent)
        print(f"{each:.0f} bytes per silent connection")
        for sock in silent:
            sock.close()
        wait_until("all forgotten", lambda: hostile_broker.descriptors() < 200, 60)


def fill(broker, topic, records, size):
    wire = Wire(broker.address)
    for number in range(records):
        error, _ = produce(wire, topic, 0, batch(record(0, bytes([number % 256]) * size), 1), number)
        assert error == 0
    wire.close()


def fetch_body(topic, max_bytes=8 << 20):
    """Fetch 4 from offset 0."""
    return (struct.pack(">iiiib", -1, 100, 1, max_bytes, 0) + struct.pack(">i", 1) + text(topic.encode())
            + struct.pack(">iiqi", 1, 0, 0, max_bytes))


def test_clients_that_never_read_are_cut_off_within_memory(hostile_broker):
    create(hostile_broker, "unread")
    fill(hostile_broker, "unread", 40, 256 << 10)
    with Witness(hostile_broker, "unread"):
        greedy = []
        for _ in range(100):
            sock = connect(hostile_broker.address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire = Wire.over(sock)
            for number in range(50):
                wire.send(FETCH, 4, number, fetch_body("unread"))
            greedy.append(sock)
        wait_until("all are accepted", lambda: hostile_broker.descriptors() >= 100, 60)
        # After 30 s without progress the broker closes them.
        wait_until("the greedy are cut off", lambda: hostile_broker.descriptors() < 60, 75)
        for sock in greedy:
            sock.close()


def test_clients_that_send_a_byte_a_second_hold_nobody_up(hostile_broker):
    with Witness(hostile_broker, "drip"):
        frame = struct.pack(">ihhih", 10, API_VERSIONS, 0, 7, -1)
        slow = [connect(hostile_broker.address) for _ in range(500)]
        for byte in frame:
            for sock in slow:
                sock.sendall(bytes([byte]))
            time.sleep(0.3)
        for sock in slow:
            assert len(sock.recv(4)) == 4
            sock.close()


def test_a_thousand_connections_a_second_come_and_go(hostile_broker):
    with Witness(hostile_broker, "churn"):
        started, count = time.monotonic(), 0
        while count < 8_000:
            with connect(hostile_broker.address) as sock:
                if count % 3 == 0:
                    sock.sendall(struct.pack(">ihhih", 10, API_VERSIONS, 0, count, -1))
                if count % 5 == 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            count += 1
        print(f"{count / (time.monotonic() - started):.0f} connections a second")
        wait_until("all forgotten", lambda: hostile_broker.descriptors() < 200, 60)


def test_ten_thousand_topics_are_created_and_deleted(hostile_broker):
    admin = AdminClient({"bootstrap.servers": hostile_broker.address, "log_level": 0})
    with Witness(hostile_broker, "topics"):
        for start in range(0, 10_000, 500):
            names = [f"many-{number}" for number in range(start, start + 500)]
            for future in admin.create_topics([NewTopic(name, 1, 1) for name in names], request_timeout=60).values():
                future.result()
            if start == 5_000:
                wire = Wire(hostile_broker.address)
                assert produce(wire, names[7], 0, batch(record(0, b"kept a moment")))[0] == 0
                wire.close()
            for future in admin.delete_topics(names, request_timeout=60).values():
                future.result()
    listed = hostile_broker.cli("topic", "list")
    assert "many-" not in listed.stdout


def test_metadata_for_fifty_thousand_names_is_answered_whole(hostile_broker):
    hostile_broker.stop()
    hostile_broker.flags += ["--set", "topic.auto-create=false"]
    hostile_broker.start()
    with Witness(hostile_broker, "names"):
        names = [b"no-such-topic-%06d" % number for number in range(50_000)]
        body = struct.pack(">i", len(names)) + b"".join(text(name) for name in names)
        wire = Wire(hostile_broker.address)
        for correlation in range(5):
            wire.send(METADATA, 1, correlation, body)
        for correlation in range(5):
            answered, answer = wire.receive()
            assert answered == correlation
            assert answer.count(b"no-such-topic-") == len(names)


def test_a_reply_that_is_too_big_or_too_often_asked_is_bounded(hostile_broker):
    create(hostile_broker, "pipeline")
    with Witness(hostile_broker, "pipeline"):
        wire = Wire(hostile_broker.address)
        wire.socket.settimeout(60)
        for number in range(5_000):
            wire.send(API_VERSIONS, 0, number)
        for number in range(5_000):
            assert wire.receive()[0] == number
        # Many large requests at once share the request memory; each is answered in the end.
        large = produce_body("pipeline", 0, batch(record(0, b"x" * (900 << 10))))
        wires = [Wire(hostile_broker.address) for _ in range(40)]
        for each in wires:
            each.socket.settimeout(60)
            each.send(PRODUCE, 7, 1, large)
            each.send(PRODUCE, 7, 2, large)
        for each in wires:
            assert [each.receive()[0], each.receive()[0]] == [1, 2]
            each.close()
    assert log_end(hostile_broker, "pipeline") == 80
