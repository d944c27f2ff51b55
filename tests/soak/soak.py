"""A long run: writers of two client libraries, readers, groups, topic churn, retention; kill -9 and pauses throughout.

python tests/soak/soak.py --minutes N [--seed S]; scripts/soak N installs what it needs and calls this.
"""

import argparse
import os
import pathlib
import queue
import random
import signal
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

import clients  # noqa: E402
from broker import Broker  # noqa: E402
from history import History, Violation  # noqa: E402

TOPIC, PARTITIONS = "soak", 4
# Retention keeps this much per partition, and rolls often enough to have something to drop.
RETENTION = {"retention.bytes": str(48 << 20), "segment.bytes": str(4 << 20)}
PER_SECOND = 250
COMMON = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "log_level": 0}
MEBI = 1 << 20


class Run:
    """What all parts of a run share."""

    def __init__(self, broker, seed):
        self.broker = broker
        self.rng = random.Random(seed)
        self.history = History(PARTITIONS)
        self.stop = threading.Event()
        self.failures = queue.Queue()
        self.churned = 0

    def thread(self, work, *args):
        """Starts `work`; whatever it raises ends the run."""
        def guarded():
            try:
                work(*args)
            except BaseException as error:  # noqa: BLE001 - reported by the main thread
                self.failures.put(f"{work.__name__}: {error!r}")
                self.stop.set()
        started = threading.Thread(target=guarded, daemon=True)
        started.start()
        return started


def write_librdkafka(run, label):
    """An idempotent producer at a steady rate; ends when everything is acknowledged."""
    producer = Producer({"bootstrap.servers": run.broker.address, "enable.idempotence": True, "linger.ms": 2,
                         "message.timeout.ms": 600_000, "retry.backoff.ms": 10, **COMMON})

    def delivered(error, message):
        if error is not None:
            raise Violation(f"a record was given up: {error}")
        run.history.acknowledge(message.partition(), message.offset(), message.value())

    sent, started = 0, time.monotonic()
    while not run.stop.is_set():
        due = int((time.monotonic() - started) * PER_SECOND)
        while sent < due and len(producer) < 2_000:
            value = f"{label}:{sent}".encode() + b"." * (sent * 37 % 3000)
            producer.produce(TOPIC, value, partition=sent % PARTITIONS, on_delivery=delivered)
            sent += 1
        # After a long pause the backlog is not made up for: the rate stays steady.
        started = max(started, time.monotonic() - sent / PER_SECOND - 2)
        producer.poll(0.01)
    if producer.flush(120) != 0:
        raise Violation(f"writer {label}: {len(producer)} records are not acknowledged at the end")


def write_java(run, label):
    """The same by the Java client, in its own process."""
    process = clients.java("SteadyWriter", run.broker.address, TOPIC, PARTITIONS, label, PER_SECOND,
                           stderr=open(run.broker.data.parent / f"java-{label}.log", "w"))
    run.thread(lambda: (run.stop.wait(), process.stdin.write("\n"), process.stdin.close()))
    for line in process.stdout:
        kind, _, rest = line.strip().partition(" ")
        if kind == "K":
            partition, offset, number = map(int, rest.split())
            run.history.acknowledge(partition, offset, f"{label}:{number}".encode())
        elif kind == "END":
            return
        else:
            raise Violation(f"java writer: {line}")
    raise Violation("the Java writer ended by itself")


def read_everything(run, ends):
    """Follows every partition from its start, without a gap; ends at `ends`, once known."""
    consumer = Consumer({"bootstrap.servers": run.broker.address, "group.id": "reader", "enable.auto.commit": False,
                         "auto.offset.reset": "error", **COMMON})
    consumer.assign([TopicPartition(TOPIC, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    deadline = None
    while True:
        for message in consumer.consume(5_000, timeout=0.2):
            if message.error():
                if not message.error().retriable() and message.error().name() not in TRANSIENT:
                    raise Violation(f"reading: {message.error()}")
                continue
            run.history.deliver(message.partition(), message.offset(), message.value())
        if ends:
            deadline = deadline or time.monotonic() + 120
            if all(run.history.next[p] >= ends[p] for p in range(PARTITIONS)):
                consumer.close()
                return
            if time.monotonic() > deadline:
                raise Violation(f"read up to {run.history.next}, the ends are {ends}")


TRANSIENT = {"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE", "UNKNOWN_TOPIC_OR_PART",
             "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION"}


def group_librdkafka(run):
    """A member that reads and commits; what it commits never goes back."""
    consumer = Consumer({"bootstrap.servers": run.broker.address, "group.id": "soak-group", "log_level": 0,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 10_000,
                         "reconnect.backoff.max.ms": 100})
    consumer.subscribe([TOPIC])
    while not run.stop.is_set():
        messages = [m for m in consumer.consume(1_000, timeout=0.2) if not m.error()]
        if messages:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException:
                continue  # the broker is away; the next commit covers it
    consumer.close()


def group_java(run):
    """A Java member of a group of its own."""
    process = clients.java("GroupMember", run.broker.address, TOPIC, "soak-java",
                           stderr=open(run.broker.data.parent / "java-member.log", "w"))
    run.thread(lambda: (run.stop.wait(), process.kill()))
    commits = sum(line.startswith("C") for line in process.stdout)
    if commits == 0:
        raise Violation("the Java member never committed")


def watch_marks(run):
    """Watermarks and committed offsets, looked at over and over."""
    groups = {name: Consumer({"bootstrap.servers": run.broker.address, "group.id": name, **COMMON})
              for name in ("soak-group", "soak-java")}
    consumer = groups["soak-group"]
    places = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
    while not run.stop.wait(0.5):
        for partition in range(PARTITIONS):
            try:
                low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=2)
            except KafkaException:
                continue
            run.history.mark(("log start", partition), low)
            run.history.mark(("high watermark", partition), high)
        for name, member in groups.items():
            try:
                committed = member.committed(places, timeout=2)
            except KafkaException:
                continue
            for place in committed:
                if place.error is None and place.offset >= 0:
                    run.history.mark((name, place.partition), place.offset)
    for member in groups.values():
        member.close()


def churn(run):
    """Topics come, get records and go."""
    admin = AdminClient({"bootstrap.servers": run.broker.address, **COMMON})
    producer = Producer({"bootstrap.servers": run.broker.address, "message.timeout.ms": 5_000, **COMMON})
    number = 0
    while not run.stop.wait(0.3):
        name, number = f"churn-{number}", number + 1
        try:
            admin.create_topics([NewTopic(name, 3, 1)], request_timeout=5)[name].result()
            for record in range(30):
                producer.produce(name, b"x" * 500, partition=record % 3)
            producer.flush(5)
        except KafkaException:
            pass  # the broker was killed in between; the deletion below settles it either way
        while not run.stop.is_set():
            try:
                admin.delete_topics([name], request_timeout=5)[name].result()
                break
            except KafkaException as error:
                if error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                    break
        run.churned += 1


def hurt(run, counts):
    """One fault: kill -9, a pause, or an orderly restart."""
    kind = run.rng.choices(["kill", "pause", "restart"], [6, 3, 1])[0]
    counts[kind] = counts.get(kind, 0) + 1
    if kind == "kill":
        run.broker.kill()
        if counts[kind] % 10 == 0:
            code, report = run.broker.check()
            if code not in (0, 7):
                raise Violation(f"check after kill -9: {report}")
        run.broker.start()
    elif kind == "pause":
        os.kill(run.broker.process.pid, signal.SIGSTOP)
        time.sleep(run.rng.uniform(0.2, 3))
        os.kill(run.broker.process.pid, signal.SIGCONT)
    else:
        run.broker.stop()
        run.broker.start()


def usage(broker):
    """(resident bytes, descriptors, bytes on disk)."""
    pid = broker.process.pid
    with open(f"/proc/{pid}/status") as status:
        resident = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    blocks = 0
    for directory, _, names in os.walk(broker.data):
        for name in names:
            try:
                blocks += os.stat(os.path.join(directory, name)).st_blocks
            except FileNotFoundError:
                continue
    return resident, descriptors, blocks * 512


def judge_usage(samples, minutes):
    """The last quarter may not need more than the second did, within a fifth; the first quarter fills up."""
    quarter = len(samples) // 4
    names = ("resident bytes", "descriptors", "bytes on disk")
    for index, name in enumerate(names):
        early = max(sample[index] for sample in samples[quarter:2 * quarter])
        late = max(sample[index] for sample in samples[-quarter:])
        print(f"{name}: {early} in the second quarter, {late} in the last")
        if minutes >= 20 and late > early * 1.2:
            raise Violation(f"{name} grew from {early} to {late}")


def drive(run, minutes):
    """Faults every few seconds until the time is over or something failed."""
    counts, samples = {}, []
    until, report_at = time.monotonic() + minutes * 60, 0
    while time.monotonic() < until and not run.stop.wait(run.rng.uniform(1, 6)):
        hurt(run, counts)
        samples.append(usage(run.broker))
        if time.monotonic() > report_at:
            resident, descriptors, disk = samples[-1]
            print(f"{run.history.matched} records matched, {counts}, {run.churned} topics churned, "
                  f"{resident // MEBI} MiB, {descriptors} descriptors, {disk // MEBI} MiB on disk", flush=True)
            report_at = time.monotonic() + 30
    return counts, samples


def soak(minutes, seed, directory):
    """One run; raises on any violation."""
    print(f"seed {seed}, {minutes} minutes", flush=True)
    flags = ["--set", "storage.journal-size=16MiB", "--set", "storage.tail-memory=16MiB",
             "--set", "storage.cache-memory=16MiB"]
    with Broker(pathlib.Path(directory) / "data", flags=flags) as broker:
        run = Run(broker, seed)
        admin = AdminClient({"bootstrap.servers": broker.address, **COMMON})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=RETENTION)])[TOPIC].result()
        ends = {}
        reader = run.thread(read_everything, run, ends)
        writers = [run.thread(write_librdkafka, run, "a"), run.thread(write_librdkafka, run, "b"),
                   run.thread(write_java, run, "j")]
        others = [run.thread(work, run) for work in (group_librdkafka, group_java, watch_marks, churn)]
        counts, samples = drive(run, minutes)
        run.stop.set()
        for thread in writers + others:
            thread.join(180)
        probe = Consumer({"bootstrap.servers": broker.address, "group.id": "ends", **COMMON})
        marks = [probe.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=30) for p in range(PARTITIONS)]
        probe.close()
        ends.update(enumerate(high for _, high in marks))
        reader.join(180)
        if not run.failures.empty():
            raise Violation(run.failures.get())
        run.history.finish()
        if minutes >= 20 and not all(low > 0 for low, _ in marks):
            raise Violation(f"retention dropped nothing: {marks}")
        broker.stop()
        code, report = broker.check()
        if code != 0:
            raise Violation(report)
        judge_usage(samples, minutes)
        print(f"ok: {run.history.matched} records, each at its offset, once and in order; faults {counts}; "
              f"{run.churned} topics churned; watermarks {marks}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapidmq-soak-") as directory:
        soak(chosen.minutes, chosen.seed, directory)


if __name__ == "__main__":
    main()
