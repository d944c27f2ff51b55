//! Retention: which sealed segments may go, and the log start that follows.
//!
//! Owns: retention by time and size, DeleteRecords, the periodic pass over all logs.
//! Never: drops anything at or above the high watermark; drops part of a segment.
//! Invariants: I6: manifest record first, then the file; readers see a log start only when it is durable; a
//! wall clock that jumps deletes nothing.
//! Source: reliability.md 2.8, kafka.md 3.5.

use std::ops::Bound;
use std::time::Duration;

use model::ids::TopicPartition;
use model::offset::Offset;
use model::time::{Instant, Now};

use super::manifest::Then;
use super::wall::TrustedWall;
use super::{LogId, Store, StoreEvent};
use crate::format::manifest::Record;
use crate::log::segment::Segment;
use crate::log::state::Log;

/// Interval of the pass.
const TICK: Duration = Duration::from_secs(1);

/// Interval of the pass while space is scarce.
const TICK_SCARCE: Duration = Duration::from_millis(50);

/// While space is scarce, a segment younger than this or smaller than the next does not end early.
const EARLY_AGE_MS_MIN: u64 = 10_000;

/// See above.
const EARLY_BYTES_MIN: u64 = 1 << 20;

/// Logs looked at in one pass.
const LOGS_PER_TICK: usize = 256;

/// Where the pass over all logs stands.
#[derive(Debug)]
pub(crate) struct RetentionCursor {
    after: Option<TopicPartition>,
    next_tick: Instant,
    wall: TrustedWall,
    /// Logs of one pass; empty between passes.
    turns: Vec<LogId>,
}

impl RetentionCursor {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            after: None,
            next_tick: now.instant.after(TICK),
            wall: TrustedWall::new(now),
            turns: Vec::new(),
        }
    }

    /// The wall clock as far as it is believed, ms.
    pub(crate) fn wall_ms(&self, now: Now) -> i64 {
        self.wall.peek(now)
    }

    /// When the pass goes on.
    pub(crate) fn next_tick(&self) -> Instant {
        self.next_tick
    }
}

impl Store {
    /// Moves the log start to `before` (at most the high watermark). Durable when `StoreEvent::LogStartMoved` comes.
    pub fn delete_records(&mut self, _now: Now, id: LogId, before: Offset) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let before = before.min(log.high_watermark);
        if before <= log.log_start {
            self.events.push_back(StoreEvent::LogStartMoved(id));
        } else {
            self.want_log_start(id, before);
        }
    }

    /// Looks at the next logs, when it is time.
    pub(super) fn keep_retention(&mut self, now: Now) {
        if self.retention.next_tick > now.instant || self.stop.is_begun() {
            return;
        }
        let tick = match self.space.is_reclaiming() {
            true => TICK_SCARCE,
            false => TICK,
        };
        self.retention.next_tick = now.instant.after(tick);
        let wall_ms = self.retention.wall.read(now);
        let from = self
            .retention
            .after
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut turns = std::mem::take(&mut self.retention.turns);
        let mut last = None;
        let next = self.by_partition.range((from, Bound::Unbounded));
        turns.extend(next.take(LOGS_PER_TICK).map(|(tp, id)| {
            last = Some(*tp);
            *id
        }));
        let is_end = turns.len() < LOGS_PER_TICK;
        self.retention.after = last.filter(|_| !is_end);
        for id in turns.drain(..) {
            self.keep_log(now, wall_ms, id);
        }
        self.retention.turns = turns;
    }

    fn keep_log(&mut self, now: Now, wall_ms: i64, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.producers.expire(wall_ms);
        let is_early = self.space.is_reclaiming() && log.may_end_early(wall_ms);
        if log.must_end_idle_segment(now, wall_ms) || is_early {
            self.end_segment(now, id);
        }
        self.end_if_all_deleted(now, id);
        while self.drop_oldest_segment(id) {}
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        let start = log.retained_from(wall_ms).min(log.high_watermark);
        if start > log.log_start_wanted {
            self.want_log_start(id, start);
        }
    }

    fn want_log_start(&mut self, id: LogId, start: Offset) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if start <= log.log_start_wanted {
            return;
        }
        log.log_start_wanted = start;
        let record = Record::LogStart {
            log: id,
            offset: start,
        };
        self.manifest.push_then(record, Then::LogStart(id, start));
    }

    /// The manifest says so: readers see the log start, and segments below it go.
    pub(super) fn log_start_moved(&mut self, now: Now, id: LogId, start: Offset) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.log_start = log.log_start.max(start);
        log.epochs.trim_front(log.log_start);
        log.holes.retain(|hole| hole.upto > start);
        self.cache.remove_range(id, Offset::ZERO, start);
        self.events.push_back(StoreEvent::LogStartMoved(id));
        self.forget_missing_segments(id);
        self.end_if_all_deleted(now, id);
        while self.drop_oldest_segment(id) {}
    }

    /// Segments whose files are gone are named no longer once nobody can ask for their records.
    fn forget_missing_segments(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let log_start = log.log_start;
        let is_over = |segment: &mut Segment| segment.upto <= log_start;
        for segment in log.missing.extract_if(.., is_over) {
            let uid = segment.uid;
            self.manifest.push(Record::SegmentRemove { log: id, uid });
        }
    }

    /// An active segment whose records are all deleted ends, so that it can go.
    fn end_if_all_deleted(&mut self, now: Now, id: LogId) {
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        let Some(segment) = log.active() else { return };
        if segment.durable_groups > 0 && segment.is_settled() && segment.upto <= log.log_start {
            self.end_segment(now, id);
        }
    }

    pub(super) fn drop_oldest_segment(&mut self, id: LogId) -> bool {
        let Some(log) = self.logs.get_mut(&id) else {
            return false;
        };
        let (log_start, partition) = (log.log_start, log.partition);
        let is_over = |segment: &mut Segment| segment.is_sealed() && segment.upto <= log_start;
        let Some(segment) = log.segments.pop_front_if(is_over) else {
            return false;
        };
        let paths = self.release_segment(partition, &segment);
        let record = Record::SegmentRemove {
            log: id,
            uid: segment.uid,
        };
        self.manifest.push_then(record, Then::Remove(paths));
        true
    }
}

impl Segment {
    /// Timestamp that decides its age, ms.
    fn newest_ms(&self) -> i64 {
        if self.max_timestamp >= 0 {
            self.max_timestamp
        } else {
            self.created_ms
        }
    }
}

impl Log {
    /// Whether its active segment ends although nothing is being written: it is old, or expired whole.
    fn must_end_idle_segment(&self, now: Now, wall_ms: i64) -> bool {
        let Some(segment) = self.active() else {
            return false;
        };
        if segment.durable_groups == 0 || !segment.is_settled() {
            return false;
        }
        self.is_active_old(now) || self.is_expired(wall_ms, segment)
    }

    /// Whether its active segment, if it ended now, would let retention delete sooner: it holds as much as
    /// is kept, or records that are past their time beside younger ones.
    fn may_end_early(&self, wall_ms: i64) -> bool {
        let Some(segment) = self.active().filter(|segment| segment.is_settled()) else {
            return false;
        };
        let age = u64::try_from(wall_ms.saturating_sub(segment.created_ms)).unwrap_or(0);
        let is_old = self
            .config
            .retention_ms
            .is_some_and(|limit| age > limit.max(EARLY_AGE_MS_MIN));
        let is_large = self
            .config
            .retention_bytes
            .is_some_and(|limit| segment.end >= limit.max(EARLY_BYTES_MIN));
        self.config.is_delete_policy && segment.durable_groups > 0 && (is_old || is_large)
    }

    fn is_expired(&self, wall_ms: i64, segment: &Segment) -> bool {
        let Some(retention_ms) = self.config.retention_ms else {
            return false;
        };
        let age = wall_ms.saturating_sub(segment.newest_ms());
        self.config.is_delete_policy && u64::try_from(age).is_ok_and(|age| age > retention_ms)
    }

    /// The log start that retention asks for.
    fn retained_from(&self, wall_ms: i64) -> Offset {
        let mut start = self.log_start_wanted;
        let mut bytes = self.segment_bytes() + self.tail.bytes() as u64;
        for segment in self
            .segments
            .iter()
            .take_while(|segment| segment.is_sealed())
        {
            let left = bytes.saturating_sub(segment.end);
            let is_surplus = self
                .config
                .retention_bytes
                .is_some_and(|limit| left >= limit);
            let is_surplus = is_surplus && self.config.is_delete_policy;
            if segment.upto > start && !is_surplus && !self.is_expired(wall_ms, segment) {
                break;
            }
            bytes = left;
            start = start.max(segment.upto);
        }
        start
    }
}
