//! Second pass over the journals: entries become tails.
//!
//! Owns: what of a journal entry is new to a log, and what a gap means.
//! Never: counts a group that the first pass cut; changes a file.
//! Invariants: offsets of a tail are dense inside a run; a run ends only at a hole; what a newer lineage
//! wrote at an offset wins over an older one, because the newer start had already decided.
//! Source: reliability.md 2.4, 2.5 step 6.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use model::ids::TopicPartition;
use model::offset::Offset;

use super::finding::{Finding, Findings, Severity};
use super::holes::Holes;
use super::segment_batches::{BatchDepth, ReadBatch, split};
use crate::format::journal::{AppendEntry, topic_tag};
use crate::log::epochs::EpochTable;

/// More offsets than a journal of 1 GiB can hold: it has fewer than 2^24.1 batches, each of fewer than
/// 2^23.3 records.
const LOST_OFFSETS: u64 = 1 << 48;

/// One batch that lives only in journals.
#[derive(Clone, Debug)]
pub(crate) struct TailItem {
    pub(crate) read: ReadBatch,
    pub(crate) bytes: Bytes,
    lineage: usize,
}

/// Batches without a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) items: Vec<TailItem>,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryPlace<'p> {
    /// Index of the lineage, rising with age.
    pub(crate) lineage: usize,
    pub(crate) is_newest_lineage: bool,
    /// Whether groups before it were durable and cannot be read.
    pub(crate) is_behind_damage: bool,
    pub(crate) path: &'p str,
    pub(crate) position: u64,
}

/// One log while journals are replayed.
#[derive(Clone, Debug)]
pub(crate) struct LogReplay {
    pub(crate) tp: TopicPartition,
    /// End of the segments, and the chain hash there.
    start: (Offset, Option<u64>),
    /// Next offset.
    pub(crate) end: Offset,
    /// Chain hash there, if anything tells it.
    pub(crate) chain: Option<u64>,
    pub(crate) runs: Vec<Run>,
    pub(crate) holes: Holes,
    pub(crate) new_holes: Vec<Range<Offset>>,
    /// Chain hashes at batch boundaries in segments that were read.
    chains: BTreeMap<Offset, u64>,
    pub(crate) is_unverified: bool,
    /// Lineage and sequence of the newest group that counts and has an append of it.
    pub(crate) seen: Option<(usize, u64)>,
    /// Whether groups are lost that may have held its newest offsets.
    lost_end: Option<LostEnd>,
    /// Whether its open segment was cut short or is gone.
    pub(crate) is_cut_short: bool,
    stopped_in: Option<usize>,
}

/// In which lineage groups are lost that may have held the newest offsets of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostEnd {
    /// In one that a start after it went on from.
    Older,
    /// In that of the last start.
    Newest,
}

impl LogReplay {
    pub(crate) fn new(
        tp: TopicPartition,
        (end, chain): (Offset, Option<u64>),
        holes: Holes,
        chains: BTreeMap<Offset, u64>,
    ) -> Self {
        let mut replay = Self {
            tp,
            start: (end, chain),
            end,
            chain,
            runs: Vec::new(),
            holes,
            new_holes: Vec::new(),
            chains,
            is_unverified: false,
            seen: None,
            lost_end: None,
            is_cut_short: false,
            stopped_in: None,
        };
        replay.skip_hole();
        replay
    }

    /// Applies one entry.
    pub(crate) fn apply(
        &mut self,
        entry: &AppendEntry,
        payload: &[u8],
        place: &EntryPlace<'_>,
        findings: &mut Findings,
    ) {
        if entry.topic_tag != topic_tag(self.tp.topic) {
            let what = format!(
                "an entry of log {} carries another topic's tag",
                entry.log.0
            );
            findings.push(self.finding(Severity::Damage, place, what));
            return;
        }
        if self.stopped_in == Some(place.lineage) {
            return;
        }
        self.yield_to_newer(entry, payload, place);
        if entry.last < self.end {
            self.compare_covered(entry, place, findings);
            return;
        }
        if entry.first > self.end && !self.cross_gap(entry, place, findings) {
            return;
        }
        self.take(entry, payload, place, findings);
    }

    /// An entry whose group is damaged: if its table can be believed, its offsets are lost.
    pub(crate) fn lose(
        &mut self,
        entry: &AppendEntry,
        place: &EntryPlace<'_>,
        findings: &mut Findings,
    ) {
        let is_credible = entry.topic_tag == topic_tag(self.tp.topic)
            && entry.first <= self.end
            && entry.last >= self.end
            && self
                .chain
                .is_none_or(|chain| entry.first < self.end || chain == entry.chain_before);
        if is_credible && self.stopped_in != Some(place.lineage) {
            self.open_hole(entry.last.next(), place, findings);
        }
    }

    /// Offsets below `upto` were given out in groups of which some are lost.
    pub(crate) fn reach(&mut self, upto: Offset, place: &EntryPlace<'_>, findings: &mut Findings) {
        if upto > self.end && self.stopped_in != Some(place.lineage) {
            self.open_hole(upto, place, findings);
        }
    }

    /// Nobody knows which offsets were given out last.
    pub(crate) fn lose_end(
        &mut self,
        lost: LostEnd,
        (path, what): (&str, &str),
        findings: &mut Findings,
    ) {
        let mut finding = Finding::new(Severity::Damage, path, what).of(self.tp);
        // How many records were in them is what nobody knows.
        finding.offset = Some(self.end);
        findings.push(finding);
        self.lost_end = Some(lost);
    }

    /// Goes on where no offset that is lost can be, unless a start did so before.
    pub(crate) fn leave_lost_end(&mut self, epochs: &EpochTable) {
        let Some(lost) = self.lost_end else { return };
        let is_known = self.ends_in_known_hole();
        let was_used_since = lost == LostEnd::Newest && epochs.newest_start() >= Some(self.end);
        if is_known && !was_used_since {
            return;
        }
        let (from, upto) = (self.end, self.end.checked_add(LOST_OFFSETS));
        let upto = upto.unwrap_or(Offset::MAX);
        if self.holes.add(from, upto) {
            self.new_holes.push(from..upto);
        }
        (self.end, self.chain) = (upto, None);
    }

    /// Whether the log ends in a hole of this kind that the manifest has.
    fn ends_in_known_hole(&self) -> bool {
        let is_new = self.new_holes.iter().any(|hole| hole.end == self.end);
        let newest = self.holes.ranges().last();
        let is_one = newest.is_some_and(|hole| {
            hole.end == self.end && hole.start.distance(hole.end) >= LOST_OFFSETS
        });
        is_one && !is_new
    }

    /// The older lineage's batches go from the first one on that the entry tells otherwise.
    fn yield_to_newer(&mut self, entry: &AppendEntry, payload: &[u8], place: &EntryPlace<'_>) {
        let Some(run) = self.runs.last().filter(|_| entry.first < self.end) else {
            return;
        };
        let mut batches = Vec::new();
        let start = (entry.first, entry.chain_before);
        if split(payload, BatchDepth::Header, start, &mut batches).is_err() {
            return;
        }
        let Some(at) = first_difference(&run.items, &batches) else {
            return;
        };
        if run
            .items
            .get(at)
            .is_some_and(|item| item.lineage < place.lineage)
        {
            self.cut_run(at);
        }
    }

    /// Drops the newest run's batches from `at` on.
    fn cut_run(&mut self, at: usize) {
        let is_only_run = self.runs.len() == 1;
        let Some(run) = self.runs.last_mut() else {
            return;
        };
        let Some(item) = run.items.get(at) else {
            return;
        };
        let (end, chain) = (item.read.info.base_offset, item.read.chain_before);
        run.items.truncate(at);
        if at > 0 {
            (self.end, self.chain) = (end, Some(chain));
            return;
        }
        self.runs.pop();
        (self.end, self.chain) = match is_only_run {
            true => self.start,
            false => (end, None),
        };
    }

    /// Drops the batches at the end that are of an older epoch than the manifest gives their offsets: a start
    /// had cut them, and deleted what came in their place.
    pub(crate) fn drop_stale(&mut self, epochs: &EpochTable) {
        let is_stale = |item: &TailItem| {
            let info = &item.read.info;
            info.leader_epoch < epochs.at(info.base_offset)
        };
        let at = self
            .runs
            .last()
            .and_then(|run| run.items.iter().position(is_stale));
        if let Some(at) = at {
            self.cut_run(at);
        }
    }

    /// An entry that segments or the tail have already: both must tell the same history.
    fn compare_covered(
        &self,
        entry: &AppendEntry,
        place: &EntryPlace<'_>,
        findings: &mut Findings,
    ) {
        let known = self.chains.get(&entry.first);
        // An older start may have dropped what this entry says; only the newest lineage is evidence.
        if place.is_newest_lineage && known.is_some_and(|chain| *chain != entry.chain_before) {
            let what = format!(
                "the entry of offset {} contradicts the segment",
                entry.first
            );
            let finding = self.finding(Severity::Damage, place, what);
            findings.push(finding.offsets(entry.first, entry.last.next()));
        }
    }

    /// Decides on offsets that are missing before an entry; false if the entry does not count.
    fn cross_gap(
        &mut self,
        entry: &AppendEntry,
        place: &EntryPlace<'_>,
        findings: &mut Findings,
    ) -> bool {
        if place.is_behind_damage || self.is_cut_short {
            self.open_hole(entry.first, place, findings);
            return self.end <= entry.last;
        }
        // They were on their way to a segment and never became durable, so nothing behind them was
        // acknowledged (I4).
        self.stopped_in = Some(place.lineage);
        if place.is_newest_lineage {
            self.is_unverified = true;
            let what = format!(
                "entries from offset {} on follow a write that was cut off",
                entry.first
            );
            let finding = self.finding(Severity::Repairable, place, what);
            findings.push(finding.offsets(entry.first, entry.last.next()));
        }
        false
    }

    fn open_hole(&mut self, upto: Offset, place: &EntryPlace<'_>, findings: &mut Findings) {
        let from = self.end;
        if self.holes.add(from, upto) {
            self.new_holes.push(from..upto);
            let what = "offsets were durable in the journal and cannot be read".to_owned();
            findings.push(
                self.finding(Severity::Damage, place, what)
                    .offsets(from, upto),
            );
        }
        self.end = upto;
        self.chain = None;
        self.skip_hole();
    }

    fn skip_hole(&mut self) {
        let behind = self.holes.skip(self.end);
        if behind > self.end {
            self.end = behind;
            self.chain = None;
        }
    }

    /// Takes the batches of an entry from `end` on.
    fn take(
        &mut self,
        entry: &AppendEntry,
        payload: &[u8],
        place: &EntryPlace<'_>,
        findings: &mut Findings,
    ) {
        let mut batches = Vec::new();
        let start = (entry.first, entry.chain_before);
        let outcome = split(payload, BatchDepth::Header, start, &mut batches);
        let is_dense = is_dense(&batches, entry);
        if outcome.is_err() || !is_dense {
            let what = format!("the entry of offset {} holds other batches", entry.first);
            findings.push(self.finding(Severity::Damage, place, what));
            self.open_hole(entry.last.next(), place, findings);
            return;
        }
        let is_first = self.is_before_everything();
        let skipped = batches.partition_point(|batch| match is_first {
            true => batch.info.last_offset() < self.end,
            false => batch.info.base_offset < self.end,
        });
        let Some(first) = batches.get(skipped) else {
            return self.contradict(entry, place, findings);
        };
        let is_joint = (is_first || first.info.base_offset == self.end)
            && self.chain.is_none_or(|chain| chain == first.chain_before);
        if !is_joint {
            return self.contradict(entry, place, findings);
        }
        let skipped_bytes: usize = batches
            .iter()
            .take(skipped)
            .map(|batch| batch.info.len())
            .sum();
        let fresh = Bytes::copy_from_slice(payload.get(skipped_bytes..).unwrap_or(&[]));
        self.push(batches.get(skipped..).unwrap_or(&[]), &fresh, place.lineage);
        self.skip_hole();
    }

    /// Whether nothing is known but a log start, which may lie inside a batch.
    fn is_before_everything(&self) -> bool {
        self.runs.is_empty() && self.end == self.start.0 && self.chain.is_none()
    }

    fn push(&mut self, batches: &[ReadBatch], bytes: &Bytes, lineage: usize) {
        let is_continued = self.runs.last().is_some_and(|run| {
            run.items
                .last()
                .is_some_and(|item| item.read.info.end_offset() == self.end)
        });
        if !is_continued {
            self.runs.push(Run::default());
        }
        let Some(run) = self.runs.last_mut() else {
            return;
        };
        let mut at = 0;
        for batch in batches {
            let upto = at + batch.info.len();
            run.items.push(TailItem {
                read: *batch,
                bytes: bytes.slice(at..upto),
                lineage,
            });
            at = upto;
            self.end = batch.info.end_offset();
            self.chain = Some(batch.chain_after);
        }
    }

    /// The entry does not continue the history that is known.
    fn contradict(&mut self, entry: &AppendEntry, place: &EntryPlace<'_>, findings: &mut Findings) {
        self.stopped_in = Some(place.lineage);
        if place.is_newest_lineage {
            self.is_unverified = true;
            let what = format!(
                "the entry of offset {} does not continue the log at {}: their chain hashes differ",
                entry.first, self.end
            );
            let finding = self.finding(Severity::Damage, place, what);
            findings.push(finding.offsets(self.end, entry.last.next()));
        }
    }

    fn finding(&self, severity: Severity, place: &EntryPlace<'_>, what: String) -> Finding {
        Finding::new(severity, place.path, what)
            .at(place.position)
            .of(self.tp)
    }
}

/// Index of the first item that a batch overlaps without being the same batch with the same history.
fn first_difference(items: &[TailItem], batches: &[ReadBatch]) -> Option<usize> {
    let first = items.first()?.read.info.base_offset;
    for batch in batches
        .iter()
        .filter(|batch| batch.info.last_offset() >= first)
    {
        let at =
            items.partition_point(|item| item.read.info.last_offset() < batch.info.base_offset);
        let read = &items.get(at)?.read;
        let is_same = read.info.base_offset == batch.info.base_offset
            && (read.chain_before, read.chain_after) == (batch.chain_before, batch.chain_after);
        if !is_same {
            return Some(at);
        }
    }
    None
}

/// Whether batches fill exactly the offsets of their entry.
fn is_dense(batches: &[ReadBatch], entry: &AppendEntry) -> bool {
    let ends = batches
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.info.end_offset() == b.info.base_offset));
    let first = batches.first().map(|batch| batch.info.base_offset);
    let last = batches.last().map(|batch| batch.info.last_offset());
    ends && (first, last) == (Some(entry.first), Some(entry.last))
}
