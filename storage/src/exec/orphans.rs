//! Files that nothing refers to any more, removed when they are old.
//!
//! Owns: which files those are, over all cores together.
//! Never: removes a file that a manifest names, one of a kind it does not know, or anything in the
//! quarantine; judges by anything but the file system's own time of the last change.
//! Invariants: runs after every core was recovered and before any core serves; removes nothing while any core
//! reports damage, because a record that was lost may have named the file.
//! Source: reliability.md 2.3 I6.

use std::collections::BTreeSet;

use super::DirEntry;
use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::Severity;
use super::recovered::Recovered;
use crate::format::layout::{
    PARTITIONS, journal_dir, parse_journal, parse_partition, parse_segment, parse_snapshot,
    partition_dir,
};

/// Age below which a file is left alone.
pub const ORPHAN_AGE_MS: i64 = 24 * 3_600_000;

/// Removes what a creation or removal that a stop interrupted left over a day ago; gives the paths.
///
/// # Errors
/// The device failed.
pub fn remove_orphans<D: Disk>(
    disk: &mut D,
    cores: &[Recovered],
    now_ms: i64,
) -> Result<Vec<String>, RecoverError> {
    let mut findings = cores.iter().flat_map(|core| &core.report.findings);
    let dropped: u64 = cores.iter().map(|core| core.report.findings_dropped).sum();
    if dropped > 0 || findings.any(|finding| finding.severity == Severity::Damage) {
        return Ok(Vec::new());
    }
    let mut old = Vec::new();
    for dir in suspects(disk, cores)? {
        for entry in disk.list(&dir).in_file(&dir)? {
            let path = format!("{dir}/{}", entry.name);
            if is_old(&entry, now_ms) && is_ours(&entry.name) && is_orphan(&path, &dir, cores) {
                old.push(path);
            }
        }
    }
    for path in &old {
        disk.remove(path).in_file(path)?;
    }
    Ok(old)
}

/// Directories with something that nothing refers to.
fn suspects<D: Disk>(disk: &D, cores: &[Recovered]) -> Result<BTreeSet<String>, RecoverError> {
    let logs = cores.iter().flat_map(|core| &core.logs);
    let known: BTreeSet<_> = logs.map(|log| log.tp).collect();
    let orphans = cores.iter().flat_map(|core| &core.report.orphans);
    let dirs = orphans.filter_map(|path| path.rsplit_once('/'));
    let mut suspects: BTreeSet<String> = dirs.map(|(dir, _)| dir.to_owned()).collect();
    for topic in disk.list(PARTITIONS).in_file(PARTITIONS)? {
        let dir = format!("{PARTITIONS}/{}", topic.name);
        for partition in disk.list(&dir).in_file(&dir)? {
            let tp = parse_partition(&topic.name, &partition.name);
            if let Some(tp) = tp.filter(|tp| !known.contains(tp)) {
                suspects.insert(partition_dir(tp));
            }
        }
    }
    Ok(suspects)
}

/// Whether a file was last changed long enough ago; false if nobody knows.
fn is_old(entry: &DirEntry, now_ms: i64) -> bool {
    let age = entry
        .changed_ms
        .map(|changed| now_ms.saturating_sub(changed));
    !entry.is_dir && age.is_some_and(|age| age >= ORPHAN_AGE_MS)
}

fn is_ours(name: &str) -> bool {
    let is_segment = ["seg", "idx"]
        .iter()
        .any(|ending| parse_segment(name, ending).is_some());
    is_segment || parse_snapshot(name).is_some() || parse_journal(name).is_some()
}

/// Whether a recovery called the file an orphan, or its directory belongs to no log.
fn is_orphan(path: &str, dir: &str, cores: &[Recovered]) -> bool {
    let is_of = |core: &Recovered| {
        let is_journal_dir = journal_dir(core.shard) == dir;
        is_journal_dir || core.logs.iter().any(|log| partition_dir(log.tp) == dir)
    };
    let mut said = cores.iter().flat_map(|core| &core.report.orphans);
    said.any(|orphan| orphan == path) || !cores.iter().any(is_of)
}
