"""Starts, stops and kills the real binary."""

import json
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """Path of the binary under test: TEST_BIN, or the debug build."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return os.environ.get("TEST_BIN", str(target / "debug" / "rapidmq"))


def wait_until(what, condition, seconds=30.0):
    """Polls `condition` until it is true; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Broker:
    """One broker process on one data directory; may be killed and started again."""

    def __init__(self, data, cores=2, flags=()):
        self.data = pathlib.Path(data)
        self.cores = cores
        self.flags = list(flags)
        self.process = None
        self.address = None
        self.listen = "127.0.0.1:0"
        self.log_path = self.data.parent / f"{self.data.name}.log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None and self.log_path.exists():
            print("--- broker log ---")
            print(self.log_path.read_text()[-8000:])
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self):
        """Starts the process and waits until it serves. The port stays the same over restarts."""
        ready = self.data.parent / f"{self.data.name}.ready"
        ready.unlink(missing_ok=True)
        self.data.mkdir(parents=True, exist_ok=True)
        command = [binary(), "serve", "--data-dir", str(self.data), "--kafka-listen", self.listen, "--set", "storage.ballast=0"]
        command += ["--cores", str(self.cores), "--ready-file", str(ready), *self.flags]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until("broker ready", lambda: ready.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"broker ended with {self.process.returncode}: {self.log()}")
        self.address = json.loads(ready.read_text())["kafka"]
        self.listen = self.address
        return self

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; must end within 10 s with exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=12)
        assert code == 0, f"orderly stop ended with {code}: {self.log()}"

    def log(self):
        """Everything the process printed so far."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def check(self):
        """Runs `rapidmq check` on the stopped directory; returns (exit code, output)."""
        done = subprocess.run([binary(), "check", str(self.data)], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def cli(self, *args, stdin=None):
        """Runs a client verb against this broker; returns the completed process."""
        command = [binary(), *args, "--bootstrap", self.address]
        return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60)
