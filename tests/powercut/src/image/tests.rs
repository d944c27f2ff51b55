//! Crash images of small recordings.

use super::*;
use crate::recording::Recorder;

const SIZE: u64 = 64 << 10;

struct Bench {
    dir: tempfile::TempDir,
    recorder: Recorder,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&dir.path().join("r"), &dir.path().join("p")).unwrap();
        Self { dir, recorder }
    }

    fn write(&mut self, offset: u64, byte: u8, len: usize) {
        let what = What::Write { offset };
        self.recorder.record(what, &vec![byte; len]).unwrap();
    }

    fn flush(&mut self, covered: u64) {
        self.recorder.record(What::Flush { covered }, &[]).unwrap();
    }

    fn maker(&mut self) -> Maker {
        self.recorder.publish().unwrap();
        let base = self.dir.path().join("base");
        Maker::new(&self.dir.path().join("r"), &base, SIZE, None).unwrap()
    }

    fn image(&self, maker: &mut Maker, count: usize, seed: u64) -> (Made, Vec<u8>) {
        let out = self.dir.path().join("image");
        let made = maker.make(count, seed, &out).unwrap();
        (made, std::fs::read(out).unwrap())
    }
}

#[test]
fn what_a_flush_covered_is_in_every_image() {
    let mut bench = Bench::new();
    bench.write(4096, 7, 4096);
    bench.flush(1);
    bench.write(8192, 8, 4096);
    let mut maker = bench.maker();
    for seed in 0..200 {
        let (made, bytes) = bench.image(&mut maker, 3, seed);
        assert_eq!(made.durable, 1);
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 7));
        assert!(bytes[12288..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_write_that_was_on_its_way_when_the_flush_arrived_may_be_lost() {
    let mut bench = Bench::new();
    bench.write(0, 1, 512);
    bench.write(512, 2, 512);
    bench.flush(1);
    let mut maker = bench.maker();
    let seconds: BTreeSet<u8> = (0..100)
        .map(|seed| bench.image(&mut maker, 3, seed).1)
        .inspect(|bytes| assert_eq!(bytes[0], 1))
        .map(|bytes| bytes[512])
        .collect();
    assert_eq!(seconds, BTreeSet::from([0, 2]));
}

#[test]
fn a_torn_write_loses_whole_sectors_only() {
    let mut bench = Bench::new();
    bench.write(0, 9, 16 * 512);
    let mut maker = bench.maker();
    let mut partial = 0;
    for seed in 0..200 {
        let (_, bytes) = bench.image(&mut maker, 1, seed);
        let kept: Vec<usize> = bytes[..16 * 512]
            .chunks(512)
            .map(|sector| sector.iter().filter(|byte| **byte == 9).count())
            .collect();
        assert!(kept.iter().all(|count| *count == 0 || *count == 512));
        let survivors = kept.iter().filter(|count| **count == 512).count();
        partial += usize::from(survivors > 0 && survivors < 16);
    }
    assert!(partial > 20, "only {partial} of 200 images are torn");
}

#[test]
fn the_superblock_of_ext4_is_never_torn() {
    let mut bench = Bench::new();
    bench.write(0, 9, 16 * 512);
    let mut maker = bench.maker();
    for seed in 0..200 {
        let (_, bytes) = bench.image(&mut maker, 1, seed);
        assert_eq!(bytes[1024], bytes[1024 + 512], "seed {seed}");
    }
}

#[test]
fn every_fate_is_met_and_a_seed_gives_the_same_image_again() {
    let mut bench = Bench::new();
    for number in 0..8 {
        bench.write(u64::from(number) * 1024, number + 1, 2048);
    }
    let mut maker = bench.maker();
    let mut fates = Vec::new();
    for seed in 0..100 {
        let first = bench.image(&mut maker, 8, seed);
        assert_eq!(first, bench.image(&mut maker, 8, seed));
        if !fates.contains(&first.0.fate) {
            fates.push(first.0.fate);
        }
    }
    assert_eq!(fates.len(), Fate::ALL.len());
}

#[test]
fn an_earlier_cut_after_a_later_one_gives_the_earlier_image() {
    let mut bench = Bench::new();
    bench.write(0, 1, 512);
    bench.flush(1);
    bench.write(0, 2, 512);
    bench.flush(3);
    let mut maker = bench.maker();
    assert_eq!(bench.image(&mut maker, 4, 1).1[0], 2);
    assert_eq!(bench.image(&mut maker, 2, 1).1[0], 1);
    assert_eq!(bench.image(&mut maker, 0, 1).1[0], 0);
}

#[test]
fn a_recording_cut_off_in_an_event_ends_before_it() {
    let mut bench = Bench::new();
    bench.write(0, 1, 512);
    bench.write(512, 2, 512);
    bench.recorder.publish().unwrap();
    let path = bench.dir.path().join("r");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    assert_eq!(Recording::open(&path).unwrap().events().len(), 1);
}

#[test]
fn a_flush_says_how_many_writes_a_cut_before_it_leaves_unflushed() {
    let mut bench = Bench::new();
    bench.write(0, 1, 512);
    bench.write(512, 2, 512);
    bench.flush(1);
    bench.flush(2);
    bench.flush(2);
    assert_eq!(bench.maker().flushes(), [(2, 2), (3, 1), (4, 0)]);
}
