"""Power cuts at any moment of a recorded run: nothing acknowledged is lost, nothing appears twice.

POWERCUT_IMAGES: images per file system (default 24); POWERCUT_SEED; POWERCUT_SECONDS: length of the recorded run."""

import os
import shutil

import powercut
import pytest
from machine import MAKE, scratch

IMAGES = int(os.environ.get("POWERCUT_IMAGES", "24"))
SEED = int(os.environ.get("POWERCUT_SEED", "20261121"))
SECONDS = float(os.environ.get("POWERCUT_SECONDS", "8"))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_no_image_of_a_power_cut_lacks_what_was_acknowledged(kind):
    if shutil.which(MAKE[kind][0]) is None:
        pytest.skip(f"{MAKE[kind][0]} is not installed")
    home = scratch("powercut-run-")
    powercut.record(home, kind, SECONDS)
    count = IMAGES if kind == "ext4" else max(4, IMAGES // 4)
    failures = powercut.verify_many(home, count, SEED)
    # The run of a failing image is kept, for the replay.
    assert not failures, f"{len(failures)} of {count} images failed; the first: {failures[0]}"
    shutil.rmtree(home)
