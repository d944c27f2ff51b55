//! Tombstones of deleted topics that the log refused, and their second try.
//!
//! Owns: what is still in the log although its topic is gone.
//! Never: writes a tombstone behind a newer commit of the same offset: that would take it along.
//! Invariants: an offset is owed only after a commit of it was in memory, so that memory bounds what is owed.
//! Source: kafka.md 4.8; architecture.md decision 9.

use std::collections::BTreeMap;
use std::time::Duration;

use model::ids::PartitionId;
use model::time::{Instant, Now};

use super::effects::{Effects, OffsetKey};
use super::timers::{Deadline, TimerKey};
use super::{Coordinator, WriteId};

/// How long after a refusal the next try is made: as often as free space is asked for.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Offsets whose tombstones could not be written, with the write that tried.
#[derive(Debug, Default)]
pub(super) struct Owed {
    partitions: BTreeMap<PartitionId, BTreeMap<(String, OffsetKey), WriteId>>,
    retry: Deadline,
}

impl Owed {
    /// Another coordinator looks after this partition.
    pub(super) fn forget_partition(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    fn take(&mut self) -> BTreeMap<PartitionId, BTreeMap<(String, OffsetKey), WriteId>> {
        std::mem::take(&mut self.partitions)
    }
}

impl Effects {
    /// Remembers that an offset's tombstone was refused.
    fn owe(&mut self, partition: PartitionId, offset: (String, OffsetKey), write: WriteId) {
        let owed = self.owed.partitions.entry(partition).or_default();
        owed.insert(offset, write);
    }

    fn set_owed_timer(&mut self, now: Instant) {
        if !self.owed.partitions.is_empty() {
            let due = now.after(RETRY_INTERVAL);
            self.timers
                .set(&mut self.owed.retry, due, || TimerKey::Owed);
        }
    }
}

impl Coordinator {
    /// The tombstones were refused. Their topics are gone all the same: a topic of the same name must not find
    /// the old commits.
    pub(super) fn topics_not_forgotten(
        &mut self,
        now: Now,
        write: WriteId,
        (partition, offsets): (PartitionId, Vec<(String, OffsetKey)>),
    ) {
        self.forget_offsets(write, &offsets);
        for offset in offsets {
            self.effects.owe(partition, offset, write);
        }
        self.effects.set_owed_timer(now.instant);
    }

    /// Tries again to write what is owed.
    pub(super) fn owed_due(&mut self, now: Now, wake_up: (Instant, TimerKey)) {
        let effects = &mut self.effects;
        let has_passed = effects
            .timers
            .has_passed(&mut effects.owed.retry, wake_up, now.instant);
        if !has_passed {
            return;
        }
        for (partition, owed) in effects.owed.take() {
            let due = self.still_owed(partition, owed);
            self.write_forgotten(partition, due);
        }
        self.effects.set_owed_timer(now.instant);
    }

    /// What has no newer commit; what has one on its way is looked at later.
    fn still_owed(
        &mut self,
        partition: PartitionId,
        owed: BTreeMap<(String, OffsetKey), WriteId>,
    ) -> Vec<(String, OffsetKey)> {
        let mut due = Vec::new();
        for ((name, key), write) in owed {
            let Some(group) = self.groups.get_mut(&name) else {
                due.push((name, key));
                continue;
            };
            // A commit from before the tombstone may have become durable since.
            group.offsets.forget(&key, write);
            group.settle(&mut self.effects);
            if group.offsets.is_pending(&key) {
                self.effects.owe(partition, (name, key), write);
            } else if !group.offsets.contains(&key) {
                due.push((name, key));
            }
        }
        due
    }
}
