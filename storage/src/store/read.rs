//! Reading: from tail and cache at once, from segments through verified blocks.
//!
//! Owns: reads under way, read-ahead, verification of what came back, holes.
//! Never: hands out bytes that were not verified against header, place and checksum.
//! Invariants: one read per block at a time however many wait for it; a block that stays wrong after a
//! second read becomes a hole, never wrong bytes.
//! Source: reliability.md 2.6, kafka.md 3.3, performance.md P10.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use model::batch::BatchInfo;
use model::fatal::{Fatal, Reason};
use model::limits::BLOCK_BYTES;
use model::offset::Offset;
use model::time::{Instant, Now};

use super::cache::{CachedBatch, CachedBlock};
use super::outbox::{Purpose, SegmentAt};
use super::{LogId, ReadBudget, Store};
use crate::format::Uid;
use crate::format::manifest::Record;
use crate::format::segment::{GROUP_HEADER_BYTES, GroupHeader, SegmentGroup};
use crate::io::{FileKey, IoError, IoOutcome};
use crate::log::index::IndexBlock;
use crate::log::state::Hole;
use crate::log::tail::Wanted;
use crate::log::{ReadOutcome, Records};

/// Block reads under way at once.
const READS_MAX: usize = 64;

/// Block reads under way above which nothing is read ahead.
const READS_AHEAD_MAX: usize = 32;

/// Bytes read ahead of a sequential reader.
const AHEAD_BYTES: u64 = 2 << 20;

/// How long a block waits for whoever asked for it.
const WANTED_FOR: Duration = Duration::from_millis(500);

/// How long a reader that found no slot waits before it is told to try again.
const BLOCKED_FOR: Duration = Duration::from_millis(20);

/// How long a segment whose file could not be opened is left alone.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One block on its way from a segment.
#[derive(Clone, Copy, Debug)]
struct BlockRead {
    at: SegmentAt,
    block: IndexBlock,
    file: Option<FileKey>,
    is_wanted: bool,
    is_second: bool,
}

/// Reads under way.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    next: u64,
    inflight: BTreeMap<u64, BlockRead>,
    by_place: BTreeMap<(SegmentAt, u64), u64>,
    blocked: Vec<LogId>,
    pub(crate) wake_at: Option<Instant>,
}

/// Whether somebody waits for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A reader waits.
    Wanted,
    /// A reader will probably come.
    Ahead,
}

/// What can be done for an offset that is in a segment but not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// It is on its way.
    Pending,
    /// It cannot be read.
    Damaged,
}

impl Store {
    pub(super) fn read_range(
        &mut self,
        now: Now,
        id: LogId,
        (from, upto): (Offset, Offset),
        budget: ReadBudget,
    ) -> ReadOutcome {
        let Some(log) = self.logs.get(&id) else {
            return ReadOutcome::Damaged(from);
        };
        let upto = upto.min(log.log_end);
        let tail_start = log.tail.first_offset().unwrap_or(log.log_end);
        let mut next = from.max(log.log_start);
        let (mut records, mut bytes) = (Records::new(), 0);
        while next < upto && next < tail_start {
            let Some(block) = self.cache.find(id, next) else {
                if bytes > 0 {
                    break;
                }
                return match self.fetch_block(now, id, next, Demand::Wanted) {
                    Fetching::Pending => ReadOutcome::Pending,
                    Fetching::Damaged => ReadOutcome::Damaged(next),
                };
            };
            let end = block.last().map_or(next, Offset::next);
            let (added, reached) = block.read((next, upto), budget, bytes, &mut records);
            bytes += added;
            next = reached;
            if reached < end {
                break;
            }
        }
        if next >= tail_start
            && next < upto
            && let Some(log) = self.logs.get(&id)
        {
            let wanted = Wanted {
                from: next,
                upto,
                budget,
                have: bytes,
            };
            bytes += log.tail.read(wanted, &mut self.gather, &mut records);
        } else {
            self.read_ahead(now, id, next);
        }
        ReadOutcome::Ready { records, bytes }
    }

    /// Starts reading the block that holds `offset`.
    pub(super) fn fetch_block(
        &mut self,
        now: Now,
        id: LogId,
        offset: Offset,
        demand: Demand,
    ) -> Fetching {
        let Some(log) = self.logs.get(&id) else {
            return Fetching::Damaged;
        };
        if log.hole_at(offset).is_some() {
            return Fetching::Damaged;
        }
        let Some(segment) = log.segment_of(offset) else {
            return Fetching::Damaged;
        };
        let at = SegmentAt {
            log: id,
            segment: segment.key,
        };
        let upto = segment.upto;
        if segment.is_out_of_reach(now.instant) {
            return Fetching::Damaged;
        }
        let Some(index) = &segment.index else {
            self.load_index(at);
            return Fetching::Pending;
        };
        let Some(block) = index.block_of(offset) else {
            self.add_hole(id, Hole { from: offset, upto });
            return Fetching::Damaged;
        };
        self.start_read(now, at, block, demand);
        Fetching::Pending
    }

    fn start_read(&mut self, now: Now, at: SegmentAt, block: IndexBlock, demand: Demand) {
        let is_wanted = demand == Demand::Wanted;
        if let Some(number) = self.reads.by_place.get(&(at, block.position)) {
            if let Some(read) = self.reads.inflight.get_mut(number) {
                read.is_wanted |= is_wanted;
            }
            return;
        }
        if self.reads.inflight.len() >= READS_MAX || !self.cache.has_room(now.instant) {
            if is_wanted {
                self.reads.block(now.instant, at.log);
            }
            return;
        }
        let number = self.reads.next;
        self.reads.next += 1;
        let read = BlockRead {
            at,
            block,
            file: None,
            is_wanted,
            is_second: false,
        };
        self.reads.inflight.insert(number, read);
        self.reads.by_place.insert((at, block.position), number);
        self.submit_read(number);
    }

    /// Issues a read if its file is open, else opens the file first.
    fn submit_read(&mut self, number: u64) {
        let Some(read) = self.reads.inflight.get_mut(&number) else {
            return;
        };
        let at = read.at;
        let segment = self
            .logs
            .get(&at.log)
            .and_then(|log| log.segment(at.segment));
        let Some(segment) = segment else { return };
        let Some(file) = segment.file else {
            return self.open_segment(at);
        };
        read.file = Some(file);
        let (position, end) = (read.block.position, read.block.end);
        self.open_files.begin_use(file);
        let len = u32::try_from(end - position).unwrap_or(u32::MAX - u32::MAX % 4_096);
        self.outbox
            .read(Purpose::Read(number), (file, position), len);
    }

    /// A segment's file was opened: issues what waited for it.
    pub(super) fn start_reads(&mut self, at: SegmentAt) {
        let is_waiting = |(_, read): &(&u64, &BlockRead)| read.at == at && read.file.is_none();
        let waiting: Vec<u64> = self
            .reads
            .inflight
            .iter()
            .filter(is_waiting)
            .map(|(number, _)| *number)
            .collect();
        waiting
            .into_iter()
            .for_each(|number| self.submit_read(number));
        self.continue_scan(at);
    }

    /// A segment's file cannot be opened: nothing in it can be read, for good if it is not there.
    ///
    /// # Errors
    /// Groups were to be written to it (A10).
    pub(super) fn segment_open_failed(
        &mut self,
        now: Now,
        at: SegmentAt,
        error: IoError,
    ) -> Result<(), Fatal> {
        self.opening.remove(&at);
        self.drop_reads(at);
        self.drop_scan(at);
        let Some(log) = self.logs.get_mut(&at.log) else {
            return Ok(());
        };
        let is_written_to = log.flush_target > log.flushing_upto;
        let Some(segment) = log.segment_mut(at.segment) else {
            return Ok(());
        };
        segment.is_opening = false;
        segment.is_index_loading = false;
        if segment.is_active() && is_written_to {
            let what = format!("opening a segment to write to it: {error}");
            return Err(Fatal::new(Reason::DiskWriteFailed, what));
        }
        let hole = Hole {
            from: segment.base,
            upto: segment.upto,
        };
        match error {
            IoError::NotFound => self.add_hole(at.log, hole),
            // Perhaps there is more luck later: nothing is written down.
            IoError::Device(_) | IoError::NoSpace | IoError::Short => {
                segment.closed_until = Some(now.instant.after(OPEN_AGAIN_AFTER));
            }
        }
        self.emit_readable(at.log);
        Ok(())
    }

    /// Forgets reads of a segment that were not issued yet.
    pub(super) fn drop_reads(&mut self, at: SegmentAt) {
        let reads = &mut self.reads;
        reads
            .inflight
            .retain(|_, read| read.at != at || read.file.is_some());
        reads
            .by_place
            .retain(|_, number| reads.inflight.contains_key(number));
    }

    /// A block came back, or did not.
    pub(super) fn read_done(&mut self, now: Now, number: u64, outcome: IoOutcome) {
        let Some(read) = self.reads.inflight.remove(&number) else {
            return;
        };
        self.reads.by_place.remove(&(read.at, read.block.position));
        if let Some(file) = read.file {
            self.end_file_use(file);
        }
        let segment = self
            .logs
            .get(&read.at.log)
            .and_then(|log| log.segment(read.at.segment));
        if let Some(uid) = segment.map(|segment| segment.uid) {
            let bytes = match outcome {
                IoOutcome::Bytes(bytes) => bytes,
                IoOutcome::Written | IoOutcome::Done { .. } => Bytes::new(),
                IoOutcome::Space { .. } | IoOutcome::Failed(_) => Bytes::new(),
            };
            self.take_block(now, &read, &uid, &bytes);
        }
        for id in self.reads.unblock() {
            self.emit_readable(id);
        }
    }

    fn take_block(&mut self, now: Now, read: &BlockRead, uid: &Uid, bytes: &Bytes) {
        let verified = verify_block(bytes, uid, &read.block);
        if !verified.holes.is_empty() && !read.is_second {
            // Once more: the device may have had a transient fault, the medium keeps its own.
            let number = self.reads.next;
            self.reads.next += 1;
            let again = BlockRead {
                file: None,
                is_second: true,
                ..*read
            };
            self.reads.inflight.insert(number, again);
            self.reads
                .by_place
                .insert((read.at, read.block.position), number);
            self.submit_read(number);
            return;
        }
        let wanted_until = read.is_wanted.then(|| now.instant.after(WANTED_FOR));
        for block in verified.blocks {
            self.cache
                .insert(now.instant, read.at.log, block, wanted_until);
        }
        for hole in verified.holes {
            self.add_hole(read.at.log, hole);
        }
        if read.is_wanted {
            self.emit_readable(read.at.log);
        }
    }

    /// Remembers for good that a range cannot be read.
    pub(super) fn add_hole(&mut self, id: LogId, hole: Hole) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.add_hole(hole) {
            self.manifest.push(Record::Damaged {
                log: id,
                from: hole.from,
                upto: hole.upto,
            });
        }
    }

    /// Reads the blocks after `next`, which a sequential reader will ask for.
    fn read_ahead(&mut self, now: Now, id: LogId, next: Offset) {
        let mut offset = next;
        let mut left = AHEAD_BYTES;
        while left > 0 && self.reads.inflight.len() < READS_AHEAD_MAX {
            let Some(log) = self.logs.get(&id) else {
                return;
            };
            let Some(segment) = log.segment_of(offset) else {
                return;
            };
            if segment.is_out_of_reach(now.instant) {
                return;
            }
            let at = SegmentAt {
                log: id,
                segment: segment.key,
            };
            let Some(index) = &segment.index else {
                return self.load_index(at);
            };
            let Some(block) = index.block_of(offset) else {
                return;
            };
            let is_known = self.cache.contains(id, offset) || log.hole_at(offset).is_some();
            if !is_known {
                self.start_read(now, at, block, Demand::Ahead);
            }
            left = left.saturating_sub(block.end - block.position);
            offset = block.upto;
        }
    }

    /// Readers that found no slot may try again.
    pub(super) fn wake_blocked(&mut self) {
        self.reads.wake_at = None;
        for id in self.reads.unblock() {
            self.emit_readable(id);
        }
    }
}

impl Reads {
    fn block(&mut self, now: Instant, id: LogId) {
        if !self.blocked.contains(&id) {
            self.blocked.push(id);
        }
        self.wake_at.get_or_insert(now.after(BLOCKED_FOR));
    }

    fn unblock(&mut self) -> Vec<LogId> {
        std::mem::take(&mut self.blocked)
    }
}

/// What a block turned out to hold.
#[derive(Debug, Default)]
pub(crate) struct VerifiedBlock {
    pub(crate) blocks: Vec<CachedBlock>,
    pub(crate) holes: Vec<Hole>,
}

/// Splits a block into verified groups and holes.
pub(crate) fn verify_block(bytes: &Bytes, uid: &Uid, block: &IndexBlock) -> VerifiedBlock {
    let mut verified = VerifiedBlock::default();
    let mut run = CachedBlock::default();
    let (mut at, mut next) = (0, block.base);
    while next < block.upto {
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let position = block.position + at as u64;
        match group_at(rest, uid, position, next) {
            Some(group) => {
                let first = group.header.first;
                if first > next {
                    verified.end_run(&mut run);
                    verified.holes.push(Hole {
                        from: next,
                        upto: first,
                    });
                }
                let start = at + GROUP_HEADER_BYTES;
                let payload = bytes.slice(start..start + group.payload.len());
                push_group(&mut run, payload);
                next = group.header.last.next();
                at += group.len;
            }
            None => at += BLOCK_BYTES,
        }
    }
    verified.end_run(&mut run);
    if next < block.upto {
        verified.holes.push(Hole {
            from: next,
            upto: block.upto,
        });
    }
    verified
}

impl VerifiedBlock {
    fn end_run(&mut self, run: &mut CachedBlock) {
        let run = std::mem::take(run);
        if run.base().is_some() {
            self.blocks.push(run);
        }
    }
}

/// The group at the front of `bytes` if it is whole, in its place, and not older than `next`.
fn group_at<'a>(
    bytes: &'a [u8],
    uid: &Uid,
    position: u64,
    next: Offset,
) -> Option<SegmentGroup<'a>> {
    let group = GroupHeader::decode(bytes, uid, position).ok()?;
    let is_new = group.header.first >= next;
    (is_new && has_dense_batches(&group)).then_some(group)
}

/// Whether the batches are as many as the header says and cover its offsets without a gap. A group whose
/// checksum holds fails this only by a writer's bug.
fn has_dense_batches(group: &SegmentGroup<'_>) -> bool {
    let (mut rest, mut next, mut batches) = (group.payload, group.header.first, 0_u32);
    while !rest.is_empty() {
        let Ok(info) = BatchInfo::parse_header(rest) else {
            return false;
        };
        let Some(after) = rest.get(info.len()..) else {
            return false;
        };
        if info.base_offset != next {
            return false;
        }
        next = info.last_offset().next();
        batches += 1;
        rest = after;
    }
    next == group.header.last.next() && batches == group.header.batches
}

/// Adds the batches of a verified payload.
fn push_group(run: &mut CachedBlock, payload: Bytes) {
    let piece = run.push_piece(payload.clone());
    let mut start = 0;
    while let Some(rest) = payload.get(start..).filter(|rest| !rest.is_empty()) {
        let Ok(info) = BatchInfo::parse_header(rest) else {
            return;
        };
        run.push_batch(CachedBatch {
            base: info.base_offset,
            last: info.last_offset(),
            max_timestamp: info.max_timestamp,
            piece,
            start,
            end: start + info.len(),
        });
        start += info.len();
    }
}
