//! Random histories, crashes and rot, against what was acknowledged.

use std::collections::BTreeMap;

use model::batch::BatchInfo;
use model::offset::Offset;
use model::prng::Prng;

use super::builder::{BLOCK, Batch, History, Journal, Put, Segment, World, check_promises, tp};
use crate::exec::check::{Verdict, check};
use crate::exec::finding::Findings;
use crate::exec::manifest_state::Seal;
use crate::exec::recovered::{Recovered, RecoveredLog};
use crate::exec::segment_batches::BatchDepth;
use crate::exec::segment_walk::{Expected, walk_segment};
use crate::exec::{Disk, Severity};
use crate::store::LogId;

const LOGS: u64 = 3;
const SEEDS: u64 = 12;

/// A write that may or may not have reached the device.
#[derive(Clone, Debug)]
struct InFlight {
    path: String,
    position: u64,
    len: u64,
}

struct Model {
    prng: Prng,
    world: World,
    journal: Journal,
    histories: BTreeMap<u64, History>,
    batches: BTreeMap<u64, Vec<Batch>>,
    segments: BTreeMap<u64, Segment>,
    /// First offset that no segment holds, per log.
    flushed: BTreeMap<u64, Offset>,
    next_byte: u8,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let journal = world.start_journal(1);
        let mut model = Self {
            prng: Prng::new(seed),
            world,
            journal,
            histories: BTreeMap::new(),
            batches: BTreeMap::new(),
            segments: BTreeMap::new(),
            flushed: BTreeMap::new(),
            next_byte: 10,
        };
        for number in 1..=LOGS {
            let history = model.world.create_log(number);
            model.histories.insert(number, history);
            model.batches.insert(number, Vec::new());
            model.flushed.insert(number, Offset::ZERO);
        }
        model
    }

    fn make(&mut self, number: u64) -> Batch {
        let records = 1 + u32::try_from(self.prng.below(3)).unwrap();
        let word = "x".repeat(usize::try_from(self.prng.below(3_000)).unwrap());
        let batch = self
            .histories
            .get_mut(&number)
            .unwrap()
            .batch(records, &word);
        self.batches.get_mut(&number).unwrap().push(batch.clone());
        batch
    }

    fn pick(&mut self) -> u64 {
        1 + self.prng.below(LOGS)
    }

    fn journal_append(&mut self, through: u64) {
        let mut puts = Vec::new();
        for number in 1..=LOGS {
            if self.prng.chance(2, 3) {
                puts.push((number, self.make(number)));
            }
        }
        let puts: Vec<Put<'_>> = puts
            .iter()
            .map(|(number, batch)| Put::Append(LogId(*number), std::slice::from_ref(batch)))
            .collect();
        self.world.group(&mut self.journal, through, &puts);
    }

    /// Everything of a log that no segment holds, as one group.
    fn flush(&mut self, number: u64) {
        let from = self.flushed[&number];
        let waiting: Vec<Batch> = self.batches[&number]
            .iter()
            .filter(|b| b.info.base_offset >= from)
            .cloned()
            .collect();
        let Some(first) = waiting.first() else { return };
        if !self.segments.contains_key(&number) {
            let mut at = self.histories[&number].clone();
            (at.next, at.chain) = (first.info.base_offset, first.chain_before);
            self.next_byte += 1;
            let segment = self.world.add_segment(&at, self.next_byte);
            self.segments.insert(number, segment);
        }
        let segment = self.segments.get_mut(&number).unwrap();
        self.world.segment_group(segment, &waiting);
        self.flushed.insert(number, self.histories[&number].next);
    }

    fn witness(&mut self, number: u64) {
        let witness = self.segments[&number].witness();
        let through = self.journal.next_seq - 1;
        self.world
            .group(&mut self.journal, through, &[Put::Witness(witness)]);
    }

    fn step(&mut self) {
        let number = self.pick();
        let through = self.journal.next_seq - 1;
        match self.prng.below(8) {
            0..=3 => self.journal_append(through),
            4 => {
                self.make(number);
                self.flush(number);
                self.witness(number);
            }
            5 if self.flushed[&number] < self.histories[&number].next => {
                self.flush(number);
                self.witness(number);
            }
            6 => {
                if let Some(segment) = self.segments.remove(&number) {
                    self.world.seal_segment(&segment);
                }
            }
            7 if self.journal.number < 12 => self.world.roll_journal(&mut self.journal),
            _ => {}
        }
    }

    /// Up to two groups whose completion nobody saw.
    fn leave_in_flight(&mut self) -> Vec<InFlight> {
        let through = self.journal.next_seq - 1;
        let mut writes = Vec::new();
        for _ in 0..self.prng.below(3) {
            self.journal_append(through);
            let (path, position) = self.journal.positions.last().unwrap().clone();
            writes.push(InFlight {
                path,
                position,
                len: self.journal.position - position,
            });
        }
        writes
    }

    /// The process stops and starts again: what was found is carried forward into a new journal.
    fn restart(&mut self, lineage: u8) {
        let recovered = self.world.recover();
        let disk = std::mem::take(&mut self.world.disk);
        self.world = World::over(disk);
        self.journal = self.world.start_journal(lineage);
        self.segments.clear();
        for log in &recovered.logs {
            let number = log.id.0;
            let kept = self.batches.get_mut(&number).unwrap();
            kept.retain(|batch| batch.info.base_offset < log.log_end);
            let history = self.histories.get_mut(&number).unwrap();
            (history.next, history.chain) = (log.log_end, log.chain);
            self.flushed.insert(number, log.tail_start());
            let from = log.tail_start();
            let tail: Vec<Batch> = kept
                .iter()
                .filter(|batch| batch.info.base_offset >= from)
                .cloned()
                .collect();
            for batch in &tail {
                self.world
                    .append(&mut self.journal, log.id, std::slice::from_ref(batch));
            }
        }
    }

    fn ends(&self) -> BTreeMap<u64, Offset> {
        self.histories
            .iter()
            .map(|(number, history)| (*number, history.next))
            .collect()
    }
}

/// A torn write: any of its sectors may be missing.
fn tear(world: &mut World, prng: &mut Prng, write: &InFlight) {
    match prng.below(4) {
        0 => {}
        1 => assert!(world.disk.zero(&write.path, write.position, write.len)),
        _ => {
            for sector in 0..write.len / 512 {
                if prng.chance(1, 2) {
                    let at = write.position + sector * 512;
                    assert!(world.disk.zero(&write.path, at, 512));
                }
            }
        }
    }
}

/// Every batch that a recovered log holds, from segments and tail.
fn contents(world: &World, log: &RecoveredLog) -> Vec<BatchInfo> {
    let mut found = Vec::new();
    for segment in &log.segments {
        let expected = Expected {
            path: &segment.path,
            uid: segment.uid,
            tp: log.tp,
            base: segment.base,
            chain: None,
            witness: None,
            keeps_reach: false,
            resume: None,
            seal: Some(Seal {
                valid_end: segment.valid_end,
                upto: segment.upto,
                chain_after: segment.chain_after,
                max_timestamp: segment.max_timestamp,
                groups: segment.groups,
            }),
            points: None,
            depth: BatchDepth::Checksum,
        };
        let mut visit = |batch: &crate::exec::segment_batches::ReadBatch| found.push(batch.info);
        walk_segment(&world.disk, &expected, &mut Findings::default(), &mut visit).unwrap();
    }
    found.extend(log.tail.iter().map(|(_, info)| *info));
    found
}

/// Everything found is what was written, and everything else below the log end is a hole.
fn compare(model: &Model, recovered: &Recovered, context: &str) {
    for log in &recovered.logs {
        let written = &model.batches[&log.id.0];
        let found = contents(&model.world, log);
        let mut next = Offset::ZERO;
        for info in &found {
            assert!(
                written.iter().any(|batch| batch.info == *info),
                "{context}: an invented batch at {}",
                info.base_offset
            );
            assert!(
                covers(log, next, info.base_offset),
                "{context}: a gap at {next}"
            );
            next = info.end_offset();
        }
        assert!(
            covers(log, next, log.log_end),
            "{context}: a gap before the end"
        );
        assert_eq!(log.tp, tp(log.id.0));
    }
}

fn covers(log: &RecoveredLog, from: Offset, upto: Offset) -> bool {
    from >= upto
        || log
            .holes
            .iter()
            .any(|hole| hole.start <= from && upto <= hole.end)
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_durable() {
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        for round in 0..3_u8 {
            for _ in 0..model.prng.below(25) {
                model.step();
            }
            let durable = model.ends();
            let writes = model.leave_in_flight();
            let mut prng = Prng::new(seed ^ 0xbeef);
            writes
                .iter()
                .for_each(|write| tear(&mut model.world, &mut prng, write));
            let checked = check(&model.world.disk);
            let recovered = model.world.recover();
            let context = format!("seed {seed} round {round}");
            let worst = recovered
                .report
                .findings
                .iter()
                .map(|finding| finding.severity)
                .max();
            assert!(
                worst < Some(Severity::Damage),
                "{context}: {:?}",
                recovered.report.findings
            );
            let says_damage = checked.findings.iter().any(|finding| {
                finding.severity == Severity::Damage
                    && finding.file != "superblock.a"
                    && finding.file != "core-0"
            });
            assert!(!says_damage, "{context}: {:?}", checked.findings);
            for log in &recovered.logs {
                assert!(log.holes.is_empty(), "{context}");
                assert!(
                    log.log_end >= durable[&log.id.0],
                    "{context}: {} lost",
                    log.id.0
                );
            }
            compare(&model, &recovered, &context);
            let again = model.world.recover();
            for (one, two) in recovered.logs.iter().zip(&again.logs) {
                assert_eq!(
                    (one.log_end, one.chain),
                    (two.log_end, two.chain),
                    "{context}"
                );
                assert_eq!(one.tail.len(), two.tail.len(), "{context}");
            }
            model.restart(round + 2);
        }
    }
}

#[test]
fn rot_anywhere_outside_the_manifest_never_stops_a_start_or_invents_records() {
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        for _ in 0..25 {
            model.step();
        }
        let through = model.journal.next_seq - 1;
        model.world.group(&mut model.journal, through, &[]);
        let files: Vec<(String, u64)> = model.world.disk.files();
        let rotten: Vec<(String, u64)> = files
            .into_iter()
            .filter(|(path, _)| !path.contains("manifest"))
            .collect();
        let mut rots = 0;
        for _ in 0..1 + model.prng.below(3) {
            let pick = usize::try_from(model.prng.below(rotten.len() as u64)).unwrap();
            let (path, len) = &rotten[pick];
            let at = model.prng.below(*len);
            // A file that was cut short before may not have the byte any more.
            let is_changed = match model.prng.below(3) {
                0 => model.world.disk.flip(path, at),
                1 => model.world.disk.zero(path, at / BLOCK * BLOCK, BLOCK),
                _ => model.world.disk.truncate(path, at),
            };
            rots += u32::from(is_changed);
        }
        let recovered = model.world.recover();
        let context = format!("seed {seed}");
        compare(&model, &recovered, &context);
        let has_loss = recovered
            .logs
            .iter()
            .any(|log| !log.holes.is_empty() || log.log_end < model.histories[&log.id.0].next);
        let worst = recovered
            .report
            .findings
            .iter()
            .map(|finding| finding.severity)
            .max();
        assert!(!has_loss || rots > 0, "{context}: loss without rot");
        assert!(
            !has_loss || worst == Some(Severity::Damage),
            "{context}: a silent loss"
        );
        if has_loss {
            assert_eq!(
                check(&model.world.disk).verdict(),
                Verdict::Damaged,
                "{context}"
            );
        }
        let again = model.world.recover();
        check_promises(&again);
        for (one, two) in recovered.logs.iter().zip(&again.logs) {
            assert_eq!(
                (one.log_end, &one.holes),
                (two.log_end, &two.holes),
                "{context}"
            );
        }
        assert!(model.world.disk.list("").is_ok());
    }
}
