"""Runs on the strict file system: it keeps nothing that was not synced, names included."""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile

from ledger import Ledger
from load import CORES, FLAGS, Load
from machine import Broker, run, tool, wait_until


class StrictDisk:
    """A directory on the strict file system; every change is recorded."""

    def __init__(self, home):
        self.where = home / "disk"
        self.where.mkdir()
        command = [tool(), "strict", home / "recording", home / "position", self.where, home / "socket"]
        before = os.stat(self.where).st_dev
        self.process = subprocess.Popen([str(word) for word in command])
        wait_until("the file system serves", lambda: self.process.poll() is not None
                   or os.stat(self.where).st_dev != before)
        assert self.process.poll() is None, "the file system ended; /dev/fuse and root are needed"
        self.position_file = os.open(home / "position", os.O_RDONLY)
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(str(home / "socket"))
        self.answers = self.control.makefile("r")

    def say(self, command):
        """One command of the control socket; returns the number of requests refused so far."""
        self.control.sendall(command.encode() + b"\n")
        answer = self.answers.readline()
        assert answer and answer != "error\n", f"{command}: {answer!r}"
        return int(answer)

    def position(self):
        """Number of changes recorded so far."""
        return struct.unpack("<Q", os.pread(self.position_file, 8, 0))[0]

    def close(self):
        """Ends the recording."""
        self.answers.close()
        self.control.close()
        os.close(self.position_file)
        wait_until("unmounted", lambda: subprocess.run(
            ["umount", str(self.where)], capture_output=True).returncode == 0)
        self.process.wait(timeout=30)


class Trees:
    """Makes the trees that power cuts leave."""

    def __init__(self, home, work):
        self.home = home
        self.out = pathlib.Path(tempfile.mkdtemp(dir=work)) / "tree"
        self.recorded = json.loads((home / "marks").read_text())

    def marks(self):
        """(number of changes, name of mark -> its change)."""
        return self.recorded["done"], self.recorded

    def flushes(self):
        """None are told apart: cuts fall anywhere."""
        return []

    def make(self, cut, seed):
        """Makes the tree of a cut after `cut` changes at `self.out`; returns what it is, in words."""
        shutil.rmtree(self.out, ignore_errors=True)
        pending, survivors = run(tool(), "tree", self.home / "recording", cut, seed, self.out).split()
        return f"cut {cut}, seed {seed}: strict, {survivors} of {pending} unsynced changes"

    def close(self):
        shutil.rmtree(self.out, ignore_errors=True)


def record(home, seconds):
    """Records a run of the whole load; leaves recording and ledger in `home`."""
    disk = StrictDisk(home)
    ledger = Ledger()
    try:
        broker = Broker(disk.where / "data", cores=CORES, flags=FLAGS)
        broker.log_path = home / "broker.log"
        with broker:
            marks = {"mounted": 0, "ready": disk.position()}
            Load(broker.address, ledger, disk.position).run(seconds)
            marks["done"] = disk.position()
            broker.kill()
    finally:
        disk.close()
    (home / "marks").write_text(json.dumps(marks))
    return ledger
