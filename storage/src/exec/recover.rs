//! Recovery of one core at start.
//!
//! Owns: the order of the steps of reliability.md 2.5, for one core.
//! Never: removes or changes a file that the manifest names before the manifest was told.
//! Invariants: the clean stop is invalidated durably before anything else is changed (I8); verdicts become
//! manifest records in one pass, so a crash in the middle leads to the same verdicts again.
//! Source: reliability.md 2.4 to 2.6.

use std::collections::BTreeMap;

use model::ids::ShardId;
use model::offset::Offset;
use model::prng::Prng;

use super::Disk;
use super::examine::{Examined, Reading, examine};
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::journal_scan::JournalScan;
use super::journal_strays::{Strays, readable};
use super::log_finish;
use super::log_scan::{Leftover, LogScan};
use super::manifest_open::{OpenManifest, choose};
use super::manifest_state::ManifestState;
use super::recovered::{Recovered, RecoveredJournal, RecoveredLog, RecoveryReport};
use super::segment_batches::BatchDepth;
use super::stream::is_zero;
use crate::format::Uid;
use crate::format::layout::{
    QUARANTINE, core_dir, index_path, journal_path, segment_path, snapshot_path,
};
use crate::format::manifest::Record;
use crate::format::segment::FIRST_GROUP_POSITION;
use crate::store::LogId;

/// Brings one core's files into a state from which a store can go on: every segment is sealed, every
/// verdict is in the manifest. A core without files gets its first manifest.
///
/// `now_ms` is the wall clock in milliseconds.
///
/// # Errors
/// The device failed, a newer build wrote a file, or the manifest is damaged.
pub fn recover<D: Disk>(
    disk: &mut D,
    shard: ShardId,
    now_ms: i64,
) -> Result<Recovered, RecoverError> {
    disk.flush().in_file(&core_dir(shard))?;
    let chosen = choose(disk, shard)?;
    let reading = Reading {
        shard,
        now_ms,
        depth: BatchDepth::Header,
    };
    let Examined {
        state: _,
        strays,
        journals,
        mut scans,
        replays,
        findings,
        is_clean,
        refusal,
    } = examine(disk, reading, chosen.state())?;
    if let Some(error) = refusal {
        return Err(error);
    }
    let mut manifest = OpenManifest::open(disk, (shard, now_ms), chosen)?;
    let mut first = vec![Record::Started];
    first.extend(strays.records());
    if journals.next_log > manifest.state.next_log {
        // Entries of a log whose creation was cut off: its id must not become another log's (I13).
        first.push(Record::NextLog(LogId(journals.next_log)));
    }
    manifest.append(disk, &first)?;
    let mut prng = Prng::new(seed_of(&manifest));
    let mut logs = Vec::with_capacity(scans.len());
    for (id, replay) in replays {
        let Some(scan) = scans.get_mut(&id) else {
            continue;
        };
        logs.push(log_finish::finish(disk, scan, replay, (&mut prng, now_ms))?);
    }
    let records: Vec<Record> = scans
        .values_mut()
        .flat_map(|scan| std::mem::take(&mut scan.records))
        .collect();
    if !records.is_empty() {
        manifest.append(disk, &records)?;
    }
    put_away(disk, &scans, &strays)?;
    remove_derived(disk, &scans, &logs)?;
    let unknown = strays.unknown.iter();
    let mut orphans: Vec<String> = unknown
        .map(|journal| journal_path(shard, &journal.file))
        .collect();
    for scan in scans.values() {
        orphans.append(&mut settle_orphans(disk, scan)?);
    }
    let report = RecoveryReport {
        orphans,
        ..report(&scans, &journals, &logs, findings)
    };
    Ok(Recovered {
        shard,
        next_log: LogId(manifest.state.next_log),
        journals: journals_of(shard, &manifest.state),
        manifest: manifest.file,
        logs,
        is_clean,
        report,
    })
}

/// For names of rescued segments: the manifest's newest hash is never the same twice.
fn seed_of(manifest: &OpenManifest) -> u64 {
    let uid = manifest
        .file
        .uid
        .iter()
        .fold(0_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
    uid ^ manifest.file.last_hash
}

/// Files that the manifest does not name any more, now that it says so.
fn put_away<D: Disk>(
    disk: &mut D,
    scans: &BTreeMap<LogId, LogScan>,
    strays: &Strays,
) -> Result<(), RecoverError> {
    for leftover in scans.values().flat_map(|scan| &scan.leftovers) {
        match leftover {
            Leftover::Remove(path) => disk.remove(path).in_file(path)?,
            Leftover::Quarantine(path) => {
                let name = path.rsplit('/').next().unwrap_or(path);
                disk.rename(path, &format!("{QUARANTINE}/{name}"))
                    .in_file(path)?;
            }
        }
    }
    for path in &strays.unused {
        disk.remove(path).in_file(path)?;
    }
    Ok(())
}

/// Derived files that describe nothing any more.
fn remove_derived<D: Disk>(
    disk: &mut D,
    scans: &BTreeMap<LogId, LogScan>,
    logs: &[RecoveredLog],
) -> Result<(), RecoverError> {
    for log in logs {
        let Some(scan) = scans.get(&log.id) else {
            continue;
        };
        let stale = scan
            .files
            .snapshots
            .iter()
            .filter(|upto| Some(**upto) != log.snapshot_upto);
        for upto in stale {
            let path = snapshot_path(log.tp, *upto);
            disk.remove(&path).in_file(&path)?;
        }
        let is_used = |place: &&(Offset, Uid)| {
            log.segments
                .iter()
                .any(|segment| (segment.base, segment.uid) == **place)
        };
        for (base, uid) in scan.files.indexes.keys().filter(|place| !is_used(place)) {
            let path = index_path(log.tp, *base, uid);
            disk.remove(&path).in_file(&path)?;
        }
    }
    Ok(())
}

fn journals_of(shard: ShardId, state: &ManifestState) -> Vec<RecoveredJournal> {
    let journals = state.journals.iter().map(|journal| RecoveredJournal {
        lineage: journal.lineage,
        file: journal.file,
        number: journal.number,
        path: journal_path(shard, &journal.file),
    });
    journals.collect()
}

/// Writes that the stop cut off at the end of a journal.
pub(super) fn report_torn(journals: &JournalScan, findings: &mut Findings) {
    for lineage in &journals.lineages {
        let Some(at) = lineage.torn_at else { continue };
        let path = lineage
            .files
            .last()
            .map_or("journal", |file| file.path.as_str());
        let what = "the last write was cut off by the stop; it was never acknowledged";
        findings.push(Finding::new(Severity::Repairable, path, what).at(at));
    }
}

fn report(
    scans: &BTreeMap<LogId, LogScan>,
    journals: &JournalScan,
    logs: &[RecoveredLog],
    mut findings: Findings,
) -> RecoveryReport {
    report_torn(journals, &mut findings);
    let tails = logs.iter().flat_map(|log| &log.tail);
    let tail_bytes: usize = tails.map(|(bytes, _)| bytes.len()).sum();
    let tail_batches: usize = logs.iter().map(|log| log.tail.len()).sum();
    let (findings, findings_dropped) = findings.finish();
    RecoveryReport {
        findings,
        findings_dropped,
        orphans: Vec::new(),
        segments_scanned: scans.values().map(|scan| scan.scanned).sum(),
        segment_bytes_scanned: scans.values().map(|scan| scan.scanned_bytes).sum(),
        journal_groups: journals.groups,
        tail_batches: tail_batches as u64,
        tail_bytes: tail_bytes as u64,
    }
}

/// Segments in the directory of a log that the manifest did not name, and files of no known kind. Segments
/// that were still being prepared hold nothing and are removed; the others stay.
fn settle_orphans<D: Disk>(disk: &mut D, scan: &LogScan) -> Result<Vec<String>, RecoverError> {
    let is_named = |place: &&(Offset, Uid)| {
        scan.state
            .segments
            .iter()
            .any(|segment| (segment.base, segment.uid) == **place)
    };
    let mut orphans = Vec::new();
    for (base, uid) in scan.files.segments.keys().filter(|place| !is_named(place)) {
        let path = segment_path(scan.state.tp, *base, uid);
        // A block that cannot be read may hold something, and is no reason to refuse the rest.
        let first = readable(disk, &path, FIRST_GROUP_POSITION).in_file(&path)?;
        if first.is_some_and(|block| is_zero(&block)) {
            disk.remove(&path).in_file(&path)?;
        } else {
            orphans.push(path);
        }
    }
    orphans.extend(scan.files.foreign.iter().map(|name| scan.files.path(name)));
    Ok(orphans)
}
