//! The command line's clocks.
//!
//! Owns: the only clock reads of the client verbs.
//! Never: used by the broker; its shells have their own.
//! Invariants: none.
//! Source: style.md rule 19.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A point in time, for measuring and for deadlines.
#[expect(clippy::disallowed_methods, reason = "a client verb is its own shell")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a client verb is its own shell")]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
