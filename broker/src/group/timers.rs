//! Deadlines of groups and members.
//!
//! Owns: the ordered set of wake-ups.
//! Never: decides what a passed deadline means.
//! Invariants: at most one wake-up per [`Deadline`]; moving a deadline later does not touch the set, so a
//! heartbeat costs no tree operation.
//! Source: kafka.md 4.8 (session, rebalance and pending-sync timers).

use std::collections::BTreeSet;

use model::time::Instant;

/// Whose deadline it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKey {
    /// A member's or pending member's session.
    Session {
        /// Group.
        group: String,
        /// Member id.
        member: String,
    },
    /// End of the join phase, or of a part of the initial delay.
    Rebalance {
        /// Group.
        group: String,
    },
    /// End of the sync phase.
    PendingSync {
        /// Group.
        group: String,
    },
    /// Next look at the group's offsets.
    Expiry {
        /// Group.
        group: String,
    },
    /// Next try to write the tombstones that were refused.
    Owed,
}

/// A point in time that may move, and the wake-up that stands for it.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    due: Option<Instant>,
    /// Where in the set the wake-up is; never later than `due`.
    armed: Option<Instant>,
}

impl Deadline {
    /// No longer due. The wake-up stays and will find nothing to do.
    pub(super) const fn clear(&mut self) {
        self.due = None;
    }
}

/// Wake-ups in order.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeSet<(Instant, TimerKey)>,
}

impl Timers {
    /// Makes `deadline` due at `due`.
    pub(super) fn set(
        &mut self,
        deadline: &mut Deadline,
        due: Instant,
        key: impl FnOnce() -> TimerKey,
    ) {
        deadline.due = Some(due);
        if deadline.armed.is_some_and(|armed| armed <= due) {
            return;
        }
        let key = key();
        if let Some(armed) = deadline.armed.replace(due) {
            self.set.remove(&(armed, key.clone()));
        }
        self.set.insert((due, key));
    }

    /// Takes the wake-up out: its owner goes away.
    pub(super) fn disarm(&mut self, deadline: &mut Deadline, key: TimerKey) {
        deadline.due = None;
        if let Some(armed) = deadline.armed.take() {
            self.set.remove(&(armed, key));
        }
    }

    /// First wake-up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Takes the first wake-up that is not after `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, TimerKey)> {
        if self.next()? > now {
            None
        } else {
            self.set.pop_first()
        }
    }

    /// Whether a wake-up that was popped means that `deadline` has passed; if it moved, it is armed again.
    pub(super) fn has_passed(
        &mut self,
        deadline: &mut Deadline,
        wake_up: (Instant, TimerKey),
        now: Instant,
    ) -> bool {
        let (at, key) = wake_up;
        if deadline.armed == Some(at) {
            deadline.armed = None;
        }
        match deadline.due {
            None => false,
            Some(due) if due <= now => {
                deadline.due = None;
                true
            }
            Some(due) => {
                self.set(deadline, due, || key);
                false
            }
        }
    }

    /// Wake-ups in the set.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }
}
