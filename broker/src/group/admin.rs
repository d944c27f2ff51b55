//! What tools ask for: describe, list, delete a group, delete offsets.
//!
//! Owns: the views and the conditions of deletion.
//! Never: removes anything before its tombstone is durable.
//! Invariants: a group with members is never deleted.
//! Source: kafka.md 4.8 (DescribeGroups, ListGroups, DeleteGroups, OffsetDelete).

use std::collections::BTreeSet;

use api::error::GroupError;
use api::group::{GroupListing, GroupState, GroupView, MemberView};
use api::metadata::TopicKey;
use api::{Origin, Reply};
use bytes::Bytes;
use model::ids::PartitionId;
use model::time::Now;

use super::effects::{Effects, ElementResult, OffsetKey, Write};
use super::state::{Group, Member, Phase};
use super::subscription::CONSUMER_PROTOCOL_TYPE;
use super::{Topics, records};

/// A group nobody knows.
pub(super) fn unknown_view(group: String) -> GroupView {
    GroupView {
        group,
        state: GroupState::Dead,
        protocol_type: String::new(),
        protocol: String::new(),
        members: Vec::new(),
    }
}

impl Group {
    /// As describe shows it; protocol and metadata only when they are settled.
    pub(super) fn view(&self) -> GroupView {
        let is_stable = self.phase == Phase::Stable;
        let member = |(id, member): (&String, &Member)| MemberView {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable {
                member.metadata(&self.protocol)
            } else {
                Bytes::new()
            },
            assignment: if is_stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        };
        GroupView {
            group: self.name.clone(),
            state: self.phase.view(),
            protocol_type: self.protocol_type.clone(),
            protocol: if is_stable {
                self.protocol.clone()
            } else {
                String::new()
            },
            members: self.members.iter().map(member).collect(),
        }
    }

    /// As list shows it.
    pub(super) fn listing(&self) -> GroupListing {
        GroupListing {
            group: self.name.clone(),
            protocol_type: self.protocol_type.clone(),
            state: self.phase.view(),
        }
    }

    /// Begins to delete the group on request.
    ///
    /// # Errors
    /// It has members, or is already being deleted.
    pub(super) fn delete(
        &mut self,
        effects: &mut Effects,
        now: Now,
        origin: Origin,
    ) -> Result<(), GroupError> {
        match self.phase {
            Phase::Dead => Err(GroupError::NotFound),
            Phase::PreparingRebalance | Phase::CompletingRebalance | Phase::Stable => {
                Err(GroupError::NonEmpty)
            }
            Phase::Empty => {
                self.retire(effects, now, Some(origin));
                Ok(())
            }
        }
    }

    /// Writes tombstones for everything the group has in the log. It answers nothing until they are durable.
    pub(super) fn retire(&mut self, effects: &mut Effects, now: Now, origin: Option<Origin>) {
        let pending: Vec<String> = self.pending.keys().cloned().collect();
        for id in pending {
            self.forget_pending(effects, &id);
        }
        self.enter(Phase::Dead, now.wall);
        let mut records: Vec<_> = self
            .offsets
            .all_keys()
            .iter()
            .map(|key| records::offset_tombstone(&self.name, &key.topic, key.partition))
            .collect();
        records.push(records::group_tombstone(&self.name));
        let then = Write::Retire {
            group: self.name.clone(),
            origin,
        };
        effects.persist(self.partition, records, then);
    }

    /// Begins to delete committed offsets on request.
    ///
    /// # Errors
    /// The group is being deleted, or has members that are not consumers.
    pub(super) fn delete_offsets(
        &mut self,
        effects: &mut Effects,
        origin: Origin,
        partitions: Vec<(TopicKey, PartitionId)>,
        topics: &dyn Topics,
    ) -> Result<(), GroupError> {
        match self.phase {
            Phase::Dead => return Err(GroupError::NotFound),
            Phase::Empty => {}
            Phase::PreparingRebalance | Phase::CompletingRebalance | Phase::Stable => {
                if self.protocol_type != CONSUMER_PROTOCOL_TYPE {
                    return Err(GroupError::NonEmpty);
                }
            }
        }
        let subscribed = self.subscribed();
        let mut doomed = BTreeSet::new();
        let mut results: Vec<ElementResult> = Vec::with_capacity(partitions.len());
        for (key, partition) in partitions {
            let result = self.check_deletion(&key, partition, subscribed.as_ref(), topics);
            let result = result.map(|key| {
                if self.offsets.contains(&key) {
                    doomed.insert(key);
                }
            });
            results.push((key, partition, result));
        }
        if doomed.is_empty() {
            effects.reply(origin, Reply::CommitsDeleted(Ok(results)));
        } else {
            self.write_tombstones(effects, doomed, Some((origin, results)));
        }
        Ok(())
    }

    fn check_deletion(
        &self,
        key: &TopicKey,
        partition: PartitionId,
        subscribed: Option<&BTreeSet<String>>,
        topics: &dyn Topics,
    ) -> Result<OffsetKey, GroupError> {
        let topic = match (topics.resolve(key), key) {
            (Some((name, _, partitions)), _) if partition.get() < partitions => name,
            // Offsets may outlive their topic; they can still be deleted by name.
            (Some(_) | None, TopicKey::Name(name)) => {
                let key = OffsetKey {
                    topic: name.clone(),
                    partition,
                };
                if !self.offsets.contains(&key) {
                    return Err(GroupError::UnknownTopicOrPartition);
                }
                key.topic
            }
            (Some(_) | None, TopicKey::Id(_)) => return Err(GroupError::UnknownTopicOrPartition),
        };
        // With members, a subscription that cannot be read counts as one to everything.
        let is_subscribed =
            !self.members.is_empty() && subscribed.is_none_or(|topics| topics.contains(&topic));
        if is_subscribed {
            Err(GroupError::Subscribed)
        } else {
            Ok(OffsetKey { topic, partition })
        }
    }

    /// Writes tombstones for some of the group's offsets.
    pub(super) fn write_tombstones(
        &self,
        effects: &mut Effects,
        keys: BTreeSet<OffsetKey>,
        answer: Option<(Origin, Vec<ElementResult>)>,
    ) {
        let record =
            |key: &OffsetKey| records::offset_tombstone(&self.name, &key.topic, key.partition);
        let records = keys.iter().map(record).collect();
        let offsets = keys
            .into_iter()
            .map(|key| (self.name.clone(), key))
            .collect();
        effects.persist(self.partition, records, Write::Forget { offsets, answer });
    }
}
