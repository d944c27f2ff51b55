"""Brokers on disks that fail, with a producer that takes no for an answer."""

import itertools

import oracle
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from ledger import Ledger, Topic, value_of
from load import CORES, FLAGS, LIBRDKAFKA, Load
from machine import Broker, Mounted, Recorder
from strict import StrictDisk

SMALL_CACHE = ["--set", "storage.cache-memory=1MiB"]


class Bench:
    """A broker, a topic with two partitions, and the producer; where the data lies, subclasses say."""

    def __init__(self, home, data, flags=(), config=None):
        self.home = home
        self.ledger = Ledger()
        self.broker = Broker(data, cores=CORES, flags=FLAGS + SMALL_CACHE + list(flags))
        self.broker.log_path = home / "broker.log"
        self.config = {"segment.bytes": "1048576", **(config or {})}
        self.numbers = itertools.count()
        self.refusals = []

    def __enter__(self):
        self.broker.start()
        self.create_topic("faults", self.config)
        return self

    def position(self):
        """Number of events recorded so far."""
        raise NotImplementedError

    def admin(self):
        return AdminClient({**LIBRDKAFKA, "bootstrap.servers": self.broker.address})

    def create_topic(self, name, config=None):
        """A topic with two partitions; waits for the answer."""
        Load(self.broker.address, self.ledger, self.position).create(self.admin(), Topic(name, 2), config or {})

    def producer(self, timeout_ms=60_000):
        return Producer({**LIBRDKAFKA, "bootstrap.servers": self.broker.address, "acks": "all", "linger.ms": 0,
                         "enable.idempotence": True, "retry.backoff.ms": 20, "message.timeout.ms": timeout_ms})

    def produce(self, producer, count, size, topic="faults"):
        """Hands over `count` records; what is acknowledged goes into the ledger."""
        for number in itertools.islice(self.numbers, count):
            origin = ("w", number)
            self.ledger.sent.add(origin)
            producer.produce(topic, value_of(*origin, size), partition=number % 2,
                             on_delivery=lambda error, message, origin=origin: self.delivered(origin, error, message))
            producer.poll(0)

    def delivered(self, origin, error, message):
        if error is not None:
            self.refusals.append(error)
            return
        place = (message.topic(), message.partition(), message.offset(), self.position())
        self.ledger.records[origin] = place

    def produce_all(self, count, size, topic="faults"):
        """`count` records, all of which must be acknowledged."""
        producer = self.producer()
        before = len(self.ledger.records)
        self.produce(producer, count, size, topic)
        assert producer.flush(60) == 0
        assert len(self.ledger.records) == before + count, self.refusals[:1]

    def has_ended(self):
        return self.broker.process.poll() is not None

    def verify(self):
        """Everything acknowledged is there, and what is there is right."""
        found = oracle.Found(self.broker.address)
        try:
            oracle.check(self.ledger, self.position(), found)
        finally:
            found.close()


class BlockBench(Bench):
    """On ext4 on the recording disk."""

    def __init__(self, home):
        self.recorder = Recorder(home)
        self.mounted = Mounted(self.recorder.disk, home / "disk", "ext4").make()
        self.disk = self.mounted.__enter__()
        super().__init__(home, self.disk / "data")

    def __exit__(self, *_):
        if self.broker.process.poll() is None:
            self.broker.kill()
        self.recorder.say("heal")
        self.mounted.__exit__()
        self.recorder.close()

    def position(self):
        return self.recorder.position()

    def restart(self):
        """Mounts the file system anew, as after a reboot, and starts the broker."""
        if not self.has_ended():
            self.broker.kill()
        self.mounted.__exit__()
        self.mounted = Mounted(self.recorder.disk, self.home / "disk", "ext4")
        self.mounted.__enter__()
        code, report = self.broker.check()
        assert code in (0, 7), report
        self.broker.start()


class StrictBench(Bench):
    """On the strict file system, where files of one kind can be without room."""

    def __init__(self, home, flags=(), config=None):
        self.disk = StrictDisk(home)
        super().__init__(home, self.disk.where / "data", flags, config)

    def __enter__(self):
        try:
            return super().__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.broker.process and self.broker.process.poll() is None:
            self.broker.kill()
        self.disk.close()

    def position(self):
        return self.disk.position()

    def struck(self):
        """Requests that found no room so far."""
        return self.disk.say("struck")
