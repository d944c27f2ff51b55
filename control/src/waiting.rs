//! Writes that wait for room on the device.
//!
//! Owns: what is left of them, and when they are tried again.
//! Never: tries anything.
//! Invariants: they are tried at most once per [`INTERVAL`], however many proposals come.
//! Source: reliability.md 2.7.
#![expect(
    clippy::disallowed_methods,
    reason = "the shell of the control core reads the clock"
)]

use std::time::{Duration, Instant};

use raft_host::Write;

use crate::settings::ControlError;

/// Time between two tries.
const INTERVAL: Duration = Duration::from_secs(1);

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Retry(Instant);

impl Retry {
    /// Whether it is time.
    pub(crate) fn is_due(self) -> bool {
        self.left().is_zero()
    }

    /// Time until then.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Writes of which the first found no room, and what follows them.
#[derive(Debug)]
pub(crate) struct Stuck<T> {
    /// In order.
    pub(crate) writes: Vec<Write>,
    /// To be done once they are durable.
    pub(crate) then: T,
    /// When to try again.
    pub(crate) retry: Retry,
    /// What was tried, and the answer.
    pub(crate) cause: ControlError,
}

impl Stuck<()> {
    pub(crate) fn new(writes: Vec<Write>, cause: ControlError) -> Self {
        Self {
            writes,
            then: (),
            retry: Retry(Instant::now() + INTERVAL),
            cause,
        }
    }

    /// The same with something that follows.
    pub(crate) fn before<T>(self, then: T) -> Stuck<T> {
        let Self {
            writes,
            then: (),
            retry,
            cause,
        } = self;
        Stuck {
            writes,
            then,
            retry,
            cause,
        }
    }
}
