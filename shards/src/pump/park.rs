//! What a core does when it has nothing to do.
//!
//! Owns: spinning, the `sleeping` flag's protocol, the wait in the kernel.
//! Never: spins past the usual write time while a durable write is out: the kernel worker that
//! completes the write is bound to this core and would starve.
//! Invariants: the queues are checked once more between setting the flag and waiting.
//! Source: performance.md section 2 (the trap), runtime.md section 6.2.

use std::time::Duration;

use model::fatal::Fatal;
use model::time::Instant;

use super::{Machine, Pump, Stop};
use crate::watch::LOOK;

/// Longest polling while a durable write is out. Measured: 20 to 50 us is the useful range.
const WRITE_POLL_MAX: Duration = Duration::from_micros(50);
/// Wait while a queue towards another core is full: nobody wakes this core when it drains.
const OVERFLOW_PAUSE: Duration = Duration::from_micros(100);
/// Polls between two looks at the clock.
const POLLS_PER_LOOK: u32 = 16;

/// How long a core polls before it parks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spin {
    busy_poll: Duration,
}

impl Spin {
    /// Polls for `busy_poll` after the last work; zero parks at once.
    pub(super) fn new(busy_poll: Duration) -> Self {
        Self { busy_poll }
    }

    /// How long to poll now, given how long a write that is out usually takes.
    pub(super) fn budget(self, write_bound: Option<Duration>) -> Duration {
        match write_bound {
            None => self.busy_poll,
            Some(usual) => self.busy_poll.min(usual).min(WRITE_POLL_MAX),
        }
    }
}

impl<M: Machine> Pump<M> {
    /// Submits, and waits if there is nothing to do.
    pub(super) fn rest(&mut self) -> Result<(), Fatal> {
        if self.stop == Stop::Leave || self.has_work() {
            return self.ring.submit();
        }
        let budget = self.spin.budget(self.disk.poll_bound());
        if !budget.is_zero() {
            self.ring.submit()?;
            if self.poll(budget) {
                return Ok(());
            }
        }
        self.park()
    }

    fn has_work(&mut self) -> bool {
        let is_owed = self.is_behind || self.has_more || self.net.has_hungry();
        is_owed || self.disk.has_ready() || self.has_arrivals()
    }

    fn has_arrivals(&mut self) -> bool {
        self.ring.has_completions() || self.mesh.has_incoming() || self.mailbox.has_mail()
    }

    /// Polls without system calls; `true` if something arrived or is due.
    fn poll(&mut self, budget: Duration) -> bool {
        let until = self.clock.instant().after(budget);
        let due = self
            .deadline()
            .map_or(until, |deadline| deadline.min(until));
        loop {
            for _ in 0..POLLS_PER_LOOK {
                if self.has_arrivals() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.clock.instant() >= due {
                return due < until;
            }
        }
    }

    fn park(&mut self) -> Result<(), Fatal> {
        self.waker.begin_sleep();
        if self.mesh.has_incoming() || self.mailbox.has_mail() {
            self.waker.end_sleep();
            return self.ring.submit();
        }
        let now = self.clock.instant();
        let by = self.wake_by(now);
        self.beat.promise(by);
        let timeout = by.map(|by| by.since(now));
        let waited = self.ring.wait(timeout);
        self.waker.end_sleep();
        waited
    }

    fn wake_by(&self, now: Instant) -> Option<Instant> {
        let is_pressed = self.mesh.has_overflow() || !self.proposals.is_empty();
        let pause = is_pressed.then(|| now.after(OVERFLOW_PAUSE));
        // Whether the kernel keeps this core while it takes a read, or only the read, shows if the core turns.
        let look = self.disk.has_reads_out().then(|| now.after(LOOK));
        [self.deadline(), pause, look].into_iter().flatten().min()
    }

    fn deadline(&self) -> Option<Instant> {
        let linger = match self.stop {
            Stop::Lingering(until) => Some(until),
            Stop::No | Stop::Asked | Stop::Reported | Stop::Leave => None,
        };
        [
            self.machine.poll_timeout(),
            self.net.poll_timeout(),
            self.accept_at,
            linger,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
