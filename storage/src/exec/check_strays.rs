//! Files that no core's manifest refers to.
//!
//! Owns: comparing the partition directories with all manifests together.
//! Never: calls such a file damage: it is left over from a creation or removal that a stop interrupted.
//! Invariants: none beyond the above.
//! Source: reliability.md I6.

use std::collections::{BTreeMap, BTreeSet};

use model::ids::{ShardId, TopicPartition};
use model::offset::Offset;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::log_files::LogFiles;
use super::manifest_state::ManifestState;
use crate::format::Uid;
use crate::format::layout::{
    PARTITIONS, QUARANTINE, index_path, parse_partition, partition_dir, segment_path,
};

type Named = BTreeMap<TopicPartition, BTreeSet<(Offset, Uid)>>;

/// Looks at every partition directory and at the quarantine.
pub(crate) fn look<D: Disk>(
    disk: &D,
    states: &BTreeMap<ShardId, ManifestState>,
    findings: &mut Findings,
) -> Result<(), RecoverError> {
    let named = named_segments(states);
    for topic in disk.list(PARTITIONS).in_file(PARTITIONS)? {
        let dir = format!("{PARTITIONS}/{}", topic.name);
        for partition in disk.list(&dir).in_file(&dir)? {
            match parse_partition(&topic.name, &partition.name) {
                Some(tp) => look_in(disk, tp, named.get(&tp), findings)?,
                None => note(findings, format!("{dir}/{}", partition.name)),
            }
        }
    }
    for entry in disk.list(QUARANTINE).in_file(QUARANTINE)? {
        let what = "an earlier start set this damaged file aside";
        let path = format!("{QUARANTINE}/{}", entry.name);
        findings.push(Finding::new(Severity::Note, path, what));
    }
    Ok(())
}

fn named_segments(states: &BTreeMap<ShardId, ManifestState>) -> Named {
    let mut named = Named::new();
    for log in states.values().flat_map(|state| state.logs.values()) {
        let places = log
            .segments
            .iter()
            .map(|segment| (segment.base, segment.uid));
        named.entry(log.tp).or_default().extend(places);
    }
    named
}

fn look_in<D: Disk>(
    disk: &D,
    tp: TopicPartition,
    named: Option<&BTreeSet<(Offset, Uid)>>,
    findings: &mut Findings,
) -> Result<(), RecoverError> {
    let Some(named) = named else {
        note(findings, partition_dir(tp));
        return Ok(());
    };
    let files = LogFiles::list(disk, tp)?;
    for (base, uid) in files.segments.keys().filter(|place| !named.contains(place)) {
        note(findings, segment_path(tp, *base, uid));
    }
    for (base, uid) in files.indexes.keys().filter(|place| !named.contains(place)) {
        note(findings, index_path(tp, *base, uid));
    }
    files
        .foreign
        .iter()
        .for_each(|name| note(findings, files.path(name)));
    Ok(())
}

fn note(findings: &mut Findings, path: String) {
    findings.push(Finding::new(
        Severity::Note,
        path,
        "no manifest refers to this",
    ));
}
