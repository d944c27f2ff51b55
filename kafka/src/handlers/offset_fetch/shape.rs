//! The shapes of `OffsetFetch`: flat below version 8, by group from there on.
//!
//! Owns: both of them, in both directions.
//! Never: decides what is answered.
//! Invariants: a flat request is one group.
//! Source: KIP-709.

use api::SessionError;
use api::metadata::TopicKey;

use crate::codec::message::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::codec::message::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::codec::message::{OffsetFetchRequest, OffsetFetchResponse};
use crate::codec::{StrBytes, Uuid, build};
use crate::error_map::Code;
use crate::gather::{Call, Response};
use crate::handlers::values;

/// First version with several groups.
const FIRST_WITH_GROUPS: i16 = 8;

/// One group's answer.
pub(super) struct FoundGroup {
    pub(super) group: StrBytes,
    pub(super) code: Code,
    pub(super) topics: Vec<FoundTopic>,
}

/// One topic's answer, named as the version needs it.
pub(super) struct FoundTopic {
    pub(super) key: TopicKey,
    pub(super) partitions: Vec<FoundPartition>,
}

/// One partition's answer. Numbers are as on the wire.
pub(super) struct FoundPartition {
    pub(super) index: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: String,
    pub(super) code: Code,
}

/// The groups a request asks about.
pub(super) fn groups(body: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= FIRST_WITH_GROUPS {
        return body.groups;
    }
    let topics = body.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            build!(OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
            })
        });
        topics.collect()
    });
    vec![build!(OffsetFetchRequestGroup {
        group_id: body.group_id,
        topics
    })]
}

/// Writes the answers.
pub(super) fn respond(
    call: &mut Call<'_>,
    found: Vec<FoundGroup>,
) -> Result<Response, SessionError> {
    if call.version() >= FIRST_WITH_GROUPS {
        let groups = found.into_iter().map(|group| {
            build!(OffsetFetchResponseGroup {
                group_id: group.group,
                topics: group.topics.into_iter().map(grouped_topic).collect(),
                error_code: group.code.to_wire(),
            })
        });
        let groups = groups.collect();
        return call.respond(&build!(OffsetFetchResponse { groups }));
    }
    let Some(group) = found.into_iter().next() else {
        return Err(call.unexpected());
    };
    call.respond(&build!(OffsetFetchResponse {
        topics: group.topics.into_iter().map(flat_topic).collect(),
        error_code: group.code.to_wire(),
    }))
}

fn split_key(key: TopicKey) -> (StrBytes, Uuid) {
    match key {
        TopicKey::Name(name) => (StrBytes::from(name), Uuid::ZERO),
        TopicKey::Id(id) => (StrBytes::default(), values::wire_id(id)),
    }
}

fn grouped_topic(topic: FoundTopic) -> OffsetFetchResponseTopics {
    let (name, id) = split_key(topic.key);
    let partitions = topic.partitions.into_iter().map(|partition| {
        build!(OffsetFetchResponsePartitions {
            partition_index: partition.index,
            committed_offset: partition.offset,
            committed_leader_epoch: partition.leader_epoch,
            metadata: Some(StrBytes::from(partition.metadata)),
            error_code: partition.code.to_wire(),
        })
    });
    build!(OffsetFetchResponseTopics {
        name,
        topic_id: id,
        partitions: partitions.collect(),
    })
}

fn flat_topic(topic: FoundTopic) -> OffsetFetchResponseTopic {
    let (name, _) = split_key(topic.key);
    let partitions = topic.partitions.into_iter().map(|partition| {
        build!(OffsetFetchResponsePartition {
            partition_index: partition.index,
            committed_offset: partition.offset,
            committed_leader_epoch: partition.leader_epoch,
            metadata: Some(StrBytes::from(partition.metadata)),
            error_code: partition.code.to_wire(),
        })
    });
    build!(OffsetFetchResponseTopic {
        name,
        partitions: partitions.collect()
    })
}
