//! What recovery found out: everything a store needs to go on.
//!
//! Owns: plain data.
//! Never: refers to the directory it was read from except by path.
//! Invariants: every segment here is sealed by a durable manifest record (I2); segments rise in offsets and
//! do not overlap; the tail is contiguous in itself and starts at the end of the last segment, or behind a
//! hole that follows it; `log_end` is the end of the tail, of the last segment or of the last hole,
//! whichever is highest, and at least `log_start`.
//! Source: reliability.md 2.5.

use std::ops::Range;

use bytes::Bytes;
use model::batch::BatchInfo;
use model::ids::{ShardId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};

use super::finding::Finding;
use crate::format::Uid;
use crate::log::epochs::EpochTable;
use crate::log::index::SparseIndex;
use crate::log::producers::ProducerTable;
use crate::store::LogId;

/// One core after recovery.
#[derive(Debug)]
pub struct Recovered {
    /// The core.
    pub shard: ShardId,
    /// Ids below this were given out (I13).
    pub next_log: LogId,
    /// The manifest, ready for the next group.
    pub manifest: RecoveredManifest,
    /// Journal files of earlier starts. They may be retired once every tail is durable elsewhere.
    pub journals: Vec<RecoveredJournal>,
    /// Every log in id order.
    pub logs: Vec<RecoveredLog>,
    /// Whether the stop before was orderly: nothing was scanned.
    pub is_clean: bool,
    /// What an operator should know.
    pub report: RecoveryReport,
}

/// The manifest file that takes records. Everything in it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredManifest {
    /// Path.
    pub path: String,
    /// Its generation; no file of a higher one exists.
    pub generation: u64,
    /// Lineage of its groups.
    pub uid: Uid,
    /// Sequence of the next group.
    pub next_seq: u64,
    /// Where the next group goes, multiple of 4096; zeros from there on.
    pub position: u64,
    /// Hash of the newest group, 0 if there is none.
    pub last_hash: u64,
    /// Zeroed length of the file.
    pub file_len: u64,
}

/// One journal file that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredJournal {
    /// The process start that wrote it.
    pub lineage: Uid,
    /// The file.
    pub file: Uid,
    /// Its number in the lineage.
    pub number: u64,
    /// Its path.
    pub path: String,
}

/// One log.
#[derive(Debug)]
pub struct RecoveredLog {
    /// Its id.
    pub id: LogId,
    /// Whose it is.
    pub tp: TopicPartition,
    /// First readable offset.
    pub log_start: Offset,
    /// Sealed segments in offset order, all with at least one group.
    pub segments: Vec<RecoveredSegment>,
    /// Sealed segments whose files are gone: the manifest goes on naming them until the log start passes.
    pub missing: Vec<RecoveredSegment>,
    /// Batches that live only in journals of earlier starts, to be carried forward.
    pub tail: Vec<(Bytes, BatchInfo)>,
    /// Chain hash before the first batch of the tail; equals `chain` if the tail is empty.
    pub tail_chain_before: u64,
    /// Leader epochs.
    pub epochs: EpochTable,
    /// The newest epoch, zero for a log that never had one.
    pub epoch: LeaderEpoch,
    /// Idempotent producers as of `log_end`.
    pub producers: ProducerTable,
    /// Offset up to which the newest usable snapshot described the producers.
    pub snapshot_upto: Option<Offset>,
    /// Offsets that cannot be read; recorded in the manifest. Sorted, disjoint.
    pub holes: Vec<Range<Offset>>,
    /// Chain hash at `log_end`.
    pub chain: u64,
    /// Next offset to assign.
    pub log_end: Offset,
    /// Whether something that was never witnessed as durable was cut off.
    pub is_tail_unverified: bool,
}

/// One sealed segment.
#[derive(Clone, Debug)]
pub struct RecoveredSegment {
    /// The file.
    pub uid: Uid,
    /// Its path.
    pub path: String,
    /// First offset that may be in it.
    pub base: Offset,
    /// First offset after it.
    pub upto: Offset,
    /// Leader epoch of its first batch if it was scanned, else of its base offset.
    pub epoch: LeaderEpoch,
    /// File position after its last group; nothing beyond counts (I12).
    pub valid_end: u64,
    /// End of the prepared zeros behind `valid_end`, to be given back by whoever goes on; `valid_end` if there are none,
    /// or if something else follows directly. Of a segment that was sealed before this start only the first block
    /// behind the seal was looked at: nothing behind a seal counts.
    pub zeroed_upto: u64,
    /// Chain hash after its last batch.
    pub chain_after: u64,
    /// Largest timestamp, ms; -1 if none.
    pub max_timestamp: i64,
    /// Number of groups.
    pub groups: u64,
    /// Wall clock at creation, ms.
    pub created_ms: i64,
    /// Its index if the segment was scanned; otherwise the file beside it has one, perhaps.
    pub index: Option<SparseIndex>,
}

/// What recovery did, for logs and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Damage, cuts and oddities, in the order of discovery; bounded.
    pub findings: Vec<Finding>,
    /// Findings that were not kept because there were too many.
    pub findings_dropped: u64,
    /// Files that nothing refers to; a start may remove them after a day.
    pub orphans: Vec<String>,
    /// Segments that were read whole.
    pub segments_scanned: u64,
    /// Bytes of them.
    pub segment_bytes_scanned: u64,
    /// Journal groups replayed.
    pub journal_groups: u64,
    /// Batches in tails.
    pub tail_batches: u64,
    /// Bytes in tails.
    pub tail_bytes: u64,
}

impl RecoveredLog {
    /// First offset that no segment and no hole before the tail covers.
    #[must_use]
    pub fn tail_start(&self) -> Offset {
        self.tail
            .first()
            .map_or(self.log_end, |(_, info)| info.base_offset)
    }
}
