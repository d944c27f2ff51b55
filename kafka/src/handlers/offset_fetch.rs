//! `OffsetFetch` (9): one group in old versions, several in new ones.
//!
//! Owns: the three shapes of the request; names for ids and ids for names when everything committed is asked.
//! Never: keeps offsets.
//! Invariants: what is asked is answered once, in order; what is not committed is -1 with an empty metadata, not an error.
//! Source: kafka.md 4.8; KIP-88 (2), KIP-447 (7), KIP-709 (8), KIP-848 (9), KIP-516 (10).

mod shape;

use std::collections::{BTreeMap, BTreeSet};

use api::error::GroupError;
use api::group::{Committed, CommittedOffsets, CommittedQuery};
use api::metadata::{MetadataView, TopicFilter, TopicKey};
use api::{Command, Reply, SessionError};
use model::ids::PartitionId;

use self::shape::{FoundGroup, FoundPartition, FoundTopic};
use super::values;
use crate::codec::message::OffsetFetchRequest;
use crate::codec::message::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, Gather, Response, Step, Work, at_index};

/// First version that names topics by id.
const FIRST_BY_ID: i16 = 10;

type Answer = Result<CommittedOffsets, GroupError>;

/// Names of ids and ids of names.
type Names = BTreeMap<TopicKey, TopicKey>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: OffsetFetchRequest = call.decode(request)?;
    let version = call.version();
    let groups = distinct(shape::groups(body, version), version);
    for (place, group) in groups.iter().enumerate() {
        let command = Command::FetchCommitted(query(group, version));
        call.send(u32::try_from(place).unwrap_or(u32::MAX), command);
    }
    let answers = groups.iter().map(|_| None).collect();
    let mut lookup = Lookup { groups, answers };
    if lookup.groups.is_empty() {
        return lookup.respond(call, &Names::new()).map(Step::Done);
    }
    Ok(Step::Wait(Work::Other(Box::new(lookup))))
}

// Groups and partitions once each, in the order of their first mention: a partition named again would cost the
// client four bytes and the broker its metadata of up to four kilobytes.
fn distinct(
    mut groups: Vec<OffsetFetchRequestGroup>,
    version: i16,
) -> Vec<OffsetFetchRequestGroup> {
    let mut names = BTreeSet::new();
    groups.retain(|group| names.insert(group.group_id.clone()));
    for group in &mut groups {
        let mut seen = BTreeMap::<TopicKey, BTreeSet<i32>>::new();
        for topic in group.topics.iter_mut().flatten() {
            let seen = seen.entry(topic_key(topic, version)).or_default();
            topic.partition_indexes.retain(|index| seen.insert(*index));
        }
    }
    groups
}

fn query(group: &OffsetFetchRequestGroup, version: i16) -> CommittedQuery {
    let partitions = group.topics.as_ref().map(|topics| {
        let asked = topics.iter().flat_map(|topic| {
            let indexes = topic.partition_indexes.iter();
            let known = indexes.filter_map(|index| values::partition(*index));
            known.map(|partition| (topic_key(topic, version), partition))
        });
        asked.collect()
    });
    CommittedQuery {
        group: values::text(&group.group_id),
        partitions,
    }
}

fn topic_key(topic: &OffsetFetchRequestTopics, version: i16) -> TopicKey {
    if version >= FIRST_BY_ID {
        values::by_id(topic.topic_id)
    } else {
        values::by_name(&topic.name)
    }
}

struct Lookup {
    groups: Vec<OffsetFetchRequestGroup>,
    answers: Vec<Option<Answer>>,
}

impl Gather for Lookup {
    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        if let Reply::CommittedOffsets(answer) = reply {
            return self.take(call, index, answer);
        }
        let Reply::Metadata(view) = reply else {
            return Err(call.unexpected());
        };
        self.respond(call, &names(view)).map(Some)
    }
}

impl Lookup {
    fn take(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        answer: Answer,
    ) -> Result<Option<Response>, SessionError> {
        let place = at_index(&mut self.answers, index);
        let Some(place @ None) = place else {
            return Err(call.unexpected());
        };
        *place = Some(answer);
        if self.answers.iter().any(Option::is_none) {
            return Ok(None);
        }
        let unnamed = self.unnamed(call.version());
        if unnamed.is_empty() {
            return self.respond(call, &Names::new()).map(Some);
        }
        let topics = TopicFilter::These(unnamed.into_iter().collect());
        let next = u32::try_from(self.answers.len()).unwrap_or(u32::MAX);
        call.send(
            next,
            Command::Metadata {
                topics,
                auto_create: false,
            },
        );
        Ok(None)
    }

    // Topics of the answers that are not named as the version needs it.
    fn unnamed(&self, version: i16) -> BTreeSet<TopicKey> {
        let all = self.groups.iter().zip(&self.answers);
        let open_ended = all.filter(|(group, _)| group.topics.is_none());
        let found = open_ended
            .filter_map(|(_, answer)| answer.as_ref()?.as_ref().ok())
            .flatten();
        let keys = found
            .map(|(key, _, _)| key)
            .filter(|key| is_by_id(key) != (version >= FIRST_BY_ID));
        keys.cloned().collect()
    }

    fn respond(&mut self, call: &mut Call<'_>, names: &Names) -> Result<Response, SessionError> {
        let version = call.version();
        let groups = std::mem::take(&mut self.groups);
        let answers = std::mem::take(&mut self.answers);
        let mut found = Vec::with_capacity(groups.len());
        for (group, answer) in groups.into_iter().zip(answers) {
            let Some(answer) = answer else {
                return Err(call.unexpected());
            };
            found.push(found_group(group, answer, version, names));
        }
        shape::respond(call, found)
    }
}

fn is_by_id(key: &TopicKey) -> bool {
    match key {
        TopicKey::Id(_) => true,
        TopicKey::Name(_) => false,
    }
}

fn names(view: MetadataView) -> Names {
    let mut names = Names::new();
    for topic in view.topics.into_iter().filter_map(|(_, topic)| topic.ok()) {
        names.insert(TopicKey::Name(topic.name.clone()), TopicKey::Id(topic.id));
        names.insert(TopicKey::Id(topic.id), TopicKey::Name(topic.name));
    }
    names
}

fn found_group(
    group: OffsetFetchRequestGroup,
    answer: Answer,
    version: i16,
    names: &Names,
) -> FoundGroup {
    let (result, topics) = match (answer, group.topics) {
        (Ok(offsets), Some(asked)) => (Ok(()), as_asked(asked, offsets, version)),
        (Ok(offsets), None) => (Ok(()), everything(offsets, version, names)),
        (Err(error), asked) => (
            Err(error),
            all_failed(asked.unwrap_or_default(), error, version),
        ),
    };
    let code = result.map_or_else(error_map::group, |()| Code::None);
    FoundGroup {
        group: group.group_id,
        code,
        topics,
    }
}

fn as_asked(
    asked: Vec<OffsetFetchRequestTopics>,
    offsets: CommittedOffsets,
    version: i16,
) -> Vec<FoundTopic> {
    let mut results = offsets.into_iter().map(|(_, _, result)| result);
    let mut topics = Vec::with_capacity(asked.len());
    for topic in asked {
        let key = topic_key(&topic, version);
        let partitions = topic.partition_indexes.iter().map(|index| {
            let result = match values::partition(*index) {
                Some(_) => results.next(),
                None => None,
            };
            let result = result.unwrap_or(Err(GroupError::UnknownTopicOrPartition));
            found_partition(*index, result)
        });
        topics.push(FoundTopic {
            key,
            partitions: partitions.collect(),
        });
    }
    topics
}

// Topics that have no name of the kind the version needs are gone; so are their offsets.
fn everything(offsets: CommittedOffsets, version: i16, names: &Names) -> Vec<FoundTopic> {
    let mut topics: BTreeMap<TopicKey, Vec<FoundPartition>> = BTreeMap::new();
    for (key, partition, result) in offsets {
        let is_right_kind = is_by_id(&key) == (version >= FIRST_BY_ID);
        let key = if is_right_kind {
            Some(&key)
        } else {
            names.get(&key)
        };
        if let Some(key) = key {
            let found = found_partition(index(partition), result);
            topics.entry(key.clone()).or_default().push(found);
        }
    }
    topics
        .into_iter()
        .map(|(key, partitions)| FoundTopic { key, partitions })
        .collect()
}

fn index(partition: PartitionId) -> i32 {
    values::wire_partition(partition)
}

// Version 1 has no other place for the error of a group.
fn all_failed(
    asked: Vec<OffsetFetchRequestTopics>,
    error: GroupError,
    version: i16,
) -> Vec<FoundTopic> {
    if version > 1 {
        return Vec::new();
    }
    let topics = asked.into_iter().map(|topic| FoundTopic {
        key: topic_key(&topic, version),
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| found_partition(*index, Err(error)))
            .collect(),
    });
    topics.collect()
}

fn found_partition(index: i32, result: Result<Committed, GroupError>) -> FoundPartition {
    match result {
        Ok(committed) => FoundPartition {
            index,
            offset: values::wire_offset(committed.offset),
            leader_epoch: values::wire_epoch(committed.leader_epoch),
            metadata: committed.metadata,
            code: Code::None,
        },
        Err(error) => FoundPartition {
            index,
            offset: -1,
            leader_epoch: -1,
            metadata: String::new(),
            code: error_map::group(error),
        },
    }
}
