//! Committed offsets: OffsetCommit, OffsetFetch and their tombstones.
//!
//! Owns: [`OffsetTable`] and who may commit.
//! Never: shows an offset whose record is not durable.
//! Invariants: of two writes to one offset the later one wins, whatever the order of their reports.
//! Source: kafka.md 4.8 (OffsetCommit, OffsetFetch).

use std::collections::BTreeMap;

use api::error::GroupError;
use api::group::{Committed, CommittedOffsets, CommittedQuery, MemberKey, OffsetToCommit};
use api::metadata::TopicKey;
use model::ids::{PartitionId, TopicId};
use model::limits::OFFSET_METADATA_BYTES_MAX;
use model::time::{Now, Timestamp};

use super::effects::{Effects, ElementResult, OffsetKey, Write};
use super::records::{self, OffsetValue};
use super::state::{Group, Phase};
use super::{GroupRecord, Topics, WriteId};

/// A committed offset and the write that brought it.
#[derive(Debug)]
pub(super) struct OffsetEntry {
    /// What was committed.
    pub value: OffsetValue,
    write: WriteId,
}

/// The committed offsets of one group.
#[derive(Debug, Default)]
pub(super) struct OffsetTable {
    /// By topic, then partition. No inner map is empty.
    topics: BTreeMap<String, BTreeMap<PartitionId, OffsetEntry>>,
    /// Commits in flight.
    pending: BTreeMap<OffsetKey, usize>,
    /// Sum of [`weight`] over the durable ones.
    bytes: usize,
}

/// Bytes of a committed offset besides its metadata.
const OFFSET_BYTES: usize = 128;

const fn weight(value: &OffsetValue) -> usize {
    OFFSET_BYTES + value.metadata.len()
}

impl OffsetTable {
    /// Makes a durable commit visible, unless a later one already is.
    pub(super) fn apply(&mut self, key: OffsetKey, value: OffsetValue, write: WriteId) {
        let entries = self.topics.entry(key.topic).or_default();
        if entries
            .get(&key.partition)
            .is_none_or(|entry| entry.write <= write)
        {
            self.bytes += weight(&value);
            let old = entries.insert(key.partition, OffsetEntry { value, write });
            self.bytes -= old.map_or(0, |entry| weight(&entry.value));
        }
    }

    /// Carries out a durable tombstone, unless a later commit is visible.
    pub(super) fn forget(&mut self, key: &OffsetKey, write: WriteId) {
        let Some(entries) = self.topics.get_mut(&key.topic) else {
            return;
        };
        if entries
            .get(&key.partition)
            .is_some_and(|entry| entry.write < write)
        {
            let old = entries.remove(&key.partition);
            self.bytes -= old.map_or(0, |entry| weight(&entry.value));
        }
        if entries.is_empty() {
            self.topics.remove(&key.topic);
        }
    }

    /// Bytes of the durable commits.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes by which commits of these would grow the table.
    fn growth(&self, offsets: &[(OffsetKey, OffsetValue)]) -> usize {
        let one = |(key, value): &(OffsetKey, OffsetValue)| {
            let old = self.get(&key.topic, key.partition);
            weight(value).saturating_sub(old.map_or(0, weight))
        };
        offsets.iter().map(one).sum()
    }

    /// A commit was handed to the log.
    fn begin(&mut self, key: &OffsetKey) {
        *self.pending.entry(key.clone()).or_default() += 1;
    }

    /// A commit was reported.
    pub(super) fn end(&mut self, key: &OffsetKey) {
        let Some(count) = self.pending.get_mut(key) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.pending.remove(key);
        }
    }

    /// The durable commit.
    pub(super) fn get(&self, topic: &str, partition: PartitionId) -> Option<&OffsetValue> {
        self.topics
            .get(topic)?
            .get(&partition)
            .map(|entry| &entry.value)
    }

    /// Every durable commit, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, PartitionId, &OffsetValue)> {
        self.topics.iter().flat_map(|(topic, entries)| {
            entries
                .iter()
                .map(|(partition, entry)| (topic.as_str(), *partition, &entry.value))
        })
    }

    /// Durable and pending commits of the topics that `is_wanted` accepts, in order.
    pub(super) fn keys_where(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<OffsetKey> {
        let wanted = self.topics.iter().filter(|(topic, _)| is_wanted(topic));
        let durable = wanted.flat_map(|(topic, entries)| {
            entries.keys().map(|partition| OffsetKey {
                topic: topic.clone(),
                partition: *partition,
            })
        });
        let pending = self.pending.keys().filter(|key| is_wanted(&key.topic));
        let mut keys: Vec<OffsetKey> = durable.chain(pending.cloned()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Every durable and pending commit.
    pub(super) fn all_keys(&self) -> Vec<OffsetKey> {
        self.keys_where(|_| true)
    }

    /// Whether a commit of this offset is durable or in flight.
    pub(super) fn contains(&self, key: &OffsetKey) -> bool {
        self.is_pending(key) || self.get(&key.topic, key.partition).is_some()
    }

    /// Whether a commit of this offset is in flight.
    pub(super) fn is_pending(&self, key: &OffsetKey) -> bool {
        self.pending.contains_key(key)
    }

    /// Whether any commit is in flight.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// One commit request after its topics were looked up.
#[derive(Debug, Default)]
pub(super) struct CommitPlan {
    /// One per element of the request, in its order.
    pub results: Vec<ElementResult>,
    /// What is to be written.
    pub offsets: Vec<(OffsetKey, OffsetValue)>,
}

impl CommitPlan {
    /// Looks every element up.
    pub(super) fn new(offsets: Vec<OffsetToCommit>, now: Timestamp, topics: &dyn Topics) -> Self {
        let mut plan = Self::default();
        for element in offsets {
            let result = match check_element(&element, topics) {
                Ok((topic, id)) => {
                    let value = OffsetValue {
                        offset: element.offset,
                        leader_epoch: element.leader_epoch,
                        metadata: element.metadata,
                        committed_at: now,
                        topic_id: Some(id),
                    };
                    plan.offsets.push((
                        OffsetKey {
                            topic,
                            partition: element.partition,
                        },
                        value,
                    ));
                    Ok(())
                }
                Err(error) => Err(error),
            };
            plan.results
                .push((element.topic, element.partition, result));
        }
        plan
    }

    /// Every element failed for the same reason.
    pub(super) fn refused(offsets: Vec<OffsetToCommit>, error: GroupError) -> Vec<ElementResult> {
        offsets
            .into_iter()
            .map(|element| (element.topic, element.partition, Err(error)))
            .collect()
    }
}

/// Replaces every success by an error: the write failed.
pub(super) fn fail_results(results: Vec<ElementResult>, error: GroupError) -> Vec<ElementResult> {
    let fail =
        |(topic, partition, result): ElementResult| (topic, partition, result.and(Err(error)));
    results.into_iter().map(fail).collect()
}

/// The error for a topic that is not there.
pub(super) const fn unknown_topic(key: &TopicKey) -> GroupError {
    match key {
        TopicKey::Name(_) => GroupError::UnknownTopicOrPartition,
        TopicKey::Id(_) => GroupError::UnknownTopicId,
    }
}

/// Name and id of the topic.
fn check_element(
    element: &OffsetToCommit,
    topics: &dyn Topics,
) -> Result<(String, TopicId), GroupError> {
    let found = topics
        .resolve(&element.topic)
        .ok_or_else(|| unknown_topic(&element.topic))?;
    let (name, id, partitions) = found;
    if element.partition.get() >= partitions {
        return Err(GroupError::UnknownTopicOrPartition);
    }
    if element.metadata.len() > OFFSET_METADATA_BYTES_MAX {
        return Err(GroupError::MetadataTooLarge);
    }
    Ok((name, id))
}

impl Group {
    /// Whether this member, or simple consumer, may commit now. Counts as a sign of life.
    ///
    /// # Errors
    /// What all elements are answered with.
    pub(super) fn admit_commit(
        &mut self,
        effects: &mut Effects,
        now: Now,
        key: &MemberKey,
    ) -> Result<(), GroupError> {
        match self.phase {
            Phase::Dead => return Err(GroupError::NotAvailable),
            Phase::Empty if key.generation.is_none() => return Ok(()),
            Phase::Empty
            | Phase::PreparingRebalance
            | Phase::CompletingRebalance
            | Phase::Stable => {}
        }
        self.validate_member(&key.member, key.instance.as_deref())?;
        if key.generation != Some(self.generation) {
            return Err(GroupError::IllegalGeneration);
        }
        if self.phase == Phase::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.refresh(effects, now.instant, &key.member);
        Ok(())
    }

    /// Hands a commit to the log, if there is room for what it adds.
    pub(super) fn write_commit(
        &mut self,
        effects: &mut Effects,
        origin: api::Origin,
        plan: CommitPlan,
    ) {
        let growth = self.offsets.growth(&plan.offsets);
        if growth > 0 && effects.held + growth > effects.config.held_bytes_max {
            let results = fail_results(plan.results, GroupError::TooMuchCommitted);
            effects.reply(origin, api::Reply::OffsetsCommitted(results));
            return;
        }
        let record = |(key, value): &(OffsetKey, OffsetValue)| {
            records::offset_record(&self.name, &key.topic, key.partition, value)
        };
        let records: Vec<GroupRecord> = plan.offsets.iter().map(record).collect();
        for (key, _) in &plan.offsets {
            self.offsets.begin(key);
        }
        let then = Write::Commit {
            group: self.name.clone(),
            origin,
            results: plan.results,
            offsets: plan.offsets,
        };
        effects.persist(self.partition, records, then);
    }

    /// A commit was reported.
    pub(super) fn commit_written(
        &mut self,
        write: WriteId,
        offsets: Vec<(OffsetKey, OffsetValue)>,
        is_durable: Result<(), GroupError>,
    ) {
        for (key, value) in offsets {
            self.offsets.end(&key);
            if is_durable.is_ok() {
                self.offsets.apply(key, value, write);
            }
        }
    }
}

/// Answers an offset fetch; `group` is `None` if it is unknown.
pub(super) fn fetch_committed(
    group: Option<&Group>,
    query: CommittedQuery,
    topics: &dyn Topics,
) -> CommittedOffsets {
    let Some(partitions) = query.partitions else {
        return group.map(all_committed).unwrap_or_default();
    };
    let find = |(key, partition): (TopicKey, PartitionId)| {
        let result = topic_name(&key, topics)
            .map(|name| group.and_then(|group| group.offsets.get(&name, partition)))
            .map(committed);
        (key, partition, result)
    };
    partitions.into_iter().map(find).collect()
}

/// The name behind a key. A name needs no topic behind it: its commits may outlive it.
fn topic_name(key: &TopicKey, topics: &dyn Topics) -> Result<String, GroupError> {
    match key {
        TopicKey::Name(name) => Ok(name.clone()),
        TopicKey::Id(_) => topics
            .resolve(key)
            .map(|(name, _, _)| name)
            .ok_or_else(|| unknown_topic(key)),
    }
}

fn all_committed(group: &Group) -> CommittedOffsets {
    let view = |(topic, partition, value): (&str, PartitionId, &OffsetValue)| {
        (
            TopicKey::Name(topic.to_owned()),
            partition,
            Ok(committed(Some(value))),
        )
    };
    group.offsets.iter().map(view).collect()
}

fn committed(value: Option<&OffsetValue>) -> Committed {
    Committed {
        offset: value.map(|value| value.offset),
        leader_epoch: value.and_then(|value| value.leader_epoch),
        metadata: value
            .map(|value| value.metadata.clone())
            .unwrap_or_default(),
    }
}
