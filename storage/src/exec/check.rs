//! Offline verification of a whole data directory.
//!
//! Owns: reading everything once and saying what is wrong.
//! Never: changes a byte; stops at the first problem.
//! Invariants: what a start would repair without loss is `Repairable`; only lost or unreadable acknowledged
//! data, and what keeps a start from starting, is `Damage`.
//! Source: reliability.md 2.4 to 2.6.

use std::collections::BTreeMap;

use model::ids::{ShardId, TopicPartition};

use super::check_derived;
use super::check_strays;
use super::examine::{Reading, examine};
use super::failure::RecoverError;
use super::finding::{Finding, Findings, Severity};
use super::log_scan::LogScan;
use super::manifest_open::{Chosen, choose};
use super::manifest_state::ManifestState;
use super::manifest_walk::{Ending, ManifestWalk};
use super::recover::report_torn;
use super::replay::LogReplay;
use super::segment_batches::BatchDepth;
use super::superblock::read_superblock;
use super::{DirEntry, Disk};
use crate::format::layout::{SUPERBLOCK_A, SUPERBLOCK_B, core_dir, parse_core_dir};
use crate::store::LogId;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Everything worth saying, in the order of discovery; bounded.
    pub findings: Vec<Finding>,
    /// Findings that were not kept because there were too many.
    pub findings_dropped: u64,
    /// Segments read.
    pub segments: u64,
    /// Batches read, in segments and in journals beyond them.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    worst: Option<Severity>,
}

/// The outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to do.
    Clean,
    /// A start puts everything right without losing acknowledged data.
    Repairable,
    /// Acknowledged data is lost or cannot be read, or no start is possible.
    Damaged,
}

impl CheckReport {
    /// Adds what somebody else found in the same directory.
    pub fn push(&mut self, finding: Finding) {
        self.worst = self.worst.max(Some(finding.severity));
        self.findings.push(finding);
    }

    /// The outcome in one word; also right when findings were dropped.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.worst {
            None | Some(Severity::Note) => Verdict::Clean,
            Some(Severity::Repairable) => Verdict::Repairable,
            Some(Severity::Damage) => Verdict::Damaged,
        }
    }
}

/// Reads a data directory whole: superblocks, manifests, journals, every group and batch of every segment,
/// derived files. No broker may run in it meanwhile.
pub fn check<D: Disk>(disk: &D) -> CheckReport {
    let mut checker = Checker {
        disk,
        findings: Findings::default(),
        report: CheckReport::default(),
        owners: BTreeMap::new(),
        states: BTreeMap::new(),
    };
    let shards = checker.superblock();
    for shard in checker.cores(shards) {
        if let Err(error) = checker.core(shard) {
            checker.fail(&error);
        }
    }
    if let Err(error) = check_strays::look(disk, &checker.states, &mut checker.findings) {
        checker.fail(&error);
    }
    let mut report = checker.report;
    report.worst = checker.findings.worst();
    (report.findings, report.findings_dropped) = checker.findings.finish();
    report
}

struct Checker<'c, D> {
    disk: &'c D,
    findings: Findings,
    report: CheckReport,
    /// Which core a partition was seen on.
    owners: BTreeMap<TopicPartition, ShardId>,
    states: BTreeMap<ShardId, ManifestState>,
}

impl<D: Disk> Checker<'_, D> {
    /// Number of cores, if a superblock tells.
    fn superblock(&mut self) -> u16 {
        let finding = match read_superblock(self.disk) {
            Ok(Some(superblock)) => return superblock.shards,
            Ok(None) if self.is_begun() => {
                let what = "the first start was cut off before there was anything to lose";
                Finding::new(Severity::Repairable, SUPERBLOCK_A, what)
            }
            Ok(None) => Finding::new(Severity::Damage, SUPERBLOCK_A, "there is no superblock"),
            Err(error) => Finding::new(Severity::Damage, SUPERBLOCK_A, error.to_string()),
        };
        self.findings.push(finding);
        0
    }

    /// Whether a first start began to write a superblock and came no further: the next one begins anew.
    fn is_begun(&self) -> bool {
        let entries = self.disk.list("").unwrap_or_default();
        let is_data = |entry: &DirEntry| entry.is_dir && entry.name != "lost+found";
        let is_slot = |entry: &DirEntry| [SUPERBLOCK_A, SUPERBLOCK_B].contains(&&*entry.name);
        entries.iter().any(is_slot) && !entries.iter().any(is_data)
    }

    /// The cores that should be there and those that are.
    fn cores(&mut self, shards: u16) -> Vec<ShardId> {
        let mut cores: Vec<ShardId> = (0..shards).map(ShardId::new).collect();
        let entries = match self.disk.list("") {
            Ok(entries) => entries,
            Err(source) => {
                self.fail(&RecoverError::Io {
                    file: ".".to_owned(),
                    source,
                });
                return cores;
            }
        };
        for core in entries
            .iter()
            .filter_map(|entry| parse_core_dir(&entry.name))
        {
            if !cores.contains(&core) {
                cores.push(core);
                // An unreadable superblock says nothing about cores, and was reported itself.
                if shards > 0 {
                    let what = "the superblock knows of no such core";
                    self.findings
                        .push(Finding::new(Severity::Damage, core_dir(core), what));
                }
            }
        }
        cores
    }

    fn core(&mut self, shard: ShardId) -> Result<(), RecoverError> {
        let walk = match choose(self.disk, shard)? {
            Chosen::Fresh => {
                let what = "the core was never started";
                self.findings
                    .push(Finding::new(Severity::Note, core_dir(shard), what));
                return Ok(());
            }
            Chosen::File(walk, stale) => {
                for path in stale {
                    let what = "a superseded manifest; the next start removes it";
                    self.findings.push(Finding::new(Severity::Note, path, what));
                }
                walk
            }
        };
        self.manifest(&walk);
        self.claim(shard, &walk.state);
        self.states.insert(shard, walk.state.clone());
        let reading = Reading {
            shard,
            now_ms: 0,
            depth: BatchDepth::Checksum,
        };
        let examined = examine(self.disk, reading, Chosen::File(walk, Vec::new()).state())?;
        self.findings.append(examined.findings);
        report_torn(&examined.journals, &mut self.findings);
        if let Some(error) = examined.refusal {
            self.fail(&error);
        }
        for scan in examined.scans.values() {
            check_derived::look(self.disk, scan, &mut self.findings)?;
        }
        self.count(&examined.scans, &examined.replays);
        self.states.insert(shard, examined.state);
        Ok(())
    }

    fn manifest(&mut self, walk: &ManifestWalk) {
        let path = walk.file.path.as_str();
        let finding =
            |severity, what: &str| Finding::new(severity, path, what).at(walk.file.position);
        match walk.ending {
            Ending::Clean | Ending::Damaged(_) => {}
            Ending::Torn => {
                let what = "the last group was cut off by the stop; it was never acknowledged";
                self.findings.push(finding(Severity::Repairable, what));
            }
        }
        if !walk.state.is_clean {
            let what = "the last stop was not orderly, or a broker is running";
            self.findings.push(finding(Severity::Note, what));
        }
        for log in walk.state.logs.values() {
            for hole in log.holes.ranges() {
                let what = "an earlier start found these offsets unreadable";
                let lost = Finding::new(Severity::Damage, path, what).of(log.tp);
                self.findings.push(lost.offsets(hole.start, hole.end));
            }
        }
    }

    /// A partition belongs to one core.
    fn claim(&mut self, shard: ShardId, state: &ManifestState) {
        for log in state.logs.values() {
            if let Some(other) = self.owners.insert(log.tp, shard) {
                let what = format!("the partition is on core {other} as well");
                let finding = Finding::new(Severity::Damage, core_dir(shard), what);
                self.findings.push(finding.of(log.tp));
            }
        }
    }

    fn count(&mut self, scans: &BTreeMap<LogId, LogScan>, replays: &BTreeMap<LogId, LogReplay>) {
        for scan in scans.values() {
            self.report.segments += scan.scanned;
            self.report.batches += scan.batches;
            self.report.records += scan.records_read;
            self.report.bytes += scan.scanned_bytes;
        }
        for item in replays
            .values()
            .flat_map(|replay| &replay.runs)
            .flat_map(|run| &run.items)
        {
            self.report.batches += 1;
            self.report.records += u64::from(item.read.info.records);
            self.report.bytes += item.bytes.len() as u64;
        }
    }

    fn fail(&mut self, error: &RecoverError) {
        let finding = match error {
            RecoverError::Io { file, source } => {
                Finding::new(Severity::Damage, file, source.to_string())
            }
            RecoverError::Newer { file, source } => {
                Finding::new(Severity::Damage, file, source.to_string())
            }
            RecoverError::Damaged {
                file,
                position,
                what,
            } => Finding::new(Severity::Damage, file, what).at(*position),
        };
        self.findings.push(finding);
    }
}
