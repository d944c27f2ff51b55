//! From a fetch command to its answer.
//!
//! Owns: parking, waking and cancelling of fetches; the queue of parked requests to be tried again.
//! Never: decides what is visible; `partition::fetch` does.
//! Invariants: one input causes a bounded number of retries; a fetch that waits for the device is
//! answered by it, whatever its deadline, so that short deadlines cannot starve a reader.
//! Source: kafka.md 4.4.

use std::collections::VecDeque;

use api::command::Fetch;
use api::error::{PartitionError, ReadError};
use api::metadata::TopicKey;
use api::reply::Fetched;
use api::{Origin, Reply};
use model::ids::PartitionId;
use model::time::Now;
use storage::LogId;

use super::{Due, Shard};
use crate::partition::fetch::{FetchStep, empty, try_fetch};
use crate::partition::{FetchNeed, FetchWaiter};

/// Parked requests tried again per input; the rest follows with the next input.
const RETRIES_PER_INPUT_MAX: usize = 256;

/// A parked request that may be able to go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retry {
    Fetch(LogId, Origin),
    /// The oldest lookup of this log.
    Lookup(LogId),
}

/// Parked requests to be tried again, oldest wake-up first.
#[derive(Debug, Default)]
pub(super) struct Retries {
    queue: VecDeque<Retry>,
}

impl Retries {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, retry: Retry) {
        self.queue.push_back(retry);
    }
}

impl Shard {
    pub(super) fn fetch(&mut self, now: Now, origin: Origin, fetch: Fetch) {
        match self.locate(&fetch.topic, fetch.partition) {
            Ok(log) => self.advance_fetch(now, log, (origin, fetch)),
            Err(error) => self.reply(origin, Reply::Fetched(Err(error.into()))),
        }
    }

    /// Answers a parked fetch with what there is. One that was answered in the meantime is not missed.
    pub(super) fn cancel_fetch(
        &mut self,
        now: Now,
        origin: Origin,
        (topic, partition): &(TopicKey, PartitionId),
    ) {
        let Ok(log) = self.locate(topic, *partition) else {
            return;
        };
        let Some(waiter) = self.take_fetch(log, origin) else {
            return;
        };
        let Some(partition) = self.directory.get(log) else {
            return;
        };
        let result = match try_fetch(partition, &mut self.store, now, &waiter.fetch) {
            FetchStep::Done(result) => result,
            FetchStep::Wait(_, bounds) => Ok(empty(&bounds)),
        };
        self.reply_fetched(origin, result);
    }

    pub(super) fn expire_fetch(&mut self, now: Now, log: LogId, origin: Origin) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let Some(waiter) = partition.waiters.take_fetch(origin) else {
            return;
        };
        let fetch = Fetch {
            wait_until: None,
            ..waiter.fetch
        };
        self.advance_fetch(now, log, (origin, fetch));
    }

    /// Queues the fetches that wait for a higher watermark.
    pub(super) fn wake_readers(&mut self, log: LogId) {
        self.queue_fetches(log, |need| need == FetchNeed::Data);
    }

    /// Queues every fetch: its range or epoch may not be right any more.
    pub(super) fn wake_all_readers(&mut self, log: LogId) {
        self.queue_fetches(log, |_| true);
    }

    /// Queues what waited for the device.
    pub(super) fn handle_readable(&mut self, log: LogId) {
        self.queue_fetches(log, |need| need == FetchNeed::Device);
        let partition = self.directory.get_mut(log);
        let lookups = partition.map_or(0, |one| one.waiters.queue_lookups());
        for _ in 0..lookups {
            self.retries.push(Retry::Lookup(log));
        }
        self.groups.handle_readable(log);
    }

    /// Tries a bounded number of queued requests again.
    pub(super) fn retry_parked(&mut self, now: Now) {
        for _ in 0..RETRIES_PER_INPUT_MAX {
            match self.retries.queue.pop_front() {
                Some(Retry::Fetch(log, origin)) => self.retry_fetch(now, log, origin),
                Some(Retry::Lookup(log)) => self.retry_lookup(now, log),
                None => return,
            }
        }
    }

    fn queue_fetches(&mut self, log: LogId, wakes: impl Fn(FetchNeed) -> bool) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let retries = &mut self.retries;
        partition
            .waiters
            .queue_fetches(wakes, |origin| retries.push(Retry::Fetch(log, origin)));
    }

    fn retry_fetch(&mut self, now: Now, log: LogId, origin: Origin) {
        // Gone if it was cancelled, expired or its partition deleted after it was queued.
        if let Some(waiter) = self.take_fetch(log, origin) {
            self.advance_fetch(now, log, (origin, waiter.fetch));
        }
    }

    fn take_fetch(&mut self, log: LogId, origin: Origin) -> Option<FetchWaiter> {
        let waiter = self.directory.get_mut(log)?.waiters.take_fetch(origin)?;
        if let Some(timer) = waiter.timer {
            self.deadlines.cancel(timer);
        }
        Some(waiter)
    }

    fn advance_fetch(&mut self, now: Now, log: LogId, (origin, fetch): (Origin, Fetch)) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let (need, bounds) = match try_fetch(partition, &mut self.store, now, &fetch) {
            FetchStep::Done(result) => return self.reply_fetched(origin, result),
            FetchStep::Wait(need, bounds) => (need, bounds),
        };
        let deadline = fetch.wait_until.filter(|until| *until > now.instant);
        let timer = match (need, deadline) {
            (FetchNeed::Device, _) => None,
            (FetchNeed::Data, Some(_)) => deadline,
            (FetchNeed::Data, None) => return self.reply_fetched(origin, Ok(empty(&bounds))),
        };
        if !partition.waiters.has_room_for_fetch(origin) {
            return self.reply_fetched(origin, Err(PartitionError::Busy.into()));
        }
        assert!(
            !partition.waiters.has_fetch(origin),
            "a ticket is used once while unanswered"
        );
        let timer = timer.map(|until| self.deadlines.insert(until, Due::Fetch(log, origin)));
        partition.waiters.park_fetch(
            origin,
            FetchWaiter {
                fetch,
                timer,
                need,
                is_queued: false,
            },
        );
    }

    pub(super) fn reply_fetched(&mut self, origin: Origin, result: Result<Fetched, ReadError>) {
        self.reply(origin, Reply::Fetched(result));
    }
}
