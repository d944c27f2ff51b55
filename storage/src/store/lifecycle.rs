//! Birth, configuration, epochs and death of logs.
//!
//! Owns: which logs exist, and the manifest records that say so.
//! Never: gives an id out twice (I13).
//! Invariants: what the manifest's checkpoint says follows from the state here, at any moment.
//! Source: reliability.md 2.2, 1.6 (epoch start), I6.

use model::ids::TopicPartition;
use model::offset::{LeaderEpoch, Offset};
use model::time::Now;
use smallvec::SmallVec;

use super::journal::{FILES_MAX, FilePhase, JournalFile};
use super::manifest::Then;
use super::{LogId, Store};
use crate::format::layout::snapshot_path;
use crate::format::manifest::Record;
use crate::log::LogConfig;
use crate::log::segment::{Segment, SegmentPhase};
use crate::log::state::Log;

impl Store {
    /// Creates an empty log, or returns the existing one of that partition with the configuration applied.
    pub fn create_log(&mut self, now: Now, tp: TopicPartition, config: LogConfig) -> LogId {
        if let Some(id) = self.by_partition.get(&tp).copied() {
            self.configure(id, config);
            return id;
        }
        let id = LogId(self.next_log);
        self.next_log += 1;
        let mut log = Box::new(Log::new(id, tp, config));
        log.unflushed_since = now.instant;
        log.birth = self.manifest.push(Record::LogCreate { log: id, tp });
        log.gate = log.birth;
        self.logs.insert(id, log);
        self.by_partition.insert(tp, id);
        id
    }

    /// Changes a log's configuration; durability applies to what is appended from now on.
    pub fn configure(&mut self, id: LogId, config: LogConfig) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.config == config {
            return;
        }
        log.config = config;
        if log.raise_high_watermark() {
            self.emit_advanced(id);
        }
        self.mark_dirty(id);
    }

    /// Starts a leader epoch at the present log end; durable before any append of that epoch is acknowledged.
    /// An epoch that is not newer than the present one is ignored.
    pub fn start_epoch(&mut self, _now: Now, id: LogId, epoch: LeaderEpoch) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        if log.epochs.newest().is_some_and(|newest| epoch <= newest) {
            return;
        }
        log.epoch = epoch;
        log.epochs.start(epoch, log.log_end);
        let record = Record::EpochStart {
            log: id,
            epoch,
            start: log.log_end,
        };
        log.gate = self.manifest.push(record);
    }

    /// Deletes a log: manifest record first, files later. Reads and appends fail from now on.
    pub fn delete_log(&mut self, _now: Now, id: LogId) {
        self.release_refs(id, Offset::MAX);
        let Some(mut log) = self.logs.remove(&id) else {
            return;
        };
        self.by_partition.remove(&log.partition);
        self.unflushed_bytes -= log.unflushed_bytes;
        self.unflushed_logs -= usize::from(log.unflushed_bytes > 0);
        self.cache.remove_range(id, Offset::ZERO, Offset::MAX);
        self.carried.remove(&id);
        let mut paths = Vec::new();
        for segment in std::mem::take(&mut log.segments) {
            paths.append(&mut self.release_segment(log.partition, &segment));
        }
        paths.extend(
            log.snapshots
                .iter()
                .map(|upto| snapshot_path(log.partition, *upto)),
        );
        self.manifest
            .push_then(Record::LogDrop(id), Then::Remove(paths));
        self.retire_old_files();
        self.retire_files();
    }

    /// Everything the manifest has to say now.
    pub(super) fn checkpoint(&self) -> Vec<Record> {
        let len = usize::try_from(self.checkpoint_len()).unwrap_or(usize::MAX);
        let mut records = Vec::with_capacity(len);
        records.extend([Record::Started, Record::NextLog(LogId(self.next_log))]);
        for id in self.by_partition.values() {
            if let Some(log) = self.logs.get(id) {
                log.checkpoint(&mut records);
            }
        }
        for (lineage, file, number) in &self.journal.old_files {
            records.push(Record::JournalAdd {
                lineage: *lineage,
                file: *file,
                number: *number,
            });
        }
        let files = self.journal.files.values();
        let mut named: SmallVec<[&JournalFile; FILES_MAX]> =
            files.filter(|file| is_named(file.phase)).collect();
        named.sort_unstable_by_key(|file| file.number);
        records.extend(named.into_iter().map(|file| Record::JournalAdd {
            lineage: self.journal.lineage,
            file: file.uid,
            number: file.number,
        }));
        records
    }

    /// How many records a checkpoint would have, at most.
    pub(super) fn checkpoint_len(&self) -> u64 {
        let logs: usize = self.logs.values().map(|log| log.checkpoint_len()).sum();
        let journals = self.journal.old_files.len() + self.journal.files.len();
        u64::try_from(logs + journals + 2).unwrap_or(u64::MAX)
    }
}

/// Whether the manifest names a journal file in this phase.
fn is_named(phase: FilePhase) -> bool {
    match phase {
        FilePhase::Registering | FilePhase::Present | FilePhase::Full => true,
        FilePhase::Creating | FilePhase::Spare | FilePhase::Heading | FilePhase::Retiring => false,
    }
}

impl Log {
    fn checkpoint_len(&self) -> usize {
        let segments = 2 * (self.missing.len() + self.segments.len());
        2 + self.epochs.iter().count() + segments + self.holes.len()
    }

    fn checkpoint(&self, records: &mut Vec<Record>) {
        let log = self.id;
        records.push(Record::LogCreate {
            log,
            tp: self.partition,
        });
        if self.log_start_wanted > Offset::ZERO {
            records.push(Record::LogStart {
                log,
                offset: self.log_start_wanted,
            });
        }
        records.extend(self.epochs.iter().map(|entry| Record::EpochStart {
            log,
            epoch: entry.epoch,
            start: entry.start,
        }));
        for segment in self.missing.iter().chain(&self.segments) {
            segment.checkpoint(log, records);
        }
        let holes = self.holes.iter();
        records.extend(holes.map(|hole| Record::Damaged {
            log,
            from: hole.from,
            upto: hole.upto,
        }));
    }
}

impl Segment {
    fn checkpoint(&self, log: LogId, records: &mut Vec<Record>) {
        let is_named = match self.phase {
            SegmentPhase::Creating => false,
            SegmentPhase::Registering | SegmentPhase::Active => true,
            SegmentPhase::Sealing | SegmentPhase::Sealed => true,
        };
        if !is_named {
            return;
        }
        let (uid, base, created_ms) = (self.uid, self.base, self.created_ms);
        records.push(Record::SegmentAdd {
            log,
            uid,
            base,
            created_ms,
        });
        if self.is_sealed() {
            records.push(self.seal_record(log));
        }
    }

    /// The record that seals this segment.
    pub(crate) fn seal_record(&self, log: LogId) -> Record {
        Record::SegmentSeal {
            log,
            uid: self.uid,
            valid_end: self.end,
            upto: self.upto,
            chain_after: self.chain,
            max_timestamp: self.max_timestamp,
            groups: self.durable_groups,
        }
    }
}
