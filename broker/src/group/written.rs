//! What happens when a write is reported, and writes that span groups.
//!
//! Owns: the consequences of every [`Write`], durable or not.
//! Never: starts a write on behalf of a client.
//! Invariants: every write with an origin answers it exactly once.
//! Source: kafka.md 4.8; architecture.md section 5.

use std::collections::BTreeMap;

use api::Reply;
use api::error::GroupError;
use model::ids::PartitionId;
use model::time::Now;

use super::config::TOMBSTONES_PER_WRITE;
use super::effects::{Effects, OffsetKey, Write};
use super::join::answer_parked;
use super::offsets::fail_results;
use super::state::{Group, Phase};
use super::timers::TimerKey;
use super::{Coordinator, WriteId, records};

impl Coordinator {
    /// The write is durable.
    pub(super) fn written(&mut self, now: Now, write: WriteId, then: Write) {
        let effects = &mut self.effects;
        match then {
            Write::Assignment {
                group,
                generation,
                assignments,
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.assignment_written(effects, now, generation, assignments);
                    group.settle(effects);
                }
            }
            Write::Replacement {
                group,
                origin,
                joined,
                ..
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.replacement_written(effects, now, origin, Ok(joined));
                }
            }
            Write::Emptied => {}
            Write::Commit {
                group,
                origin,
                results,
                offsets,
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.commit_written(write, offsets, Ok(()));
                    group.settle(effects);
                }
                effects.reply(origin, Reply::OffsetsCommitted(results));
            }
            Write::Forget { offsets, answer } => {
                self.forget_offsets(write, &offsets);
                if let Some((origin, results)) = answer {
                    let reply = Reply::CommitsDeleted(Ok(results));
                    self.effects.reply(origin, reply);
                }
            }
            Write::ForgetTopics { offsets, .. } => self.forget_offsets(write, &offsets),
            Write::Retire { group, origin } => {
                self.remove_group(&group);
                if let Some(origin) = origin {
                    self.effects.reply(origin, Reply::GroupDeleted(Ok(())));
                }
            }
        }
    }

    /// The write failed.
    pub(super) fn not_written(&mut self, now: Now, write: WriteId, then: Write) {
        let effects = &mut self.effects;
        match then {
            Write::Assignment {
                group, generation, ..
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.assignment_refused(effects, now, generation);
                }
            }
            Write::Replacement {
                group,
                origin,
                member,
                ..
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.replacement_written(effects, now, origin, Err(member));
                }
            }
            Write::Emptied => {}
            Write::Commit {
                group,
                origin,
                results,
                offsets,
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.commit_written(write, offsets, Err(GroupError::Storage));
                }
                let results = fail_results(results, GroupError::Storage);
                effects.reply(origin, Reply::OffsetsCommitted(results));
            }
            Write::Forget { .. } => self.answer_failed(then, GroupError::Storage),
            Write::ForgetTopics { partition, offsets } => {
                self.topics_not_forgotten(now, write, (partition, offsets));
            }
            Write::Retire { ref group, .. } => {
                if let Some(group) = self.groups.get_mut(group)
                    && group.phase == Phase::Dead
                {
                    group.enter(Phase::Empty, now.wall);
                }
                self.answer_failed(then, GroupError::Storage);
            }
        }
    }

    /// Answers whoever waits for a write that will never be reported, or failed.
    pub(super) fn answer_failed(&mut self, write: Write, error: GroupError) {
        match write {
            // Their requests are parked in members and answered with them.
            Write::Assignment { .. }
            | Write::Replacement { .. }
            | Write::Emptied
            | Write::ForgetTopics { .. } => {}
            Write::Commit {
                origin, results, ..
            } => {
                let results = fail_results(results, error);
                self.effects.reply(origin, Reply::OffsetsCommitted(results));
            }
            Write::Forget { answer, .. } => {
                if let Some((origin, _)) = answer {
                    self.effects
                        .reply(origin, Reply::CommitsDeleted(Err(error)));
                }
            }
            Write::Retire { origin, .. } => {
                if let Some(origin) = origin {
                    self.effects.reply(origin, Reply::GroupDeleted(Err(error)));
                }
            }
        }
    }

    /// Carries out tombstones in memory.
    pub(super) fn forget_offsets(&mut self, write: WriteId, offsets: &[(String, OffsetKey)]) {
        for (group, key) in offsets {
            if let Some(group) = self.groups.get_mut(group) {
                group.offsets.forget(key, write);
                group.settle(&mut self.effects);
            }
        }
    }

    /// Takes a group out of memory.
    pub(super) fn remove_group(&mut self, name: &str) {
        if let Some(group) = self.groups.remove(name) {
            group.abandon(&mut self.effects);
        }
    }

    /// Writes tombstones for the commits of some topics, in all partitions or one.
    pub(super) fn forget_topics(
        &mut self,
        only: Option<PartitionId>,
        is_doomed: impl Fn(&str) -> bool,
    ) {
        let mut doomed = BTreeMap::<PartitionId, Vec<(String, OffsetKey)>>::new();
        for group in self.groups.values() {
            if only.is_some_and(|only| only != group.partition) {
                continue;
            }
            let keys = group.offsets.keys_where(&is_doomed);
            if !keys.is_empty() {
                let named = keys.into_iter().map(|key| (group.name.clone(), key));
                doomed.entry(group.partition).or_default().extend(named);
            }
        }
        for (partition, offsets) in doomed {
            self.write_forgotten(partition, offsets);
        }
    }

    /// Writes tombstones of one partition for commits to topics that are gone.
    pub(super) fn write_forgotten(
        &mut self,
        partition: PartitionId,
        mut offsets: Vec<(String, OffsetKey)>,
    ) {
        while !offsets.is_empty() {
            let rest = offsets.split_off(offsets.len().min(TOMBSTONES_PER_WRITE));
            let record = |(group, key): &(String, OffsetKey)| {
                records::offset_tombstone(group, &key.topic, key.partition)
            };
            let records = offsets.iter().map(record).collect();
            let then = Write::ForgetTopics { partition, offsets };
            self.effects.persist(partition, records, then);
            offsets = rest;
        }
    }
}

impl Group {
    /// The group leaves memory: its parked requests are answered, its timers removed.
    pub(super) fn abandon(mut self, effects: &mut Effects) {
        self.let_go(effects);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(mut member) = self.remove(effects, &id) {
                answer_parked(effects, &mut member, &id, GroupError::NotCoordinator);
            }
        }
        let pending: Vec<String> = self.pending.keys().cloned().collect();
        for id in pending {
            self.forget_pending(effects, &id);
        }
        let group = || self.name.clone();
        effects
            .timers
            .disarm(&mut self.rebalance, TimerKey::Rebalance { group: group() });
        effects.timers.disarm(
            &mut self.sync_phase,
            TimerKey::PendingSync { group: group() },
        );
        effects
            .timers
            .disarm(&mut self.expiry, TimerKey::Expiry { group: group() });
    }
}
