//! When connections want to look at the time.
//!
//! Owns: a heap of (instant, connection).
//! Never: is scanned per round; only due entries are touched.
//! Invariants: an entry may be stale; the connection knows which of its entries counts, so there are at
//! most a few per connection.
//! Source: runtime.md section 6.3.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::ids::ConnectionId;
use model::time::Instant;

/// Armed timers, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnectionId)>>,
}

impl Timers {
    /// Arms a timer.
    pub(crate) fn arm(&mut self, at: Instant, id: ConnectionId) {
        self.heap.push(Reverse((at, id)));
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, ConnectionId)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the earliest timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
