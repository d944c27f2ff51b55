//! The newest batches of one partition, in memory until a segment holds them durably.
//!
//! Owns: stamped batches as byte handles, in offset order.
//! Never: decides when to write; looks inside a batch.
//! Invariants: batches are contiguous in offsets; `bytes` is the sum of their lengths; `oldest_last` and `end` are those
//! of the oldest and the newest while there are any.
//! Source: reliability.md 2.2.

use std::collections::VecDeque;

use bytes::Bytes;
use model::offset::{LeaderEpoch, Offset};

use crate::log::Records;
use crate::store::ReadBudget;
use crate::store::arena::Gather;

/// Batches looked at one by one from the end.
const NEWEST_LOOKED_AT: usize = 4;

/// Batches from which on a read copies small ones together: one copy is cheaper than sending thousands of
/// pieces.
const GATHER_COUNT_MIN: usize = 8;

/// Average size below which they are.
const GATHER_BELOW_BYTES: usize = 2 * 1024;

/// One stamped batch.
#[derive(Clone, Debug)]
pub(crate) struct TailBatch {
    /// First offset.
    pub(crate) base: Offset,
    /// Last offset.
    pub(crate) last: Offset,
    /// Epoch stamped into it.
    pub(crate) epoch: LeaderEpoch,
    /// Largest timestamp its header claims, ms; -1 if none.
    pub(crate) max_timestamp: i64,
    /// Chain hash of the log after this batch.
    pub(crate) chain_after: u64,
    /// The whole batch.
    pub(crate) bytes: Bytes,
}

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Offset in the first batch.
    pub(crate) from: Offset,
    /// Batches end below it.
    pub(crate) upto: Offset,
    /// Bytes in all.
    pub(crate) budget: ReadBudget,
    /// Bytes that were found elsewhere.
    pub(crate) have: usize,
}

/// The batches, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
    bytes: usize,
    /// Last offset of the oldest batch, and the one after the newest. They stand here because the batches of a log among
    /// thousands are not in the processor's cache when the next one comes.
    oldest_last: Offset,
    end: Offset,
}

impl Tail {
    /// Adds the newest batch.
    ///
    /// # Panics
    /// If it does not follow the one before: offsets of a log have no gaps here.
    pub(crate) fn push(&mut self, batch: TailBatch) {
        if self.batches.is_empty() {
            self.oldest_last = batch.last;
        } else {
            assert!(self.end == batch.base, "tail batches are contiguous");
        }
        self.end = batch.last.next();
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
    }

    /// Reads the newest batch's entry, beside which the next one is written.
    pub(crate) fn touch_newest(&self) -> u64 {
        let newest = self.batches.back();
        newest.map_or(0, |newest| newest.base.get() ^ newest.chain_after)
    }

    /// Sum of the batch lengths.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// First offset held.
    #[must_use]
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.batches.front().map(|batch| batch.base)
    }

    /// Whether nothing is held.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Every batch from the one that contains `from`.
    pub(crate) fn iter_from(&self, from: Offset) -> impl Iterator<Item = &TailBatch> {
        self.batches.range(self.position(from)..)
    }

    /// Index of the batch that contains `from`. Whoever routes asks for one of the newest and whoever flushes
    /// for the oldest, so both ends are looked at before the rest is searched.
    fn position(&self, from: Offset) -> usize {
        if self.batches.is_empty() || self.oldest_last >= from {
            return 0;
        }
        let newest = self.batches.iter().rev().take(NEWEST_LOOKED_AT);
        let later = newest.take_while(|batch| batch.last >= from).count();
        if later < NEWEST_LOOKED_AT {
            return self.batches.len() - later;
        }
        self.batches.partition_point(|batch| batch.last < from)
    }

    /// Batches wholly inside `[from, upto)`; both are batch boundaries.
    pub(crate) fn iter_range(
        &self,
        from: Offset,
        upto: Offset,
    ) -> impl Iterator<Item = &TailBatch> {
        self.iter_from(from)
            .take_while(move |batch| batch.last < upto)
    }

    /// Adds whole batches to `out`, many small ones in one piece; returns the bytes added.
    pub(crate) fn read(&self, wanted: Wanted, gather: &mut Gather, out: &mut Records) -> usize {
        let Wanted {
            from,
            upto,
            budget,
            have,
        } = wanted;
        let (mut added, mut count) = (0, 0_usize);
        for batch in self.iter_from(from).take_while(|batch| batch.last < upto) {
            let total = have + added;
            let is_forced = total == 0 && budget.at_least_one;
            if total + batch.bytes.len() > budget.bytes_max && !is_forced {
                break;
            }
            added += batch.bytes.len();
            count += 1;
        }
        let batches = self.iter_from(from).take(count);
        if count >= GATHER_COUNT_MIN && added / count < GATHER_BELOW_BYTES {
            out.push(gather.copy(added, batches.map(|batch| &batch.bytes)));
        } else {
            out.extend(batches.map(|batch| batch.bytes.clone()));
        }
        added
    }

    /// Batches below `upto`, which is a batch boundary.
    pub(crate) fn count_below(&self, upto: Offset) -> usize {
        self.batches.partition_point(|batch| batch.last < upto)
    }

    /// Removes every batch below `upto`, which is a batch boundary, oldest first.
    pub(crate) fn take_below(&mut self, upto: Offset) -> Option<TailBatch> {
        if self.oldest_last >= upto {
            return None;
        }
        let batch = self.batches.pop_front()?;
        if let Some(oldest) = self.batches.front() {
            self.oldest_last = oldest.last;
        }
        self.bytes -= batch.bytes.len();
        Some(batch)
    }
}

#[cfg(test)]
mod tests;
