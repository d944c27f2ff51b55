"""What must be true of a broker that was started on the image of a power cut."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from ledger import origin_of
from load import LIBRDKAFKA

# Retention counts headers and padding to blocks as well; values alone are compared.
RETENTION_SHARE = 0.75


class Found:
    """Everything a Kafka client sees of a broker."""

    def __init__(self, address):
        config = {**LIBRDKAFKA, "bootstrap.servers": address}
        self.admin = AdminClient(config)
        metadata = self.admin.list_topics(timeout=30)
        self.topics = {name: len(topic.partitions) for name, topic in metadata.topics.items()
                       if not name.startswith("__")}
        self.consumer = Consumer({**config, "group.id": "oracle", "enable.auto.commit": False,
                                  "enable.partition.eof": True, "fetch.wait.max.ms": 10,
                                  "auto.offset.reset": "earliest"})
        # (topic, partition) -> [(offset, value)]
        self.records = {(name, p): [] for name, count in self.topics.items() for p in range(count)}
        # (topic, partition) -> [front, end)
        self.bounds = {}
        self.read()

    def read(self):
        ended = set()
        deadline = time.monotonic() + 60
        self.consumer.assign([TopicPartition(*part, OFFSET_BEGINNING) for part in self.records])
        while len(ended) < len(self.records):
            assert time.monotonic() < deadline, f"not read to the end within 60 s: {self.records.keys() - ended}"
            for message in self.consumer.consume(10_000, timeout=0.05):
                part = (message.topic(), message.partition())
                if message.error():
                    assert message.error().name() == "_PARTITION_EOF", f"{part}: {message.error()}"
                    ended.add(part)
                else:
                    self.records[part].append((message.offset(), message.value()))
        for part, records in self.records.items():
            low, high = self.consumer.get_watermark_offsets(TopicPartition(*part), timeout=30)
            # Retention goes on while this reads.
            self.bounds[part] = (low, high)
            self.records[part] = [(offset, value) for offset, value in records if offset >= low]

    def committed(self, group):
        """(topic, partition) -> committed offset."""
        request = [ConsumerGroupTopicPartitions(group)]
        parts = self.admin.list_consumer_group_offsets(request, request_timeout=30)[group].result(30)
        return {(p.topic, p.partition): p.offset for p in parts.topic_partitions if p.offset >= 0}

    def close(self):
        self.consumer.close()


def check(ledger, cut, found):
    """All oracles; fails with the first thing that is wrong."""
    lives = check_topics(ledger, cut, found)
    for part in found.records:
        check_partition(ledger, cut, part, found, lives[part[0]])
    check_acknowledged(ledger, cut, found)
    check_commits(ledger, cut, found)


def check_topics(ledger, cut, found):
    """Acknowledged creations and deletions hold; returns name -> the life that is there."""
    lives = {}
    for topic in ledger.topics:
        certain = topic.created is not None and topic.created <= cut
        gone = topic.deleted is not None and topic.deleted <= cut
        going = topic.delete_asked is not None and topic.delete_asked <= cut
        asked = topic.create_asked <= cut
        if certain and not going:
            assert topic.name in found.topics, f"topic {topic.name}, created at {topic.created}, is missing"
        if topic.name in found.topics and asked and not gone:
            # The last life that can be meant; an earlier one was certainly deleted before it was asked for.
            lives[topic.name] = topic
    for name in found.topics:
        assert name in lives, f"topic {name} is there: never asked for, or deleted for certain"
        assert found.topics[name] == lives[name].partitions, f"partitions of {name}"
    return lives


def check_partition(ledger, cut, part, found, life):
    """Offsets are dense; each record is what was sent, where it was acknowledged, once and in order."""
    records, (low, high) = found.records[part], found.bounds[part]
    offsets = [offset for offset, _ in records]
    assert offsets == list(range(low, high)), f"{part}: offsets {offsets[:3]}..{offsets[-3:]} of [{low}, {high})"
    last = {}
    for offset, value in records:
        producer, number = origin_of(value)
        assert (producer, number) in ledger.sent, f"{part}@{offset}: {producer}:{number} was never sent"
        assert last.get(producer, -1) < number, f"{part}@{offset}: {producer}:{number} again or out of order"
        last[producer] = number
        place = ledger.records.get((producer, number))
        assert place is None or place[:3] == (*part, offset), f"{part}@{offset}: acknowledged at {place}"
    check_start(ledger, cut, part, found, life)


def check_start(ledger, cut, part, found, life):
    """Nothing is gone from the front but by a request or by retention; a request that was answered holds."""
    low = found.bounds[part][0]
    trims = ledger.trims.get(part, [])
    asked = max((offset for offset, position, _ in trims if position <= cut), default=0)
    done = max((offset for offset, _, position in trims if position is not None and position <= cut), default=0)
    assert low >= done, f"{part}: begins at {low}, was trimmed to {done} for certain"
    if life.retention_bytes and low > asked:
        kept = sum(len(value) for _, value in found.records[part])
        assert kept >= life.retention_bytes * RETENTION_SHARE, f"{part}: only {kept} bytes are kept from {low}"
    else:
        assert low <= asked, f"{part}: begins at {low}, but only {asked} was ever asked for"


def check_acknowledged(ledger, cut, found):
    """Every record acknowledged before the cut is there, at its offset."""
    doomed = {topic.name for topic in ledger.topics if topic.delete_asked is not None and topic.delete_asked <= cut}
    stored = {(*part, offset): value for part, records in found.records.items() for offset, value in records}
    lost = []
    for (topic, partition, offset), origin in ledger.acknowledged_at(cut).items():
        low, _ = found.bounds.get((topic, partition), (0, 0))
        if topic in doomed and not belongs_to_life(ledger, cut, topic, origin):
            continue
        if offset >= low and (topic, partition, offset) not in stored:
            lost.append(f"{topic}/{partition}@{offset} of {origin}")
    assert not lost, f"{len(lost)} acknowledged records are lost: {sorted(lost)[:5]}"


def belongs_to_life(ledger, cut, name, origin):
    """Whether a record of a name that was deleted before belongs to a life whose deletion was not asked for."""
    position = ledger.records[origin][3]
    lives = [topic for topic in ledger.topics if topic.name == name and topic.created is not None]
    mine = [topic for topic in lives if topic.created <= position
            and (topic.deleted is None or position <= topic.deleted)]
    return any(topic.delete_asked is None or topic.delete_asked > cut for topic in mine)


def check_commits(ledger, cut, found):
    """An acknowledged commit, or a later one that was asked for."""
    by_group = {}
    for (group, topic, partition), entries in ledger.commits.items():
        committed = by_group.setdefault(group, None)
        if committed is None:
            committed = by_group[group] = found.committed(group)
        certain = max((o for o, _, position in entries if position is not None and position <= cut), default=None)
        possible = {o for o, asked, _ in entries if asked <= cut}
        got = committed.get((topic, partition))
        if certain is not None:
            assert got is not None and got >= certain, f"{group} {topic}/{partition}: {got}, acknowledged {certain}"
        assert got is None or got in possible, f"{group} {topic}/{partition}: {got} was never committed"
