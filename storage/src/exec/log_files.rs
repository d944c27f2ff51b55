//! The files in one partition's directory.
//!
//! Owns: listing them by kind.
//! Never: opens one.
//! Invariants: none beyond the above.
//! Source: reliability.md 2.2.

use std::collections::BTreeMap;

use model::ids::TopicPartition;
use model::offset::Offset;

use super::Disk;
use super::failure::{InFile, RecoverError};
use crate::format::Uid;
use crate::format::layout::{parse_segment, parse_snapshot, partition_dir};

/// What lies in a partition's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogFiles {
    pub(crate) dir: String,
    /// Length by base offset and uid.
    pub(crate) segments: BTreeMap<(Offset, Uid), u64>,
    pub(crate) indexes: BTreeMap<(Offset, Uid), u64>,
    /// Sorted.
    pub(crate) snapshots: Vec<Offset>,
    /// Names of anything else.
    pub(crate) foreign: Vec<String>,
}

impl LogFiles {
    /// Lists a partition's directory.
    pub(crate) fn list<D: Disk>(disk: &D, tp: TopicPartition) -> Result<Self, RecoverError> {
        let dir = partition_dir(tp);
        let entries = disk.list(&dir).in_file(&dir)?;
        let mut files = Self {
            dir,
            ..Self::default()
        };
        for entry in entries {
            if let Some(place) = parse_segment(&entry.name, "seg") {
                files.segments.insert(place, entry.len);
            } else if let Some(place) = parse_segment(&entry.name, "idx") {
                files.indexes.insert(place, entry.len);
            } else if let Some(upto) = parse_snapshot(&entry.name) {
                files.snapshots.push(upto);
            } else {
                files.foreign.push(entry.name);
            }
        }
        files.snapshots.sort_unstable();
        Ok(files)
    }

    /// Length of a segment, if it exists.
    pub(crate) fn segment_len(&self, base: Offset, uid: &Uid) -> Option<u64> {
        self.segments.get(&(base, *uid)).copied()
    }

    /// Path of a file by name.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }
}
