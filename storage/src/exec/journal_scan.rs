//! First pass over the journals: which groups count.
//!
//! Owns: the verdict per lineage: witness, cut, damage; witnesses of segments; where entries start.
//! Never: keeps a payload.
//! Invariants: a group at or below the witness is never cut; a group above the first invalid one that lies
//! above the witness never counts.
//! Source: reliability.md 2.4 (verdict table), 2.5 step 6.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::ids::ShardId;
use model::limits::{BLOCK_BYTES, GROUPS_INFLIGHT_MAX};
use model::offset::Offset;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::journal_walk::{FIRST_GROUP, Met, WalkFrom, walk_file};
use super::manifest_state::{JournalState, ManifestState};
use super::manifest_walk::{BLOCK, newer_in};
use crate::format::frame::{Beside, Frame, FrameKind, lineage_tag};
use crate::format::journal::{Entry, JournalHeader, SegDurableEntry, entries};
use crate::format::layout::journal_path;
use crate::format::{FLAG_END_KEPT, FormatError, Uid};
use crate::io::IoError;
use crate::store::LogId;

/// Entry positions remembered for comparison with segments; beyond it entries are compared only at the end
/// of their segment.
const POINTS_MAX: usize = 4 << 20;

/// Logs that only journals know: told of this many.
const UNKNOWN_LOGS_MAX: usize = 1_000;

/// Groups written at once.
const INFLIGHT: u64 = GROUPS_INFLIGHT_MAX as u64;

/// One file of a lineage that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedFile {
    pub(crate) path: String,
    /// Sequence of the first group that may be in it.
    pub(crate) first_seq: u64,
    /// Whether anything in it is not wholly covered by sealed segments.
    pub(crate) is_needed: bool,
}

/// One lineage: the journal of one process start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) uid: Uid,
    pub(crate) files: Vec<PlannedFile>,
    /// Highest sequence that certainly was durable.
    pub(crate) witness: u64,
    /// First sequence that does not count.
    pub(crate) cut: Option<u64>,
    /// Sequences at or below the witness that cannot be read.
    pub(crate) damaged: Vec<Range<u64>>,
    /// Whether a registered file is gone, so that nobody knows what is missing.
    pub(crate) is_file_lost: bool,
    /// The last such file.
    pub(crate) lost_file: Option<String>,
    /// Highest sequence that such a file may have held; 0 if none is gone.
    pub(crate) lost_upto: u64,
    /// Where bytes at the end are no group.
    pub(crate) torn_at: Option<u64>,
    /// Highest valid sequence.
    pub(crate) newest: u64,
    /// Missing sequences, with file index and position where the first should start.
    gaps: Vec<Gap>,
    /// Those behind the last valid group that a header without its body tells of.
    headed: Option<Gap>,
    /// First sequence that may have been behind the end of a file that was cut, until a later file bounds it.
    cut_off: Option<u64>,
}

/// Missing sequences, with file index and position where the first should start.
type Gap = (Range<u64>, usize, u64);

/// What the first pass found.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalScan {
    /// Oldest first.
    pub(crate) lineages: Vec<Lineage>,
    /// Newest witness per segment.
    pub(crate) witnesses: BTreeMap<Uid, SegDurableEntry>,
    /// Offsets at which entries that sealed segments do not cover start or end, per log.
    pub(crate) points: BTreeMap<LogId, BTreeSet<Offset>>,
    point_count: usize,
    /// Logs that only journals know.
    unknown_logs: BTreeSet<LogId>,
    /// Ids below it occur in entries.
    pub(crate) next_log: u64,
    /// Valid groups.
    pub(crate) groups: u64,
    /// The most that a group says of the manifest.
    pub(crate) claim: Option<Claim>,
}

/// What a journal group says of the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) file: String,
    pub(crate) position: u64,
    /// Generation and durable sequence.
    pub(crate) manifest: Beside,
}

impl Lineage {
    /// Whether the group with this sequence counts.
    pub(crate) fn counts(&self, seq: u64) -> bool {
        self.cut.is_none_or(|cut| seq < cut)
    }

    /// Whether a group below `seq` was durable and cannot be read.
    pub(crate) fn is_damaged_below(&self, seq: u64) -> bool {
        self.is_file_lost || self.damaged.iter().any(|range| range.start < seq)
    }

    /// What was in the lost files lies before the file that starts with `first_seq`.
    fn end_lost_file(&mut self, first_seq: u64) {
        if self.lost_upto == u64::MAX {
            self.lost_upto = first_seq.saturating_sub(1);
        }
        self.lose_cut_off(first_seq);
    }

    fn lose_cut_off(&mut self, upto: u64) {
        let from = self.cut_off.take();
        self.damaged
            .extend(from.filter(|from| *from < upto).map(|from| from..upto));
    }

    /// The manifest may know groups behind those that are there.
    fn miss_known(&mut self, known: Beside, last: Option<FileEnd>) {
        if known.of != lineage_tag(&self.uid) {
            return;
        }
        self.witness = self.witness.max(known.through);
        if let Some(last) = last.filter(|last| last.next_seq <= known.through) {
            let missing = last.next_seq..known.through.saturating_add(1);
            let index = self.files.len().saturating_sub(1);
            self.gaps.push((missing, index, last.position));
        }
    }

    /// Decides, once every file was walked.
    fn judge(&mut self) {
        // A group was written only when all but the last few before it were known durable.
        self.witness = self.witness.max(self.newest.saturating_sub(INFLIGHT));
        self.lose_cut_off(u64::MAX);
        let witness = self.witness;
        let headed = self.headed.take();
        self.gaps
            .extend(headed.filter(|(gap, _, _)| gap.start <= witness));
        for (gap, _, _) in &self.gaps {
            let lost_upto = gap.end.min(self.witness + 1);
            if gap.start < lost_upto {
                self.damaged.push(gap.start..lost_upto);
            }
            if gap.end > self.witness + 1 && self.cut.is_none() {
                self.cut = Some(gap.start.max(self.witness + 1));
            }
        }
    }

    fn report(&self, findings: &mut Findings) {
        for (gap, file, position) in &self.gaps {
            let path = self
                .files
                .get(*file)
                .map_or("journal", |file| file.path.as_str());
            let is_lost = gap.start <= self.witness;
            let severity = if is_lost {
                Severity::Damage
            } else {
                Severity::Repairable
            };
            let what = format!(
                "groups {} to {} cannot be read; everything up to {} was durable",
                gap.start,
                gap.end - 1,
                self.witness
            );
            findings.push(Finding::new(severity, path, what).at(*position));
        }
    }
}

impl JournalScan {
    /// Walks every journal file that the manifest names; `known` is what it says of a lineage.
    pub(crate) fn run<D: Disk>(
        disk: &D,
        shard: ShardId,
        (state, known): (&ManifestState, Beside),
        findings: &mut Findings,
    ) -> Result<Self, RecoverError> {
        let mut scan = Self::default();
        for (uid, files) in by_lineage(&state.journals) {
            let mut lineage = Lineage {
                uid,
                ..Lineage::default()
            };
            let mut walker = LineageWalker {
                state,
                scan: &mut scan,
                lineage: &mut lineage,
                findings,
            };
            let mut last = None;
            for journal in files {
                last = walker.file(disk, (shard, journal), last)?;
            }
            lineage.miss_known(known, last);
            lineage.judge();
            lineage.report(findings);
            scan.lineages.push(lineage);
        }
        Ok(scan)
    }

    fn note_claim(&mut self, path: &str, position: u64, frame: &Frame) {
        let newest = self.claim.as_ref().map(|claim| claim.manifest);
        if frame.beside != Beside::default() && Some(frame.beside) > newest {
            self.claim = Some(Claim {
                file: path.to_owned(),
                position,
                manifest: frame.beside,
            });
        }
    }

    fn add_point(&mut self, log: LogId, offset: Offset) {
        if self.point_count < POINTS_MAX && self.points.entry(log).or_default().insert(offset) {
            self.point_count += 1;
        }
    }
}

/// Lineages in the order of their first file, files in the order of their numbers.
fn by_lineage(journals: &[JournalState]) -> Vec<(Uid, Vec<JournalState>)> {
    let mut lineages: Vec<(Uid, Vec<JournalState>)> = Vec::new();
    for journal in journals {
        match lineages.iter_mut().find(|(uid, _)| *uid == journal.lineage) {
            Some((_, files)) => files.push(*journal),
            None => lineages.push((journal.lineage, vec![*journal])),
        }
    }
    for (_, files) in &mut lineages {
        files.sort_by_key(|journal| journal.number);
    }
    lineages
}

/// Sequence of the group at the start of a file whose header is lost.
fn first_group<D: Disk>(disk: &D, path: &str, lineage: &Uid) -> Result<Option<u64>, IoError> {
    let block = match disk.read(path, FIRST_GROUP, BLOCK_BYTES) {
        Ok(block) => block,
        Err(IoError::Device(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let peeked = Frame::peek(FrameKind::Journal, &block).ok();
    let frame = peeked.map(|(frame, _)| frame);
    let frame = frame.filter(|frame| frame.lineage == *lineage && frame.block == 1);
    Ok(frame.map(|frame| frame.seq))
}

/// Where the file before ended.
#[derive(Clone, Copy, Debug)]
struct FileEnd {
    number: u64,
    next_seq: u64,
    last_hash: u64,
    position: u64,
}

struct LineageWalker<'s> {
    state: &'s ManifestState,
    scan: &'s mut JournalScan,
    lineage: &'s mut Lineage,
    findings: &'s mut Findings,
}

impl LineageWalker<'_> {
    fn file<D: Disk>(
        &mut self,
        disk: &D,
        (shard, journal): (ShardId, JournalState),
        last: Option<FileEnd>,
    ) -> Result<Option<FileEnd>, RecoverError> {
        let path = journal_path(shard, &journal.file);
        let header = match disk.read(&path, 0, BLOCK_BYTES) {
            Ok(block) => JournalHeader::decode(&block),
            Err(IoError::NotFound) => {
                self.lose(&path, "the journal file is missing");
                return Ok(None);
            }
            Err(IoError::Device(_)) => Err(FormatError::BadChecksum {
                what: "journal file",
            }),
            Err(source) => return Err(RecoverError::Io { file: path, source }),
        };
        // Files retire in any order, so only consecutive numbers are consecutive groups.
        let last = last.filter(|last| last.number + 1 == journal.number);
        let mut is_header_lost = false;
        let mut is_end_kept = true;
        let first_seq = match header {
            Ok(header) if header.lineage == journal.lineage && header.file == journal.file => {
                self.lineage.end_lost_file(header.first_seq);
                is_end_kept = header.flags & FLAG_END_KEPT != 0;
                header.first_seq
            }
            Err(newer @ FormatError::NewerVersion { .. }) => return Err(newer_in(&path, newer)),
            Ok(_) | Err(_) => {
                is_header_lost = true;
                let what = "the header block cannot be read";
                self.findings
                    .push(Finding::new(Severity::Damage, &path, what).at(0));
                match last {
                    Some(last) => last.next_seq,
                    None => first_group(disk, &path, &journal.lineage)
                        .in_file(&path)?
                        .unwrap_or(1),
                }
            }
        };
        self.lineage.files.push(PlannedFile {
            path: path.clone(),
            first_seq,
            is_needed: false,
        });
        let index = self.lineage.files.len() - 1;
        if let Some(last) = last.filter(|last| last.next_seq < first_seq) {
            self.lineage
                .gaps
                .push((last.next_seq..first_seq, index - 1, last.position));
        }
        let last_hash = match last {
            Some(last) if last.next_seq == first_seq => Some(last.last_hash),
            None if first_seq == 1 => Some(0),
            Some(_) | None => None,
        };
        let from = WalkFrom {
            lineage: journal.lineage,
            next_seq: first_seq,
            last_hash,
        };
        let before = self.scan.groups;
        let (end, cut_at) = self.groups(disk, &path, (index, journal.number), from)?;
        if let Some((seq, len)) = cut_at.filter(|_| is_end_kept) {
            self.cut_off(&path, seq, len);
        }
        if is_header_lost && self.scan.groups == before {
            // Nothing in it can be told from a file that is gone: emptied, zeroed or overwritten as a whole.
            self.lose(&path, "nothing in the journal file can be read");
        }
        Ok(Some(end))
    }

    /// Reads the groups of a file; also the first sequence behind its end and its length, if it was cut.
    fn groups<D: Disk>(
        &mut self,
        disk: &D,
        path: &str,
        (index, number): (usize, u64),
        from: WalkFrom,
    ) -> Result<(FileEnd, Option<(u64, u64)>), RecoverError> {
        let mut next_seq = from.next_seq;
        let (mut broken_at, mut is_header_good, mut is_cut) = (None, false, false);
        self.lineage.headed = None;
        let mut end = FIRST_GROUP;
        let walk = walk_file(disk, path, from, |met| match met {
            Met::Group { position, group } => {
                let seq = group.frame.seq;
                if seq > next_seq {
                    let at = broken_at.unwrap_or(end);
                    self.lineage.gaps.push((next_seq..seq, index, at));
                }
                self.group(index, path, position, &group);
                self.lineage.headed = None;
                (next_seq, broken_at, is_header_good) = (seq + 1, None, false);
                end = position + group.len as u64;
            }
            Met::Broken {
                position,
                frame,
                is_cut_short,
                ..
            } => {
                // Whatever became of the body, the header was written.
                let through = frame.map_or(0, |frame| frame.durable_through);
                self.lineage.witness = self.lineage.witness.max(through);
                let at = *broken_at.get_or_insert(position);
                if let Some(frame) = frame.filter(|_| !is_cut_short) {
                    self.lineage.headed = Some((next_seq..frame.seq + 1, index, at));
                }
                is_header_good |= frame.is_some();
                if let Some(frame) = &frame {
                    self.scan.note_claim(path, position, frame);
                }
                is_cut |= is_cut_short && frame.is_some();
                let cut_short = frame.filter(|_| is_cut_short);
                next_seq = cut_short.map_or(next_seq, |frame| {
                    self.cut_short(index, path, position, next_seq..frame.seq + 1)
                });
            }
            Met::Misplaced { position, frame } => {
                self.scan.note_claim(path, position, &frame);
                // It was written when all but the last few before it were durable.
                let through = frame
                    .seq
                    .saturating_sub(INFLIGHT)
                    .max(frame.durable_through);
                self.lineage.witness = self.lineage.witness.max(through);
                let at = *broken_at.get_or_insert(position);
                is_header_good = true;
                if frame.seq >= next_seq {
                    self.lineage.headed = Some((next_seq..frame.seq + 1, index, at));
                }
            }
        });
        let walk = walk.in_file(path)?;
        if let Some(first) = walk.unreadable.first {
            let count = walk.unreadable.count;
            let what = format!("{count} blocks cannot be read from the device");
            self.findings
                .push(Finding::new(Severity::Damage, path, what).at(first));
        }
        let is_old_content = walk.is_recycled && !is_header_good;
        // Its first sectors may be missing as well as its last.
        self.lineage.torn_at = broken_at.filter(|_| !is_old_content);
        let end = FileEnd {
            number,
            next_seq: walk.next_seq,
            last_hash: walk.last_hash,
            position: walk.end,
        };
        is_cut |= walk.end + BLOCK > walk.len;
        Ok((end, is_cut.then_some((next_seq, walk.len))))
    }

    fn group(
        &mut self,
        index: usize,
        path: &str,
        position: u64,
        group: &crate::format::frame::DecodedGroup<'_>,
    ) {
        self.scan.groups += 1;
        self.lineage.newest = self.lineage.newest.max(group.frame.seq);
        self.scan.note_claim(path, position, &group.frame);
        self.lineage.witness = self.lineage.witness.max(group.frame.durable_through);
        let found = match entries(group) {
            Ok(found) => found,
            Err(error) => {
                self.findings
                    .push(Finding::new(Severity::Damage, path, error.to_string()).at(position));
                let seq = group.frame.seq;
                self.lineage.damaged.push(seq..seq + 1);
                return;
            }
        };
        for entry in found {
            match entry {
                Entry::SegDurable(witness) => self.witness(witness),
                Entry::Append(append, _) => {
                    self.scan.next_log = self.scan.next_log.max(append.log.0.saturating_add(1));
                    let Some(log) = self.state.logs.get(&append.log) else {
                        self.note_unknown(append.log, path, position);
                        continue;
                    };
                    if append.last < log.sealed_upto() {
                        continue;
                    }
                    if let Some(file) = self.lineage.files.get_mut(index) {
                        file.is_needed = true;
                    }
                    self.scan.add_point(append.log, append.first);
                    self.scan.add_point(append.log, append.last.next());
                }
            }
        }
    }

    /// Entries of a dropped log are nothing new; those of an id that was never given out are.
    fn note_unknown(&mut self, log: LogId, path: &str, position: u64) {
        let is_known = self.scan.unknown_logs.len() >= UNKNOWN_LOGS_MAX;
        if log.0 < self.state.next_log || is_known || !self.scan.unknown_logs.insert(log) {
            return;
        }
        let what = format!(
            "entries of log {}, which the manifest does not know: its creation was cut off or lost",
            log.0
        );
        let finding = Finding::new(Severity::Repairable, path, what);
        self.findings.push(finding.at(position));
    }

    /// Zeros follow the last group of a file that is whole.
    fn cut_off(&mut self, path: &str, seq: u64, len: u64) {
        let what = format!("the file is cut short: groups from {seq} on may be missing");
        self.findings
            .push(Finding::new(Severity::Damage, path, what).at(len));
        self.lineage.cut_off = Some(seq);
    }

    /// No crash shortens a file: what is missing may have been durable. Gives the next sequence.
    fn cut_short(&mut self, index: usize, path: &str, position: u64, lost: Range<u64>) -> u64 {
        let what = "the file is cut short inside a group";
        self.findings
            .push(Finding::new(Severity::Damage, path, what).at(position));
        let next_seq = lost.end;
        self.lineage.witness = self.lineage.witness.max(next_seq - 1);
        self.lineage.gaps.push((lost, index, position));
        next_seq
    }

    fn witness(&mut self, entry: SegDurableEntry) {
        let newest = self.scan.witnesses.entry(entry.segment).or_insert(entry);
        if newest.group_seq < entry.group_seq {
            *newest = entry;
        }
    }

    fn lose(&mut self, path: &str, what: &str) {
        self.lineage.is_file_lost = true;
        self.lineage.lost_file = Some(path.to_owned());
        self.lineage.lost_upto = u64::MAX;
        self.findings
            .push(Finding::new(Severity::Damage, path, what));
    }
}
