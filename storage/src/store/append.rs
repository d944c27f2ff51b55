//! Appending: from a validated batch to a place in the tail and a work list.
//!
//! Owns: offset assignment, stamping, the choice of the list a log waits in.
//! Never: starts a write; rounds do.
//! Invariants: a refused append changes nothing; what is remembered of a batch is read from its stamped
//! bytes, so that recovery computes the same.
//! Source: reliability.md 2.2 (routing rule), architecture.md section 6 steps 6 and 7.

use bytes::{Bytes, BytesMut};
use model::batch::{BatchInfo, stamp_offset_epoch};
use model::limits::{JOURNAL_APPEND_BYTES_MAX, TAIL_FLUSH_BYTES};
use model::offset::Offset;
use model::time::{Instant, Now};
use std::time::Duration;

use super::{Appended, LogId, Store};
use crate::format::chain;
use crate::io::IoError;
use crate::log::Durability;
use crate::log::state::Log;
use crate::log::tail::TailBatch;

/// errno of a store that is stopping (`ESHUTDOWN`).
const ESHUTDOWN: i32 = 108;
/// errno of bytes that are no batch (`EINVAL`).
const EINVAL: i32 = 22;

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
        let log = self.logs.get(&id).ok_or(IoError::NotFound)?;
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
        self.accept(now, id, &stamped, bytes);
        Ok(Appended {
            base_offset: base,
            last_offset,
        })
    }

    fn accept(&mut self, now: Now, id: LogId, info: &BatchInfo, bytes: Bytes) {
        let threshold = self.flush_threshold();
        let wall_ms = self.retention.wall_ms(now);
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let len = bytes.len();
        log.take_batch(wall_ms, info, bytes);
        if log.unflushed_bytes == len {
            log.unflushed_since = now.instant;
            self.unflushed_logs += 1;
        }
        self.unflushed_bytes += len;
        let is_large = len > JOURNAL_APPEND_BYTES_MAX || log.unflushed_bytes >= threshold;
        let durability = log.config.durability;
        self.arm_age_timer(id);
        match durability {
            _ if is_large => self.want_flush(id),
            Durability::Disk => self.mark_dirty(id),
            Durability::Memory => self.arm_memory_timer(now.instant, id),
        }
        self.raise_memory_watermark(id);
    }

    /// Bytes a tail may hold before it is written to its segment.
    fn flush_threshold(&self) -> usize {
        let share = self.config.tail_bytes_max / self.unflushed_logs.max(1);
        TAIL_FLUSH_BYTES.min(share).max(1)
    }

    /// Everything of this log goes to a segment as soon as one is ready.
    pub(super) fn want_flush(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.flush_target = log.log_end;
        if log.flush_target > log.flushing_upto && !log.listed.is_flush {
            log.listed.is_flush = true;
            self.flush_list.push_back(id);
        }
    }

    /// The next journal group takes what this log handed to nobody yet.
    pub(super) fn mark_dirty(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.routed_upto < log.log_end && !log.listed.is_dirty {
            log.listed.is_dirty = true;
            self.dirty.push_back(id);
        }
    }

    fn raise_memory_watermark(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let is_higher = match log.config.durability {
            Durability::Disk => false,
            Durability::Memory => log.raise_high_watermark(),
        };
        if is_higher {
            self.emit_advanced(id);
        }
    }

    pub(super) fn arm_age_timer(&mut self, id: LogId) {
        let age = Duration::from_millis(self.config.tail_age_ms);
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        // Whoever is to be flushed now is driven by completions, not by time.
        let is_flushing = log.flush_target > log.flushing_upto;
        if log.unflushed_bytes > 0 && !is_flushing && !log.listed.is_age_timed {
            log.listed.is_age_timed = true;
            self.age_timers.insert((log.unflushed_since.after(age), id));
        }
    }

    fn arm_memory_timer(&mut self, now: Instant, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if !log.listed.is_memory_timed {
            log.listed.is_memory_timed = true;
            let wait = Duration::from_millis(u64::from(log.config.flush_interval_ms));
            self.memory_timers.insert((now.after(wait), id));
        }
    }
}

impl Log {
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
