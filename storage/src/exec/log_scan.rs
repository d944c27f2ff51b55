//! One log's segments at start: which to trust, which to read, what to tell the manifest.
//!
//! Owns: the state of a log up to the end of its segments.
//! Never: reads a sealed segment that is as long as it should be, or an open one before its newest witnessed group,
//! unless producers must be rebuilt from it.
//! Invariants: changes nothing on the disk; every segment that was open at the stop gets a seal or is
//! removed (I2).
//! Source: reliability.md 2.5 step 5, 2.3 I2, I6, I12.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::limits::BLOCK_BYTES;
use model::offset::{LeaderEpoch, Offset};

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::journal_scan::JournalScan;
use super::log_files::LogFiles;
use super::manifest_state::{LogState, Seal, SegmentState};
use super::producer_rebuild::{ProducerRebuild, load_snapshot};
use super::recovered::RecoveredSegment;
use super::segment_batches::{BatchDepth, ReadBatch};
use super::segment_walk::{Expected, Resume, WalkedSegment, walk_segment};
use super::stream::is_zero;
use crate::format::journal::SegDurableEntry;
use crate::format::layout::segment_path;
use crate::format::manifest::Record;
use crate::log::epochs::EpochTable;
use crate::log::producers::PRODUCER_EXPIRATION_MS;
use crate::store::LogId;

/// A segment file that the manifest forgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// It never held anything.
    Remove(String),
    /// It held something that cannot be read.
    Quarantine(String),
}

/// One log after its segments were looked at.
#[derive(Debug)]
pub(crate) struct LogScan {
    pub(crate) id: LogId,
    pub(crate) state: LogState,
    pub(crate) files: LogFiles,
    pub(crate) segments: Vec<RecoveredSegment>,
    /// Sealed segments whose files are gone.
    pub(crate) missing: Vec<RecoveredSegment>,
    pub(crate) epochs: EpochTable,
    pub(crate) producers: ProducerRebuild,
    /// Manifest records that make the verdicts durable.
    pub(crate) records: Vec<Record>,
    pub(crate) leftovers: Vec<Leftover>,
    pub(crate) new_holes: Vec<Range<Offset>>,
    pub(crate) chains: BTreeMap<Offset, u64>,
    pub(crate) is_cut: bool,
    /// An open segment that was cut short or is gone.
    pub(crate) cut_short: Option<String>,
    pub(crate) scanned: u64,
    pub(crate) scanned_bytes: u64,
    pub(crate) batches: u64,
    pub(crate) records_read: u64,
    /// End of the segments and the chain hash there, if it is known.
    pub(crate) end: Offset,
    pub(crate) chain: Option<u64>,
    now_ms: i64,
}

/// How segments are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanWith<'s> {
    pub(crate) journals: &'s JournalScan,
    /// Wall clock, ms.
    pub(crate) now_ms: i64,
    /// `Checksum` reads every segment whole, `Header` only what a start needs.
    pub(crate) depth: BatchDepth,
    /// Logs whose snapshots do not belong to their history.
    pub(crate) distrusted: &'s BTreeSet<LogId>,
}

impl LogScan {
    /// Looks at every segment of a log.
    pub(crate) fn run<D: Disk>(
        disk: &D,
        (id, state): (LogId, &LogState),
        with: ScanWith<'_>,
        findings: &mut Findings,
    ) -> Result<Self, RecoverError> {
        let now_ms = with.now_ms;
        let files = LogFiles::list(disk, state.tp)?;
        let is_zero = state.log_start == Offset::ZERO;
        let mut scan = Self {
            id,
            state: state.clone(),
            producers: ProducerRebuild::new(None, now_ms),
            files,
            segments: Vec::new(),
            missing: Vec::new(),
            epochs: state.epochs.clone(),
            records: Vec::new(),
            leftovers: Vec::new(),
            new_holes: Vec::new(),
            chains: BTreeMap::new(),
            is_cut: false,
            cut_short: None,
            scanned: 0,
            scanned_bytes: 0,
            batches: 0,
            records_read: 0,
            end: state.log_start,
            chain: is_zero.then_some(0),
            now_ms,
        };
        if !with.distrusted.contains(&id) {
            scan.choose_snapshot(disk)?;
        }
        let newest_epoch = scan.epochs.newest();
        for segment in &state.segments {
            scan.confirm_snapshot();
            scan.segment(disk, segment, with, findings)?;
        }
        scan.confirm_snapshot();
        scan.note_new_epochs(newest_epoch);
        Ok(scan)
    }

    /// The newest snapshot that can be decoded; the chain confirms it later.
    fn choose_snapshot<D: Disk>(&mut self, disk: &D) -> Result<(), RecoverError> {
        for upto in self.files.snapshots.iter().rev() {
            let place = (self.id, self.state.tp);
            let loaded = load_snapshot(disk, place, *upto).in_file(&self.files.dir)?;
            if loaded.is_some() {
                self.producers = ProducerRebuild::new(loaded, self.now_ms);
                return Ok(());
            }
        }
        Ok(())
    }

    /// A snapshot that was taken where a segment ends is confirmed by the chain hash there, whatever becomes of the
    /// batches behind it: a hole may follow, where no chain hash is known.
    fn confirm_snapshot(&mut self) {
        if self.producers.from() == self.end && self.chain.is_some() {
            self.producers.reach(self.end, self.chain);
        }
    }

    fn segment<D: Disk>(
        &mut self,
        disk: &D,
        segment: &SegmentState,
        with: ScanWith<'_>,
        findings: &mut Findings,
    ) -> Result<(), RecoverError> {
        let journals = with.journals;
        let path = segment_path(self.state.tp, segment.base, &segment.uid);
        let newest = journals.witnesses.get(&segment.uid);
        let witness = newest.map(|entry| (entry.group_seq, entry.last.next()));
        let Some(len) = self.files.segment_len(segment.base, &segment.uid) else {
            self.missing(&path, segment, witness, findings);
            return Ok(());
        };
        let trusted = segment.seal.filter(|seal| {
            seal.valid_end <= len
                && !self.state.holes.touches(segment.base, seal.upto)
                && !self.is_needed_for_producers(segment)
                && with.depth == BatchDepth::Header
        });
        match trusted {
            Some(seal) => {
                let zeroed_upto = zeros_behind(disk, &path, seal.valid_end..len);
                self.trust((path, zeroed_upto), segment, seal);
            }
            None => {
                let resume = newest.and_then(|entry| self.resume(segment, entry, with.depth));
                let expected = Expected {
                    path: &path,
                    uid: segment.uid,
                    tp: self.state.tp,
                    base: segment.base,
                    chain: self.chain.filter(|_| segment.base == self.end),
                    witness: witness.filter(|_| segment.seal.is_none()),
                    keeps_reach: newest.is_some_and(|entry| entry.place.is_some()),
                    resume,
                    seal: segment.seal,
                    points: journals.points.get(&self.id),
                    depth: with.depth,
                };
                let walked = self.walk(disk, &expected, findings).in_file(&path)?;
                self.settle(path, segment, walked, witness);
            }
        }
        Ok(())
    }

    /// Whether batches in it are newer than the snapshot, and young enough to matter.
    fn is_needed_for_producers(&self, segment: &SegmentState) -> bool {
        let young = self.now_ms.saturating_sub(PRODUCER_EXPIRATION_MS);
        segment.seal.is_some_and(|seal| {
            seal.upto > self.producers.from() && seal.groups > 0 && seal.max_timestamp >= young
        })
    }

    /// The newest durable group of an open segment, if nothing is wanted of the groups before it: no producers, no
    /// offsets to find again.
    fn resume(
        &self,
        segment: &SegmentState,
        newest: &SegDurableEntry,
        depth: BatchDepth,
    ) -> Option<Resume> {
        let place = newest.place.filter(|place| !place.has_producers)?;
        let is_open = segment.seal.is_none() && depth == BatchDepth::Header;
        if !is_open || self.state.holes.touches(segment.base, Offset::MAX) {
            return None;
        }
        self.producers.is_confirmed().then_some(Resume {
            place,
            number: newest.group_seq,
            last: newest.last,
            epoch: self.epochs.newest()?,
        })
    }

    fn walk<D: Disk>(
        &mut self,
        disk: &D,
        expected: &Expected<'_>,
        findings: &mut Findings,
    ) -> Result<WalkedSegment, crate::IoError> {
        let (epochs, producers) = (&mut self.epochs, &mut self.producers);
        let mut visit = |batch: &ReadBatch| {
            note_epoch(epochs, batch);
            producers.feed(batch);
        };
        let walked = walk_segment(disk, expected, findings, &mut visit)?;
        self.scanned += 1;
        self.scanned_bytes += walked.bytes;
        self.batches += walked.batches;
        self.records_read += walked.records;
        Ok(walked)
    }

    fn trust(&mut self, file: (String, u64), segment: &SegmentState, seal: Seal) {
        let epoch = self.epochs.at(segment.base).unwrap_or_default();
        self.advance(seal.upto, Some(seal.chain_after));
        if seal.groups > 0 {
            self.segments.push(recovered(file, segment, seal, epoch));
        }
    }

    fn settle(
        &mut self,
        path: String,
        segment: &SegmentState,
        walked: WalkedSegment,
        witness: Option<(u64, Offset)>,
    ) {
        let promised = segment
            .seal
            .map(|seal| seal.upto)
            .or(witness.map(|(_, upto)| upto));
        let lost_upto = walked.lost.iter().map(|range| range.end).max();
        self.repair_holes(segment, &walked);
        for lost in &walked.lost {
            self.lose(lost.start, lost.end);
        }
        self.is_cut |= walked.is_cut;
        if walked.is_cut_short {
            self.cut_short = Some(path.clone());
        }
        self.chains.extend(
            walked
                .chains
                .iter()
                .map(|(offset, chain)| (*offset, *chain)),
        );
        let log = self.id;
        if walked.seal.groups == 0 {
            self.records.push(Record::SegmentRemove {
                log,
                uid: segment.uid,
            });
            let is_lost = promised.is_some() || lost_upto.is_some() || walked.is_cut_short;
            self.leftovers.push(match is_lost {
                true => Leftover::Quarantine(path),
                false => Leftover::Remove(path),
            });
            if let Some(upto) = lost_upto {
                self.advance(upto, None);
            }
            return;
        }
        if segment.seal.is_none() {
            let Seal {
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
            } = walked.seal;
            self.records.push(Record::SegmentSeal {
                log,
                uid: segment.uid,
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
            });
        }
        self.advance(walked.seal.upto, Some(walked.seal.chain_after));
        if let Some(upto) = lost_upto.filter(|upto| *upto > walked.seal.upto) {
            self.advance(upto, None);
        }
        let epoch = match walked.index {
            Some(_) => walked.first_epoch,
            None => self.epochs.at(segment.base),
        };
        let epoch = epoch.unwrap_or_default();
        let file = (path, walked.zeroed_upto);
        let mut out = recovered(file, segment, walked.seal, epoch);
        out.index = walked.index;
        self.segments.push(out);
    }

    /// Holes of an earlier start inside this segment that are readable now.
    fn repair_holes(&mut self, segment: &SegmentState, walked: &WalkedSegment) {
        let known: Vec<Range<Offset>> = self.state.holes.ranges().to_vec();
        for hole in known {
            let is_inside = segment.base <= hole.start && hole.end <= walked.seal.upto;
            let is_lost = walked
                .lost
                .iter()
                .any(|lost| lost.start < hole.end && hole.start < lost.end);
            if is_inside && !is_lost && segment.seal.is_some() {
                let (log, from, upto) = (self.id, hole.start, hole.end);
                self.records.push(Record::Repaired { log, from, upto });
                self.state.holes.remove(from, upto);
            }
        }
    }

    /// The manifest names a file that is not there (I6): damage, never "fresh".
    fn missing(
        &mut self,
        path: &str,
        segment: &SegmentState,
        witness: Option<(u64, Offset)>,
        findings: &mut Findings,
    ) {
        let upto = segment
            .seal
            .map(|seal| seal.upto)
            .or(witness.map(|(_, upto)| upto));
        let upto = upto.unwrap_or(segment.base);
        let finding = Finding::new(Severity::Damage, path, "the segment is missing");
        findings.push(finding.of(self.state.tp).offsets(segment.base, upto));
        self.lose(segment.base.max(self.end), upto);
        self.advance(upto, segment.seal.map(|seal| seal.chain_after));
        if let Some(seal) = segment.seal {
            let epoch = self.epochs.at(segment.base).unwrap_or_default();
            self.missing
                .push(recovered((path.to_owned(), 0), segment, seal, epoch));
        } else {
            self.cut_short = Some(path.to_owned());
            self.records.push(Record::SegmentRemove {
                log: self.id,
                uid: segment.uid,
            });
        }
    }

    fn lose(&mut self, from: Offset, upto: Offset) {
        let from = from.max(self.state.log_start);
        if self.state.holes.add(from, upto) {
            self.new_holes.push(from..upto);
        }
    }

    fn advance(&mut self, upto: Offset, chain: Option<u64>) {
        if upto > self.end || (upto == self.end && self.chain.is_none()) {
            (self.end, self.chain) = (upto, chain);
        }
    }

    /// Epochs that only the data tells of: the manifest must know them once the segment is not read again.
    fn note_new_epochs(&mut self, newest_before: Option<LeaderEpoch>) {
        let log = self.id;
        let fresh = self
            .epochs
            .iter()
            .filter(|entry| Some(entry.epoch) > newest_before);
        let records: Vec<Record> = fresh
            .map(|entry| Record::EpochStart {
                log,
                epoch: entry.epoch,
                start: entry.start,
            })
            .collect();
        self.records.extend(records);
    }
}

/// Notes a batch of a newer epoch than any before.
pub(crate) fn note_epoch(epochs: &mut EpochTable, batch: &ReadBatch) {
    if let Some(epoch) = batch.info.leader_epoch {
        epochs.start(epoch, batch.info.base_offset);
    }
}

/// End of the prepared zeros in this part of a file, which lies behind a sealed segment's end: a start before this one
/// was over before it gave them back.
fn zeros_behind<D: Disk>(disk: &D, path: &str, behind: Range<u64>) -> u64 {
    if behind.is_empty() {
        return behind.start;
    }
    let next = disk.read(path, behind.start, BLOCK_BYTES);
    match next.is_ok_and(|block| !block.is_empty() && is_zero(&block)) {
        true => behind.end,
        false => behind.start,
    }
}

fn recovered(
    (path, zeroed_upto): (String, u64),
    segment: &SegmentState,
    seal: Seal,
    epoch: LeaderEpoch,
) -> RecoveredSegment {
    RecoveredSegment {
        uid: segment.uid,
        path,
        base: segment.base,
        upto: seal.upto,
        epoch,
        valid_end: seal.valid_end,
        zeroed_upto: zeroed_upto.max(seal.valid_end),
        chain_after: seal.chain_after,
        max_timestamp: seal.max_timestamp,
        groups: seal.groups,
        created_ms: segment.created_ms,
        index: None,
    }
}
