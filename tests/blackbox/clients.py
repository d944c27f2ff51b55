"""Thin wrappers around clients that this project did not write."""

import os
import pathlib
import subprocess

from broker import ROOT
from dataset import StreamHash

JAVA_LIBS = pathlib.Path(os.environ.get("TEST_JAVA_LIBS", ROOT / "target" / "java" / "libs"))


def java(main, *args, **popen):
    """Starts a class of tests/blackbox/java; standard output is piped."""
    command = ["java", "-Xmx512m", "-cp", f"{JAVA_LIBS}/*", f"clients.{main}", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **popen)


def java_hashes(address, topic):
    """Partition -> stream hash, read by the Java client."""
    process = java("ReadHashes", address, topic)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return {int(p): value for p, value in (line.split() for line in out.splitlines())}


def kafka_python_hashes(address, topic):
    """Partition -> stream hash, read by kafka-python."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False,
                             auto_offset_reset="earliest", max_poll_records=10_000)
    parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    hashes = {part.partition: StreamHash() for part in parts}
    expected = {part.partition: 0 for part in parts}
    while any(consumer.position(part) < ends[part] for part in parts):
        for part, records in consumer.poll(timeout_ms=1000).items():
            for record in records:
                assert record.offset == expected[part.partition], "offsets are dense"
                expected[part.partition] += 1
                hashes[part.partition].add(record.key, record.value, record.headers)
    consumer.close()
    return {p: h.value() for p, h in hashes.items()}


def librdkafka_hashes(address, topic, partitions):
    """Partition -> stream hash, read by librdkafka through confluent-kafka."""
    from confluent_kafka import Consumer, OFFSET_BEGINNING, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "none",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
    hashes = {p: StreamHash() for p in range(partitions)}
    ended = set()
    while len(ended) < partitions:
        for message in consumer.consume(10_000, timeout=1.0):
            if message.error():
                assert message.error().name() == "_PARTITION_EOF", message.error()
                ended.add(message.partition())
            else:
                assert message.offset() == hashes[message.partition()].count, "offsets are dense"
                hashes[message.partition()].add(message.key(), message.value(), message.headers() or ())
    consumer.close()
    return {p: h.value() for p, h in hashes.items()}


def kcat_hashes(address, topic, partitions):
    """Partition -> stream hash of (key, value), read by kcat; for text without tabs and line ends."""
    hashes = {p: StreamHash() for p in range(partitions)}
    command = ["kcat", "-b", address, "-C", "-t", topic, "-o", "beginning", "-e", "-q",
               "-f", "%p\t%K\t%k\t%s\n"]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    for line in done.stdout.splitlines():
        partition, key_len, key, value = line.split(b"\t", 3)
        hashes[int(partition)].add(None if key_len == b"-1" else key, value)
    return {p: h.value() for p, h in hashes.items()}
