//! Derived files: indexes of sealed segments and snapshots of producers.
//!
//! Owns: when they are written and which old ones are removed.
//! Never: waits for them; nothing depends on them (I9).
//! Invariants: a snapshot is written only when everything it describes is durable.
//! Source: kafka.md 3.3, 3.7, reliability.md I9.

use bytes::Bytes;
use model::offset::Offset;

use super::outbox::{Outbox, Purpose, SegmentAt};
use super::{LogId, Store};
use crate::format::index_file::{Entry, Envelope, IndexFile};
use crate::format::layout::{index_path, snapshot_path};
use crate::format::snapshot::{Batch, Producer, Snapshot};
use crate::io::FileOp;
use crate::log::index::SparseIndex;
use crate::log::segment::Segment;
use crate::log::state::Log;

/// Snapshots kept of one log.
const SNAPSHOTS_MAX: usize = 2;

/// Where derived files are put together, one after the other.
#[derive(Debug, Default)]
pub(super) struct Desk {
    envelope: Envelope,
    entries: Vec<Entry>,
}

impl Desk {
    /// The index file of a segment.
    fn index(
        &mut self,
        segment: &Segment,
        index: &SparseIndex,
        outbox: &mut Outbox,
    ) -> Option<Bytes> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        entries.extend(index.entries().iter().map(|entry| Entry {
            base: entry.base.get(),
            position: entry.position,
            max_timestamp: entry.max_timestamp,
        }));
        let file = IndexFile {
            segment: segment.uid,
            end: segment.end,
            upto: segment.upto.get(),
            entries,
        };
        let encoded = file.encode_into(&mut self.envelope);
        self.entries = file.entries;
        encoded.ok()?;
        Some(outbox.draft(&self.envelope.parts()))
    }

    /// A snapshot; it may wait for long, so it lies in memory of its own.
    fn snapshot(&mut self, snapshot: &Snapshot) -> Option<Bytes> {
        let encoded = snapshot.encode_into(&mut self.envelope);
        let contents = encoded.map(|()| Bytes::from(self.envelope.parts().concat()));
        self.envelope.trim();
        contents.ok()
    }
}

impl Store {
    /// Writes the index of a sealed segment beside it.
    pub(super) fn store_index(&mut self, at: SegmentAt) {
        let Some(log) = self.logs.get(&at.log) else {
            return;
        };
        let Some(segment) = log.segment(at.segment) else {
            return;
        };
        let Some(index) = &segment.index else { return };
        if let Some(contents) = self.desk.index(segment, index, &mut self.outbox) {
            let path = index_path(log.partition, segment.base, &segment.uid);
            let op = FileOp::Replace { path, contents };
            self.outbox.file(Purpose::Derived, op);
        }
    }

    /// Takes a snapshot of a log's producers as of its end; without any producer too, because it says so.
    pub(super) fn take_snapshot(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let is_known = log
            .snapshots
            .back()
            .is_some_and(|upto| *upto == log.log_end);
        if log.log_end == Offset::ZERO || is_known {
            return;
        }
        if let Some(contents) = self.desk.snapshot(&log.snapshot_now()) {
            log.snapshot = Some((log.log_end, contents));
        }
        self.store_snapshot_if_durable(id);
    }

    /// Writes a snapshot that waited for the batches it describes.
    pub(super) fn store_snapshot_if_durable(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let flushed = log.flushed_upto;
        let Some((upto, contents)) = log.snapshot.take_if(|(upto, _)| *upto <= flushed) else {
            return;
        };
        let path = snapshot_path(log.partition, upto);
        self.outbox
            .file(Purpose::Derived, FileOp::Replace { path, contents });
        log.snapshots.push_back(upto);
        while log.snapshots.len() > SNAPSHOTS_MAX {
            if let Some(old) = log.snapshots.pop_front() {
                let path = snapshot_path(log.partition, old);
                self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
            }
        }
    }
}

impl Log {
    fn snapshot_now(&self) -> Snapshot {
        let producers = self.producers.iter().map(|(id, state)| Producer {
            id: id.get(),
            epoch: state.epoch.get(),
            last_used_ms: state.last_used_ms,
            batches: state
                .batches()
                .iter()
                .map(|batch| Batch {
                    first_sequence: batch.first_sequence,
                    last_sequence: batch.last_sequence,
                    first_offset: batch.first_offset.get(),
                    last_offset: batch.last_offset.get(),
                    log_append_time: batch.log_append_time,
                })
                .collect(),
        });
        Snapshot {
            log: self.id.0,
            upto: self.log_end.get(),
            chain: self.chain,
            producers: producers.collect(),
        }
    }
}
