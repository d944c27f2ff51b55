"""Power cuts at any moment of a recorded run: nothing acknowledged is lost, nothing appears twice.

POWERCUT_IMAGES: images of the ext4 run, the others have a quarter (default 20); POWERCUT_SEED; POWERCUT_SECONDS:
length of the recorded load (default 6)."""

import os
import random
import shutil

import powercut
import pytest
from machine import MAKE, Images, scratch

IMAGES = int(os.environ.get("POWERCUT_IMAGES", "20"))
SEED = int(os.environ.get("POWERCUT_SEED", "20261121"))
SECONDS = float(os.environ.get("POWERCUT_SECONDS", "6"))
QUARTER = max(5, IMAGES // 4)


@pytest.fixture(scope="module")
def ext4_run():
    """A recorded run on ext4; kept if a test fails, for the replay."""
    home = scratch("powercut-run-")
    powercut.record(home, "ext4", SECONDS)
    yield home
    remove_if_sound(home)


def verify(home, count):
    """Verifies `count` images; fails with the first that is wrong and keeps the run."""
    failures = powercut.verify_many(home, count, SEED)
    (home / "failed").write_text("\n\n".join(map(str, failures)))
    assert not failures, f"{len(failures)} of {count} images failed; the first: {failures[0]}"


def remove_if_sound(home):
    """Removes a run of which no image failed."""
    if (home / "failed").exists() and not (home / "failed").read_text():
        shutil.rmtree(home)


def test_no_image_of_a_power_cut_on_ext4_lacks_what_was_acknowledged(ext4_run):
    verify(ext4_run, IMAGES)


def test_no_image_of_a_power_cut_on_xfs_lacks_what_was_acknowledged():
    if shutil.which(MAKE["xfs"][0]) is None:
        pytest.skip("mkfs.xfs is not installed")
    home = scratch("powercut-xfs-")
    powercut.record(home, "xfs", SECONDS / 2)
    verify(home, QUARTER)
    remove_if_sound(home)


def test_nothing_acknowledged_rests_on_a_name_that_was_not_synced():
    home = scratch("powercut-strict-")
    powercut.record(home, "strict", SECONDS / 2)
    verify(home, QUARTER)
    remove_if_sound(home)


def test_a_second_power_cut_during_or_after_the_recovery_from_the_first_costs_nothing(ext4_run):
    images = Images(ext4_run, ext4_run)
    _, marks = images.marks()
    rng = random.Random(SEED)
    cut = max((flush for flush in rng.sample(images.flushes(), 50) if flush[0] > marks["ready"]), key=lambda f: f[1])[0]
    images.close()
    home = scratch("powercut-again-")
    print(powercut.make_start(home, ext4_run, cut, SEED))
    powercut.record_again(home, ext4_run, cut, SECONDS / 2)
    verify(home, QUARTER)
    remove_if_sound(home)
