//! One partition's log as the broker sees it.
//!
//! Owns: configuration, read outcomes, producer admission verdicts.
//! Never: performs I/O.
//! Invariants: log start <= high watermark <= log end, durable end <= high watermark; all four only grow (except by
//! `truncate`, which does not exist on one broker).
//! Source: reliability.md 1.4, 2.2.

pub mod epochs;
pub mod index;
pub mod producers;
pub(crate) mod segment;
pub(crate) mod state;
pub(crate) mod tail;

use bytes::Bytes;
use model::offset::{LeaderEpoch, Offset};
use smallvec::SmallVec;

/// When an append counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When its journal or segment write is on the device.
    #[default]
    Disk,
    /// When it is in memory; written within `flush_interval_ms`.
    Memory,
}

/// Configuration of one log; everything here may change while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `rapidmq.durability`.
    pub durability: Durability,
    /// `rapidmq.flush.interval.ms`: age at which memory-durable data is written.
    pub flush_interval_ms: u32,
    /// `segment.bytes`: the active segment is sealed before it would grow beyond.
    pub segment_bytes: u64,
    /// `segment.ms`: the active segment is sealed at this age.
    pub segment_ms: u64,
    /// `retention.ms`; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None`: unbounded.
    pub retention_bytes: Option<u64>,
    /// Whether `cleanup.policy` has `delete`.
    pub is_delete_policy: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Disk,
            flush_interval_ms: 10,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            is_delete_policy: true,
        }
    }
}

/// Memory that read batches lie in, in order. Most reads find one piece and need no memory of their own for the list.
pub type Records = SmallVec<[Bytes; 1]>;

/// Result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Whole batches from the one that contains the offset; empty at the end.
    Ready {
        /// The batches, in order; one `Bytes` may hold several consecutive ones.
        records: Records,
        /// Sum of their lengths.
        bytes: usize,
    },
    /// A read of the device is on its way; ask again after `StoreEvent::Readable` for this log.
    Pending,
    /// Unreadable from this offset on.
    Damaged(Offset),
}

/// Result of a timestamp lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLookup {
    /// First record that qualifies: offset, timestamp ms.
    Found(Offset, i64),
    /// None qualifies.
    NotFound,
    /// As [`ReadOutcome::Pending`].
    Pending,
    /// So much was looked through in vain that others come first; asked again, it goes on from there.
    Yielded,
    /// As [`ReadOutcome::Damaged`].
    Damaged(Offset),
}

/// Verdict on a producer's batch before it is appended.  spec: kafka.md 4.9
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Append it.
    Fresh,
    /// Already in the log at these offsets (inclusive); answer success.
    Duplicate {
        /// First offset of the original.
        first: Offset,
        /// Last offset of the original.
        last: Offset,
        /// Its log-append time, if the topic stamped one.
        log_append_time: Option<i64>,
    },
    /// Sequence does not follow.
    OutOfOrder {
        /// Expected.
        expected: u32,
        /// In the batch.
        got: u32,
    },
    /// Older producer epoch.
    Fenced,
}

/// What a partition's log looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// First readable offset.
    pub log_start: Offset,
    /// Offsets below it may be read: durable, or in memory for memory durability.
    pub high_watermark: Offset,
    /// Offsets below it are on the device.
    pub flushed_upto: Offset,
    /// Next to be assigned.
    pub log_end: Offset,
    /// Epoch of the last append or epoch start.
    pub leader_epoch: LeaderEpoch,
}
