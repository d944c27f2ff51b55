//! Appending: from a validated batch to a place in the tail and a work list.
//!
//! Owns: offset assignment, stamping, the choice of the list a log waits in.
//! Never: starts a write; rounds do.
//! Invariants: a refused append changes nothing; what is remembered of a batch is read from its stamped
//! bytes, so that recovery computes the same.
//! Source: reliability.md 2.2 (routing rule), architecture.md section 6 steps 6 and 7.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::batch::{BatchInfo, stamp_offset_epoch};
use model::limits::{JOURNAL_APPEND_BYTES_MAX, TAIL_FLUSH_BYTES};
use model::offset::Offset;
use model::time::{Instant, Now};

use super::timers::Timers;
use super::{Appended, LogId, Store, StoreEvent};
use crate::format::chain;
use crate::io::IoError;
use crate::log::Durability;
use crate::log::state::Log;
use crate::log::tail::TailBatch;

/// errno of a store that is stopping (`ESHUTDOWN`).
const ESHUTDOWN: i32 = 108;
/// errno of bytes that are no batch (`EINVAL`).
const EINVAL: i32 = 22;

/// Bytes that wait in all tails together while writes are long enough: a start after a kill reads them all in the journal.
const USUAL_TAILS_BYTES: usize = 64 << 20;

/// Bytes from which on a tail is worth a write to its segment, if there is memory to wait for so many.
const WORTH_WRITING_BYTES: usize = 64 << 10;

impl Store {
    pub(super) fn append_batch(
        &mut self,
        now: Now,
        id: LogId,
        mut batch: BytesMut,
        info: &BatchInfo,
    ) -> Result<Appended, IoError> {
        if self.stop.is_begun() {
            return Err(IoError::Device(ESHUTDOWN));
        }
        if self.space.is_refusing() {
            return Err(IoError::NoSpace);
        }
        let (threshold, wall_ms) = (self.flush_threshold(), self.retention.wall_ms(now));
        let log = self.logs.get_mut(&id).ok_or(IoError::NotFound)?;
        let base = log.log_end;
        let end = base
            .checked_add(u64::from(info.last_offset_delta) + 1)
            .ok_or(IoError::NoSpace)?;
        if batch.len() != info.bytes as usize {
            return Err(IoError::Device(EINVAL));
        }
        stamp_offset_epoch(&mut batch, base, log.epoch);
        let stamped = BatchInfo::parse_header(&batch).map_err(|_| IoError::Device(EINVAL))?;
        let bytes = self.arena.keep(batch);
        let last_offset = stamped.last_offset();
        assert!(
            last_offset.next() == end,
            "header and info agree on the number of offsets"
        );
        let len = bytes.len();
        log.take_batch(wall_ms, &stamped, bytes);
        if log.unflushed_bytes == len {
            log.unflushed_since = now.instant;
            self.unflushed_logs += 1;
        }
        self.unflushed_bytes += len;
        let age = Duration::from_millis(self.config.tail_age_ms);
        log.arm_age_timer(age, &mut self.age_timers);
        let is_large = len > JOURNAL_APPEND_BYTES_MAX || log.unflushed_bytes >= threshold;
        match log.config.durability {
            _ if is_large => log.want_flush(&mut self.flush_list),
            Durability::Disk => log.mark_dirty(&mut self.dirty),
            Durability::Memory => log.arm_memory_timer(now.instant, &mut self.memory_timers),
        }
        if log.config.durability == Durability::Memory && log.raise_high_watermark() {
            log.emit_advanced(&mut self.events);
        }
        Ok(Appended {
            base_offset: base,
            last_offset,
        })
    }

    /// Bytes a tail may hold before it is written to its segment.
    pub(super) fn flush_threshold(&self) -> usize {
        let logs = self.unflushed_logs.max(1);
        let worth = (USUAL_TAILS_BYTES / logs).max(WORTH_WRITING_BYTES);
        let share = self.config.tail_bytes_max / logs;
        TAIL_FLUSH_BYTES.min(worth).min(share).max(1)
    }

    /// Everything of this log goes to a segment as soon as one is ready.
    pub(super) fn want_flush(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.want_flush(&mut self.flush_list);
        }
    }

    /// The next journal group takes what this log handed to nobody yet.
    pub(super) fn mark_dirty(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.mark_dirty(&mut self.dirty);
        }
    }

    pub(super) fn arm_age_timer(&mut self, id: LogId) {
        let age = Duration::from_millis(self.config.tail_age_ms);
        if let Some(log) = self.logs.get_mut(&id) {
            log.arm_age_timer(age, &mut self.age_timers);
        }
    }
}

impl Log {
    fn want_flush(&mut self, list: &mut VecDeque<LogId>) {
        self.flush_target = self.log_end;
        if self.flush_target > self.flushing_upto && !self.listed.is_flush {
            self.listed.is_flush = true;
            list.push_back(self.id);
        }
    }

    fn mark_dirty(&mut self, list: &mut VecDeque<LogId>) {
        if self.routed_upto < self.log_end && !self.listed.is_dirty {
            self.listed.is_dirty = true;
            list.push_back(self.id);
        }
    }

    fn arm_age_timer(&mut self, age: Duration, timers: &mut Timers) {
        // Whoever is to be flushed now is driven by completions, not by time.
        let is_flushing = self.flush_target > self.flushing_upto;
        if self.unflushed_bytes > 0 && !is_flushing && !self.listed.is_age_timed {
            self.listed.is_age_timed = true;
            timers.insert(self.unflushed_since.after(age), self.id);
        }
    }

    fn arm_memory_timer(&mut self, now: Instant, timers: &mut Timers) {
        if !self.listed.is_memory_timed {
            self.listed.is_memory_timed = true;
            let wait = Duration::from_millis(u64::from(self.config.flush_interval_ms));
            timers.insert(now.after(wait), self.id);
        }
    }

    /// Tells the broker, once until it listens, that the high watermark rose.
    pub(super) fn emit_advanced(&mut self, events: &mut VecDeque<StoreEvent>) {
        if !self.listed.is_advanced {
            self.listed.is_advanced = true;
            events.push_back(StoreEvent::Advanced(self.id));
        }
    }

    /// Takes a stamped batch as the newest.
    pub(crate) fn take_batch(&mut self, wall_ms: i64, info: &BatchInfo, bytes: Bytes) {
        let base = info.base_offset;
        assert!(base == self.log_end, "offsets are dense");
        let epoch = info.leader_epoch.unwrap_or(self.epoch);
        self.chain = chain::extend(self.chain, base, epoch, info);
        self.producers.record(wall_ms, base, info);
        self.log_end = Offset::new(base.get() + u64::from(info.last_offset_delta) + 1);
        self.unrouted_bytes += bytes.len();
        self.unflushed_bytes += bytes.len();
        self.tail.push(TailBatch {
            base,
            last: info.last_offset(),
            epoch,
            max_timestamp: info.max_timestamp,
            chain_after: self.chain,
            bytes,
        });
    }
}
