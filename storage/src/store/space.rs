//! Free space of the device: the levels at which the store warns, reclaims early and refuses appends, and
//! what waits for room.
//!
//! Owns: the verdict, the polling, the logs that wait.
//! Never: loses what was acknowledged: the journal and the manifest are preallocated (I10).
//! Invariants: a refusal ends when the device reports room again.
//! Source: reliability.md 2.7, ADR-0011.

use std::time::Duration;

use model::time::{Instant, Now};

use super::outbox::Purpose;
use super::{Alarm, LogId, SpaceLevel, SpaceLimits, Store, StoreEvent};
use crate::io::FileOp;

/// Interval of polling while there is room.
const POLL_IDLE: Duration = Duration::from_secs(10);

/// Interval of polling while there is not.
const POLL_SHORT: Duration = Duration::from_secs(2);

/// Free bytes below which an allocation that failed is not tried again.
const RETRY_FREE_BYTES: u64 = 256 * 1024;

/// What is known of the device's free space.
#[derive(Debug)]
pub(crate) struct SpaceWatch {
    limits: SpaceLimits,
    /// As last reported.
    level: SpaceLevel,
    /// An allocation failed and no report said since that there is room.
    has_failed: bool,
    is_polling: bool,
    next_poll: Instant,
    stalled: Vec<LogId>,
}

impl SpaceWatch {
    pub(crate) fn new(now: Now, limits: SpaceLimits) -> Self {
        Self {
            limits,
            level: SpaceLevel::Ample,
            has_failed: false,
            is_polling: false,
            next_poll: now.instant,
            stalled: Vec::new(),
        }
    }

    /// Whether appends are refused.
    pub(crate) fn is_refusing(&self) -> bool {
        self.level >= SpaceLevel::Full || self.has_failed
    }

    /// Whether what retention allows is looked for at once, and nothing is prepared far ahead.
    pub(crate) fn is_reclaiming(&self) -> bool {
        self.level >= SpaceLevel::Scarce || self.has_failed
    }

    /// Whether files may be created or extended. Below the limit they may: accepted batches need room.
    pub(crate) fn may_allocate(&self) -> bool {
        !self.has_failed
    }

    /// An allocation failed.
    pub(crate) fn fail(&mut self, now: Instant) {
        self.has_failed = true;
        self.next_poll = self.next_poll.min(now.after(POLL_SHORT));
    }

    /// A log waits for room.
    pub(crate) fn stall(&mut self, id: LogId) {
        if !self.stalled.contains(&id) {
            self.stalled.push(id);
        }
    }

    /// When free space is asked for next.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        (!self.is_polling).then_some(self.next_poll)
    }

    fn report(&mut self, now: Instant, free: u64, total: u64) -> Vec<LogId> {
        self.has_failed = self.has_failed && free < RETRY_FREE_BYTES;
        self.level = match self.has_failed {
            true => SpaceLevel::Full,
            false => self.limits.level(free, total),
        };
        let wait = match self.level {
            SpaceLevel::Ample | SpaceLevel::Low => POLL_IDLE,
            SpaceLevel::Scarce | SpaceLevel::Full => POLL_SHORT,
        };
        self.next_poll = now.after(wait);
        self.is_polling = false;
        if self.has_failed {
            Vec::new()
        } else {
            std::mem::take(&mut self.stalled)
        }
    }
}

impl Store {
    /// Asks for free space when it is time.
    pub(super) fn poll_space(&mut self, now: Now) {
        if self.space.next_poll().is_some_and(|due| due <= now.instant) && !self.stop.is_begun() {
            self.space.is_polling = true;
            self.outbox.file(Purpose::Space, FileOp::Space);
        }
    }

    /// The device reported its free space.
    pub(super) fn space_reported(&mut self, now: Now, free: u64, total: u64) {
        let before = self.space.level;
        for id in self.space.report(now.instant, free, total) {
            self.relist(id);
        }
        let level = self.space.level;
        if level != before {
            let alarm = Alarm::Space { level, free, total };
            self.events.push_back(StoreEvent::Alarm(alarm));
        }
    }

    /// The device did not say: asked again later.
    pub(super) fn space_unknown(&mut self, now: Now) {
        self.space.is_polling = false;
        self.space.next_poll = now.instant.after(POLL_SHORT);
    }
}
