"""Command line of the machine: `cut.py record HOME [KIND [SECONDS]]`, `cut.py images HOME COUNT SEED`,
`cut.py again HOME BEFORE EVENTS SEED [SECONDS]`, `cut.py replay HOME EVENTS SEED`."""

import pathlib
import shutil
import sys
import time

import powercut
from ledger import Ledger
from machine import scratch


def main(words):
    verb, home = words[0], pathlib.Path(words[1])
    if verb == "record":
        home.mkdir(parents=True)
        kind = words[2] if len(words) > 2 else "ext4"
        ledger = powercut.record(home, kind, float(words[3]) if len(words) > 3 else 10.0)
        print(f"{len(ledger.records)} records acknowledged, {len(ledger.topics)} topics")
        return 0
    if verb == "again":
        home.mkdir(parents=True)
        before, cut = pathlib.Path(words[2]), int(words[3])
        print(powercut.make_start(home, before, cut, int(words[4])))
        ledger = powercut.record_again(home, before, cut, float(words[5]) if len(words) > 5 else 5.0)
        print(f"{len(ledger.records)} records acknowledged or found, {len(ledger.topics)} topics")
        return 0
    if verb == "images":
        begun = time.monotonic()
        failures = powercut.verify_many(home, int(words[2]), int(words[3]))
        print(f"{len(failures)} of {words[2]} images failed, {time.monotonic() - begun:.1f} s")
        return 1 if failures else 0
    if verb == "replay":
        work = scratch("powercut-image-")
        images = powercut.images_of(home, work)
        try:
            print(powercut.verify(home, Ledger.load(home / "ledger"), images, int(words[2]), int(words[3])))
        finally:
            images.close()
            shutil.rmtree(work, ignore_errors=True)
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
