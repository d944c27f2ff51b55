//! `OffsetDelete` (47): forgets committed offsets.
//!
//! Owns: nothing but the translation.
//! Never: keeps offsets.
//! Invariants: one result per partition, in order; none at all with an error of the group.
//! Source: kafka.md 4.8; KIP-496.

use api::error::GroupError;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::build;
use crate::codec::message::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::codec::message::{OffsetDeleteRequest, OffsetDeleteResponse};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: OffsetDeleteRequest = call.decode(request)?;
    if body.group_id.is_empty() {
        return refuse(call, GroupError::InvalidGroupId).map(Step::Done);
    }
    let partitions = body.topics.iter().flat_map(|topic| {
        let known = topic.partitions.iter();
        known.filter_map(|partition| {
            let index = values::partition(partition.partition_index)?;
            Some((values::by_name(&topic.name), index))
        })
    });
    let command = Command::DeleteOffsets {
        group: values::text(&body.group_id),
        partitions: partitions.collect(),
    };
    Ok(gather::ask(call, command, move |call, reply| {
        let Reply::CommitsDeleted(result) = reply else {
            return Err(call.unexpected());
        };
        match result {
            Ok(results) => respond(
                call,
                &body,
                results.into_iter().map(|(_, _, result)| result),
            ),
            Err(error) => refuse(call, error),
        }
    }))
}

fn refuse(call: &mut Call<'_>, error: GroupError) -> Result<Response, SessionError> {
    let error_code = error_map::group(error).to_wire();
    call.respond(&build!(OffsetDeleteResponse { error_code }))
}

fn respond(
    call: &mut Call<'_>,
    body: &OffsetDeleteRequest,
    mut results: impl Iterator<Item = Result<(), GroupError>>,
) -> Result<Response, SessionError> {
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let code = if partition.partition_index < 0 {
                Code::UnknownTopicOrPartition
            } else {
                let Some(result) = results.next() else {
                    return Err(call.unexpected());
                };
                result.map_or_else(error_map::group, |()| Code::None)
            };
            partitions.push(build!(OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.to_wire(),
            }));
        }
        topics.push(build!(OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions,
        }));
    }
    call.respond(&build!(OffsetDeleteResponse { topics }))
}
