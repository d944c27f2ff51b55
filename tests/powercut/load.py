"""The load of a recorded run: everything that writes, with every acknowledgement in the ledger."""

import random
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import retry
from ledger import Topic, value_of

# Small files, so that a short run meets rolls, seals, checkpoints, recycled journals and retention.
FLAGS = ["--set", "storage.journal-size=2MiB", "--set", "storage.tail-memory=2MiB",
         "--set", "group.offsets-partitions=4", "--set", "group.initial-rebalance-delay=0ms",
         "--set", "topic.auto-create=false"]
CORES = 2
LIBRDKAFKA = {"log_level": 0, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100}


@dataclass(frozen=True)
class Shape:
    """Smallest and largest record, records at once, records per second at most."""

    sizes: tuple
    in_flight: int
    per_second: int


class Work(threading.Thread):
    """One thread of the load; `failure` tells what went wrong in it."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.load = run
        self.ledger = run.ledger
        self.failure = None

    def run(self):
        try:
            self.work()
        except (AssertionError, KafkaException, OSError) as error:
            self.failure = error

    def work(self):
        raise NotImplementedError


class Writer(Work):
    """One idempotent producer with acks=all on all partitions of a topic."""

    def __init__(self, run, name, topic, shape):
        super().__init__(run)
        self.label = name
        self.topic = topic
        self.shape = shape
        self.random = random.Random(name)
        self.count = 0
        self.producer = Producer({**LIBRDKAFKA, "bootstrap.servers": run.address, "acks": "all",
                                  "enable.idempotence": True, "linger.ms": 1, "retry.backoff.ms": 10,
                                  "batch.size": 100_000, "message.max.bytes": 1_000_000})

    def work(self):
        begun = time.monotonic()
        while not self.load.over.is_set():
            is_early = self.count > (time.monotonic() - begun) * self.shape.per_second
            if is_early or len(self.producer) >= self.shape.in_flight:
                self.producer.poll(0.002)
            else:
                self.send()
                self.producer.poll(0)
        self.finish()

    def send(self):
        number, size = self.count, self.random.randint(*self.shape.sizes)
        self.count += 1
        origin = (self.label, number)
        self.ledger.sent.add(origin)
        partition = self.random.randrange(self.topic.partitions)
        self.producer.produce(self.topic.name, value_of(*origin, size), partition=partition,
                              on_delivery=lambda error, message: self.delivered(origin, error, message))

    def delivered(self, origin, error, message):
        assert error is None, error
        place = (message.topic(), message.partition(), message.offset(), self.load.position())
        self.ledger.records[origin] = place

    def finish(self):
        assert self.producer.flush(60) == 0, f"{self.label}: everything is acknowledged in the end"


class Retrier(Work):
    """A producer whose batches are sent again after the cut."""

    def __init__(self, run, topic, partition):
        super().__init__(run)
        self.place = topic, partition

    def work(self):
        topic, partition = self.place
        retry.run(self.load, f"{self.load.label}retry{partition}", topic, partition)


class Churn(Work):
    """Topics come and go; one name comes again and again."""

    def work(self):
        admin = AdminClient({**LIBRDKAFKA, "bootstrap.servers": self.load.address})
        number = 0
        while not self.load.over.is_set():
            name = f"again{self.load.label}" if number % 2 else f"once{self.load.label}-{number}"
            topic = self.load.create(admin, Topic(name, 2), {"segment.bytes": "131072"})
            writer = Writer(self.load, f"{self.load.label}churn{number}", topic, Shape((10, 30_000), 10, 1000))
            for _ in range(12):
                writer.send()
            writer.finish()
            if number % 3 != 2 or name == "again":
                self.load.delete(admin, topic)
            number += 1


class Reader(Work):
    """A member of a group: reads everything and commits now and then."""

    def __init__(self, run, group, topic):
        super().__init__(run)
        self.group = group
        self.topic = topic

    def work(self):
        consumer = Consumer({**LIBRDKAFKA, "bootstrap.servers": self.load.address, "group.id": self.group,
                             "enable.auto.commit": False, "auto.offset.reset": "earliest",
                             "session.timeout.ms": 10_000})
        consumer.subscribe([self.topic.name])
        while not self.load.over.is_set():
            next_offsets = {}
            for message in consumer.consume(100, timeout=0.1):
                assert message.error() is None, message.error()
                next_offsets[message.partition()] = message.offset() + 1
            if next_offsets:
                self.commit(consumer, next_offsets)
        consumer.close()

    def commit(self, consumer, next_offsets):
        asked = self.load.position()
        offsets = [TopicPartition(self.topic.name, p, o) for p, o in next_offsets.items()]
        entries = {p: [o, asked, None] for p, o in next_offsets.items()}
        for partition, entry in entries.items():
            self.ledger.commits.setdefault((self.group, self.topic.name, partition), []).append(entry)
        done = consumer.commit(offsets=offsets, asynchronous=False)
        assert all(part.error is None for part in done), done
        position = self.load.position()
        for entry in entries.values():
            entry[2] = position


class Trimmer(Work):
    """Deletes the front of a partition now and then."""

    def __init__(self, run, topic):
        super().__init__(run)
        self.topic = topic

    def work(self):
        admin = AdminClient({**LIBRDKAFKA, "bootstrap.servers": self.load.address})
        while not self.load.over.wait(0.3):
            offsets = [place[2] for place in list(self.ledger.records.values())
                       if place[:2] == (self.topic.name, 0)]
            if not offsets:
                continue
            upto = max(offsets) // 2
            entry = [upto, self.load.position(), None]
            self.ledger.trims.setdefault((self.topic.name, 0), []).append(entry)
            part = TopicPartition(self.topic.name, 0, upto)
            for future in admin.delete_records([part], request_timeout=30).values():
                future.result(30)
            entry[2] = self.load.position()


class Load:
    """Runs the whole load against one broker for some seconds."""

    def __init__(self, address, ledger, position, label=""):
        self.label = label
        self.address = address
        self.ledger = ledger
        self.position = position
        self.over = threading.Event()

    def create(self, admin, topic, config):
        """Creates a topic, or takes the one that an earlier run left; waits for the answer."""
        left = [life for life in self.ledger.topics if life.name == topic.name and life.deleted is None]
        if left:
            return left[-1]
        topic.create_asked = self.position()
        topic.retention_bytes = int(config.get("retention.bytes", 0))
        self.ledger.topics.append(topic)
        new = NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=1, config=config)
        admin.create_topics([new], request_timeout=30)[topic.name].result(30)
        topic.created = self.position()
        return topic

    def delete(self, admin, topic):
        """Deletes a topic; waits for the answer."""
        topic.delete_asked = self.position()
        admin.delete_topics([topic.name], request_timeout=30)[topic.name].result(30)
        topic.deleted = self.position()

    def run(self, seconds):
        """Everything at once, then waits until the last acknowledgement."""
        admin = AdminClient({**LIBRDKAFKA, "bootstrap.servers": self.address})
        small = self.create(admin, Topic("small", 4), {"segment.bytes": "1048576"})
        large = self.create(admin, Topic("large", 2), {"segment.bytes": "4194304"})
        short = self.create(admin, Topic("short", 2), {"segment.bytes": "262144", "retention.bytes": "1048576"})
        again = self.create(admin, Topic("retried", 2), {"segment.bytes": "262144"})
        works = [Retrier(self, again, 0), Retrier(self, again, 1),
                 Writer(self, self.label + "a", small, Shape((5, 2_000), 60, 800)),
                 Writer(self, self.label + "b", small, Shape((5, 200), 3, 200)),
                 Writer(self, self.label + "c", large, Shape((30_000, 300_000), 3, 40)),
                 Writer(self, self.label + "d", short, Shape((1_000, 60_000), 4, 60)),
                 Churn(self), Reader(self, "readers", small), Reader(self, "others", large),
                 Trimmer(self, small)]
        for work in works:
            work.start()
        time.sleep(seconds)
        self.over.set()
        for work in works:
            work.join(120)
        failures = [work.failure for work in works if work.failure or work.is_alive()]
        assert not failures, failures
