//! One segment of a log, as the running store knows it.
//!
//! Owns: phase, write position, durable end, index of one segment file.
//! Never: performs I/O.
//! Invariants: I1: `position` only grows, so no block is written twice; only an active segment is written;
//! `index` describes durable groups only.
//! Source: reliability.md 2.2, 2.3.

use model::offset::Offset;
use model::time::Instant;
use model::transitions;

use crate::io::FileKey;
use crate::log::index::SparseIndex;
use crate::store::outbox::SegmentKey;

transitions! {
    /// Life of a segment in this process.
    pub enum SegmentPhase {
        /// The file is being created, with its header, and zeroed.
        Creating => [Registering],
        /// Its manifest record is on the way (I5).
        Registering => [Active],
        /// Groups may be written.
        Active => [Sealing],
        /// No group will be added; some may be on the way.
        Sealing => [Sealed],
        /// Complete; never written again (I2).
        Sealed => [],
    }
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) key: SegmentKey,
    pub(crate) uid: [u8; 16],
    /// First offset that may be in it.
    pub(crate) base: Offset,
    pub(crate) phase: SegmentPhase,
    /// Open file, if it is open.
    pub(crate) file: Option<FileKey>,
    pub(crate) is_opening: bool,
    /// Its file could not be opened lately; not tried again for reading before this.
    pub(crate) closed_until: Option<Instant>,
    pub(crate) is_extending: bool,
    /// Whether the manifest durably says where it ends, so that what is behind may be cut off: cut before, it would look like a
    /// file that was cut short.
    pub(crate) is_end_known: bool,
    /// Zeroed length of the file.
    pub(crate) len: u64,
    /// Where the next group goes.
    pub(crate) position: u64,
    /// Number of the next group.
    pub(crate) next_group: u64,
    /// Number of durable groups.
    pub(crate) durable_groups: u64,
    /// First offset after the durable groups.
    pub(crate) upto: Offset,
    /// File position after the durable groups.
    pub(crate) end: u64,
    /// File position of the newest durable group.
    pub(crate) newest_group: u64,
    /// Bytes of the longest durable group.
    pub(crate) longest_group: u64,
    /// Largest timestamp in it, ms; -1 if none.
    pub(crate) max_timestamp: i64,
    /// Index of the durable groups, if in memory.
    pub(crate) index: Option<SparseIndex>,
    pub(crate) is_index_loading: bool,
    pub(crate) created: Instant,
    /// Wall clock at creation, ms.
    pub(crate) created_ms: i64,
    /// Chain hash after the durable groups.
    pub(crate) chain: u64,
    /// Bytes and instant of the last extension, for the write rate.
    pub(crate) rate_from: (u64, Instant),
}

impl Segment {
    /// Whether it holds `offset` durably.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.base <= offset && offset < self.upto
    }

    /// Whether groups may be written to it.
    pub(crate) fn is_active(&self) -> bool {
        self.phase == SegmentPhase::Active
    }

    /// Whether only a journal witness tells that its newest group was durable.
    pub(crate) fn wants_witness(&self) -> bool {
        !self.is_sealed() && self.durable_groups > 0
    }

    /// Whether its file could not be opened just now.
    pub(crate) fn is_out_of_reach(&self, now: Instant) -> bool {
        self.file.is_none() && self.closed_until.is_some_and(|until| now < until)
    }

    /// Whether it is complete.
    pub(crate) fn is_sealed(&self) -> bool {
        self.phase == SegmentPhase::Sealed
    }
}
