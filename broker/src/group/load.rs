//! Replay of the offsets topic.
//!
//! Owns: what was read so far of a partition that loads, and groups made of it.
//! Never: answers anything; writes anything.
//! Invariants: the last record of a key wins; a commit to an earlier topic of the same name is none; restored members keep generation and assignment and get a whole
//! session, so that a quick restart does not rebalance.
//! Source: kafka.md 4.8 (last paragraph).

use std::collections::{BTreeMap, BTreeSet};

use api::metadata::TopicKey;
use model::ids::TopicId;
use model::time::{Now, Timestamp};

use super::effects::{Effects, OffsetKey};
use super::records::{self, GroupValue, MemberValue, OffsetValue, RecordError, RecordKey};
use super::state::{Group, Member, Phase};
use super::timers::Deadline;
use super::{Topics, WriteId};

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    offsets: BTreeMap<String, BTreeMap<OffsetKey, OffsetValue>>,
    groups: BTreeMap<String, (GroupValue, Timestamp)>,
    /// Topics that were deleted meanwhile.
    pub deleted_topics: BTreeSet<String>,
}

impl Loading {
    /// Takes one record.
    ///
    /// # Errors
    /// The record is of an unknown version or malformed; nothing changed.
    pub(super) fn replay(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) -> Result<(), RecordError> {
        match records::decode_key(key)? {
            RecordKey::Offset {
                group,
                topic,
                partition,
            } => {
                let key = OffsetKey { topic, partition };
                match value {
                    Some(value) => {
                        let value = records::decode_offset(value)?;
                        self.offsets.entry(group).or_default().insert(key, value);
                    }
                    None => self.forget(&group, &key),
                }
            }
            RecordKey::Group { group } => match value {
                Some(value) => {
                    let value = records::decode_group(value)?;
                    self.groups.insert(group, (value, timestamp));
                }
                None => {
                    self.groups.remove(&group);
                }
            },
        }
        Ok(())
    }

    fn forget(&mut self, group: &str, key: &OffsetKey) {
        if let Some(offsets) = self.offsets.get_mut(group) {
            offsets.remove(key);
            if offsets.is_empty() {
                self.offsets.remove(group);
            }
        }
    }

    /// Leaves out commits to earlier topics of a present one's name: a stop may have come between a deletion and the
    /// tombstones, and the topic may have been made again. In memory only; such a commit is left out at every start.
    pub(super) fn drop_stale(&mut self, topics: &dyn Topics) {
        let mut present = BTreeMap::<String, Option<TopicId>>::new();
        for offsets in self.offsets.values_mut() {
            offsets.retain(|key, value| {
                let Some(committed_to) = value.topic_id else {
                    return true;
                };
                let resolve = || topics.resolve(&TopicKey::Name(key.topic.clone()));
                let present = present
                    .entry(key.topic.clone())
                    .or_insert_with(|| resolve().map(|(_, id, _)| id));
                present.is_none_or(|id| id == committed_to)
            });
        }
    }

    /// Turns what was read into groups.
    pub(super) fn into_groups(
        mut self,
        effects: &mut Effects,
        now: Now,
        partition: model::ids::PartitionId,
    ) -> Vec<Group> {
        let names: BTreeSet<String> = self
            .offsets
            .keys()
            .chain(self.groups.keys())
            .cloned()
            .collect();
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            let mut group = Group::new(name, partition, now.wall);
            if let Some((value, timestamp)) = self.groups.remove(&group.name) {
                restore(&mut group, effects, now, value, timestamp);
            }
            for (key, value) in self.offsets.remove(&group.name).unwrap_or_default() {
                group.offsets.apply(key, value, WriteId(0));
            }
            group.set_expiry_timer(effects, now.instant);
            group.settle(effects);
            groups.push(group);
        }
        groups
    }
}

/// Gives a group its members back.
fn restore(
    group: &mut Group,
    effects: &mut Effects,
    now: Now,
    value: GroupValue,
    timestamp: Timestamp,
) {
    group.has_records = true;
    group.protocol_type = value.protocol_type;
    group.generation = value.generation;
    group.since = value.since.unwrap_or(timestamp);
    group.protocol = value.protocol.unwrap_or_default();
    for record in value.members {
        if group.members.contains_key(&record.id) {
            continue;
        }
        let id = record.id.clone();
        let member = restored_member(
            &group.protocol,
            effects.config.session_timeout_min_ms,
            record,
        );
        group.insert(id.clone(), member);
        group.refresh(effects, now.instant, &id);
    }
    if let Some(leader) = value.leader.filter(|id| group.members.contains_key(id)) {
        group.leader = Some(leader);
    }
    if !group.members.is_empty() {
        group.phase = Phase::Stable;
    }
}

fn restored_member(protocol: &str, session_min_ms: u32, record: MemberValue) -> Member {
    Member {
        instance: record.instance,
        client_id: record.client_id,
        client_host: record.client_host,
        session_timeout_ms: record.session_timeout_ms.max(session_min_ms),
        rebalance_timeout_ms: record.rebalance_timeout_ms,
        protocols: vec![(protocol.to_owned(), record.subscription)],
        assignment: record.assignment,
        join: None,
        sync: None,
        is_new: false,
        session: Deadline::default(),
        weight: 0,
    }
}
