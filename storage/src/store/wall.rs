//! The wall clock, as far as deletion by age believes it.
//!
//! Owns: [`TrustedWall`].
//! Never: holds up a clock that only runs, or goes back: that deletes less, not more.
//! Invariants: what it gives is at most the wall clock, or the monotonic clock's continuation of it.
//! Source: reliability.md 2.8 (clock jumps must not delete data).

use std::time::Duration;

use model::time::{Instant, Now};

/// Further ahead than this of what the monotonic clock says is a jump.
const JUMP_MS: i64 = 60_000;

/// How long the clock must stay where it jumped to before it is believed: time for an operator or a time
/// server to put it right.
const BELIEVED_AFTER: Duration = Duration::from_secs(3_600);

/// The newest time that was believed, and since when the clock is ahead of it.
#[derive(Debug)]
pub(crate) struct TrustedWall {
    at: Instant,
    wall_ms: i64,
    ahead_since: Option<Instant>,
}

impl TrustedWall {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            at: now.instant,
            wall_ms: now.wall.as_millis(),
            ahead_since: None,
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn peek(&self, now: Now) -> i64 {
        let passed = now.instant.since(self.at).as_millis();
        let expected = self
            .wall_ms
            .saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let wall_ms = now.wall.as_millis();
        let since = self.ahead_since.unwrap_or(now.instant);
        let is_new = now.instant < since.after(BELIEVED_AFTER);
        match wall_ms > expected.saturating_add(JUMP_MS) && is_new {
            true => expected,
            false => wall_ms,
        }
    }

    /// As [`Self::peek`], and looks where the clock stands; to be called every few seconds.
    pub(crate) fn read(&mut self, now: Now) -> i64 {
        let believed = self.peek(now);
        if believed == now.wall.as_millis() {
            *self = Self::new(now);
        } else {
            self.ahead_since.get_or_insert(now.instant);
        }
        believed
    }
}

#[cfg(test)]
mod tests;
