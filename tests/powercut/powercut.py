"""One recorded run, and the verification of one image of it."""

import random
import shutil
from contextlib import contextmanager, nullcontext

import oracle
import retry
import strict
from ledger import Ledger
from load import CORES, FLAGS, Load
from machine import Broker, Images, Mounted, Recorder, scratch

# Exit codes of `rapidmq check`: clean, and repairable by a start.
CLEAN, REPAIRABLE = 0, 7
# How long a flush of the recording disk takes, so that writes pile up as on a real one.
FLUSH_MICROS = 700


def record(home, kind, seconds):
    """Records a run of the whole load on a file system of `kind`; leaves recording and ledger in `home`."""
    (home / "kind").write_text(kind)
    ledger = strict.record(home, seconds) if kind == "strict" else record_disk(home, kind, seconds)
    ledger.save(home / "ledger")
    return ledger


def record_disk(home, kind, seconds):
    """As `record`, on the recording disk."""
    ledger = Ledger()
    with recording(home, kind) as (recorder, broker):
        recorder.say("mark ready")
        Load(broker.address, ledger, recorder.position).run(seconds)
    return ledger


def make_start(home, before, cut, seed):
    """Makes `home/start`, the disk after a power cut in the run in `before`."""
    images = Images(before, home)
    try:
        what = images.make(cut, seed)
        images.out.rename(home / "start")
    finally:
        images.close()
        (home / "base").unlink()
    return what


def record_again(home, before, cut, seconds):
    """Goes on where a power cut after `cut` events of the run in `before` left the disk `home/start`: records the
    start of the broker and a second load. What a client could read after that start must stay."""
    kind = (before / "kind").read_text()
    (home / "kind").write_text(kind)
    earlier = Ledger.load(before / "ledger")
    with recording(home, kind) as (recorder, broker):
        found = oracle.Found(broker.address)
        oracle.check(earlier, cut, found)
        ledger = earlier.carried_over(cut, found, recorder.position())
        found.close()
        recorder.say("mark ready")
        Load(broker.address, ledger, recorder.position, "second-").run(seconds)
    ledger.save(home / "ledger")
    return ledger


@contextmanager
def recording(home, kind):
    """The recording disk with a file system and a broker on it; the broker is killed at the end."""
    recorder = Recorder(home)
    try:
        mounted = Mounted(recorder.disk, home / "disk", kind)
        with mounted if (home / "start").exists() else mounted.make() as disk:
            recorder.say(f"delay {FLUSH_MICROS}")
            recorder.say("mark mounted")
            broker = Broker(disk / "data", cores=CORES, flags=FLAGS)
            broker.log_path = home / "broker.log"
            with broker:
                yield recorder, broker
                recorder.say("mark done")
                broker.kill()
    finally:
        recorder.close()
    (home / "contents").unlink()


def choose(images, count, seed):
    """`count` cuts with their seeds, one in each equal stretch of the run: at any event, just before a flush, or
    where the most writes are unflushed. Every eighth cut falls into the first start instead."""
    rng = random.Random(seed)
    events, marks = images.marks()
    flushes = images.flushes()
    first, ready = marks["mounted"] + 1, marks["ready"]
    cuts = []
    for number in range(count):
        low, high = (first, ready) if number % 8 == 7 else (ready, events)
        begin = low + number * (high - low) // count
        end = max(begin + 1, low + (number + 1) * (high - low) // count)
        near = [flush for flush in flushes if begin <= flush[0] < end]
        if not near or number % 3 == 0:
            cut = rng.randrange(begin, end) + 1
        elif number % 3 == 1:
            cut = rng.choice(near)[0]
        else:
            cut = max(near, key=lambda flush: flush[1])[0]
        cuts.append((cut, rng.getrandbits(32)))
    return sorted(cuts)


@contextmanager
def started(home, image, flags=FLAGS):
    """Mounts an image, checks the directory, starts the broker; yields it and stops it in order."""
    kind = (home / "kind").read_text()
    work = image.parent
    # A tree of the strict file system is read where it lies.
    place = nullcontext(image) if kind == "strict" else Mounted(image, work / "mnt", kind)
    with place as disk:
        broker = Broker(disk / "data", cores=CORES, flags=flags)
        broker.log_path = work / "broker.log"
        broker.log_path.unlink(missing_ok=True)
        if broker.data.exists() and any(broker.data.glob("superblock*")):
            code, report = broker.check()
            assert code in (CLEAN, REPAIRABLE), f"check before the start: {report}"
        with broker:
            yield broker
            broker.stop()
        code, report = broker.check()
        assert code == CLEAN, f"check after an orderly stop: {report}"


def verify(home, ledger, images, cut, seed):
    """One image: made, mounted, started, read back. Fails with what the image is."""
    what = images.make(cut, seed)
    try:
        with started(home, images.out) as broker:
            retry.send_again(ledger, cut, broker.address)
            found = oracle.Found(broker.address)
            try:
                oracle.check(ledger, cut, found)
            finally:
                found.close()
    except AssertionError as error:
        raise AssertionError(f"{what}\nreplay: tests/powercut/replay {home} {cut} {seed}\n{error}") from error
    return what


def images_of(home, work):
    """What makes the images of the run in `home`."""
    return strict.Trees(home, work) if (home / "kind").read_text() == "strict" else Images(home, work)


def verify_many(home, count, seed, report=print):
    """`count` images of one run; returns what failed."""
    ledger = Ledger.load(home / "ledger")
    work = scratch("powercut-image-")
    images = images_of(home, work)
    failures = []
    try:
        for cut, image_seed in choose(images, count, seed):
            try:
                report(verify(home, ledger, images, cut, image_seed))
            except AssertionError as error:
                failures.append(error)
                report(f"FAILED {error}")
    finally:
        images.close()
        shutil.rmtree(work, ignore_errors=True)
    return failures
