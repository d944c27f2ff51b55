//! From a fetch command to its answer.
//!
//! Owns: parking, waking and cancelling of fetches; the queue of parked requests to be tried again.
//! Never: decides what is visible; `partition::fetch` does.
//! Invariants: one input causes a bounded number of retries, and one round of searches by time; a fetch that waits for the device is
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

/// Searches by time per round. One may have to decompress a batch whole, which takes as long as thousands of fetches.
const SEARCHES_PER_ROUND: usize = 1;

/// Parked requests that may be able to go on, oldest wake-up first.
#[derive(Debug)]
pub(super) struct Retries {
    fetches: VecDeque<(LogId, Origin)>,
    /// Each stands for the oldest lookup of a log.
    lookups: VecDeque<LogId>,
    /// Searches by time that this round may still begin.
    searches_left: usize,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            fetches: VecDeque::new(),
            lookups: VecDeque::new(),
            searches_left: SEARCHES_PER_ROUND,
        }
    }
}

impl Retries {
    pub(super) fn is_empty(&self) -> bool {
        self.fetches.is_empty() && self.lookups.is_empty()
    }

    pub(super) fn push_lookup(&mut self, log: LogId) {
        self.lookups.push_back(log);
    }

    /// A round ended.
    pub(super) fn begin_round(&mut self) {
        self.searches_left = SEARCHES_PER_ROUND;
    }

    /// Whether a search by time may begin in this round, before which none waits; counts it.
    pub(super) fn may_search(&mut self) -> bool {
        let may = self.lookups.is_empty() && self.searches_left > 0;
        self.searches_left -= usize::from(may);
        may
    }

    /// The log whose oldest lookup has its turn.
    fn next_lookup(&mut self) -> Option<LogId> {
        self.searches_left.checked_sub(1).and_then(|left| {
            let log = self.lookups.pop_front()?;
            self.searches_left = left;
            Some(log)
        })
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
        self.queue_lookups(log);
        self.groups.handle_readable(log);
    }

    /// Tries a bounded number of queued requests again.
    pub(super) fn retry_parked(&mut self, now: Now) {
        for _ in 0..RETRIES_PER_INPUT_MAX {
            let Some((log, origin)) = self.retries.fetches.pop_front() else {
                break;
            };
            self.retry_fetch(now, log, origin);
        }
        while let Some(log) = self.retries.next_lookup() {
            self.retry_lookup(now, log);
        }
    }

    fn queue_fetches(&mut self, log: LogId, wakes: impl Fn(FetchNeed) -> bool) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let retries = &mut self.retries;
        partition
            .waiters
            .queue_fetches(wakes, |origin| retries.fetches.push_back((log, origin)));
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
