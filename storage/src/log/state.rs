//! Everything the running store knows of one log.
//!
//! Owns: offsets, routes to the device, tail, segments, holes of one partition.
//! Never: performs I/O; talks to the journal.
//! Invariants: I4: `flushed_upto` grows without gaps; `segment_upto <= flushing_upto <= log_end`;
//! `flushed_upto <= routed_upto <= log_end`.
//! Source: reliability.md 1.4, 2.3.

use std::collections::VecDeque;

use bytes::Bytes;
use model::ids::TopicPartition;
use model::limits::GROUPS_INFLIGHT_MAX;
use model::offset::{LeaderEpoch, Offset};
use model::time::Instant;

use crate::format::segment::reach;
use crate::io::FileKey;
use crate::log::epochs::EpochTable;
use crate::log::producers::ProducerTable;
use crate::log::segment::Segment;
use crate::log::tail::Tail;
use crate::log::{Durability, LogBounds, LogConfig};
use crate::store::LogId;
use crate::store::cache::Gathered;
use crate::store::outbox::SegmentKey;

/// How offsets get to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// In the journal group with this sequence.
    Journal(u64),
    /// In a group of a segment.
    Segment,
}

/// A range on its way to the device; it starts where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteUpto {
    pub(crate) upto: Offset,
    pub(crate) via: Via,
}

/// A group that is being written to a segment.
#[derive(Clone, Debug)]
pub(crate) struct GroupInFlight {
    pub(crate) segment: SegmentKey,
    pub(crate) number: u64,
    pub(crate) base: Offset,
    pub(crate) upto: Offset,
    pub(crate) chain_after: u64,
    pub(crate) position: u64,
    pub(crate) end: u64,
    pub(crate) max_timestamp: i64,
    /// The batches in one piece, if they were copied together.
    pub(crate) payload: Option<Gathered>,
    pub(crate) is_done: bool,
}

/// The newest entry of a log in one journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalRef {
    pub(crate) file: FileKey,
    pub(crate) upto: Offset,
}

/// Offsets that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) from: Offset,
    pub(crate) upto: Offset,
}

/// Membership in the store's work lists, so that no log is in one twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) is_dirty: bool,
    pub(crate) is_flush: bool,
    pub(crate) is_advanced: bool,
    pub(crate) is_readable: bool,
    pub(crate) is_age_timed: bool,
    pub(crate) is_memory_timed: bool,
    pub(crate) is_gated: bool,
    pub(crate) is_create_waiting: bool,
}

/// One log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: LogId,
    pub(crate) partition: TopicPartition,
    pub(crate) config: LogConfig,
    pub(crate) log_start: Offset,
    /// Where the log start goes once the manifest says so.
    pub(crate) log_start_wanted: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) flushed_upto: Offset,
    /// Durable without a gap in files of this process start; below `flushed_upto` only while batches of an
    /// earlier start are written again.
    pub(crate) settled_upto: Offset,
    pub(crate) log_end: Offset,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) epochs: EpochTable,
    pub(crate) producers: ProducerTable,
    pub(crate) tail: Tail,
    /// Chain hash at `log_end`.
    pub(crate) chain: u64,
    /// Handed to the journal or a segment below this.
    pub(crate) routed_upto: Offset,
    pub(crate) routed_chain: u64,
    pub(crate) unrouted_bytes: usize,
    /// In segment groups, durable or under way, below this.
    pub(crate) flushing_upto: Offset,
    pub(crate) flushing_chain: u64,
    pub(crate) unflushed_bytes: usize,
    /// Durable in segments below this.
    pub(crate) segment_upto: Offset,
    /// Offsets below it are to be in segments as soon as possible.
    pub(crate) flush_target: Offset,
    /// Since when the oldest batch waits for its segment.
    pub(crate) unflushed_since: Instant,
    pub(crate) routes: VecDeque<RouteUpto>,
    pub(crate) groups: VecDeque<GroupInFlight>,
    pub(crate) segments: VecDeque<Segment>,
    /// Sealed segments whose files are gone; the manifest names them until the log start passes.
    pub(crate) missing: Vec<Segment>,
    pub(crate) journal_refs: VecDeque<JournalRef>,
    /// Journal file that holds the newest witness of the active segment.
    pub(crate) witness_file: Option<FileKey>,
    /// Producer snapshot that waits until everything it describes is durable.
    pub(crate) snapshot: Option<(Offset, Bytes)>,
    /// Offsets of the snapshots on the device, oldest first.
    pub(crate) snapshots: VecDeque<Offset>,
    /// Manifest record that created it: until it is durable the journal may not use its id, or a crash
    /// could give the id to another log while the journal still knows it (I13).
    pub(crate) birth: u64,
    /// Manifest record that must be durable before anything of this log is acknowledged.
    pub(crate) gate: u64,
    pub(crate) holes: Vec<Hole>,
    pub(crate) listed: Listed,
}

impl Log {
    /// An empty log.
    pub(crate) fn new(id: LogId, partition: TopicPartition, config: LogConfig) -> Self {
        Self {
            id,
            partition,
            config,
            log_start: Offset::ZERO,
            log_start_wanted: Offset::ZERO,
            high_watermark: Offset::ZERO,
            flushed_upto: Offset::ZERO,
            settled_upto: Offset::ZERO,
            log_end: Offset::ZERO,
            epoch: LeaderEpoch::ZERO,
            epochs: EpochTable::default(),
            producers: ProducerTable::default(),
            tail: Tail::default(),
            chain: 0,
            routed_upto: Offset::ZERO,
            routed_chain: 0,
            unrouted_bytes: 0,
            flushing_upto: Offset::ZERO,
            flushing_chain: 0,
            unflushed_bytes: 0,
            segment_upto: Offset::ZERO,
            flush_target: Offset::ZERO,
            unflushed_since: Instant::ZERO,
            routes: VecDeque::new(),
            groups: VecDeque::new(),
            segments: VecDeque::new(),
            missing: Vec::new(),
            journal_refs: VecDeque::new(),
            witness_file: None,
            snapshot: None,
            snapshots: VecDeque::new(),
            birth: 0,
            gate: 0,
            holes: Vec::new(),
            listed: Listed::default(),
        }
    }

    /// Offsets and epoch as the broker sees them.
    pub(crate) fn bounds(&self) -> LogBounds {
        LogBounds {
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            flushed_upto: self.flushed_upto,
            log_end: self.log_end,
            leader_epoch: self.epoch,
        }
    }

    /// Remembers that `[routed_upto, upto)` goes to the device this way.
    pub(crate) fn push_route(&mut self, upto: Offset, via: Via) {
        assert!(upto > self.routed_upto, "a route carries something");
        match self.routes.back_mut() {
            Some(newest) if newest.via == via => newest.upto = upto,
            Some(_) | None => self.routes.push_back(RouteUpto { upto, via }),
        }
        self.routed_upto = upto;
    }

    /// Raises `flushed_upto` over everything that is durable without a gap, given the journal's durable
    /// sequence; true if the high watermark rose.
    pub(crate) fn advance(&mut self, journal_durable: u64, manifest_durable: u64) -> bool {
        if self.gate > manifest_durable {
            return false;
        }
        let segment_upto = self.segment_upto;
        while let Some(route) = self.routes.front() {
            let is_journaled = matches!(route.via, Via::Journal(seq) if seq <= journal_durable);
            if !is_journaled && route.upto > segment_upto {
                break;
            }
            assert!(
                route.upto >= self.settled_upto,
                "what is durable stays durable"
            );
            self.settled_upto = route.upto;
            self.routes.pop_front();
        }
        // A segment group may cover only a part of a route that is still on its way.
        self.settled_upto = self.settled_upto.max(segment_upto);
        self.flushed_upto = self.flushed_upto.max(self.settled_upto);
        self.raise_high_watermark()
    }

    /// Applies the durability rule; true if the high watermark rose.
    pub(crate) fn raise_high_watermark(&mut self) -> bool {
        let reached = match self.config.durability {
            Durability::Disk => self.flushed_upto,
            Durability::Memory => self.log_end,
        };
        let is_higher = reached > self.high_watermark;
        self.high_watermark = self.high_watermark.max(reached);
        is_higher
    }

    /// Whether one more segment group may be on its way: not behind one so long that a start would not look beyond it.
    pub(crate) fn has_group_slot(&self) -> bool {
        let is_short = |group: &GroupInFlight| {
            let segment = self.segment(group.segment);
            let longest = segment.map_or(0, |segment| segment.longest_group);
            group.end - group.position <= reach(longest)
        };
        self.groups.len() < GROUPS_INFLIGHT_MAX && self.groups.iter().all(is_short)
    }

    /// The segment with this key.
    pub(crate) fn segment(&self, key: SegmentKey) -> Option<&Segment> {
        self.segments
            .iter()
            .rev()
            .find(|segment| segment.key == key)
    }

    /// The segment with this key, to change.
    pub(crate) fn segment_mut(&mut self, key: SegmentKey) -> Option<&mut Segment> {
        self.segments
            .iter_mut()
            .rev()
            .find(|segment| segment.key == key)
    }

    /// The segment that groups go to, if it is ready.
    pub(crate) fn active(&self) -> Option<&Segment> {
        self.segments.back().filter(|segment| segment.is_active())
    }

    /// The segment that holds `offset` durably.
    pub(crate) fn segment_of(&self, offset: Offset) -> Option<&Segment> {
        let after = self
            .segments
            .partition_point(|segment| segment.base <= offset);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        segment.contains(offset).then_some(segment)
    }

    /// The hole that `offset` lies in.
    pub(crate) fn hole_at(&self, offset: Offset) -> Option<Hole> {
        self.holes
            .iter()
            .find(|hole| hole.from <= offset && offset < hole.upto)
            .copied()
    }

    /// Remembers a hole; false if it was known.
    pub(crate) fn add_hole(&mut self, hole: Hole) -> bool {
        let is_known = self
            .holes
            .iter()
            .any(|h| h.from <= hole.from && hole.upto <= h.upto);
        if is_known || hole.from >= hole.upto {
            return false;
        }
        self.holes
            .retain(|h| h.from < hole.from || h.upto > hole.upto);
        self.holes.push(hole);
        self.holes.sort_unstable_by_key(|hole| hole.from);
        true
    }

    /// Bytes of all segments.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end).sum()
    }
}

#[cfg(test)]
mod tests;
