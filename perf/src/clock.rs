//! The generator's clock: nanoseconds since the run began.
//!
//! Owns: [`Clock`], sleeping until a time, the wall clock.
//! Never: goes back.
//! Invariants: all threads of a run share one start, so their times compare.
//! Source: performance.md section 5.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the start of a run.
pub type Nanos = u64;

/// One start for a whole run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: monotonic() }
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        nanos(monotonic().duration_since(self.start))
    }

    /// Sleeps until `at`; returns at once if it is past.
    pub fn sleep_until(&self, at: Nanos) {
        let left = at.saturating_sub(self.now());
        if left > 0 {
            pause(Duration::from_nanos(left));
        }
    }
}

/// A duration as nanoseconds, at most 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn wall_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a load generator reads clocks; nothing of the product does here"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits without looking for anything.
pub fn pause(duration: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor of a run has nothing to wait for but time"
    )]
    std::thread::sleep(duration);
}

fn monotonic() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a load generator reads clocks; nothing of the product does here"
    )]
    Instant::now()
}
