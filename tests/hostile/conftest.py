"""Fixtures: a one-core broker with small, stated bounds, so that every client shares its core with the attack."""

import pathlib
import resource
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

from broker import Broker  # noqa: E402

MEBI = 1 << 20
# What the broker is told it may use, and what it may need besides: code, rings, metadata, allocator slack.
REQUEST_MEMORY, TAIL_MEMORY, CACHE_MEMORY, BESIDES = 64 * MEBI, 32 * MEBI, 32 * MEBI, 96 * MEBI
MEMORY_MAX = REQUEST_MEMORY + TAIL_MEMORY + CACHE_MEMORY + BESIDES


class Bounded(Broker):
    """A broker whose memory and log are watched."""

    def memory(self, kind="VmRSS"):
        """Resident bytes now, or at most so far (`VmHWM`)."""
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith(kind + ":"))
        return int(line.split()[1]) * 1024

    def descriptors(self):
        """Open descriptors."""
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def hostile_broker(tmp_path):
    """One core, small memory; at the end it must live, have kept its bounds and stop in order."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flags = []
    for key, value in {"network.request-memory": "64MiB", "storage.tail-memory": "32MiB",
                       "storage.cache-memory": "32MiB", "storage.journal-size": "16MiB"}.items():
        flags += ["--set", f"{key}={value}"]
    with Bounded(tmp_path / "data", cores=1, flags=flags) as running:
        yield running
        assert running.process.poll() is None, "the broker died"
        peak = running.memory("VmHWM")
        print(f"peak memory {peak / MEBI:.0f} MiB of {MEMORY_MAX / MEBI:.0f} MiB, "
              f"log lines {len(running.log().splitlines())}")
        assert peak < MEMORY_MAX, f"{peak} bytes resident"
        assert len(running.log().splitlines()) < 400, "the log floods"
        running.stop()
        code, report = running.check()
        assert code == 0, report
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
