"""The machine: a disk that records every write and flush, and file systems on images of it after a power cut."""

import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))

from broker import Broker, wait_until  # noqa: E402, F401
from wire import Wire  # noqa: E402, F401

DISK_BYTES = 512 << 20
# Longest request of a loop device; the recording disk takes it in one piece.
REQUEST_KIB = 512
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
}
OPTIONS = {"ext4": "noatime", "xfs": "noatime,nouuid"}


def tool():
    """Path of the recorder: POWERCUT_BIN, or the debug build of this folder."""
    target = pathlib.Path(os.environ.get("POWERCUT_TARGET_DIR", HERE / "target"))
    return os.environ.get("POWERCUT_BIN", str(target / "debug" / "powercut"))


def scratch(prefix="powercut-"):
    """A new directory, in memory where that is possible."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def run(*command):
    """Runs a command that must succeed; returns what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Mounted:
    """A file system on a loop device over a file; unmounted and detached at the end."""

    def __init__(self, image, where, kind):
        self.where = pathlib.Path(where)
        self.where.mkdir(exist_ok=True)
        self.kind = kind
        self.loop = run("losetup", "--direct-io=on", "--find", "--show", image)
        # A longer request comes to the recording disk in pieces. When a later piece fails, the loop device is told of a
        # short write and takes it for a whole one, which no real disk does.
        queue = pathlib.Path("/sys/block") / pathlib.Path(self.loop).name / "queue"
        (queue / "max_sectors_kb").write_text(str(REQUEST_KIB))

    def make(self):
        """Makes the file system."""
        run(*MAKE[self.kind], self.loop)
        return self

    def __enter__(self):
        try:
            run("mount", "-t", self.kind, "-o", OPTIONS[self.kind], self.loop, self.where)
        except AssertionError:
            run("losetup", "--detach", self.loop)
            raise
        return self.where

    def __exit__(self, *_):
        # A process that was killed a moment ago may still be letting go of its files.
        wait_until("unmounted", lambda: subprocess.run(
            ["umount", str(self.where)], capture_output=True).returncode == 0)
        run("losetup", "--detach", self.loop)


class Recorder:
    """The recording disk: `disk` is the file for the loop device. It begins with `home/start`, or empty."""

    def __init__(self, home, size=DISK_BYTES):
        self.home = pathlib.Path(home)
        if (self.home / "start").exists():
            run("cp", "--sparse=always", self.home / "start", self.home / "contents")
        (self.home / "size").write_text(str(size))
        self.mount = self.home / "fuse"
        self.mount.mkdir()
        self.disk = self.mount / "disk.img"
        command = [tool(), "serve", self.home / "contents", size, self.home / "recording",
                   self.home / "position", self.mount, self.home / "socket"]
        self.process = subprocess.Popen([str(word) for word in command])
        wait_until("the disk serves", lambda: self.disk.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, "the recorder ended; /dev/fuse and root are needed"
        self.position_file = os.open(self.home / "position", os.O_RDONLY)
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(str(self.home / "socket"))
        self.answers = self.control.makefile("r")

    def position(self):
        """Number of events recorded so far; whatever was answered before is below it."""
        return struct.unpack("<Q", os.pread(self.position_file, 8, 0))[0]

    def say(self, command):
        """One command of the control socket; returns (events, requests failed so far)."""
        self.control.sendall(command.encode() + b"\n")
        answer = self.answers.readline()
        assert answer and not answer.startswith("error"), f"{command}: {answer!r}"
        events, struck = answer.split()
        return int(events), int(struck)

    def close(self):
        """Publishes the recording and ends the process."""
        self.say("publish")
        self.control.close()
        os.close(self.position_file)
        wait_until("the disk is free", lambda: subprocess.run(
            ["umount", str(self.mount)], capture_output=True).returncode == 0)
        self.process.wait(timeout=30)


class Images:
    """Makes crash images of one recording."""

    def __init__(self, home, work):
        self.out = pathlib.Path(work) / "image"
        start = pathlib.Path(home) / "start"
        command = [tool(), "images", pathlib.Path(home) / "recording", pathlib.Path(work) / "base",
                   (pathlib.Path(home) / "size").read_text()]
        command += [start] if start.exists() else []
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"no answer to {line}"
        return answer.rstrip("\n")

    def marks(self):
        """(number of events, name of mark -> its event)."""
        events, *marks = self.ask("marks").split("\t")
        pairs = (mark.split(":", 1) for mark in marks)
        return int(events), {text: int(number) for number, text in pairs}

    def flushes(self):
        """(event number, writes that a cut just before it leaves unflushed) of all flushes."""
        return [tuple(map(int, pair.split(":"))) for pair in self.ask("flushes").split()]

    def make(self, events, seed):
        """Makes the image of a cut after `events` at `self.out`; returns what it is, in words."""
        self.out.unlink(missing_ok=True)
        durable, pending, survivors, fate = self.ask(f"image {events} {seed} {self.out}").split()
        return f"cut {events}, seed {seed}: {fate}, {survivors} of {pending} unflushed writes, durable below {durable}"

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
