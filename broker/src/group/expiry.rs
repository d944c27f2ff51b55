//! Offsets nobody needs any more, and groups that are nothing else.
//!
//! Owns: when an offset expires, when an empty group goes, what a deleted topic leaves behind.
//! Never: forgets before the tombstone is durable; expires an offset with a commit in flight.
//! Invariants: a topic that a live consumer subscribes to keeps its offsets.
//! Source: kafka.md 4.8 (OffsetCommit), KIP-211.

use std::collections::BTreeSet;
use std::time::Duration;

use model::time::{Instant, Now, Timestamp};

use super::config::{EXPIRY_INTERVAL, TOMBSTONES_PER_WRITE};
use super::effects::{Effects, OffsetKey};
use super::records::OffsetValue;
use super::state::{Group, Phase};
use super::timers::TimerKey;

/// What is left of a group after a look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// It lives on, or its tombstones are being written.
    Group,
    /// Nothing, not even in the log.
    Nothing,
}

impl Group {
    /// Sets the next look at the offsets.
    pub(super) fn set_expiry_timer(&mut self, effects: &mut Effects, now: Instant) {
        let group = &self.name;
        effects
            .timers
            .set(&mut self.expiry, now.after(EXPIRY_INTERVAL), || {
                TimerKey::Expiry {
                    group: group.clone(),
                }
            });
    }

    /// A look at the offsets is due.
    pub(super) fn expiry_due(
        &mut self,
        effects: &mut Effects,
        now: Now,
        wake_up: (Instant, TimerKey),
    ) -> Remains {
        if !effects
            .timers
            .has_passed(&mut self.expiry, wake_up, now.instant)
        {
            return Remains::Group;
        }
        self.set_expiry_timer(effects, now.instant);
        let expired = self.expired(effects.config.offsets_retention, now.wall);
        if self.is_abandoned(expired.len(), now.wall) {
            if !self.has_records && expired.is_empty() {
                return Remains::Nothing;
            }
            self.retire(effects, now, None);
            return Remains::Group;
        }
        let mut rest = expired;
        while !rest.is_empty() {
            let later = rest.iter().nth(TOMBSTONES_PER_WRITE).cloned();
            let later = later.map_or_else(BTreeSet::new, |key| rest.split_off(&key));
            self.write_tombstones(effects, std::mem::replace(&mut rest, later), None);
        }
        Remains::Group
    }

    /// Empty for a while, with nothing to keep.
    fn is_abandoned(&self, expired: usize, now: Timestamp) -> bool {
        self.phase == Phase::Empty
            && self.pending.is_empty()
            && !self.offsets.has_pending()
            && self.offsets.iter().count() == expired
            && is_older(self.since, EXPIRY_INTERVAL, now)
    }

    fn expired(&self, retention: Duration, now: Timestamp) -> BTreeSet<OffsetKey> {
        let is_simple = self.protocol_type.is_empty();
        let subscribed = match self.phase {
            Phase::Empty => Some(BTreeSet::new()),
            Phase::Stable => self.subscribed(),
            Phase::PreparingRebalance | Phase::CompletingRebalance | Phase::Dead => None,
        };
        let Some(subscribed) = subscribed else {
            return BTreeSet::new();
        };
        let needed_until = |value: &OffsetValue| match self.phase {
            Phase::Empty if !is_simple => value.committed_at.max(self.since),
            Phase::Empty
            | Phase::Stable
            | Phase::PreparingRebalance
            | Phase::CompletingRebalance
            | Phase::Dead => value.committed_at,
        };
        self.offsets
            .iter()
            .filter(|(topic, _, value)| {
                !subscribed.contains(*topic) && is_older(needed_until(value), retention, now)
            })
            .map(|(topic, partition, _)| OffsetKey {
                topic: topic.to_owned(),
                partition,
            })
            .filter(|key| !self.offsets.is_pending(key))
            .collect()
    }
}

fn is_older(since: Timestamp, age: Duration, now: Timestamp) -> bool {
    let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    since.plus_millis(millis) <= now
}
