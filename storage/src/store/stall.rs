//! Writes that do not come back.
//!
//! Owns: how long the oldest write is on its way, the alarm, the fence.
//! Never: counts time in which this core itself stood still (a stopped process, a suspended machine): its
//! writes stood still with it.
//! Invariants: every write on its way is looked at twice a second.
//! Source: reliability.md 2.7 (stalled I/O).

use std::time::Duration;

use model::fatal::{Fatal, Reason};
use model::time::{Instant, Now};

use super::{Alarm, StallLimits, Store, StoreEvent};
use crate::io::IoId;

/// Interval of looking, and the longest time between two looks that counts: more means that this core did
/// not run.
const LOOK: Duration = Duration::from_millis(500);

/// The oldest write, as last seen.
#[derive(Debug)]
pub(crate) struct StallWatch {
    limits: StallLimits,
    seen: Option<Seen>,
    is_unfit: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    oldest: IoId,
    at: Instant,
    waited: Duration,
}

impl StallWatch {
    pub(crate) fn new(limits: StallLimits) -> Self {
        Self {
            limits,
            seen: None,
            is_unfit: false,
        }
    }

    /// When the writes are looked at next; never while there are none.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.seen.map(|seen| seen.at.after(LOOK))
    }

    /// Begins to look when writes appear, and ends it when all came back.
    pub(crate) fn arm(&mut self, now: Instant, oldest: Option<IoId>) {
        let is_idle = oldest.is_none() && !self.is_unfit;
        if self.seen.is_none() != is_idle {
            self.look(now, oldest);
        }
    }

    /// Looks; gives how long the oldest write is on its way.
    fn look(&mut self, now: Instant, oldest: Option<IoId>) -> Duration {
        self.seen = oldest.map(|oldest| {
            let waited = match self.seen.filter(|seen| seen.oldest == oldest) {
                Some(seen) => seen.waited + now.since(seen.at).min(LOOK),
                None => Duration::ZERO,
            };
            Seen {
                oldest,
                at: now,
                waited,
            }
        });
        self.seen.map_or(Duration::ZERO, |seen| seen.waited)
    }
}

impl Store {
    /// Looks how long writes are on their way.
    ///
    /// # Errors
    /// One does not come back: the device is fenced (A10).
    pub(super) fn watch_writes(&mut self, now: Now) -> Result<(), Fatal> {
        if self.stall.next_look().is_none_or(|due| due > now.instant) {
            return Ok(());
        }
        let waited = self.stall.look(now.instant, self.outbox.oldest_write());
        if waited >= self.stall.limits.fence {
            let what = format!("a write has not come back for {waited:?}; the device stalls");
            return Err(Fatal::new(Reason::DiskWriteFailed, what));
        }
        let is_unfit = waited >= self.stall.limits.unfit;
        if is_unfit != self.stall.is_unfit {
            self.stall.is_unfit = is_unfit;
            let alarm = match is_unfit {
                true => Alarm::Stalled { waited },
                false => Alarm::StallOver,
            };
            self.events.push_back(StoreEvent::Alarm(alarm));
        }
        Ok(())
    }
}
