//! Random histories with crashes: what was acknowledged stays, in its place.
//!
//! Owns: a model of one partition and one group, compared with the shard after every crash.
//! Never: depends on which of the unanswered requests survived.
//! Invariants: the same seed gives the same history.
//! Source: architecture.md A8, reliability.md 2.2, 2.5.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Origin;
use broker::CoreMessage;
use model::prng::Prng;

use crate::ask::{large_batch, sequenced};
use crate::disk::Hold;
use crate::groups::{commit, committed, was_committed};
use crate::rig::Rig;

const STEPS: usize = 150;

struct History {
    rig: Rig,
    prng: Prng,
    /// Acknowledged batches: first and last offset.
    kept: BTreeMap<u64, u64>,
    /// Appends without an answer, and their record counts.
    open: Vec<(Origin, u64)>,
    producer: u64,
    sequence: u32,
    committed: u64,
    commits: Vec<(Origin, u64)>,
    next_commit: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new();
        rig.create_offsets_topic();
        rig.create("t", &[("segment.bytes", "65536")]);
        Self {
            rig,
            prng: Prng::new(seed),
            kept: BTreeMap::new(),
            open: Vec::new(),
            producer: 1,
            sequence: 0,
            committed: 0,
            commits: Vec::new(),
            next_commit: 1,
        }
    }

    fn step(&mut self) {
        let millis = self.rig.now.wall.as_millis();
        match self.prng.next_u64() % 12 {
            0..=2 => {
                let count = self.prng.next_u64() % 4 + 1;
                let sequence = (self.producer, 0, self.sequence);
                self.sequence += u32::try_from(count).unwrap();
                let batch = sequenced(millis, usize::try_from(count).unwrap(), sequence);
                let origin = self.rig.send_append("t", batch);
                self.open.push((origin, count));
            }
            3 => {
                let size = self.prng.next_u64() % 50_000;
                let batch = large_batch(millis, usize::try_from(size).unwrap());
                let origin = self.rig.send_append("t", batch);
                self.open.push((origin, 1));
            }
            4 | 5 => {
                let origin = self.rig.send(commit("g", self.next_commit));
                self.commits.push((origin, self.next_commit));
                self.next_commit += 1;
            }
            6 => self.rig.disk.hold = Hold::Writes,
            7 | 8 => self.rig.release(),
            9 => self.rig.pass(Duration::from_secs(self.prng.next_u64() % 8)),
            10 => self.compare(),
            _ => self.restart(),
        }
        self.collect();
    }

    fn collect(&mut self) {
        let open = std::mem::take(&mut self.open);
        for (origin, count) in open {
            match self.rig.appended(origin) {
                None => self.open.push((origin, count)),
                Some(Ok(appended)) => {
                    let first = appended.base_offset.get();
                    assert!(self.kept.insert(first, first + count - 1).is_none());
                }
                // Time ran out while writes were held; the data may or may not stay.
                Some(Err(_)) => {}
            }
        }
        let commits = std::mem::take(&mut self.commits);
        for (origin, offset) in commits {
            match was_committed(&mut self.rig, origin) {
                None => self.commits.push((origin, offset)),
                Some(Ok(())) => self.committed = self.committed.max(offset),
                Some(Err(error)) => panic!("commit refused: {error}"),
            }
        }
    }

    fn restart(&mut self) {
        self.collect();
        if self.prng.next_u64().is_multiple_of(3) {
            self.rig.release();
            self.collect();
            let stops = self.rig.stops;
            self.rig.control(CoreMessage::Shutdown);
            assert_eq!(self.rig.stops, stops + 1);
        }
        self.rig.disk.tear(&mut self.prng);
        self.rig.restart();
        self.open.clear();
        self.commits.clear();
        self.compare();
        let found = committed(&mut self.rig, "g").unwrap().unwrap_or(0);
        assert!(
            found >= self.committed,
            "commit {} became {found}",
            self.committed
        );
        self.committed = found;
        // The producer is gone as well; a new one starts over.
        self.producer += 1;
        self.sequence = 0;
        self.rig.pass(Duration::from_secs(1));
    }

    /// Every acknowledged batch is read where it was put, and offsets have no gaps.
    fn compare(&mut self) {
        let ranges = self.rig.read_all("t");
        let next = ranges.iter().fold(0, |next, (first, last)| {
            assert_eq!(*first, next, "offsets are dense");
            last + 1
        });
        let found: BTreeMap<u64, u64> = ranges.into_iter().collect();
        assert!(self.kept.keys().all(|first| *first < next));
        for (first, last) in &self.kept {
            assert_eq!(
                found.get(first),
                Some(last),
                "an acknowledged batch is there"
            );
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_random_histories_with_crashes() {
    for seed in 0..8 {
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step();
        }
        history.rig.release();
        history.collect();
        history.compare();
        assert!(!history.kept.is_empty(), "seed {seed} wrote something");
    }
}
