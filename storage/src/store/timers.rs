//! The passing of time: what becomes due, and when to come back.
//!
//! Owns: `handle_timeout` and `poll_timeout`.
//! Never: works in proportion to the number of partitions in one call.
//! Invariants: everything that waits for time is covered by `poll_timeout`.
//! Source: reliability.md 2.2 (age limit), 2.4 (seal).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use model::fatal::Fatal;
use model::time::{Instant, Now};

use super::{LogId, Store};

/// Timers handled in one call at most.
const TIMERS_PER_CALL_MAX: usize = 1_024;

/// Logs by the time at which they are looked at, earliest first. A log says itself whether it is in it, so nothing is
/// taken out before its time, and the memory of those that were is used again.
#[derive(Debug, Default)]
pub(super) struct Timers {
    logs: BinaryHeap<Reverse<(Instant, LogId)>>,
}

impl Timers {
    pub(super) fn insert(&mut self, due: Instant, id: LogId) {
        self.logs.push(Reverse((due, id)));
    }

    /// When the earliest is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.logs.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the earliest, due or not.
    pub(super) fn pop(&mut self) -> Option<LogId> {
        self.logs.pop().map(|Reverse((_, id))| id)
    }

    fn pop_due(&mut self, now: Instant) -> Option<LogId> {
        if self.next()? > now { None } else { self.pop() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.logs.len()
    }
}

impl Store {
    /// Feeds the passing of time.
    ///
    /// # Errors
    /// A write does not come back (A10): the process must end.
    pub fn handle_timeout(&mut self, now: Now) -> Result<(), Fatal> {
        if self.journal.seal_at.is_some_and(|due| due <= now.instant) {
            self.journal.seal_at = None;
            self.journal.is_seal_due = true;
        }
        if self.manifest.seal_at.is_some_and(|due| due <= now.instant) {
            self.manifest.seal_at = None;
            self.manifest.is_seal_due = true;
        }
        self.handle_memory_timers(now.instant);
        self.handle_age_timers(now.instant);
        if self.reads.wake_at.is_some_and(|due| due <= now.instant) {
            self.wake_blocked();
        }
        self.poll_space(now);
        self.keep_retention(now);
        self.watch_writes(now)
    }

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // A store that stops asks for no space and deletes nothing by age.
        let is_serving = !self.stop.is_begun();
        let candidates = [
            self.journal.seal_at,
            self.manifest.seal_at,
            self.memory_timers.next(),
            self.age_timers.next(),
            self.reads.wake_at,
            self.space.next_poll().filter(|_| is_serving),
            self.stall.next_look(),
            is_serving.then(|| self.retention.next_tick()),
        ];
        candidates.into_iter().flatten().min()
    }

    fn handle_memory_timers(&mut self, now: Instant) {
        for _ in 0..TIMERS_PER_CALL_MAX {
            let Some(id) = self.memory_timers.pop_due(now) else {
                return;
            };
            if let Some(log) = self.logs.get_mut(&id) {
                log.listed.is_memory_timed = false;
            }
            self.mark_dirty(id);
        }
    }

    fn handle_age_timers(&mut self, now: Instant) {
        let age = Duration::from_millis(self.config.tail_age_ms);
        for _ in 0..TIMERS_PER_CALL_MAX {
            let Some(id) = self.age_timers.pop_due(now) else {
                return;
            };
            let Some(log) = self.logs.get_mut(&id) else {
                continue;
            };
            log.listed.is_age_timed = false;
            if log.unflushed_bytes > 0 && log.unflushed_since.after(age) <= now {
                self.want_flush(id);
            } else {
                self.arm_age_timer(id);
            }
        }
    }
}
