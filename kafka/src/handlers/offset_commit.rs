//! `OffsetCommit` (8).
//!
//! Owns: names or ids per version; elements that cannot be committed.
//! Never: keeps offsets.
//! Invariants: one result per partition, in order; metadata and leader epoch pass unchanged.
//! Source: kafka.md 4.8; KIP-211 (5), KIP-320 (6), KIP-345 (7), KIP-848 (9), KIP-516 (10).

use api::error::GroupError;
use api::group::{Commit, MemberKey, OffsetToCommit};
use api::metadata::TopicKey;
use api::{Command, Reply, SessionError};
use model::offset::{LeaderEpoch, Offset};

use super::values;
use crate::codec::build;
use crate::codec::message::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::codec::message::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::codec::message::{OffsetCommitRequest, OffsetCommitResponse};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Response, Step};

/// First version that names topics by id.
const FIRST_BY_ID: i16 = 10;
/// First version in which an unknown group is named as such.
const FIRST_WITH_NOT_FOUND: i16 = 9;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: OffsetCommitRequest = call.decode(request)?;
    let mut refused = Vec::new();
    let mut offsets = Vec::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            let offset = offset(topic_key(topic, call.version()), partition);
            refused.push(offset.as_ref().err().cloned());
            offsets.extend(offset);
        }
    }
    let command = (!offsets.is_empty()).then(|| {
        Command::CommitOffsets(Commit {
            key: member(&body),
            offsets,
        })
    });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        respond(call, body, outcomes)
    })
}

fn member(body: &OffsetCommitRequest) -> MemberKey {
    MemberKey {
        group: values::text(&body.group_id),
        generation: values::generation(body.generation_id_or_member_epoch),
        member: values::text(&body.member_id),
        instance: values::optional_text(body.group_instance_id.as_ref()),
    }
}

fn topic_key(topic: &OffsetCommitRequestTopic, version: i16) -> TopicKey {
    if version >= FIRST_BY_ID {
        values::by_id(topic.topic_id)
    } else {
        values::by_name(&topic.name)
    }
}

fn offset(
    topic: TopicKey,
    partition: &OffsetCommitRequestPartition,
) -> Result<OffsetToCommit, Refusal> {
    let Some(index) = values::partition(partition.partition_index) else {
        return Err(Refusal::new(
            Code::UnknownTopicOrPartition,
            "negative partition index",
        ));
    };
    let Some(offset) = Offset::from_wire(partition.committed_offset) else {
        return Err(Refusal::new(Code::InvalidRequest, "negative offset"));
    };
    Ok(OffsetToCommit {
        topic,
        partition: index,
        offset,
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: values::optional_text(partition.committed_metadata.as_ref()).unwrap_or_default(),
    })
}

fn take(reply: Reply) -> Option<Vec<Result<(), GroupError>>> {
    let Reply::OffsetsCommitted(results) = reply else {
        return None;
    };
    Some(results.into_iter().map(|(_, _, result)| result).collect())
}

type Outcome = Result<Result<(), GroupError>, Refusal>;

fn respond(
    call: &mut Call<'_>,
    body: OffsetCommitRequest,
    outcomes: Vec<Outcome>,
) -> Result<Response, SessionError> {
    let version = call.version();
    let mut outcomes = outcomes.into_iter();
    let topics = body.topics.into_iter().map(|topic| {
        let entries = topic.partitions.iter().zip(outcomes.by_ref());
        let entries = entries.map(|(partition, outcome)| {
            build!(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code(outcome, version).to_wire(),
            })
        });
        let partitions = entries.collect();
        build!(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        })
    });
    let topics = topics.collect();
    call.respond(&build!(OffsetCommitResponse { topics }))
}

fn code(outcome: Outcome, version: i16) -> Code {
    match outcome {
        Ok(Ok(())) => Code::None,
        Ok(Err(GroupError::NotFound)) if version < FIRST_WITH_NOT_FOUND => Code::IllegalGeneration,
        Ok(Err(error)) => error_map::group(error),
        Err(refusal) => refusal.code,
    }
}
