//! Requests parked on one partition.
//!
//! Owns: appends that wait for durability, fetches that wait for data or the device, lookups that wait
//! for the device, deletions that wait for the manifest.
//! Never: answers; hands waiters back to the shard, which does.
//! Invariants: appends are ordered by their last offset; a parked fetch is found by its origin.
//! Source: architecture.md section 6, kafka.md 4.3, 4.4.2.

use std::collections::{BTreeMap, VecDeque};

use api::command::{Fetch, ListOffset};
use api::{Origin, Ticket};
use model::limits;
use model::offset::Offset;

use crate::deadlines::TimerId;

/// Who is told that an append is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendTarget {
    /// A client.
    Client {
        /// Where the reply goes.
        origin: Origin,
        /// First offset of the batch.
        base_offset: Offset,
        /// Time the broker stamped, ms.
        log_append_time: Option<i64>,
    },
    /// The shard itself, by the number it gave.
    Internal(u64),
}

/// An append that waits until the high watermark passes its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendWaiter {
    /// Last offset of the batch.
    pub last_offset: Offset,
    /// When to give up, if ever.
    pub timer: Option<TimerId>,
    /// Who waits.
    pub target: AppendTarget,
}

/// What a parked fetch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchNeed {
    /// A high watermark above its offset.
    Data,
    /// A read of the device.
    Device,
}

/// A parked fetch.
#[derive(Clone, Debug)]
pub struct FetchWaiter {
    /// The request.
    pub fetch: Fetch,
    /// When to give up; `None` while it waits for the device, which always answers.
    pub timer: Option<TimerId>,
    /// What it waits for.
    pub need: FetchNeed,
    /// Already in the shard's queue of fetches to be tried again.
    pub is_queued: bool,
}

/// An offset lookup that waits for the device.
#[derive(Clone, Debug)]
pub struct LookupWaiter {
    /// Where the reply goes.
    pub origin: Origin,
    /// The request.
    pub query: ListOffset,
}

/// Everything parked on one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    appends: VecDeque<AppendWaiter>,
    fetches: BTreeMap<Origin, FetchWaiter>,
    lookups: VecDeque<LookupWaiter>,
    /// How many of the oldest lookups the shard has queued to be tried again.
    lookups_queued: usize,
    deletions: VecDeque<(Origin, Offset)>,
}

impl Waiters {
    /// Whether one more append may park. Readers have room of their own: they cannot keep writers out.
    #[must_use]
    pub fn has_room_for_append(&self) -> bool {
        self.appends.len() < limits::WAITERS_PER_PARTITION_MAX
    }

    /// Whether one more lookup may park.
    #[must_use]
    pub fn has_room_for_lookup(&self) -> bool {
        self.fetches.len() + self.lookups.len() < limits::WAITERS_PER_PARTITION_MAX
    }

    /// Whether one more fetch of this connection may park.
    #[must_use]
    pub fn has_room_for_fetch(&self, origin: Origin) -> bool {
        let with = |ticket| Origin {
            ticket: Ticket(ticket),
            ..origin
        };
        let most = limits::FETCHES_PER_CONNECTION_MAX;
        let own = self.fetches.range(with(0)..=with(u64::MAX));
        self.has_room_for_lookup() && own.take(most).count() < most
    }

    /// Whether one more deletion may park.
    #[must_use]
    pub fn has_room_for_deletion(&self) -> bool {
        self.deletions.len() < limits::WAITERS_PER_PARTITION_MAX
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.appends.len() + self.fetches.len() + self.lookups.len() + self.deletions.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parks an append. Those come in offset order, except duplicates of batches that are not durable yet.
    pub fn park_append(&mut self, waiter: AppendWaiter) {
        assert!(
            self.has_room_for_append(),
            "the bound is checked before the append"
        );
        let is_newest = self
            .appends
            .back()
            .is_none_or(|back| back.last_offset <= waiter.last_offset);
        if is_newest {
            self.appends.push_back(waiter);
        } else {
            let at = self
                .appends
                .partition_point(|one| one.last_offset <= waiter.last_offset);
            self.appends.insert(at, waiter);
        }
    }

    /// Takes the first append whose last record lies below `high_watermark`.
    pub fn pop_append(&mut self, high_watermark: Offset) -> Option<AppendWaiter> {
        let is_durable = self.appends.front()?.last_offset < high_watermark;
        if is_durable {
            self.appends.pop_front()
        } else {
            None
        }
    }

    /// Takes the append of `origin` that ends at `last_offset`.
    pub fn take_append(&mut self, last_offset: Offset, origin: Origin) -> Option<AppendWaiter> {
        let is_it = |waiter: &AppendWaiter| match waiter.target {
            AppendTarget::Client { origin: of, .. } => of == origin,
            AppendTarget::Internal(_) => false,
        };
        let first = self
            .appends
            .partition_point(|one| one.last_offset < last_offset);
        let at = (first..self.appends.len())
            .take_while(|at| self.appends[*at].last_offset == last_offset)
            .find(|at| is_it(&self.appends[*at]))?;
        self.appends.remove(at)
    }

    /// Takes any append, oldest first, for a partition that goes away.
    pub fn pop_any_append(&mut self) -> Option<AppendWaiter> {
        self.appends.pop_front()
    }

    /// Parks a fetch.
    pub fn park_fetch(&mut self, origin: Origin, waiter: FetchWaiter) {
        assert!(
            self.has_room_for_fetch(origin),
            "the bound is checked before parking"
        );
        self.fetches.insert(origin, waiter);
    }

    /// Whether a fetch of this origin is parked.
    #[must_use]
    pub fn has_fetch(&self, origin: Origin) -> bool {
        self.fetches.contains_key(&origin)
    }

    /// Takes the parked fetch of this origin.
    pub fn take_fetch(&mut self, origin: Origin) -> Option<FetchWaiter> {
        self.fetches.remove(&origin)
    }

    /// The parked fetch of this origin.
    pub fn fetch_mut(&mut self, origin: Origin) -> Option<&mut FetchWaiter> {
        self.fetches.get_mut(&origin)
    }

    /// Takes any fetch.
    pub fn pop_any_fetch(&mut self) -> Option<(Origin, FetchWaiter)> {
        self.fetches.pop_first()
    }

    /// Marks every fetch that `wakes` accepts as queued and gives the origins of those that were not.
    pub fn queue_fetches(
        &mut self,
        wakes: impl Fn(FetchNeed) -> bool,
        mut queue: impl FnMut(Origin),
    ) {
        for (origin, waiter) in &mut self.fetches {
            if !waiter.is_queued && wakes(waiter.need) {
                waiter.is_queued = true;
                queue(*origin);
            }
        }
    }

    /// Parks a lookup.
    pub fn park_lookup(&mut self, waiter: LookupWaiter) {
        assert!(
            self.has_room_for_lookup(),
            "the bound is checked before parking"
        );
        self.lookups.push_back(waiter);
    }

    /// Marks every lookup as queued and gives the number of those that were not: however often the device
    /// answers, a lookup stands once in the shard's queue.
    pub fn queue_lookups(&mut self) -> usize {
        let added = self.lookups.len() - self.lookups_queued;
        self.lookups_queued = self.lookups.len();
        added
    }

    /// Takes the oldest lookup; those that are queued are the oldest.
    pub fn pop_lookup(&mut self) -> Option<LookupWaiter> {
        self.lookups_queued = self.lookups_queued.saturating_sub(1);
        self.lookups.pop_front()
    }

    /// Parks a deletion of the records below `before`.
    pub fn park_deletion(&mut self, origin: Origin, before: Offset) {
        assert!(
            self.has_room_for_deletion(),
            "the bound is checked before parking"
        );
        self.deletions.push_back((origin, before));
    }

    /// Whether a deletion is on its way.
    #[must_use]
    pub fn has_deletion(&self) -> bool {
        !self.deletions.is_empty()
    }

    /// Takes the oldest deletion if `log_start` has reached it.
    pub fn pop_deletion(&mut self, log_start: Offset) -> Option<Origin> {
        let is_done = self.deletions.front()?.1 <= log_start;
        if is_done {
            self.deletions.pop_front().map(|(origin, _)| origin)
        } else {
            None
        }
    }

    /// Takes any deletion, oldest first.
    pub fn pop_any_deletion(&mut self) -> Option<Origin> {
        self.deletions.pop_front().map(|(origin, _)| origin)
    }
}

#[cfg(test)]
mod tests;
