"""A well-behaved client beside the attack: its success is asserted, its latency reported."""

import multiprocessing
import time


def serve_witness(address, topic, started, stop, result):
    """Produces one record at a time with acks=all and reads it back, until `stop`."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "acks": "all", "log_level": 0,
                         "message.timeout.ms": 60_000})
    consumer = Consumer({"bootstrap.servers": address, "group.id": "witness", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "log_level": 0, "fetch.wait.max.ms": 50})
    consumer.assign([TopicPartition(topic, 0, 0)])
    latencies, failures, number, read = [], [], 0, 0

    def delivered(error, message):
        if error is not None:
            failures.append(str(error))
        elif message.offset() != int(message.value()):
            failures.append(f"offset {message.offset()} for record {message.value()!r}")

    while not stop.is_set():
        before = time.monotonic()
        producer.produce(topic, str(number).encode(), partition=0, on_delivery=delivered)
        number += 1
        if producer.flush(60) != 0:
            failures.append(f"record {number} was not acknowledged within 60 s")
            break
        latencies.append(time.monotonic() - before)
        message = consumer.poll(60)
        if message is None or message.error() or int(message.value()) != read:
            failures.append(f"record {read} was not read back: {message and (message.error() or message.value())}")
            break
        read += 1
        started.set()
        stop.wait(0.01)
    result.put((latencies, failures))


class Witness:
    """Runs the well-behaved client in its own process for the length of a `with` block."""

    def __init__(self, broker, name):
        self.broker = broker
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.started, self.stop, self.result = context.Event(), context.Event(), context.Queue()
        topic = f"witness-{name}"
        done = broker.cli("topic", "create", topic, "--partitions", "1")
        assert done.returncode == 0, done.stderr
        self.process = context.Process(target=serve_witness, daemon=True,
                                       args=(broker.address, topic, self.started, self.stop, self.result))

    def __enter__(self):
        self.process.start()
        assert self.started.wait(60), "the witness is not served before the attack"
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        if kind is not None:
            self.process.kill()
            return
        latencies, failures = self.result.get(timeout=90)
        self.process.join()
        assert not failures, failures[:5]
        assert latencies, "the witness did nothing"
        ordered = sorted(latencies)
        print(f"witness {self.name}: {len(ordered)} records, median {ordered[len(ordered) // 2] * 1e3:.2f} ms, "
              f"99 % {ordered[len(ordered) * 99 // 100] * 1e3:.2f} ms, max {ordered[-1] * 1e3:.2f} ms")
