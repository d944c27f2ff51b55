//! One log line per abnormal end of a connection, within reason.
//!
//! Owns: the rate limit of those lines.
//! Never: logs an ordinary disconnect above debug level.
//! Invariants: at most a few lines per second and core; what was left out is counted in the next line.
//! Source: style.md rule 16.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use model::time::Instant;

/// Lines per window.
const LINES_MAX: u32 = 10;
/// Length of a window.
const WINDOW: Duration = Duration::from_secs(1);

/// Writes the lines of one core.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    window_start: Instant,
    lines: u32,
    suppressed: u64,
}

impl Reporter {
    /// Reports an abnormal end.
    pub(crate) fn report(&mut self, now: Instant, peer: Option<SocketAddr>, reason: &dyn Display) {
        if !self.admit(now) {
            return;
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        match peer {
            Some(peer) => tracing::info!(%peer, %reason, suppressed, "connection closed"),
            None => tracing::info!(%reason, suppressed, "connection refused"),
        }
    }

    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if now.since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.lines = 0;
        }
        if self.lines < LINES_MAX {
            self.lines += 1;
            return true;
        }
        self.suppressed += 1;
        false
    }
}
