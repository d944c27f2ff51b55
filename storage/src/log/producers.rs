//! The idempotence table of one partition: which batches each producer stored last.
//!
//! Owns: admission of a producer's batch, the last five batches per producer, expiry, eviction.
//! Never: assigns offsets; decides durability.
//! Invariants: `admit` changes nothing; at most `PRODUCERS_PER_PARTITION_MAX` producers; the table is a
//! function of the batches in the log and of explicit expiry.
//! Source: kafka.md 3.7 and 4.9, KIP-98, KIP-360.

use std::collections::BTreeMap;

use model::batch::BatchInfo;
use model::ids::{BatchSequence, ProducerEpoch, ProducerId};
use model::limits::{PRODUCER_BATCHES_MAX, PRODUCERS_PER_PARTITION_MAX};
use model::offset::Offset;

use crate::log::Admit;

/// Milliseconds after which a silent producer is unknown. Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

/// Share of the table that one eviction removes: one eviction pays for many insertions.
const EVICTION_SHARE: usize = 16;

/// One batch that is in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredBatch {
    /// Sequence of its first record.
    pub first_sequence: u32,
    /// Sequence of its last record.
    pub last_sequence: u32,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The time the broker stamped, ms, if it stamped one.
    pub log_append_time: Option<i64>,
}

/// What is known of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Wall-clock milliseconds of its last batch.
    pub last_used_ms: i64,
    batches: [StoredBatch; PRODUCER_BATCHES_MAX],
    batch_count: usize,
}

impl ProducerState {
    /// A producer that has stored nothing yet in this epoch.
    #[must_use]
    pub fn new(epoch: ProducerEpoch, last_used_ms: i64) -> Self {
        let batches = [StoredBatch::default(); PRODUCER_BATCHES_MAX];
        Self {
            epoch,
            last_used_ms,
            batches,
            batch_count: 0,
        }
    }

    /// Its last batches, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[StoredBatch] {
        self.batches.get(..self.batch_count).unwrap_or(&[])
    }

    /// Remembers a batch as the newest and forgets the sixth.
    pub fn push(&mut self, batch: StoredBatch) {
        if self.batch_count == PRODUCER_BATCHES_MAX {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        if let Some(slot) = self.batches.get_mut(self.batch_count) {
            *slot = batch;
            self.batch_count += 1;
        }
        assert!(self.batch_count <= PRODUCER_BATCHES_MAX);
    }

    fn verdict(&self, epoch: ProducerEpoch, first: BatchSequence, last: BatchSequence) -> Admit {
        if epoch < self.epoch {
            return Admit::Fenced;
        }
        if epoch > self.epoch {
            return follows(BatchSequence::new(0), first);
        }
        let is_same = |batch: &&StoredBatch| {
            batch.first_sequence == first.get() && batch.last_sequence == last.get()
        };
        if let Some(original) = self.batches().iter().find(is_same) {
            return Admit::Duplicate {
                first: original.first_offset,
                last: original.last_offset,
                log_append_time: original.log_append_time,
            };
        }
        match self.batches().last() {
            Some(newest) => follows(
                BatchSequence::new(newest.last_sequence).wrapping_add(1),
                first,
            ),
            None => Admit::Fresh,
        }
    }
}

fn follows(expected: BatchSequence, got: BatchSequence) -> Admit {
    if expected == got {
        return Admit::Fresh;
    }
    Admit::OutOfOrder {
        expected: expected.get(),
        got: got.get(),
    }
}

/// Every producer of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    // Producer ids come from clients, so a map whose shape an attacker cannot choose.
    producers: BTreeMap<ProducerId, ProducerState>,
}

impl ProducerTable {
    /// Checks a batch; changes nothing.
    #[must_use]
    pub fn admit(&self, now_ms: i64, info: &BatchInfo) -> Admit {
        let Some(producer) = info.producer else {
            return Admit::Fresh;
        };
        let Some(first) = producer.base_sequence else {
            return Admit::Fresh;
        };
        match self.producers.get(&producer.id) {
            Some(state) if !is_expired(state, now_ms) => state.verdict(
                producer.epoch,
                first,
                first.wrapping_add(info.last_offset_delta),
            ),
            Some(_) | None => Admit::Fresh,
        }
    }

    /// Remembers a batch that was appended at `base_offset`.
    pub fn record(&mut self, now_ms: i64, base_offset: Offset, info: &BatchInfo) {
        let Some(producer) = info.producer else {
            return;
        };
        let is_known = self.producers.contains_key(&producer.id);
        if !is_known && self.producers.len() >= PRODUCERS_PER_PARTITION_MAX {
            self.evict_least_recent();
        }
        let fresh = ProducerState::new(producer.epoch, now_ms);
        let state = self.producers.entry(producer.id).or_insert(fresh);
        if producer.epoch != state.epoch || is_expired(state, now_ms) {
            *state = fresh;
        }
        state.last_used_ms = state.last_used_ms.max(now_ms);
        let Some(first) = producer.base_sequence else {
            return;
        };
        state.push(StoredBatch {
            first_sequence: first.get(),
            last_sequence: first.wrapping_add(info.last_offset_delta).get(),
            first_offset: base_offset,
            last_offset: Offset::new(base_offset.get() + u64::from(info.last_offset_delta)),
            log_append_time: info.is_log_append_time.then_some(info.max_timestamp),
        });
    }

    /// Puts a producer back as a snapshot had it; ignored when the table is full.
    pub fn restore(&mut self, id: ProducerId, state: ProducerState) {
        if self.producers.len() < PRODUCERS_PER_PARTITION_MAX {
            self.producers.insert(id, state);
        }
    }

    /// Forgets producers that have been silent for too long.
    pub fn expire(&mut self, now_ms: i64) {
        self.producers.retain(|_, state| !is_expired(state, now_ms));
    }

    /// Every producer in id order.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    /// Number of producers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    fn evict_least_recent(&mut self) {
        let mut ages: Vec<i64> = self
            .producers
            .values()
            .map(|state| state.last_used_ms)
            .collect();
        let victims = ages.len().div_ceil(EVICTION_SHARE);
        let (_, limit, _) = ages.select_nth_unstable(victims.saturating_sub(1));
        let limit = *limit;
        let mut left = victims;
        self.producers.retain(|_, state| {
            let is_victim = left > 0 && state.last_used_ms <= limit;
            left -= usize::from(is_victim);
            !is_victim
        });
        assert!(self.producers.len() < PRODUCERS_PER_PARTITION_MAX);
    }
}

fn is_expired(state: &ProducerState, now_ms: i64) -> bool {
    now_ms.saturating_sub(state.last_used_ms) >= PRODUCER_EXPIRATION_MS
}

#[cfg(test)]
mod tests;
