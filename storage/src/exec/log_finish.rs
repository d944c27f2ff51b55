//! From verdicts to a recovered log: tails, holes, epochs, producers.
//!
//! Owns: putting together what segments and journals gave.
//! Never: judges anything anew.
//! Invariants: batches in front of a hole are in a segment, so the tail is contiguous up to the log end.
//! Source: reliability.md 2.5 steps 6 to 8.

use model::offset::Offset;
use model::prng::Prng;

use super::Disk;
use super::failure::RecoverError;
use super::log_scan::{LogScan, note_epoch};
use super::recovered::{RecoveredLog, RecoveredSegment};
use super::replay::{LogReplay, Run};
use super::rescue;
use crate::format::manifest::Record;

/// Completes one log. Everything it changes on the disk is unreferenced until the manifest gets the records
/// left in `scan`.
pub(crate) fn finish<D: Disk>(
    disk: &mut D,
    scan: &mut LogScan,
    mut replay: LogReplay,
    (prng, now_ms): (&mut Prng, i64),
) -> Result<RecoveredLog, RecoverError> {
    feed_tails(scan, &replay);
    let producers = finish_producers(scan, &replay);
    close_last_gap(&mut replay);
    replay.leave_lost_end(&scan.state.epochs);
    let tail = split_tail(&mut replay);
    let rescued = rescue_runs(disk, scan, &replay, (prng, now_ms))?;
    let mut segments = std::mem::take(&mut scan.segments);
    segments.extend(rescued);
    segments.sort_by_key(|segment| segment.base);
    let log = scan.id;
    let holes = scan.new_holes.iter().chain(&replay.new_holes);
    let damaged = holes.map(|hole| Record::Damaged {
        log,
        from: hole.start,
        upto: hole.end,
    });
    // First: a crash among the records must not leave a sealed segment without what was lost behind it.
    scan.records = damaged.chain(std::mem::take(&mut scan.records)).collect();
    let before = tail.items.first().map(|item| item.read.chain_before);
    let chain = replay.chain.unwrap_or(0);
    replay.holes.remove(Offset::ZERO, scan.state.log_start);
    let mut epochs = scan.epochs.clone();
    epochs.trim_front(scan.state.log_start);
    let (producers, snapshot_upto) = producers;
    Ok(RecoveredLog {
        id: log,
        tp: scan.state.tp,
        log_start: scan.state.log_start,
        segments,
        missing: std::mem::take(&mut scan.missing),
        tail_chain_before: before.unwrap_or(chain),
        tail: tail
            .items
            .into_iter()
            .map(|item| (item.bytes, item.read.info))
            .collect(),
        epoch: epochs.newest().unwrap_or_default(),
        epochs,
        producers,
        snapshot_upto,
        holes: replay.holes.ranges().to_vec(),
        chain,
        log_end: replay.end,
        is_tail_unverified: replay.is_unverified || scan.is_cut,
    })
}

/// Offsets of a known hole were given out once, whatever became of the ones before them.
fn close_last_gap(replay: &mut LogReplay) {
    let Some(end) = replay.holes.end().filter(|end| *end > replay.end) else {
        return;
    };
    if replay.holes.add(replay.end, end) {
        replay.new_holes.push(replay.end..end);
    }
    replay.end = end;
    replay.chain = None;
}

/// Epochs and producers of what only journals have.
fn feed_tails(scan: &mut LogScan, replay: &LogReplay) {
    let newest = scan.epochs.newest();
    for item in replay.runs.iter().flat_map(|run| &run.items) {
        note_epoch(&mut scan.epochs, &item.read);
        scan.producers.feed(&item.read);
    }
    let log = scan.id;
    let fresh = scan
        .epochs
        .iter()
        .filter(|entry| Some(entry.epoch) > newest);
    let records: Vec<Record> = fresh
        .map(|entry| Record::EpochStart {
            log,
            epoch: entry.epoch,
            start: entry.start,
        })
        .collect();
    scan.records.extend(records);
}

type Producers = (crate::log::producers::ProducerTable, Option<Offset>);

/// Producers at the end of what can be read; reading it again without snapshot is over if one was refuted.
fn finish_producers(scan: &mut LogScan, replay: &LogReplay) -> Producers {
    let mut producers = std::mem::take(&mut scan.producers);
    producers.reach(replay.end, replay.chain);
    producers.finish().unwrap_or_default()
}

/// Takes the run that ends at the log end; the others lie in front of holes.
fn split_tail(replay: &mut LogReplay) -> Run {
    let ends_here = |run: &Run| {
        run.items
            .last()
            .is_some_and(|item| item.read.info.end_offset() == replay.end)
    };
    if replay.runs.last().is_some_and(ends_here) {
        return replay.runs.pop().unwrap_or_default();
    }
    Run::default()
}

fn rescue_runs<D: Disk>(
    disk: &mut D,
    scan: &mut LogScan,
    replay: &LogReplay,
    (prng, now_ms): (&mut Prng, i64),
) -> Result<Vec<RecoveredSegment>, RecoverError> {
    let mut rescued = Vec::new();
    for run in &replay.runs {
        let identity = (prng.bytes16(), now_ms);
        if let Some(segment) = rescue::write_segment(disk, (scan.id, replay.tp), run, identity)? {
            scan.records.extend(rescue::records_of(scan.id, &segment));
            rescued.push(segment);
        }
    }
    Ok(rescued)
}
