"""The machine finds what it is for: each promise, broken on purpose, is a loss that it reports.

POWERCUT_FAULTS_BIN: a broker built with `--features fault-injection`; without it the broker's two are skipped."""

import itertools
import os
import random
import shutil

import naive
import powercut
import pytest
from machine import Images, Mounted, Recorder, scratch

LOSSES = ("records are lost", "is missing", "cannot be read; everything up to", "were durable and cannot be read")
SECOND_RUNS = 5
STORE_DISK_BYTES = 32 << 20
FAULTS_BIN = os.environ.get("POWERCUT_FAULTS_BIN")


@pytest.fixture
def home():
    path = scratch("powercut-proof-")
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(not FAULTS_BIN, reason="POWERCUT_FAULTS_BIN is not set")
@pytest.mark.parametrize("fault, kind", [("ack-before-flush", "ext4"), ("skip-directory-sync", "strict")])
def test_a_broken_promise_of_the_broker_is_found(home, monkeypatch, fault, kind):
    monkeypatch.setenv("TEST_BIN", FAULTS_BIN)
    (home / "broken").mkdir()
    monkeypatch.setenv("POWERCUT_FAULT", fault)
    powercut.record(home / "broken", kind, 3)
    monkeypatch.delenv("POWERCUT_FAULT")
    # A few images would do; which of them lack something is chance.
    rounds = (losses_of(home / "broken", seed) for seed in range(4))
    found = next((losses for losses in rounds if losses), [])
    print(f"{fault}: {found[:1]}")
    assert found, "no loss was found in 32 images"


def losses_of(home, seed):
    """What eight images of a run lack that was acknowledged, as the oracle or `rapidmq check` says."""
    lines = (line for failure in powercut.verify_many(home, 8, seed, report=no_report)
             for line in str(failure).splitlines())
    return [line for line in lines if any(words in line for words in LOSSES)]


def no_report(_):
    """These images are expected to fail."""


@pytest.mark.parametrize("way, is_wrong", [(naive.RIGHT, False), (naive.WRONG, True)])
def test_an_append_to_a_file_that_was_open_at_the_crash_is_found(home, way, is_wrong):
    first = home / "first"
    first.mkdir()
    record_store(first, way, "first")
    images = Images(first, home)
    losses = 0
    # Cuts in the middle of a record that leave a part of it; that is what the second run meets.
    cuts = [flush for flush, unflushed in images.flushes() if unflushed][-20:]
    for number, cut in enumerate(random.Random(7).sample(cuts, SECOND_RUNS)):
        second = home / f"second-{number}"
        second.mkdir()
        next(seed for seed in itertools.count() if "last-torn" in images.make(cut, seed))
        images.out.rename(second / "start")
        acknowledged = record_store(second, way, f"second-{number}")
        losses += count_lost(second, acknowledged)
        shutil.rmtree(second)
    images.close()
    print(f"{way}: {losses} records lost in {SECOND_RUNS} second runs")
    assert (losses > 0) == is_wrong


def record_store(home, way, label):
    """Appends some records on the recording disk; returns what was acknowledged."""
    recorder = Recorder(home, STORE_DISK_BYTES)
    mounted = Mounted(recorder.disk, home / "disk", "ext4")
    acknowledged = []
    with mounted if (home / "start").exists() else mounted.make() as disk:
        store = naive.Store(disk / "store", way)
        for number in range(40):
            payload = f"{label}:{number}:".encode() + b"x" * (7_000 + number)
            store.append(payload)
            acknowledged.append(payload)
        store.close()
    recorder.close()
    (home / "contents").unlink()
    return acknowledged


def count_lost(home, acknowledged):
    """How many acknowledged records the image of a cut at the very end lacks."""
    images = Images(home, home)
    images.make(images.marks()[0], 0)
    images.close()
    with Mounted(images.out, home / "disk", "ext4") as disk:
        found = set(naive.read(disk / "store"))
    return sum(payload not in found for payload in acknowledged)
