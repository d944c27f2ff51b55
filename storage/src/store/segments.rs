//! Life of segment files: create, register, extend, seal, close, open again.
//!
//! Owns: every step of a segment from nothing to sealed.
//! Never: writes groups; `flush` does.
//! Invariants: I2, I5: a segment takes groups only after file and header, which come into being together, and then the
//! manifest record are durable; the record that seals one segment is queued before the record that adds the next.
//! Source: reliability.md 2.2 (preallocation by demand), 2.3.

use model::ids::TopicPartition;
use model::limits::BLOCK_BYTES;
use model::offset::Offset;
use model::time::Now;

use super::manifest::Then;
use super::outbox::{Purpose, SegmentAt, SegmentKey};
use super::{LogId, Store};
use crate::format::layout::{index_path, segment_path};
use crate::format::manifest::Record;
use crate::format::segment::{FIRST_GROUP_POSITION, GROUP_HEADER_BYTES, SegmentHeader};
use crate::format::{FLAG_END_KEPT, Uid, round_up};
use crate::io::{FileKey, FileOp};
use crate::log::index::SparseIndex;
use crate::log::segment::{Segment, SegmentPhase};
use crate::log::state::Log;

/// One block.
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Seconds of writing at the present rate that a zeroed extent should last.
const EXTENT_SECONDS: u64 = 60;

/// Segment files being created at once: what a helper makes durable together. More would make the next journal file
/// wait for all of them.
const CREATES_MAX: usize = 128;

/// Time over which a rate is taken at least: the few records with which each of thousands of segments begins are no
/// rate, and what is zeroed for nothing is written for nothing.
const RATE_MS_MIN: u64 = 10_000;

/// Bytes of the first extent at most: somebody waits for it.
const FIRST_EXTENT_BYTES_MAX: u64 = 8 << 20;

/// A segment file that is being created or opened; its log may be gone when that ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    file: FileKey,
    partition: TopicPartition,
    base: Offset,
    uid: Uid,
}

impl Opening {
    fn path(&self) -> String {
        segment_path(self.partition, self.base, &self.uid)
    }
}

impl Store {
    /// Does the next step towards a segment that takes the next group of this log.
    pub(super) fn prepare_segment(&mut self, now: Now, id: LogId) {
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        let Some(newest) = log.segments.back() else {
            return self.create_segment(now, id);
        };
        let at = SegmentAt {
            log: id,
            segment: newest.key,
        };
        match newest.phase {
            SegmentPhase::Creating | SegmentPhase::Registering => {}
            SegmentPhase::Active if newest.file.is_none() => self.open_segment(at),
            SegmentPhase::Active if log.must_roll(now) => self.end_segment(now, id),
            SegmentPhase::Active => self.extend_for_next(now, at),
            SegmentPhase::Sealing => {}
            SegmentPhase::Sealed => self.create_segment(now, id),
        }
    }

    fn create_segment(&mut self, now: Now, id: LogId) {
        if !self.space.may_allocate() {
            self.space.stall(id);
            return;
        }
        if self.creates_under_way >= CREATES_MAX {
            self.queue_create(id);
            return;
        }
        let uid = self.prng.bytes16();
        let key = SegmentKey(self.next_segment);
        self.next_segment += 1;
        let extents = self.config.extent_bytes;
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let len = log.first_len(now, extents);
        let base = log.flushing_upto;
        let mut index = SparseIndex::new(base, FIRST_GROUP_POSITION);
        index.reserve(len);
        let header = SegmentHeader {
            uid,
            tp: log.partition,
            base,
            created_ms: now.wall.as_millis(),
            log: id,
            flags: FLAG_END_KEPT,
        };
        log.segments.push_back(Segment {
            key,
            uid,
            base,
            phase: SegmentPhase::Creating,
            file: None,
            is_opening: false,
            closed_until: None,
            is_extending: false,
            is_end_known: false,
            len,
            position: FIRST_GROUP_POSITION,
            next_group: 0,
            durable_groups: 0,
            upto: base,
            end: FIRST_GROUP_POSITION,
            newest_group: FIRST_GROUP_POSITION,
            longest_group: 0,
            max_timestamp: -1,
            index: Some(index),
            is_index_loading: false,
            created: now.instant,
            created_ms: header.created_ms,
            chain: log.flushing_chain,
            rate_from: (FIRST_GROUP_POSITION, now.instant),
        });
        let at = SegmentAt {
            log: id,
            segment: key,
        };
        self.create_file(at, len, &header);
    }

    /// Asks for the file of a new segment, with both copies of its header.
    fn create_file(&mut self, at: SegmentAt, len: u64, header: &SegmentHeader) {
        let file = self.outbox.file_key();
        let opening = Opening {
            file,
            partition: header.tp,
            base: header.base,
            uid: header.uid,
        };
        let path = opening.path();
        self.opening.insert(at, opening);
        self.creates_under_way += 1;
        header.encode_into(&mut self.header);
        let block = self.header.as_slice();
        let head = self.outbox.draft(&[block, block]);
        let create = FileOp::Create {
            file,
            path,
            len,
            head,
        };
        self.outbox.file(Purpose::SegmentCreate(at), create);
    }

    fn queue_create(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(&id)
            && !log.listed.is_create_waiting
        {
            log.listed.is_create_waiting = true;
            self.create_queue.push_back(id);
        }
    }

    /// A segment file was created, or was not: the next log has its turn.
    pub(super) fn end_create(&mut self, now: Now) {
        self.creates_under_way -= 1;
        while self.creates_under_way < CREATES_MAX {
            let Some(id) = self.create_queue.pop_front() else {
                return;
            };
            let Some(log) = self.logs.get_mut(&id) else {
                continue;
            };
            log.listed.is_create_waiting = false;
            if log.flush_target > log.flushing_upto {
                self.prepare_segment(now, id);
            }
        }
    }

    /// The file exists, zeroed and with its header, durably: the manifest may name it.
    pub(super) fn segment_created(&mut self, at: SegmentAt) {
        let Some(opening) = self.opening.remove(&at) else {
            return;
        };
        let file = opening.file;
        let Some(log) = self.logs.get_mut(&at.log) else {
            let path = opening.path();
            self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
            self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
            return;
        };
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        segment.phase.become_next(SegmentPhase::Registering);
        segment.file = Some(file);
        let record = Record::SegmentAdd {
            log: at.log,
            uid: segment.uid,
            base: segment.base,
            created_ms: segment.created_ms,
        };
        self.manifest
            .push_then(record, Then::SegmentReady(at, file));
        self.open_files.insert(file, at);
        // In use until the first group: else a store with many logs would close the file before its turn comes, again and
        // again.
        self.open_files.begin_use(file);
        self.close_surplus_files();
    }

    /// The manifest names the segment: groups may be written.
    pub(super) fn segment_ready(&mut self, now: Now, at: SegmentAt, file: FileKey) {
        let log = self.logs.get_mut(&at.log);
        if let Some(segment) = log.and_then(|log| log.segment_mut(at.segment)) {
            segment.phase.become_next(SegmentPhase::Active);
            self.flush_log(now, at.log);
        }
        self.end_file_use(file);
    }

    /// A segment file could not be created for lack of room.
    pub(super) fn segment_create_failed(&mut self, at: SegmentAt) {
        if let Some(opening) = self.opening.remove(&at) {
            let path = opening.path();
            self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
        }
        if let Some(log) = self.logs.get_mut(&at.log) {
            log.segments
                .pop_back_if(|segment| segment.key == at.segment);
            self.space.stall(at.log);
        }
    }

    /// Zeroes more of the file while there is still room, so that writers need not wait.
    pub(super) fn extend_ahead(&mut self, now: Now, at: SegmentAt) {
        let Some(log) = self.logs.get(&at.log) else {
            return;
        };
        let Some(segment) = log.segment(at.segment) else {
            return;
        };
        let room = segment.len.saturating_sub(segment.position);
        let extent = self.extent_of(now, log);
        if room < extent / 2 && segment.len < log.config.segment_bytes {
            let len = (segment.position + extent).min(log.config.segment_bytes);
            self.extend_segment(now, at, len);
        }
    }

    /// The next group does not fit into the zeroed part.
    fn extend_for_next(&mut self, now: Now, at: SegmentAt) {
        let Some(log) = self.logs.get(&at.log) else {
            return;
        };
        let Some(segment) = log.segment(at.segment) else {
            return;
        };
        let needed = segment.position + log.next_group_bytes() + BLOCK;
        if needed > segment.len {
            let ahead = segment.position + self.extent_of(now, log);
            let ahead = ahead.min(log.config.segment_bytes);
            self.extend_segment(now, at, needed.max(ahead));
        }
    }

    fn extent_of(&self, now: Now, log: &Log) -> u64 {
        let (extent_min, extent_max) = self.config.extent_bytes;
        match self.space.is_reclaiming() {
            true => extent_min,
            false => (log.write_rate(now) * EXTENT_SECONDS).clamp(extent_min, extent_max),
        }
    }

    fn extend_segment(&mut self, now: Now, at: SegmentAt, len: u64) {
        if !self.space.may_allocate() {
            self.space.stall(at.log);
            return;
        }
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        let Some(file) = segment.file else { return };
        let len = len.next_multiple_of(BLOCK_BYTES as u64);
        if segment.is_extending || len <= segment.len {
            return;
        }
        segment.is_extending = true;
        segment.rate_from = (segment.position, now.instant);
        self.open_files.begin_use(file);
        self.outbox.file(
            Purpose::SegmentExtend(at, file),
            FileOp::Extend { file, len },
        );
    }

    /// The file is longer, or stayed as it was for lack of room.
    pub(super) fn segment_extended(&mut self, at: SegmentAt, len: Option<u64>) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        segment.is_extending = false;
        let is_late = segment.is_end_known;
        match len {
            Some(len) => {
                segment.len = segment.len.max(len);
                if let Some(index) = &mut segment.index {
                    index.reserve(len);
                }
                self.relist(at.log);
            }
            None => self.space.stall(at.log),
        }
        if is_late {
            self.give_back(at);
        }
    }

    /// The active segment takes no more groups.
    pub(super) fn end_segment(&mut self, now: Now, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if let Some(segment) = log
            .segments
            .back_mut()
            .filter(|segment| segment.is_active())
        {
            segment.phase.become_next(SegmentPhase::Sealing);
        }
        self.seal_if_ending(now, id);
    }

    /// Seals a segment that takes no more groups once all are durable.
    pub(super) fn seal_if_ending(&mut self, now: Now, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let Some(segment) = log.segments.back_mut() else {
            return;
        };
        if !segment.is_ending() || !segment.is_settled() {
            return;
        }
        segment.phase.become_next(SegmentPhase::Sealed);
        let record = segment.seal_record(id);
        let key = segment.key;
        let entries = segment.index.as_mut().map_or(0, |index| {
            index.end_growth();
            index.entries().len()
        });
        log.witness_file = None;
        let at = SegmentAt {
            log: id,
            segment: key,
        };
        self.manifest.push_then(record, Then::GiveBack(at));
        self.store_index(at);
        self.account_index(at, entries);
        self.take_snapshot(id);
        self.retire_files();
        if self
            .logs
            .get(&id)
            .is_some_and(|log| log.flush_target > log.flushing_upto)
        {
            self.create_segment(now, id);
        }
    }

    /// The manifest knows where the sealed segment ends: the zeros behind that are given back.
    pub(super) fn give_back(&mut self, at: SegmentAt) {
        let log = self.logs.get_mut(&at.log);
        if let Some(segment) = log.and_then(|log| log.segment_mut(at.segment)) {
            segment.is_end_known = true;
        }
        if let Some(cut) = self.cut_to_end(at) {
            self.outbox.file(Purpose::Cleanup, cut);
        }
    }

    /// Zeros that an earlier start left are given back file by file: nobody waits for it, and a start after a kill finds
    /// some in every partition. With each goes a snapshot of the producers, without which the next start would read the
    /// segment for them.
    pub(super) fn give_back_next(&mut self) {
        while let Some(at) = self.surplus.pop_front() {
            if let Some(cut) = self.cut_to_end(at).filter(|_| !self.stop.is_begun()) {
                self.take_snapshot(at.log);
                return self.outbox.file(Purpose::GiveBack, cut);
            }
        }
    }

    fn cut_to_end(&mut self, at: SegmentAt) -> Option<FileOp> {
        let log = self.logs.get_mut(&at.log)?;
        let partition = log.partition;
        let segment = log.segment_mut(at.segment)?;
        if segment.len <= segment.end || segment.is_extending || !segment.is_end_known {
            return None;
        }
        segment.len = segment.end;
        let path = segment_path(partition, segment.base, &segment.uid);
        let len = segment.end;
        Some(FileOp::Truncate { path, len })
    }

    /// Opens the file of a segment that has none open.
    pub(super) fn open_segment(&mut self, at: SegmentAt) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let partition = log.partition;
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        if segment.is_opening || segment.file.is_some() {
            return;
        }
        segment.is_opening = true;
        let path = segment_path(partition, segment.base, &segment.uid);
        let file = self.outbox.file_key();
        let opening = Opening {
            file,
            partition,
            base: segment.base,
            uid: segment.uid,
        };
        self.opening.insert(at, opening);
        self.outbox
            .file(Purpose::SegmentOpen(at), FileOp::Open { file, path });
    }

    /// The file is open again.
    pub(super) fn segment_opened(&mut self, now: Now, at: SegmentAt) {
        let Some(Opening { file, .. }) = self.opening.remove(&at) else {
            return;
        };
        let segment = self
            .logs
            .get_mut(&at.log)
            .and_then(|log| log.segment_mut(at.segment));
        let Some(segment) = segment else {
            self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
            return;
        };
        segment.is_opening = false;
        segment.file = Some(file);
        self.open_files.insert(file, at);
        self.open_files.begin_use(file);
        self.start_reads(at);
        self.flush_log(now, at.log);
        self.end_file_use(file);
    }

    /// An I/O on a segment file ended.
    pub(super) fn end_file_use(&mut self, file: FileKey) {
        if self.open_files.end_use(file) {
            self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
        }
        self.close_surplus_files();
    }

    fn close_surplus_files(&mut self) {
        while let Some((file, at)) = self.open_files.poll_victim() {
            let segment = self
                .logs
                .get_mut(&at.log)
                .and_then(|log| log.segment_mut(at.segment));
            if let Some(segment) = segment {
                segment.file = None;
            }
            self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
        }
    }

    /// Forgets a segment's file; gives the paths to remove once the manifest forgot it too.
    pub(super) fn release_segment(
        &mut self,
        partition: TopicPartition,
        segment: &Segment,
    ) -> Vec<String> {
        if let Some(file) = segment.file
            && self.open_files.doom(file)
        {
            self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
        }
        vec![
            segment_path(partition, segment.base, &segment.uid),
            index_path(partition, segment.base, &segment.uid),
        ]
    }
}

impl Log {
    /// Whether the active segment must end before the next group.
    fn must_roll(&self, now: Now) -> bool {
        let Some(segment) = self.active() else {
            return false;
        };
        let is_full = segment.position + self.next_group_bytes() > self.config.segment_bytes;
        segment.next_group > 0 && (is_full || self.is_active_old(now))
    }

    /// Whether the active segment has the age at which it ends.
    pub(crate) fn is_active_old(&self, now: Now) -> bool {
        let Some(segment) = self.active() else {
            return false;
        };
        let age = now.instant.since(segment.created).as_millis();
        age >= u128::from(self.config.segment_ms)
    }

    /// Bytes that a group with the next batch alone needs.
    pub(super) fn next_group_bytes(&self) -> u64 {
        let next = self.tail.iter_from(self.flushing_upto).next();
        next.map_or(0, |batch| {
            round_up(GROUP_HEADER_BYTES + batch.bytes.len()) as u64
        })
    }

    /// Bytes of a new segment file: what waits and what comes soon, between the two sizes of an extent.
    fn first_len(&self, now: Now, (extent_min, extent_max): (u64, u64)) -> u64 {
        let waiting = self.unflushed_bytes as u64 * 2;
        let wanted = waiting.max(self.write_rate(now) * EXTENT_SECONDS);
        let extent = wanted.clamp(extent_min, extent_max.min(FIRST_EXTENT_BYTES_MAX));
        let extent = extent
            .min(self.config.segment_bytes)
            .max(self.next_group_bytes());
        // The last block stays as it is: a file that ends with a group was cut.
        (FIRST_GROUP_POSITION + extent + BLOCK).next_multiple_of(BLOCK)
    }

    /// Bytes per second written to the newest segment lately.
    fn write_rate(&self, now: Now) -> u64 {
        let Some(segment) = self.segments.back() else {
            return 0;
        };
        let (from, since) = segment.rate_from;
        let bytes = segment
            .position
            .saturating_sub(from)
            .saturating_add(self.unflushed_bytes as u64);
        let millis = u64::try_from(now.instant.since(since).as_millis()).unwrap_or(u64::MAX);
        let millis = millis.max(RATE_MS_MIN);
        bytes.saturating_mul(1_000) / millis
    }
}
