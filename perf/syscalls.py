"""System calls of a broker's data core per request, under fixed scripts of requests.

Owns: the scripts, their client, the count.
Never: measures time: strace slows the broker down, and a debug build is good enough.
Counted are the calls of the data core that begin while a script runs. The helpers for files and the control core work by the
clock, not by the request, and are left out. A core that parks once more or less makes one call more or less, so a script is
played several times and the smallest count is the one that is held.
"""

import bisect
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

PRODUCE, FETCH, CREATE_TOPICS = 0, 1, 19
TOPICS = {"durable": "disk", "memory": "memory"}
CONNECTIONS = 64
RECORD_BYTES = 1024
# One partition for each connection, and one that is fetched from and written to by nobody else.
FETCHED = CONNECTIONS
PARTITIONS = CONNECTIONS + 1
DATA_CORE = "rapidmq-core-0"
REPETITIONS = 6
# Seconds for whatever must happen.
PATIENCE = 60


def crc32c(data):
    """Castagnoli, bit by bit: one small batch is all that is ever summed."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value):
    """Zigzag, for values from 0 on."""
    value <<= 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def batch(size):
    """A batch of one record with a value of `size` bytes, of now."""
    value = b"x" * size
    body = b"\0\0\0\x01" + varint(size) + value + b"\0"
    record = varint(len(body)) + body
    now = int(time.time() * 1000)
    covered = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + record
    tail = struct.pack(">ibI", -1, 2, crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(tail)) + tail


def text(value):
    """A classic string."""
    return struct.pack(">h", len(value)) + value.encode()


class Client:
    """One connection that speaks whole frames."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame):
        self.socket.sendall(frame)

    def receive(self):
        """The body of one response."""
        (length,) = struct.unpack(">i", self.exactly(4))
        return self.exactly(length)[4:]

    def ask(self, frame):
        self.send(frame)
        return self.receive()

    def exactly(self, count):
        pieces = []
        while count:
            piece = self.socket.recv(count)
            if not piece:
                raise RuntimeError("the broker closed the connection")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def request(key, version, body):
    """A whole frame; the correlation id is always the same, one answer is awaited before the next request."""
    header = struct.pack(">hhi", key, version, 1) + text("ratchet")
    return struct.pack(">i", len(header) + len(body)) + header + body


def create(client):
    """The two topics of the script."""
    topics = b""
    for name, durability in TOPICS.items():
        topics += text(name) + struct.pack(">ihii", PARTITIONS, 1, 0, 1) + text("rapidmq.durability") + text(durability)
    client.ask(request(CREATE_TOPICS, 2, struct.pack(">i", len(TOPICS)) + topics + struct.pack(">ib", 30_000, 0)))


def produce(topic, partition, records):
    body = struct.pack(">hhii", -1, -1, 30_000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(records)) + records
    return request(PRODUCE, 7, body)


def fetch(topic, partition):
    """From the start; at most 64 KiB, no waiting."""
    body = struct.pack(">iiiibii", -1, 0, 1, 1 << 20, 0, 0, -1)
    body += struct.pack(">i", 1) + text(topic) + struct.pack(">iiqqi", 1, partition, 0, -1, 64 << 10)
    return request(FETCH, 7, body + struct.pack(">i", 0))


def produced(topic, answer):
    """Fails unless the answer to a produce of one partition is good."""
    at = 4 + 2 + len(topic) + 4 + 4
    (error,) = struct.unpack(">h", answer[at:at + 2])
    if error:
        raise RuntimeError(f"a produce to {topic} was refused with error code {error}")


def one_in_flight(topic, count):
    """`count` produces over one connection, each answered before the next."""
    def play(clients, records):
        frame = produce(topic, 0, records)
        for _ in range(count):
            produced(topic, clients[0].ask(frame))
        return count
    return play


def fetches(count):
    """`count` fetches of ten batches that are in memory."""
    def play(clients, _):
        frame = fetch("durable", FETCHED)
        for _ in range(count):
            if len(clients[0].ask(frame)) < 10 * 1024:
                raise RuntimeError("a fetch returned less than ten batches")
        return count
    return play


def lock_step(topic, rounds):
    """Every connection sends one produce to a partition of its own, then all answers are awaited."""
    def play(clients, records):
        frames = [produce(topic, number, records) for number in range(CONNECTIONS)]
        for _ in range(rounds):
            for client, frame in zip(clients, frames):
                client.send(frame)
            for client in clients:
                produced(topic, client.receive())
        return CONNECTIONS * rounds
    return play


SCRIPTS = {
    "durable-produce": one_in_flight("durable", 500),
    "memory-produce": one_in_flight("memory", 500),
    "fetch-10-cached": fetches(200),
    "durable-produce-64-connections": lock_step("durable", 10),
    "memory-produce-64-connections": lock_step("memory", 10),
}


class Traced:
    """One broker of one core under strace, on a directory of its own."""

    def __init__(self, binary):
        self.binary = binary
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rapidmq-ratchet-"))
        self.trace = self.directory / "trace"

    def __enter__(self):
        ready = self.directory / "ready"
        command = ["strace", "-f", "-ttt", "-s", "0", "-o", self.trace, self.binary, "serve", "--data-dir", self.directory / "data",
                   "--kafka-listen", "127.0.0.1:0", "--cores", "1", "--ready-file", ready, "--set", "storage.ballast=0"]
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "log").read_text()[-2000:]
                self.__exit__()
                raise RuntimeError(f"the broker did not start under strace: {said}")
            time.sleep(0.01)
        self.address = json.loads(ready.read_text())["kafka"]
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory)

    def stop(self):
        """Ends the broker. strace passes no signals on; it ends with the broker."""
        for broker in self.children():
            os.kill(broker, signal.SIGTERM)
        try:
            self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            for broker in self.children():
                os.kill(broker, signal.SIGKILL)
            self.process.wait()

    def children(self):
        """The broker's process, as long as it lives."""
        try:
            of = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            return [int(child) for child in of.read_text().split()]
        except FileNotFoundError:
            return []

    def data_core(self):
        """The thread whose calls are counted."""
        (broker,) = self.children()
        for task in pathlib.Path(f"/proc/{broker}/task").iterdir():
            if (task / "comm").read_text().strip() == DATA_CORE:
                return task.name
        raise RuntimeError(f"the broker has no thread named {DATA_CORE}")

    def calls(self, core):
        """When each call of this thread began, in order."""
        begun = []
        with open(self.trace) as lines:
            for line in lines:
                thread, at, rest = line.split(None, 2)
                # A call that another thread's line interrupted is written twice.
                if thread == core and not rest.startswith(("<...", "+++", "---")):
                    begun.append(float(at))
        return begun


def count(binary):
    """Smallest number of calls per request of every script."""
    with Traced(binary) as broker:
        clients = [Client(broker.address) for _ in range(CONNECTIONS)]
        create(clients[0])
        records = batch(RECORD_BYTES)
        fill = produce("durable", FETCHED, records)
        for _ in range(10):
            produced("durable", clients[0].ask(fill))
        played = []
        for _ in range(REPETITIONS):
            for name, play in SCRIPTS.items():
                since = time.time()
                requests = play(clients, records)
                played.append((name, since, time.time(), requests))
        core = broker.data_core()
        broker.stop()
        calls = broker.calls(core)
    smallest = {}
    for name, since, until, requests in played:
        made = bisect.bisect_left(calls, until) - bisect.bisect_left(calls, since)
        smallest[name] = min(smallest.get(name, math.inf), made / requests)
    return smallest
