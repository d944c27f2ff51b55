"""Consumer groups of three clients: takeover after a kill, and resumption after the broker restarts."""

import collections
import multiprocessing
import queue
import threading

import pytest
from confluent_kafka import Producer

import clients
from broker import wait_until

PARTITIONS = 4
PER_PARTITION = 500


def fill(address, topic, start, count):
    """Writes `count` numbered records to each partition."""
    producer = Producer({"bootstrap.servers": address})
    for number in range(start, start + count):
        for partition in range(PARTITIONS):
            producer.produce(topic, str(number).encode(), partition=partition)
    assert producer.flush(60) == 0


class Member:
    """A consumer in its own process; its lines ("A", "R p o", "C", "V") arrive in a queue."""

    def __init__(self, lines, kill):
        self.lines = lines
        self.kill = kill


def java_member(address, topic, group):
    process = clients.java("GroupMember", address, topic, group)
    lines = queue.Queue()

    def pump():
        for line in process.stdout:
            lines.put(line.strip())

    threading.Thread(target=pump, daemon=True).start()

    def kill():
        process.kill()
        process.wait()

    return Member(lines, kill)


def run_librdkafka(address, topic, group, lines):
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "session.timeout.ms": 6000,
                         "heartbeat.interval.ms": 500, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "reconnect.backoff.max.ms": 200})

    def assigned(_, partitions):
        lines.put("A " + ",".join(str(p.partition) for p in sorted(partitions, key=lambda p: p.partition)))

    consumer.subscribe([topic], on_assign=assigned, on_revoke=lambda *_: lines.put("V"))
    while True:
        messages = [m for m in consumer.consume(100, timeout=0.2) if not m.error()]
        for message in messages:
            lines.put(f"R {message.partition()} {message.offset()}")
        if messages:
            consumer.commit(asynchronous=False)
            lines.put("C")


def run_kafka_python(address, topic, group, lines):
    from kafka import ConsumerRebalanceListener, KafkaConsumer

    class Announce(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            lines.put("V")

        def on_partitions_assigned(self, assigned):
            lines.put("A " + ",".join(str(p.partition) for p in sorted(assigned)))

    consumer = KafkaConsumer(bootstrap_servers=address, group_id=group, session_timeout_ms=6000,
                             heartbeat_interval_ms=500, auto_offset_reset="earliest",
                             enable_auto_commit=False, max_poll_records=100)
    consumer.subscribe([topic], listener=Announce())
    while True:
        batches = consumer.poll(timeout_ms=200)
        for part, records in batches.items():
            for record in records:
                lines.put(f"R {part.partition} {record.offset}")
        if batches and commits(consumer):
            lines.put("C")


def commits(consumer):
    """Commits the position; false while the broker is away, which the client reports as an error."""
    from kafka.errors import KafkaError

    try:
        consumer.commit()
        return True
    except KafkaError as error:
        print(f"commit: {error!r}", flush=True)
        return False


def process_member(target):
    def make(address, topic, group):
        context = multiprocessing.get_context("spawn")
        lines = context.Queue()
        process = context.Process(target=target, args=(address, topic, group, lines), daemon=True)
        process.start()

        def kill():
            # Let the feeder thread's pipe settle: lines sent before the kill count as seen.
            process.kill()
            process.join()

        return Member(lines, kill)

    return make


MEMBERS = {
    "librdkafka": process_member(run_librdkafka),
    "kafka-python": process_member(run_kafka_python),
    "java": java_member,
}


class Audit:
    """What the members of a group reported.

    A record may be delivered again only if its first reader lost it before its commit was answered: at a revocation, or
    when the reader or the broker was killed. Those records are `at_risk`.
    """

    def __init__(self):
        self.read = collections.defaultdict(list)
        self.uncommitted = collections.defaultdict(set)
        self.at_risk = set()
        self.assignments = {}

    def drain(self, name, member):
        while True:
            try:
                line = member.lines.get_nowait()
            except queue.Empty:
                return
            self.line(name, line)

    def line(self, name, line):
        kind, _, rest = line.partition(" ")
        if kind == "R":
            partition, offset = map(int, rest.split())
            self.read[partition].append(offset)
            self.uncommitted[name].add((partition, offset))
        elif kind == "C":
            self.uncommitted[name] = set()
        elif kind == "A":
            self.assignments[name] = {int(p) for p in rest.split(",") if p}
        elif kind == "V":
            self.lost(name)
            self.assignments[name] = set()

    def lost(self, name):
        """What `name` read and did not commit may come again."""
        self.at_risk |= self.uncommitted[name]
        self.uncommitted[name] = set()

    def is_complete(self, count):
        return all(set(self.read[p]) >= set(range(count)) for p in range(PARTITIONS))

    def duplicates(self):
        """Records delivered more than once."""
        return {(p, o) for p, offsets in self.read.items()
                for o, times in collections.Counter(offsets).items() if times > 1}


@pytest.mark.parametrize("kind", list(MEMBERS))
def test_a_killed_member_is_replaced_and_the_broker_restart_loses_no_commit(broker, kind):
    topic, group = "shared", f"group-{kind}"
    done = broker.cli("topic", "create", topic, "--partitions", str(PARTITIONS))
    assert done.returncode == 0, done.stderr
    fill(broker.address, topic, 0, PER_PARTITION)
    members = {name: MEMBERS[kind](broker.address, topic, group) for name in ("one", "two")}
    audit = Audit()

    def drained():
        for name, member in members.items():
            audit.drain(name, member)
        return audit

    wait_until("both members share the partitions", lambda: sorted(
        len(drained().assignments.get(name, ())) for name in members) == [2, 2], 60)
    wait_until("everything is read", lambda: drained().is_complete(PER_PARTITION), 60)
    members["one"].kill()
    drained().lost("one")
    fill(broker.address, topic, PER_PARTITION, PER_PARTITION)
    wait_until("the other takes over", lambda: drained().is_complete(2 * PER_PARTITION), 60)
    broker.kill()
    # Nothing is left to be read, so what is not committed now was not committed at the kill either.
    drained().lost("two")
    broker.start()
    fill(broker.address, topic, 2 * PER_PARTITION, PER_PARTITION)
    wait_until("it goes on after the restart", lambda: drained().is_complete(3 * PER_PARTITION), 90)
    extra = audit.duplicates() - audit.at_risk
    assert not extra, f"{len(extra)} records twice although their commit was answered: {sorted(extra)[:10]}"
    listed = broker.cli("group", "list")
    assert group in listed.stdout, listed.stdout + listed.stderr
    members["two"].kill()
