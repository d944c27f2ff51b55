"""The flights table, written by several clients in every codec, read back by four others, compared by hash."""

import subprocess

import pytest
from confluent_kafka import Producer

import clients
from dataset import StreamHash

PARTITIONS = 3
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def expected(rows, with_headers):
    """Partition -> stream hash of what was sent; row i goes to partition i modulo PARTITIONS."""
    hashes = {p: StreamHash() for p in range(PARTITIONS)}
    for index, row in enumerate(rows):
        headers = [("row", str(index).encode()), ("src", b"nyc")] if with_headers else ()
        hashes[index % PARTITIONS].add(str(index).encode(), row, headers)
    return {p: h.value() for p, h in hashes.items()}


def create(broker, topic):
    """Creates a topic through our own command line."""
    done = broker.cli("topic", "create", topic, "--partitions", str(PARTITIONS))
    assert done.returncode == 0, done.stderr


def produce_librdkafka(broker, topic, rows, codec):
    """Sends all rows with keys and headers; every delivery must be confirmed."""
    confirmed = []

    def delivered(error, message):
        assert error is None, error
        confirmed.append(message.offset())

    producer = Producer({"bootstrap.servers": broker.address, "compression.type": codec,
                         "linger.ms": 5, "enable.idempotence": True,
                         "queue.buffering.max.messages": 1_000_000})
    for index, row in enumerate(rows):
        headers = [("row", str(index).encode()), ("src", b"nyc")]
        producer.produce(topic, row, str(index).encode(), partition=index % PARTITIONS,
                         headers=headers, on_delivery=delivered)
        if index % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0
    assert len(confirmed) == len(rows)


@pytest.mark.parametrize("codec", CODECS)
def test_librdkafka_writes_and_four_clients_read_the_same(broker, flights, codec):
    rows = flights if codec == "lz4" else flights[:40_000]
    create(broker, "flights")
    produce_librdkafka(broker, "flights", rows, codec)
    want = expected(rows, with_headers=True)
    assert clients.librdkafka_hashes(broker.address, "flights", PARTITIONS) == want
    assert clients.kafka_python_hashes(broker.address, "flights") == want
    assert clients.java_hashes(broker.address, "flights") == want
    assert clients.kcat_hashes(broker.address, "flights", PARTITIONS) == expected(rows, with_headers=False)
    broker.kill()
    broker.start()
    assert clients.java_hashes(broker.address, "flights") == want, "the same after kill -9"
    broker.stop()
    code, report = broker.check()
    assert code == 0, report


@pytest.mark.parametrize("codec", CODECS)
def test_kcat_writes_and_three_clients_read_the_same(broker, flights, tmp_path, codec):
    rows = flights if codec == "none" else flights[:40_000]
    create(broker, "flights")
    for partition in range(PARTITIONS):
        lines = tmp_path / f"{partition}.tsv"
        lines.write_bytes(b"".join(
            b"%d\t%s\n" % (index, rows[index]) for index in range(partition, len(rows), PARTITIONS)))
        command = ["kcat", "-b", broker.address, "-P", "-t", "flights", "-p", str(partition),
                   "-K", "\t", "-z", codec, "-l", str(lines)]
        done = subprocess.run(command, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
    want = expected(rows, with_headers=False)
    assert clients.kafka_python_hashes(broker.address, "flights") == want
    assert clients.java_hashes(broker.address, "flights") == want
    assert clients.kcat_hashes(broker.address, "flights", PARTITIONS) == want


@pytest.mark.parametrize("codec", CODECS)
def test_the_java_client_writes_with_its_defaults(broker, flights, codec):
    rows = flights[:40_000]
    create(broker, "flights")
    process = clients.java("ProduceLines", broker.address, "flights", 0, codec)
    text = "".join(f"{index}\t{row.decode()}\n" for index, row in enumerate(rows))
    out, _ = process.communicate(text, timeout=300)
    assert process.returncode == 0 and out.strip() == str(len(rows))
    want = StreamHash()
    for index, row in enumerate(rows):
        want.add(str(index).encode(), row, [("row", str(index).encode())])
    assert clients.kafka_python_hashes(broker.address, "flights")[0] == want.value()
    assert clients.java_hashes(broker.address, "flights")[0] == want.value()


def test_null_empty_and_binary_keys_values_and_headers_survive(broker):
    create(broker, "odd")
    binary = bytes(range(256))
    records = [(None, b"", []), (b"", None, []), (binary, binary, [("h", None), ("h", b""), ("h", binary)])]
    producer = Producer({"bootstrap.servers": broker.address})
    want = StreamHash()
    for key, value, headers in records:
        producer.produce("odd", value, key, partition=1, headers=headers)
        want.add(key, value, headers)
    assert producer.flush(30) == 0
    assert clients.librdkafka_hashes(broker.address, "odd", PARTITIONS)[1] == want.value()
    assert clients.kafka_python_hashes(broker.address, "odd")[1] == want.value()
    assert clients.java_hashes(broker.address, "odd")[1] == want.value()
