//! `CreatePartitions` (37).
//!
//! Owns: what the shape of the request forbids.
//! Never: knows how many partitions there are.
//! Invariants: one result per distinct name, in the order of their first mention.
//! Source: kafka.md 4.12; KIP-195.

use std::collections::BTreeMap;

use api::error::MetadataError;
use api::{Command, Reply, SessionError};
use model::ids::BrokerId;

use super::values;
use crate::codec::message::create_partitions_request::CreatePartitionsTopic;
use crate::codec::message::create_partitions_response::CreatePartitionsTopicResult;
use crate::codec::message::{CreatePartitionsRequest, CreatePartitionsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};

type Grown = (String, Result<(), MetadataError>);
type Growth = (String, u32, Vec<Vec<BrokerId>>);

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: CreatePartitionsRequest = call.decode(request)?;
    let mut mentions = BTreeMap::new();
    for topic in &body.topics {
        *mentions.entry(topic.name.as_str()).or_insert(0_u32) += 1;
    }
    let mut names = Vec::with_capacity(mentions.len());
    let mut refused = Vec::with_capacity(mentions.len());
    let mut topics = Vec::with_capacity(mentions.len());
    for topic in &body.topics {
        let outcome = match mentions.remove(topic.name.as_str()) {
            None => continue, // not its first mention
            Some(1) => growth(topic),
            Some(_) => Err(Refusal::new(
                Code::InvalidRequest,
                "the request names this topic twice",
            )),
        };
        names.push(topic.name.clone());
        refused.push(outcome.as_ref().err().cloned());
        topics.extend(outcome);
    }
    let command = (!topics.is_empty()).then(|| Command::CreatePartitions {
        topics,
        validate_only: body.validate_only,
        deadline: call.deadline(body.timeout_ms),
    });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        let results = names.into_iter().zip(outcomes).map(|(name, outcome)| {
            let (error_code, error_message) = match outcome {
                Ok((_, result)) => values::outcome(&result, error_map::metadata),
                Err(refusal) => (
                    refusal.code.to_wire(),
                    Some(StrBytes::from(refusal.message)),
                ),
            };
            build!(CreatePartitionsTopicResult {
                name,
                error_code,
                error_message,
            })
        });
        let results = results.collect();
        call.respond(&build!(CreatePartitionsResponse { results }))
    })
}

fn growth(topic: &CreatePartitionsTopic) -> Result<Growth, Refusal> {
    let count = u32::try_from(topic.count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| {
            Refusal::new(
                Code::InvalidPartitions,
                "number of partitions must be above 0",
            )
        })?;
    let assignments = topic.assignments.iter().flatten();
    let assignment: Option<Vec<Vec<BrokerId>>> = assignments
        .map(|one| {
            one.broker_ids
                .iter()
                .map(|id| values::broker(*id))
                .collect()
        })
        .collect();
    let assignment = assignment
        .ok_or_else(|| Refusal::new(Code::InvalidReplicaAssignment, "negative broker id"))?;
    Ok((values::text(&topic.name), count, assignment))
}

fn take(reply: Reply) -> Option<Vec<Grown>> {
    let Reply::PartitionsCreated(topics) = reply else {
        return None;
    };
    Some(topics)
}
