//! What a start on a damaged directory may and may not do.
//!
//! Owns: the oracle of reliability.md 2.4 to 2.6 over one directory.
//! Never: forgives a wrong byte.
//! Invariants: panics at the first broken promise.
//! Source: reliability.md 0.1 (promise P), 2.4 to 2.6.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use model::batch::{BatchBuilder, BatchInfo, NewRecord};
use model::ids::TopicPartition;
use model::offset::Offset;
use model::time::Now;
use storage::exec::{
    CheckReport, Finding, MemoryDisk, RecoverError, Recovered, Severity, SuperblockError, Verdict,
    check, open_or_format, recover,
};
use storage::{LogId, ReadOutcome};

use super::evidence::Evidence;
use super::scene::{LogTruth, REQUEST, Scene};
use super::watched::Watched;
use super::world::{SHARD, World, start};

/// What cannot be read, by log.
type Holes = BTreeMap<LogId, Vec<Range<Offset>>>;

/// How a start ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Refused(String),
    Ready,
}

/// What a case showed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) start: Start,
    pub(crate) verdict: Verdict,
    /// Findings of the start and of the check.
    pub(crate) findings: Vec<Finding>,
    /// Acknowledged batches that cannot be read.
    pub(crate) lost: usize,
    /// Logs whose end went below what was acknowledged.
    pub(crate) shortened: usize,
    /// Those of them of which neither the disk nor the start tells.
    pub(crate) untold: usize,
}

/// Where an acknowledged batch is after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Read,
    /// The log says that it cannot be read.
    Unreadable,
    /// The log ends before it.
    CutOff,
}

/// What became of a log.
struct Fates {
    of: Vec<(u64, Fate)>,
}

struct Judge<'j> {
    scene: &'j Scene,
    checked: CheckReport,
    damaged: &'j MemoryDisk,
    /// Whether the scene was changed at all.
    is_damaged: bool,
    /// What is left that tells of what was lost.
    evidence: Evidence,
}

/// The wall clock of every start.
pub(crate) fn now() -> Now {
    let mut now = start();
    now.wall = now.wall.plus_millis(3_600_000);
    now
}

/// Starts on a directory and holds everything against the truth.
pub(crate) fn judge(scene: &Scene, damaged: &MemoryDisk) -> Outcome {
    let watched = Watched::new(damaged.clone());
    let judge = Judge {
        scene,
        checked: check(&watched),
        damaged,
        is_damaged: *damaged != scene.disk,
        evidence: Evidence::new(&scene.disk, damaged),
    };
    assert!(watched.disk == *damaged, "the check changes nothing");
    judge.check_itself();
    judge.start(damaged)
}

fn open(disk: &mut Watched) -> Result<Recovered, String> {
    let superblock = open_or_format(disk, REQUEST);
    if let Err(error) = superblock {
        let is_typed = !matches!(error, SuperblockError::Io { .. });
        assert!(is_typed || !error.to_string().is_empty());
        return Err(error.to_string());
    }
    let before = disk.disk.clone();
    recover(disk, SHARD, now().wall.as_millis()).map_err(|error| {
        if matches!(
            error,
            RecoverError::Damaged { .. } | RecoverError::Newer { .. }
        ) {
            assert!(
                disk.disk == before,
                "{error}: a refused start changed files"
            );
        }
        error.to_string()
    })
}

impl Judge<'_> {
    /// Rules that a report keeps by itself.
    fn check_itself(&self) {
        for finding in &self.checked.findings {
            assert!(!finding.file.is_empty(), "{finding:?}");
            assert!(!finding.what.is_empty(), "{finding:?}");
        }
        if !self.is_damaged {
            assert!(
                self.checked.verdict() < Verdict::Damaged,
                "{:?}",
                self.checked
            );
        }
    }

    fn start(&self, damaged: &MemoryDisk) -> Outcome {
        let mut disk = Watched::new(damaged.clone());
        let mut recovered = match open(&mut disk) {
            Ok(recovered) => recovered,
            Err(why) => return self.refused(why),
        };
        let report = std::mem::take(&mut recovered.report);
        let again = self.same_again(&recovered, &disk.disk);
        let findings = report.findings;
        let logs = recovered.logs.iter();
        let holes: Holes = logs.map(|log| (log.id, log.holes.clone())).collect();
        let mut world = World::open(disk.disk, recovered, (u64::MAX, now()));
        let mut outcome = Outcome {
            start: Start::Ready,
            verdict: self.checked.verdict(),
            findings,
            lost: 0,
            shortened: 0,
            untold: 0,
        };
        self.no_other_logs(&world, &outcome);
        for (tp, truth) in &self.scene.logs {
            let fates = self.fates(&mut world, (*tp, truth), &holes);
            let later = again.get(&truth.id).map_or(&[][..], Vec::as_slice);
            for (base, fate) in &fates {
                let is_later = later.iter().any(|hole| hole.contains(&Offset::new(*base)));
                assert!(
                    *fate != Fate::Read || !is_later,
                    "{tp}: offset {base} is lost to a second start"
                );
            }
            let fates = Fates { of: fates };
            self.weigh((*tp, truth), &fates, &mut outcome);
        }
        world.settle();
        self.append_more(&mut world);
        outcome.findings.extend(self.checked.findings.clone());
        outcome
    }

    fn refused(&self, why: String) -> Outcome {
        assert!(self.is_damaged, "an intact directory is refused: {why}");
        assert!(why.len() > 10, "an error says what is wrong: {why}");
        assert_eq!(
            self.checked.verdict(),
            Verdict::Damaged,
            "the start is refused ({why}) and the check says {:?}",
            self.checked.findings
        );
        Outcome {
            start: Start::Refused(why),
            verdict: self.checked.verdict(),
            findings: self.checked.findings.clone(),
            lost: 0,
            shortened: 0,
            untold: 0,
        }
    }

    /// Recovering what a recovery left gives the same logs. Only holes may grow, by what the first start left
    /// unverified in sealed segments and nobody can read there either. Gives the holes of the second start.
    fn same_again(&self, one: &Recovered, disk: &MemoryDisk) -> Holes {
        let mut disk = Watched::new(disk.clone());
        let two = open(&mut disk).unwrap_or_else(|why| panic!("a second start is refused: {why}"));
        assert_eq!(one.logs.len(), two.logs.len(), "logs of a second start");
        for (one, two) in one.logs.iter().zip(&two.logs) {
            let tp = one.tp;
            assert_eq!((one.id, tp), (two.id, two.tp));
            assert_eq!(one.log_start, two.log_start, "{tp}");
            assert_eq!((one.log_end, one.chain), (two.log_end, two.chain), "{tp}");
            let stays = |hole: &Range<Offset>| {
                let mut later = two.holes.iter();
                later.any(|other| other.start <= hole.start && hole.end <= other.end)
            };
            assert!(
                one.holes.iter().all(stays),
                "{tp}: {:?} {:?}",
                one.holes,
                two.holes
            );
            assert_eq!(one.tail, two.tail, "{tp}");
            assert_eq!(one.epoch, two.epoch, "{tp}");
            let ends = |log: &storage::exec::RecoveredLog| {
                let ends = log.segments.iter().map(|s| (s.uid, s.upto, s.valid_end));
                ends.collect::<Vec<_>>()
            };
            let (before, after) = (ends(one), ends(two));
            assert!(after.iter().all(|end| before.contains(end)), "{tp}");
            let is_lost = |upto: Offset| {
                let mut later = two.holes.iter();
                later.any(|hole| hole.start < upto && upto <= hole.end)
            };
            let mut gone = before.iter().filter(|end| !after.contains(end));
            assert!(
                gone.all(|(_, upto, _)| is_lost(*upto)),
                "{tp}: {before:?} {after:?}"
            );
        }
        let logs = two.logs.iter();
        logs.map(|log| (log.id, log.holes.clone())).collect()
    }

    /// Nothing comes from nowhere, and nothing deleted comes back unsaid.
    fn no_other_logs(&self, world: &World, outcome: &Outcome) {
        let is_said = says_damage(&outcome.findings) || self.evidence.is_manifest_untold;
        for (id, tp) in world.store.logs() {
            let truth = self.scene.logs.get(&tp);
            let is_known = truth.is_some_and(|truth| truth.id == id);
            let was_deleted = self.scene.deleted.contains(&id) && is_said;
            assert!(
                is_known || was_deleted,
                "log {id:?} of {tp} came from nowhere"
            );
        }
    }

    /// Reads a log whole; where each acknowledged batch is.
    fn fates(
        &self,
        world: &mut World,
        (tp, truth): (TopicPartition, &LogTruth),
        holes: &Holes,
    ) -> Vec<(u64, Fate)> {
        let wanted = |batch: &&super::scene::Written| {
            batch.end <= truth.acked && batch.end > truth.start_asked
        };
        let found = world.store.logs().into_iter().any(|(id, _)| id == truth.id);
        let read = if found {
            let holes = holes.get(&truth.id).map_or(&[][..], Vec::as_slice);
            read_log(world, (tp, truth), holes)
        } else {
            Vec::new()
        };
        let end = world.store.bounds(truth.id).map_or(0, |b| b.log_end.get());
        let fates = truth.batches.iter().filter(wanted).map(|batch| {
            let fate = if read.binary_search(&batch.base).is_ok() {
                Fate::Read
            } else if batch.end <= end {
                Fate::Unreadable
            } else {
                Fate::CutOff
            };
            (batch.base, fate)
        });
        fates.collect()
    }

    fn weigh(&self, (tp, truth): (TopicPartition, &LogTruth), fates: &Fates, out: &mut Outcome) {
        let count = |fate: Fate| fates.of.iter().filter(|(_, f)| *f == fate).count();
        let (unreadable, cut) = (count(Fate::Unreadable), count(Fate::CutOff));
        out.lost += unreadable + cut;
        out.shortened += usize::from(cut > 0);
        if unreadable + cut == 0 {
            return;
        }
        let context = format!(
            "{tp} (log {}): {unreadable} unreadable, {cut} cut off",
            truth.id.0
        );
        assert!(self.is_damaged, "{context} without damage");
        let (said, checked) = (&out.findings, &self.checked.findings);
        if unreadable > 0 {
            assert_eq!(
                self.checked.verdict(),
                Verdict::Damaged,
                "{context}: {checked:?}"
            );
            let names = |f: &Finding| f.severity == Severity::Damage && self.is_placed(f, tp);
            assert!(
                checked.iter().any(names),
                "{context}: not named by {checked:?}"
            );
        }
        if cut == 0 {
            return;
        }
        let mut cut_off = fates.of.iter().filter(|(_, fate)| *fate == Fate::CutOff);
        if cut_off.all(|(base, _)| self.evidence.is_untold(truth.id, *base)) {
            if !says_damage(said) {
                out.untold += 1;
            }
            return;
        }
        assert!(says_damage(said), "{context}: the start says only {said:?}");
        assert!(
            says_damage(checked),
            "{context}: the check says only {checked:?}"
        );
    }

    /// Whether a finding names the partition and where in the file; a file that is gone has no position.
    fn is_placed(&self, finding: &Finding, tp: TopicPartition) -> bool {
        let is_gone = self.damaged.contents(&finding.file).is_none();
        let mut others = self.checked.findings.iter();
        let is_elsewhere = others.any(|other| {
            let is_same = other.file == finding.file && other.severity == Severity::Damage;
            is_same && other.position.is_some()
        });
        let is_somewhere = is_elsewhere || (is_gone && finding.file.contains('/'));
        finding.partition == Some(tp) && finding.offset.is_some() && is_somewhere
    }

    /// New data gets its place, is read back, and is there after another crash.
    fn append_more(&self, world: &mut World) {
        let logs = world.store.logs();
        let mut expected = Vec::new();
        for (id, _) in &logs {
            let bytes = one_batch(&format!("new in {}", id.0));
            let info = BatchInfo::parse(&bytes).unwrap();
            let end = world.store.bounds(*id).unwrap().log_end;
            let appended = world.store.append(world.now, *id, bytes, &info).unwrap();
            assert_eq!(appended.base_offset, end);
            expected.push((*id, end));
        }
        world.settle();
        for (id, at) in expected {
            let ReadOutcome::Ready { records, .. } = world.read(id, at.get()) else {
                panic!("a new batch of log {} cannot be read", id.0);
            };
            assert_eq!(split(&records).len(), 1);
        }
    }
}

/// Base offsets of what can be read; panics at a wrong byte.
fn read_log(
    world: &mut World,
    (tp, truth): (TopicPartition, &LogTruth),
    holes: &[Range<Offset>],
) -> Vec<u64> {
    let bounds = world.store.bounds(truth.id).unwrap();
    let (mut next, end) = (bounds.log_start.get(), bounds.high_watermark.get());
    assert!(
        next <= truth.start_asked,
        "{tp}: the log start rose to {next}"
    );
    let is_hole = holes.iter().any(|hole| hole.end.get() == end);
    assert!(
        end <= truth.end || is_hole,
        "{tp}: offsets up to {end} were never written"
    );
    let mut found = Vec::new();
    while next < end {
        match world.read(truth.id, next) {
            ReadOutcome::Ready { records, .. } => {
                let batches = split(&records);
                assert!(!batches.is_empty(), "{tp}: nothing at {next} below {end}");
                for bytes in batches {
                    let info = BatchInfo::parse(&bytes).unwrap();
                    let base = info.base_offset.get();
                    let at = truth.batches.binary_search_by_key(&base, |b| b.base);
                    let at = at.unwrap_or_else(|_| panic!("{tp}: a batch at {base} from nowhere"));
                    let written = &truth.batches[at];
                    assert!(bytes == written.bytes, "{tp}: wrong bytes at {base}");
                    assert!(written.end > next, "{tp}: a batch before {next}");
                    let is_inside = base <= next || found.is_empty();
                    assert!(is_inside, "{tp}: a silent gap from {next} to {base}");
                    next = written.end;
                    found.push(base);
                }
            }
            ReadOutcome::Damaged(at) => {
                assert!(at.get() <= next, "{tp}: damage at {at} instead of {next}");
                next = behind(next, holes);
            }
            ReadOutcome::Pending => unreachable!("the read waits"),
        }
    }
    found.dedup();
    found
}

/// Every batch of a log that can be read; what cannot be read is passed over.
pub(crate) fn read_all(world: &mut World, id: LogId, holes: &[Range<Offset>]) -> Vec<Vec<u8>> {
    let bounds = world.store.bounds(id).unwrap();
    let (mut next, end) = (bounds.log_start.get(), bounds.high_watermark.get());
    let mut found = Vec::new();
    while next < end {
        match world.read(id, next) {
            ReadOutcome::Ready { records, .. } => {
                for batch in split(&records) {
                    next = BatchInfo::parse(&batch).unwrap().last_offset().get() + 1;
                    found.push(batch.to_vec());
                }
            }
            ReadOutcome::Damaged(_) => next = behind(next, holes),
            ReadOutcome::Pending => unreachable!("the read waits"),
        }
    }
    found
}

/// The next offset that may be readable.
fn behind(next: u64, holes: &[Range<Offset>]) -> u64 {
    let mut holes = holes.iter();
    let hole = holes.find(|hole| hole.start.get() <= next && next < hole.end.get());
    hole.map_or(next + 1, |hole| hole.end.get())
}

fn says_damage(findings: &[Finding]) -> bool {
    let mut severities = findings.iter().map(|finding| finding.severity);
    severities.any(|severity| severity == Severity::Damage)
}

fn one_batch(text: &str) -> bytes::BytesMut {
    let at = now().wall.as_millis();
    let mut builder = BatchBuilder::new(at);
    builder
        .push(&NewRecord::value(at, text.as_bytes()))
        .unwrap();
    builder.build()
}

fn split(records: &[Bytes]) -> Vec<Bytes> {
    let mut batches = Vec::new();
    for slice in records {
        let mut rest = slice.clone();
        while !rest.is_empty() {
            let info = BatchInfo::parse(&rest).unwrap();
            batches.push(rest.split_to(info.len()));
        }
    }
    batches
}
