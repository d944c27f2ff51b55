//! Reading everything a start or a check decides from, before anything is changed.
//!
//! Owns: the order in which manifest, journals and segments are read.
//! Never: changes a file, so a crash meanwhile changes nothing either.
//! Invariants: a manifest that lost records is noticed here, or not at all.
//! Source: reliability.md 2.5 steps 4 to 7.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::slice;

use model::ids::ShardId;

use super::Disk;
use super::failure::RecoverError;
use super::finding::Findings;
use super::journal_replay;
use super::journal_scan::JournalScan;
use super::journal_strays::{ManifestEnd, Strays, find_strays};
use super::log_scan::{LogScan, ScanWith};
use super::lost_records;
use super::manifest_state::{LogState, ManifestState};
use super::replay::{LogReplay, LostEnd};
use super::segment_batches::BatchDepth;
use super::stream::PIECE_BYTES;
use crate::format::Uid;
use crate::format::frame::Beside;
use crate::format::journal::{GroupPlace, SegDurableEntry};
use crate::format::layout::segment_path;
use crate::format::segment::{FIRST_GROUP_POSITION, reach};
use crate::store::LogId;

/// What is said of a log whose open segment was cut or is gone.
const CUT_SHORT: &str =
    "its open segment was cut, and nothing tells which offsets this log gave out in it";

/// Logs whose open segments are asked for ahead, so that the device works while one is checked.
const LOGS_AHEAD: usize = 16;

/// Bytes of each of them at most.
const EXPECTED_BYTES: u64 = 2 * PIECE_BYTES as u64;

/// How a directory is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) shard: ShardId,
    /// Wall clock, ms.
    pub(crate) now_ms: i64,
    /// `Checksum` reads everything, `Header` what a start needs.
    pub(crate) depth: BatchDepth,
}

/// What one core holds.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// With the adopted journals.
    pub(crate) state: ManifestState,
    pub(crate) strays: Strays,
    pub(crate) journals: JournalScan,
    pub(crate) scans: BTreeMap<LogId, LogScan>,
    pub(crate) replays: BTreeMap<LogId, LogReplay>,
    pub(crate) findings: Findings,
    /// Whether journals were not read because the last stop was orderly.
    pub(crate) is_clean: bool,
    /// Why nothing may be changed.
    pub(crate) refusal: Option<RecoverError>,
}

/// Reads everything about one core.
pub(crate) fn examine<D: Disk>(
    disk: &D,
    reading: Reading,
    (state, ending): (ManifestState, ManifestEnd),
) -> Result<Examined, RecoverError> {
    let mut found = Findings::default();
    let mut strays = find_strays(disk, reading.shard, &state, &mut found)?;
    let mut distrusted = BTreeSet::new();
    loop {
        let mut examined = Examined {
            findings: found.clone(),
            state: state.clone(),
            ..Examined::default()
        };
        let adopted = strays.records();
        let is_complete = adopted.is_empty() && reading.depth == BatchDepth::Header;
        examined.is_clean = is_complete && state.is_clean && is_all_sealed(&state);
        adopted
            .iter()
            .for_each(|record| examined.state.apply(record));
        examined.read(disk, reading, (ending.journal, &distrusted))?;
        let refuted = examined.refuted();
        if !refuted.is_empty() {
            // Their producers come from the log alone, which may be read for the first time then.
            distrusted.extend(refuted);
            continue;
        }
        let files = (reading.shard, &strays, ending.at);
        let Some(sign) = lost_records::look(disk, files, &examined)? else {
            examined.strays = strays;
            return Ok(examined);
        };
        // A torn end may have held the record of this very journal; anything else may be missing, too.
        match sign.lineage.filter(|_| ending.is_torn) {
            Some(lineage) => strays.adopt_lineage((reading.shard, lineage), &mut found),
            None => {
                examined.refusal =
                    Some(RecoverError::damaged(&sign.file, sign.position, sign.what));
                examined.strays = strays;
                return Ok(examined);
            }
        }
    }
}

fn is_all_sealed(state: &ManifestState) -> bool {
    state
        .logs
        .values()
        .all(|log| log.segments.iter().all(|segment| segment.seal.is_some()))
}

/// Tells of the segment that is read because it was open at the stop.
fn expect_open<D: Disk>(disk: &D, log: &LogState, witnesses: &BTreeMap<Uid, SegDurableEntry>) {
    for segment in log.segments.iter().filter(|segment| segment.seal.is_none()) {
        let witness = witnesses.get(&segment.uid).and_then(|entry| entry.place);
        let path = segment_path(log.tp, segment.base, &segment.uid);
        match witness.filter(|place| !place.has_producers) {
            Some(place) => disk.expect(&path, &[0..FIRST_GROUP_POSITION, expected_from(&place)]),
            None => disk.expect(&path, slice::from_ref(&(0..EXPECTED_BYTES))),
        }
    }
}

/// What is read from a witnessed group on, if it is the last and the longest.
fn expected_from(place: &GroupPlace) -> Range<u64> {
    let longest = u64::from(place.longest);
    let upto = place.position.saturating_add(longest + reach(longest));
    place.position..upto.min(place.position.saturating_add(EXPECTED_BYTES))
}

impl Examined {
    /// Logs whose newest snapshot is not of their history.
    fn refuted(&self) -> Vec<LogId> {
        let is_refuted = |(id, scan): (&LogId, &LogScan)| {
            let replay = self.replays.get(id)?;
            let tail = replay.runs.iter().flat_map(|run| &run.items);
            let end = (replay.end, replay.chain);
            let tail = tail.map(|item| item.read);
            scan.producers.is_refuted_by(tail, end).then_some(*id)
        };
        self.scans.iter().filter_map(is_refuted).collect()
    }

    fn read<D: Disk>(
        &mut self,
        disk: &D,
        reading: Reading,
        (journal, distrusted): (Beside, &BTreeSet<LogId>),
    ) -> Result<(), RecoverError> {
        if !self.is_clean {
            let known = (&self.state, journal);
            self.journals = JournalScan::run(disk, reading.shard, known, &mut self.findings)?;
        }
        let with = ScanWith {
            journals: &self.journals,
            now_ms: reading.now_ms,
            depth: reading.depth,
            distrusted,
        };
        let mut ahead = self.state.logs.values();
        ahead
            .by_ref()
            .take(LOGS_AHEAD)
            .for_each(|log| expect_open(disk, log, &self.journals.witnesses));
        for (id, log) in &self.state.logs {
            ahead
                .next()
                .into_iter()
                .for_each(|log| expect_open(disk, log, &self.journals.witnesses));
            let scan = LogScan::run(disk, (*id, log), with, &mut self.findings)?;
            self.scans.insert(*id, scan);
        }
        for (id, scan) in &mut self.scans {
            let chains = std::mem::take(&mut scan.chains);
            let end = (scan.end, scan.chain);
            let mut replay = LogReplay::new(scan.state.tp, end, scan.state.holes.clone(), chains);
            replay.is_cut_short = scan.cut_short.is_some();
            self.replays.insert(*id, replay);
        }
        journal_replay::replay(disk, &self.journals, &mut self.replays, &mut self.findings)?;
        for (id, scan) in &self.scans {
            if let (Some(path), Some(replay)) = (&scan.cut_short, self.replays.get_mut(id)) {
                replay.lose_end(LostEnd::Newest, (path, CUT_SHORT), &mut self.findings);
            }
        }
        for (id, replay) in &mut self.replays {
            if let Some(log) = self.state.logs.get(id) {
                replay.drop_stale(&log.epochs);
            }
        }
        // Nobody knows what a write that was cut off held, unless its table is left.
        if self
            .journals
            .lineages
            .last()
            .is_some_and(|newest| newest.torn_at.is_some())
        {
            let replays = self.replays.values_mut();
            replays.for_each(|replay| replay.is_unverified = true);
        }
        Ok(())
    }
}
