//! From tails to segments: groups of a log's batches, at most two in flight.
//!
//! Owns: when groups are written, and what a durable group releases.
//! Never: writes a block twice (I1).
//! Invariants: groups of a log are contiguous in offsets and become durable in order (I4).
//! Source: reliability.md 2.2 (routing rule).

mod group;

use model::limits::BLOCK_BYTES;
use model::offset::Offset;
use model::time::Now;

use super::outbox::{Purpose, SegmentAt};
use super::{LogId, Store};
use crate::format::round_up;
use crate::format::segment::{GROUP_HEADER_BYTES, GroupHeader};
use crate::io::FileKey;
use crate::log::index::IndexedGroup;
use crate::log::segment::{Segment, SegmentPhase};
use crate::log::state::{GroupInFlight, Via};
use group::Cut;

/// Logs flushed in one round at most, so that a round stays short.
pub(super) const FLUSHES_PER_ROUND_MAX: usize = 256;

/// I/Os under way above which no further log is flushed: journal groups go first.
const UNDER_WAY_MAX: usize = 512;

/// Why a log cannot be flushed now.
enum Blocked {
    /// Nothing is left to do.
    Done,
    /// Its groups on the way must end first.
    Slots,
    /// Its segment is not ready: small batches go to the journal meanwhile.
    Segment,
}

impl Store {
    /// Flushes the logs that wait for it.
    pub(super) fn flush_listed(&mut self, now: Now) {
        self.press_oldest();
        let turns = self.flush_list.len().min(FLUSHES_PER_ROUND_MAX);
        for _ in 0..turns {
            if self.outbox.under_way() > UNDER_WAY_MAX {
                return;
            }
            let Some(id) = self.flush_list.pop_front() else {
                return;
            };
            let Some(log) = self.logs.get_mut(&id) else {
                continue;
            };
            log.listed.is_flush = false;
            self.flush_log(now, id);
        }
    }

    /// Too much waits in memory: the logs that wait longest are flushed.
    fn press_oldest(&mut self) {
        let mut turns = FLUSHES_PER_ROUND_MAX;
        while self.unflushed_bytes > self.config.tail_bytes_max && turns > 0 {
            turns -= 1;
            let Some(id) = self.age_timers.pop() else {
                return;
            };
            if let Some(log) = self.logs.get_mut(&id) {
                log.listed.is_age_timed = false;
            }
            self.want_flush(id);
        }
    }

    pub(super) fn flush_log(&mut self, now: Now, id: LogId) {
        let blocked = loop {
            match self.write_segment_group(now, id) {
                Ok(()) => {}
                Err(blocked) => break blocked,
            }
        };
        match blocked {
            Blocked::Done | Blocked::Slots => {}
            Blocked::Segment => {
                self.prepare_segment(now, id);
                self.mark_dirty(id);
            }
        }
        self.rearm_after_flush(now, id);
    }

    /// What came after the flush was asked for waits its own time.
    fn rearm_after_flush(&mut self, now: Now, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.flush_target > log.flushing_upto {
            return;
        }
        log.unflushed_since = now.instant;
        let is_timed = log.listed.is_memory_timed;
        self.arm_age_timer(id);
        if !is_timed {
            self.mark_dirty(id);
        }
    }

    fn write_segment_group(&mut self, now: Now, id: LogId) -> Result<(), Blocked> {
        let Some(log) = self.logs.get_mut(&id) else {
            return Err(Blocked::Done);
        };
        if log.flushing_upto >= log.flush_target {
            return Err(Blocked::Done);
        }
        if !log.has_group_slot() {
            return Err(Blocked::Slots);
        }
        let Some(segment) = log.active() else {
            return Err(Blocked::Segment);
        };
        let (key, base, position) = (segment.key, segment.base, segment.position);
        let is_empty = segment.next_group == 0;
        let Some(file) = segment.file else {
            return Err(Blocked::Segment);
        };
        let zeroed = segment.len.saturating_sub(position + BLOCK_BYTES as u64);
        let left = log
            .config
            .segment_bytes
            .saturating_sub(position)
            .min(zeroed);
        let is_old = log.is_active_old(now);
        // A segment without groups takes one batch of any size.
        let left = if is_empty {
            left.max(log.next_group_bytes())
        } else {
            left
        };
        let Some(cut) = log.cut_group(left) else {
            return Err(Blocked::Segment);
        };
        if is_old && !is_empty {
            return Err(Blocked::Segment);
        }
        let len = round_up(GROUP_HEADER_BYTES + cut.bytes) as u64;
        if len > zeroed {
            return Err(Blocked::Segment);
        }
        assert!(
            log.flushing_upto >= base,
            "a segment holds offsets from its base on"
        );
        self.issue_group(id, (key, file), cut);
        self.extend_ahead(
            now,
            SegmentAt {
                log: id,
                segment: key,
            },
        );
        Ok(())
    }

    fn issue_group(
        &mut self,
        id: LogId,
        (key, file): (super::outbox::SegmentKey, FileKey),
        cut: Cut,
    ) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let base = log.flushing_upto;
        let chain_before = log.flushing_chain;
        let Some(segment) = log.segment_mut(key) else {
            return;
        };
        let position = segment.position;
        let number = segment.next_group;
        let header = GroupHeader {
            segment: segment.uid,
            number,
            block: position / BLOCK_BYTES as u64,
            first: base,
            last: Offset::new(cut.upto.get() - 1),
            first_epoch: cut.first_epoch,
            last_epoch: cut.last_epoch,
            batches: cut.batches,
            payload_len: 0,
            chain_before,
            chain_after: cut.chain_after,
            max_timestamp: cut.max_timestamp,
        };
        let len = round_up(GROUP_HEADER_BYTES + cut.bytes) as u64;
        let end = position + len;
        segment.position = end;
        segment.next_group += 1;
        let (pieces, payload) = self.put_together(id, &cut, &header);
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        log.groups.push_back(GroupInFlight {
            segment: key,
            number,
            base,
            upto: cut.upto,
            chain_after: cut.chain_after,
            position,
            end,
            max_timestamp: cut.max_timestamp,
            payload,
            is_done: false,
        });
        log.flushing_upto = cut.upto;
        log.flushing_chain = cut.chain_after;
        log.unflushed_bytes -= cut.bytes;
        if log.routed_upto < cut.upto {
            log.account_route(cut.upto);
            log.push_route(cut.upto, Via::Segment);
        }
        self.unflushed_bytes -= cut.bytes;
        self.unflushed_logs -= usize::from(log.unflushed_bytes == 0);
        let at = SegmentAt {
            log: id,
            segment: key,
        };
        self.open_files.begin_use(file);
        self.outbox.write(
            Purpose::SegmentGroup(at, file, number),
            (file, position),
            pieces,
            u32::try_from(len).unwrap_or(u32::MAX),
        );
    }

    /// A group is durable: what follows from it in order.
    pub(super) fn segment_written(&mut self, now: Now, at: SegmentAt, number: u64) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let is_it =
            |group: &&mut GroupInFlight| group.segment == at.segment && group.number == number;
        if let Some(group) = log.groups.iter_mut().find(is_it) {
            group.is_done = true;
        }
        while let Some(group) = self.take_done_group(at.log) {
            self.settle_group(now, at.log, group);
        }
        self.advance_log(at.log);
        let upto = self
            .logs
            .get(&at.log)
            .map_or(Offset::ZERO, |log| log.segment_upto);
        self.release_refs(at.log, upto);
        self.retire_old_files();
        self.push_witness(at.log);
        self.seal_if_ending(now, at.log);
        self.relist(at.log);
    }

    fn take_done_group(&mut self, id: LogId) -> Option<GroupInFlight> {
        let log = self.logs.get_mut(&id)?;
        if !log.groups.front()?.is_done {
            return None;
        }
        log.groups.pop_front()
    }

    fn settle_group(&mut self, now: Now, id: LogId, group: GroupInFlight) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        assert!(
            group.base >= log.segment_upto,
            "groups become durable in order"
        );
        log.segment_upto = group.upto;
        if let Some(segment) = log.segment_mut(group.segment) {
            segment.settle(&group);
        }
        let batches = log.tail.count_below(group.upto);
        let block = log.take_block(group, self.cache.block(batches));
        self.cache.insert(now.instant, id, block, None);
    }

    /// Goes on with a log whose flush had to wait.
    pub(super) fn relist(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.flush_target > log.flushing_upto && !log.listed.is_flush {
            log.listed.is_flush = true;
            self.flush_list.push_back(id);
        }
    }
}

impl Segment {
    fn settle(&mut self, group: &GroupInFlight) {
        self.upto = group.upto;
        self.end = group.end;
        self.chain = group.chain_after;
        self.newest_group = group.position;
        self.longest_group = self.longest_group.max(group.end - group.position);
        self.durable_groups = group.number + 1;
        self.max_timestamp = self.max_timestamp.max(group.max_timestamp);
        if let Some(index) = &mut self.index {
            index.push(IndexedGroup {
                base: group.base,
                upto: group.upto,
                position: group.position,
                end: group.end,
                max_timestamp: group.max_timestamp,
            });
        }
    }

    /// Whether every group that was written to it is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.durable_groups == self.next_group
    }

    /// Whether it takes no more groups but is not complete.
    pub(crate) fn is_ending(&self) -> bool {
        self.phase == SegmentPhase::Sealing
    }
}
