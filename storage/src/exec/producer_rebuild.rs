//! Producer state of one log from a snapshot and the batches behind it.
//!
//! Owns: deciding whether a snapshot belongs to this history; feeding batches to the table.
//! Never: trusts a snapshot that the chain hash does not confirm (I9).
//! Invariants: the table is that of a snapshot plus all batches from its offset on, or of all batches fed.
//! Source: kafka.md 3.7, reliability.md I9.

use model::ids::{ProducerEpoch, ProducerId};
use model::limits::{PRODUCER_BATCHES_MAX, PRODUCERS_PER_PARTITION_MAX};
use model::offset::Offset;

use super::Disk;
use super::segment_batches::ReadBatch;
use crate::format::layout::snapshot_path;
use crate::format::snapshot::{FILE_BYTES_MAX, Snapshot};
use crate::io::IoError;
use crate::log::producers::{ProducerState, ProducerTable, StoredBatch};
use crate::store::LogId;
use model::ids::TopicPartition;

/// A table that is being rebuilt.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerRebuild {
    snapshot: Option<Snapshot>,
    table: ProducerTable,
    is_confirmed: bool,
    is_refuted: bool,
    now_ms: i64,
}

impl ProducerRebuild {
    /// From a snapshot, or from nothing.
    pub(crate) fn new(snapshot: Option<Snapshot>, now_ms: i64) -> Self {
        let is_confirmed = snapshot.is_none();
        let table = ProducerTable::default();
        Self {
            snapshot,
            table,
            is_confirmed,
            is_refuted: false,
            now_ms,
        }
    }

    /// Batches below this offset are not needed.
    pub(crate) fn from(&self) -> Offset {
        self.snapshot
            .as_ref()
            .map_or(Offset::ZERO, |snapshot| Offset::new(snapshot.upto))
    }

    /// The next batch of the log, in order.
    pub(crate) fn feed(&mut self, batch: &ReadBatch) {
        let base = batch.info.base_offset;
        if base < self.from() {
            return;
        }
        self.reach(base, Some(batch.chain_before));
        // When it was appended is not known; counting from now keeps it for a full period.
        self.table.record(self.now_ms, base, &batch.info);
    }

    /// Tells the chain hash at an offset that is a batch boundary: the end of the log, for example.
    pub(crate) fn reach(&mut self, at: Offset, chain: Option<u64>) {
        if self.is_confirmed || self.is_refuted || at < self.from() {
            return;
        }
        match self.snapshot.as_ref() {
            Some(snapshot) if snapshot.upto == at.get() && chain == Some(snapshot.chain) => {
                self.table = table_of(snapshot);
                self.is_confirmed = true;
            }
            Some(_) | None => self.is_refuted = true,
        }
    }

    /// Whether there is no snapshot, or one whose history this is.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Whether these last batches and this end of the log leave the snapshot without its history.
    pub(crate) fn is_refuted_by(
        &self,
        tail: impl Iterator<Item = ReadBatch>,
        (end, chain): (Offset, Option<u64>),
    ) -> bool {
        if self.is_confirmed {
            return false;
        }
        let mut rebuild = self.clone();
        tail.for_each(|batch| rebuild.feed(&batch));
        rebuild.reach(end, chain);
        !rebuild.is_confirmed
    }

    /// The table and the snapshot's offset, if the snapshot was confirmed or there was none.
    pub(crate) fn finish(self) -> Option<(ProducerTable, Option<Offset>)> {
        let upto = self
            .snapshot
            .as_ref()
            .map(|snapshot| Offset::new(snapshot.upto));
        self.is_confirmed.then_some((self.table, upto))
    }
}

fn table_of(snapshot: &Snapshot) -> ProducerTable {
    let mut table = ProducerTable::default();
    for producer in &snapshot.producers {
        let epoch = ProducerEpoch::new(producer.epoch);
        let mut state = ProducerState::new(epoch, producer.last_used_ms);
        for batch in producer.batches.iter().take(PRODUCER_BATCHES_MAX) {
            state.push(StoredBatch {
                first_sequence: batch.first_sequence,
                last_sequence: batch.last_sequence,
                first_offset: Offset::new(batch.first_offset),
                last_offset: Offset::new(batch.last_offset),
                log_append_time: batch.log_append_time,
            });
        }
        table.restore(ProducerId::new(producer.id), state);
    }
    table
}

/// Reads one snapshot; `None` if it is not usable for this log.
pub(crate) fn load_snapshot<D: Disk>(
    disk: &D,
    (log, tp): (LogId, TopicPartition),
    upto: Offset,
) -> Result<Option<Snapshot>, IoError> {
    let path = snapshot_path(tp, upto);
    let len = disk.len(&path)?;
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= FILE_BYTES_MAX) else {
        return Ok(None);
    };
    let bytes = match disk.read(&path, 0, len) {
        Ok(bytes) => bytes,
        // A derived file that cannot be read is as good as none.
        Err(IoError::Device(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let usable = Snapshot::decode(&bytes).ok().filter(|snapshot| {
        (snapshot.log, snapshot.upto) == (log.0, upto.get())
            && snapshot.producers.len() <= PRODUCERS_PER_PARTITION_MAX
    });
    Ok(usable)
}
