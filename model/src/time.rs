//! Time as a value.
//!
//! Owns: [`Instant`] (monotonic), [`Timestamp`] (wall clock), [`Now`] (both, read once per round).
//! Never: reads a clock; shells do and pass the value in.
//! Invariants: nothing safety-critical depends on either (A11).
//! Source: architecture.md A11.

use std::time::Duration;

/// A point on the process's monotonic clock, nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The arbitrary start of the clock.
    pub const ZERO: Self = Self(0);

    /// `nanos` after the arbitrary start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the arbitrary start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant plus `duration`, saturating at the end of the clock.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time, milliseconds since the Unix epoch; negative values are legal but unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Wraps milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// `millis` later, saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// `millis` earlier, saturating.
    #[must_use]
    pub const fn minus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

/// Both clocks, read together once per round of a shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic: deadlines and durations.
    pub instant: Instant,
    /// Wall clock: record timestamps and retention only.
    pub wall: Timestamp,
}

#[cfg(test)]
mod tests;
