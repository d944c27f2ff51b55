//! The clocks of a data core.
//!
//! Owns: the only place of this crate that reads clocks.
//! Never: is read more than once per round, except to bound a spin or to time a device write.
//! Invariants: all cores of a process share one arbitrary start, so instants may cross the mesh.
//! Source: architecture.md A11.

use std::time::{SystemTime, UNIX_EPOCH};

use model::time::{Instant, Now, Timestamp};

/// Reads the monotonic and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock whose arbitrary start is one second ago, so that zero is never "now".
    pub(crate) fn new() -> Self {
        let now = read_monotonic();
        let start = now
            .checked_sub(std::time::Duration::from_secs(1))
            .unwrap_or(now);
        Self { start }
    }

    /// The monotonic clock alone.
    pub(crate) fn instant(self) -> Instant {
        let nanos = read_monotonic()
            .saturating_duration_since(self.start)
            .as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Both clocks.
    pub(crate) fn now(self) -> Now {
        Now {
            instant: self.instant(),
            wall: read_wall(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell's one reading of the monotonic clock"
)]
fn read_monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

/// Reads the wall clock, for what happens before the cores run.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell's one reading of the wall clock"
)]
#[must_use]
pub fn read_wall() -> Timestamp {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    };
    Timestamp::from_millis(millis)
}
