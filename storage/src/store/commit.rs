//! Group commit: what waits becomes one journal group, and what a durable group releases.
//!
//! Owns: building and completing journal groups, switching and retiring journal files.
//! Never: writes a block of a live file twice (I1).
//! Invariants: I3: a log advances only over groups that are durable with all lower sequences; a file is
//! retired only when segments cover every log in it and the newest witnesses lie in later files.
//! Source: reliability.md 2.2 to 2.4, performance.md section 2.

use bytes::Bytes;
use model::limits::BLOCK_BYTES;
use model::offset::Offset;
use model::time::Now;

use super::journal::{FilePhase, JournalFile, JournalGroup};
use super::manifest::Then;
use super::outbox::Purpose;
use super::{LogId, Store};
use crate::format::FLAG_END_KEPT;
use crate::format::frame::{FRAME_BYTES, Frame};
use crate::format::journal::{
    AppendEntry, ENTRY_BYTES, GroupBuilder, GroupPlace, JournalHeader, SegDurableEntry, topic_tag,
};
use crate::format::layout::journal_path;
use crate::format::manifest::Record;
use crate::io::{FileKey, FileOp, Pieces};
use crate::log::state::{JournalRef, Log, Via};

/// Bytes of one group at most, so that one round does not hold up the next for long.
const GROUP_BYTES_MAX: u64 = 4 << 20;

/// Batches above this are never journaled; they wait for their segment.
const JOURNAL_BATCH_BYTES_MAX: u64 = 2 << 20;

/// Witnesses of segments in one group at most.
const GROUP_WITNESSES_MAX: usize = 1_024;

/// Files kept to be written again. One would not do: a file comes free when the next was made already, and would be
/// removed only to be missed when that one is half full.
const SPARES_MAX: usize = 2;

/// Where the first group of a file lies.
const FIRST_GROUP: u64 = BLOCK_BYTES as u64;

/// What the next log in line allows.
enum Taken {
    /// Its batches are in the group.
    All,
    /// Some or all of its batches did not fit.
    Full,
    /// It does not go to the journal now.
    Elsewhere,
}

impl Store {
    /// Writes as many groups as slots allow.
    pub(super) fn seal_journal(&mut self, now: Now) {
        self.keep_files();
        if self.stop.is_begun() {
            self.journal.disarm_seal();
        }
        while self.journal.has_slot() && (!self.dirty.is_empty() || self.journal.is_seal_due) {
            if !self.write_journal_group() {
                break;
            }
        }
        if self.journal.inflight.is_empty() && !self.journal.is_seal_due {
            let manifest = self.manifest.newest_record();
            self.journal.rearm_seal(now.instant, manifest);
        }
    }

    /// Builds and writes one group; false if nothing more can be written now.
    fn write_journal_group(&mut self) -> bool {
        let Some(file) = self.journal.present_file() else {
            self.switch_journal_file();
            return false;
        };
        let (key, room) = (file.key, file.room().min(GROUP_BYTES_MAX));
        let mut builder = std::mem::take(&mut self.journal.builder);
        let is_written = self.fill_group(&mut builder, key, room);
        builder.clear();
        self.journal.builder = builder;
        is_written
    }

    /// Fills a group and writes it; false if nothing is to be written or does not fit.
    fn fill_group(&mut self, builder: &mut GroupBuilder, key: FileKey, room: u64) -> bool {
        if let Some(ends) = self.journal.recent.next() {
            builder.ends(ends);
        }
        let needed = FRAME_BYTES + builder.bytes();
        if room < FIRST_GROUP || room < needed as u64 {
            self.switch_journal_file();
            return false;
        }
        let budget = room - FRAME_BYTES as u64;
        let has_witnesses = self.add_witnesses(builder, key, budget);
        let (touched, is_full) = self.add_appends(builder, key, budget);
        if builder.is_empty() && !self.journal.is_seal_due {
            self.journal.give_list(touched);
            // Nothing fits: the rest of this file is too small.
            if is_full {
                self.switch_journal_file();
            }
            return false;
        }
        let seq = self.journal.next_seq;
        self.issue_journal_group(key, builder, touched);
        if has_witnesses && self.journal.witnesses.is_empty() {
            self.bind_retirement(seq);
        }
        true
    }

    /// Writes a group to the present file.
    fn issue_journal_group(
        &mut self,
        key: FileKey,
        builder: &mut GroupBuilder,
        touched: Vec<LogId>,
    ) {
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        let (seq, position) = (self.journal.next_seq, file.position);
        let beside = self.manifest.beside();
        let group = builder.finish(Frame {
            lineage: self.journal.lineage,
            seq,
            block: position / BLOCK_BYTES as u64,
            durable_through: self.journal.durable_seq,
            prev_hash: self.journal.prev_hash,
            count: 0,
            body_len: 0,
            flags: 0,
            beside,
        });
        file.position += u64::from(group.len);
        assert!(
            file.position + FIRST_GROUP <= file.len,
            "groups stay inside the zeroed file"
        );
        let logs = &self.logs;
        let ends = touched
            .iter()
            .filter_map(|id| Some((*id, logs.get(id)?.routed_upto)));
        self.journal.recent.note((seq, group.len), ends);
        self.journal.inflight.push_back(JournalGroup {
            seq,
            is_substantial: !touched.is_empty(),
            touched,
            is_done: false,
        });
        self.journal.next_seq += 1;
        self.journal.prev_hash = group.hash;
        self.journal.witnessed_seq = self.journal.durable_seq;
        self.journal.claimed = beside;
        self.journal.is_seal_due = false;
        self.journal.seal_at = None;
        self.outbox.write(
            Purpose::JournalGroup(seq),
            (key, position),
            group.pieces,
            group.len,
        );
        self.press_for(group.len);
    }

    fn add_witnesses(&mut self, builder: &mut GroupBuilder, key: FileKey, budget: u64) -> bool {
        let mut added = 0;
        while added < GROUP_WITNESSES_MAX && (builder.bytes() + ENTRY_BYTES) as u64 <= budget {
            let Some(entry) = self.journal.witnesses.pop_front() else {
                break;
            };
            let Some(log) = self.logs.get_mut(&entry.log) else {
                continue;
            };
            builder.seg_durable(&entry);
            added += 1;
            if log.witness_file != Some(key) {
                log.witness_file = Some(key);
                if let Some(file) = self.journal.files.get_mut(&key) {
                    file.witnessed.push(entry.log);
                }
            }
        }
        added > 0
    }

    /// Files that wait for witnesses to be written again may go once group `seq` is durable.
    pub(super) fn bind_retirement(&mut self, seq: u64) {
        for file in self
            .journal
            .files
            .values_mut()
            .filter(|file| file.retire_after == u64::MAX)
        {
            file.retire_after = seq;
        }
    }

    /// Moves waiting batches into the group; gives the logs touched and whether something did not fit.
    fn add_appends(
        &mut self,
        builder: &mut GroupBuilder,
        key: FileKey,
        budget: u64,
    ) -> (Vec<LogId>, bool) {
        let mut touched = self.journal.take_list();
        if self.is_pressed() {
            return (touched, false);
        }
        while let Some(id) = self.dirty.front().copied() {
            match self.add_log(builder, key, budget, id) {
                (Taken::All, true) => {
                    touched.push(id);
                    self.undirty();
                }
                (Taken::All | Taken::Elsewhere, _) => self.undirty(),
                (Taken::Full, is_touched) => {
                    if is_touched {
                        touched.push(id);
                    }
                    return (touched, true);
                }
            }
        }
        (touched, false)
    }

    fn undirty(&mut self) {
        if let Some(id) = self.dirty.pop_front()
            && let Some(log) = self.logs.get_mut(&id)
        {
            log.listed.is_dirty = false;
        }
    }

    /// Adds one log's waiting batches; the flag tells whether any was added.
    fn add_log(
        &mut self,
        builder: &mut GroupBuilder,
        key: FileKey,
        budget: u64,
        id: LogId,
    ) -> (Taken, bool) {
        let seq = self.journal.next_seq;
        let batch_max = JOURNAL_BATCH_BYTES_MAX.min(self.config.journal_first_bytes / 4);
        let durable_record = self.manifest.durable_record();
        let Some(log) = self.logs.get_mut(&id) else {
            return (Taken::Elsewhere, false);
        };
        if log.birth > durable_record && !log.listed.is_gated {
            log.listed.is_gated = true;
            self.gated.push(id);
        }
        if log.birth > durable_record || log.is_waiting_for_segment_slot() {
            return (Taken::Elsewhere, false);
        }
        let mut is_touched = false;
        while log.routed_upto < log.log_end {
            let used = (builder.bytes() + ENTRY_BYTES) as u64;
            let Some(left) = budget.checked_sub(used) else {
                return (Taken::Full, is_touched);
            };
            let Some(run) = log.next_run(left, batch_max) else {
                let is_too_large = log.next_batch_bytes() > batch_max;
                let taken = if is_too_large {
                    Taken::Elsewhere
                } else {
                    Taken::Full
                };
                return (taken, is_touched);
            };
            let (from, upto) = (run.first, run.last.next());
            builder.append(
                &run,
                log.tail
                    .iter_range(from, upto)
                    .map(|batch| batch.bytes.clone()),
            );
            log.route_to_journal(upto, seq);
            is_touched = true;
            note_ref(log, &mut self.journal.files, key, upto);
        }
        (Taken::All, is_touched)
    }

    /// A journal group is durable: releases what may be released.
    pub(super) fn journal_written(&mut self, seq: u64) {
        self.journal.complete(seq);
        let substantial = self.journal.substantial_seq;
        self.manifest
            .note_journal(self.journal.beside(), substantial);
        while let Some(mut touched) = self.journal.pop_released() {
            for id in touched.drain(..) {
                self.advance_log(id);
            }
            self.journal.give_list(touched);
        }
        self.retire_old_files();
        self.retire_files();
    }

    /// Raises a log's durable end and tells the broker.
    pub(super) fn advance_log(&mut self, id: LogId) {
        let (journal, manifest) = (self.journal.durable_seq, self.manifest.durable_record());
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.gate > manifest && !log.listed.is_gated {
            log.listed.is_gated = true;
            self.gated.push(id);
        }
        let is_higher = log.advance(journal, manifest);
        let settled = log.settled_upto;
        if self.carried.get(&id).is_some_and(|upto| *upto <= settled) {
            self.carried.remove(&id);
        }
        if is_higher {
            self.emit_advanced(id);
        }
        self.store_snapshot_if_durable(id);
    }

    /// Segments cover this log up to `segment_upto`: releases the journal files that held it.
    pub(super) fn release_refs(&mut self, id: LogId, upto: Offset) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let mut is_over = false;
        while let Some(oldest) = log.journal_refs.front() {
            if oldest.upto > upto {
                break;
            }
            if let Some(file) = self.journal.files.get_mut(&oldest.file) {
                assert!(file.uncovered > 0, "every entry of a file is counted once");
                file.uncovered -= 1;
                is_over |= file.uncovered == 0;
            }
            log.journal_refs.pop_front();
        }
        if is_over {
            self.retire_files();
        }
    }

    /// Queues the witness of the newest durable group of a log's active segment.
    pub(super) fn push_witness(&mut self, id: LogId) {
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        let Some(segment) = log
            .segments
            .iter()
            .rev()
            .find(|segment| segment.wants_witness())
        else {
            return;
        };
        let last = Offset::new(segment.upto.get().saturating_sub(1));
        self.journal.witnesses.push_back(SegDurableEntry {
            log: id,
            segment: segment.uid,
            group_seq: segment.durable_groups.saturating_sub(1),
            last,
            place: Some(GroupPlace {
                position: segment.newest_group,
                max_timestamp: segment.max_timestamp,
                longest: u32::try_from(segment.longest_group).unwrap_or(u32::MAX),
                has_producers: !log.producers.is_empty(),
            }),
        });
    }

    /// Tells the manifest about every full file that nobody needs.
    pub(super) fn retire_files(&mut self) {
        let durable = self.journal.durable_seq;
        let is_over = |file: &&JournalFile| {
            file.phase == FilePhase::Full && file.uncovered == 0 && file.retire_after <= durable
        };
        // A file that is looked at is over no more, or waits for witnesses that are not durable yet.
        while let Some(key) = self.journal.files.values().find(is_over).map(|f| f.key) {
            self.retire_file(key);
        }
    }

    fn retire_file(&mut self, key: FileKey) {
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        let mut witnessed = std::mem::take(&mut file.witnessed);
        let uid = file.uid;
        let mut is_needed = false;
        for id in witnessed.drain(..) {
            let log = self.logs.get(&id);
            if log.is_some_and(|log| log.witness_file == Some(key) && log.wants_witness()) {
                is_needed = true;
                self.push_witness(id);
            }
        }
        if let Some(file) = self.journal.files.get_mut(&key) {
            file.witnessed = witnessed;
            if is_needed {
                file.retire_after = u64::MAX;
            } else {
                file.phase = FilePhase::Retiring;
            }
        }
        if !is_needed {
            let record = Record::JournalRetire { file: uid };
            self.manifest.push_then(record, Then::JournalRetired(key));
        }
    }

    /// Files of earlier starts go once everything they held is durable here.
    pub(super) fn retire_old_files(&mut self) {
        if self.journal.old_files.is_empty() || !self.carried.is_empty() {
            return;
        }
        for (_, file, _) in std::mem::take(&mut self.journal.old_files) {
            let path = journal_path(self.config.shard, &file);
            self.manifest
                .push_then(Record::JournalRetire { file }, Then::Remove(vec![path]));
        }
    }

    /// The manifest forgot the file: it becomes a spare, or is removed.
    pub(super) fn journal_retired(&mut self, key: FileKey) {
        let is_wanted = self.journal.spares() < SPARES_MAX && !self.stop.is_begun();
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        assert!(
            file.phase == FilePhase::Retiring,
            "only a retired file is given away"
        );
        if is_wanted && file.len == self.config.journal_bytes {
            file.phase = FilePhase::Spare;
            file.position = FIRST_GROUP;
            file.logs.clear();
            file.retire_after = 0;
            file.pressed = 0;
            return;
        }
        let path = journal_path(self.config.shard, &file.uid);
        self.journal.files.remove(&key);
        self.outbox
            .file(Purpose::Cleanup, FileOp::Close { file: key });
        self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
    }

    /// Prepares the next file in time, and presses logs to leave full ones if there will be none.
    fn keep_files(&mut self) {
        if self.journal.wants_spare() && self.space.may_allocate() && !self.stop.is_begun() {
            self.create_journal_file();
        }
        if self.journal.present.is_none() && !self.stop.is_begun() {
            self.switch_journal_file();
        }
        self.press_if_short();
    }

    fn create_journal_file(&mut self) {
        let key = self.outbox.file_key();
        let uid = self.prng.bytes16();
        let is_first = self.journal.files.is_empty() && self.journal.next_number == 0;
        let len = if is_first {
            self.config.journal_first_bytes
        } else {
            self.config.journal_bytes
        };
        // As many as in any file so far: its groups then need no memory for them.
        let logs = self.journal.files.values().map(|file| file.logs.len());
        let logs = logs.max().unwrap_or(0);
        self.journal.files.insert(
            key,
            JournalFile {
                key,
                uid,
                number: 0,
                phase: FilePhase::Creating,
                len,
                position: FIRST_GROUP,
                uncovered: 0,
                logs: Vec::with_capacity(logs),
                witnessed: Vec::with_capacity(logs),
                retire_after: 0,
                pressed: 0,
            },
        );
        let path = journal_path(self.config.shard, &uid);
        self.outbox.file(
            Purpose::JournalCreate(key),
            FileOp::Create {
                file: key,
                path,
                len,
                // What its header says is known when it becomes present.
                head: Bytes::new(),
            },
        );
    }

    /// Ends the present file and starts a spare, if there is one.
    fn switch_journal_file(&mut self) {
        if self.journal.is_switching() {
            return;
        }
        let Some(key) = self.journal.spare() else {
            return;
        };
        if let Some(present) = self.journal.present.take()
            && let Some(file) = self.journal.files.get_mut(&present)
        {
            file.phase = FilePhase::Full;
            file.retire_after = self.journal.next_seq.saturating_sub(1);
        }
        let number = self.journal.next_number;
        self.journal.next_number += 1;
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        file.phase = FilePhase::Heading;
        file.number = number;
        let header = JournalHeader {
            lineage: self.journal.lineage,
            file: file.uid,
            number,
            first_seq: self.journal.next_seq,
            shard: self.config.shard,
            flags: FLAG_END_KEPT,
        };
        header.encode_into(&mut self.header);
        let pieces = Pieces::from_iter([self.outbox.draft(&[self.header.as_slice()])]);
        self.outbox
            .write(Purpose::JournalHead(key), (key, 0), pieces, BLOCK_BYTES_U32);
    }

    /// A journal file's header is durable: the manifest may name it (I5).
    pub(super) fn journal_headed(&mut self, key: FileKey) {
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        file.phase = FilePhase::Registering;
        let (lineage, uid, number) = (self.journal.lineage, file.uid, file.number);
        let record = Record::JournalAdd {
            lineage,
            file: uid,
            number,
        };
        self.manifest.push_then(record, Then::JournalPresent(key));
    }

    /// The manifest names the file: groups may go there.
    pub(super) fn journal_present(&mut self, key: FileKey) {
        if let Some(file) = self.journal.files.get_mut(&key) {
            file.phase = FilePhase::Present;
            self.journal.present = Some(key);
        }
        self.retire_files();
    }
}

/// One block, for writes.
const BLOCK_BYTES_U32: u32 = 4_096;

fn note_ref(
    log: &mut Log,
    files: &mut std::collections::BTreeMap<FileKey, JournalFile>,
    key: FileKey,
    upto: Offset,
) {
    if let Some(newest) = log.journal_refs.back_mut()
        && newest.file == key
    {
        newest.upto = upto;
        return;
    }
    log.journal_refs.push_back(JournalRef { file: key, upto });
    if let Some(file) = files.get_mut(&key) {
        file.uncovered += 1;
        file.logs.push(log.id);
    }
}

impl Log {
    /// Whether its batches wait for room behind segment groups on their way, which is soon.
    fn is_waiting_for_segment_slot(&self) -> bool {
        self.flush_target > self.routed_upto && self.active().is_some() && !self.has_group_slot()
    }

    fn next_batch_bytes(&self) -> u64 {
        self.tail
            .iter_from(self.routed_upto)
            .next()
            .map_or(0, |batch| batch.bytes.len() as u64)
    }

    /// The longest run of waiting batches of one epoch that fits, or `None` if not even one does.
    fn next_run(&self, budget: u64, batch_max: u64) -> Option<AppendEntry> {
        let mut batches = self.tail.iter_from(self.routed_upto);
        let first = batches
            .next()
            .filter(|batch| batch.bytes.len() as u64 <= budget.min(batch_max))?;
        let mut entry = AppendEntry {
            log: self.id,
            topic_tag: topic_tag(self.partition.topic),
            generation: 0,
            epoch: first.epoch,
            first: first.base,
            last: first.last,
            chain_before: self.routed_chain,
            committed_floor: self.high_watermark,
            crc: 0,
            batches: 1,
        };
        let mut left = budget - first.bytes.len() as u64;
        for batch in batches {
            let len = batch.bytes.len() as u64;
            if batch.epoch != entry.epoch || len > left.min(batch_max) {
                break;
            }
            left -= len;
            entry.last = batch.last;
            entry.batches += 1;
        }
        Some(entry)
    }

    /// Everything below `upto` is in a journal group.
    fn route_to_journal(&mut self, upto: Offset, seq: u64) {
        self.account_route(upto);
        self.push_route(upto, Via::Journal(seq));
    }

    /// Moves the routing cursor's hash and byte count to `upto`.
    pub(crate) fn account_route(&mut self, upto: Offset) {
        let (mut bytes, mut chain) = (0, self.routed_chain);
        for batch in self.tail.iter_range(self.routed_upto, upto) {
            bytes += batch.bytes.len();
            chain = batch.chain_after;
        }
        self.routed_chain = chain;
        self.unrouted_bytes -= bytes;
    }

    /// Whether its active segment's newest group needs a witness that outlives old journal files.
    pub(crate) fn wants_witness(&self) -> bool {
        self.segments.iter().any(|segment| segment.wants_witness())
    }
}
