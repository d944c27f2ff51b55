//! `CreateTopics` (19).
//!
//! Owns: what the shape of the request forbids; the config entries of the response.
//! Never: decides about names, limits or placement; the metadata does.
//! Invariants: one result per distinct name, in the order of their first mention.
//! Source: kafka.md 4.12; KIP-464 (4), KIP-525 (5), KIP-516 (7).

use std::collections::BTreeMap;

use api::error::MetadataError;
use api::metadata::{CreatedTopic, NewTopic};
use api::{Command, Reply, SessionError};
use model::ids::{BrokerId, PartitionId};

use super::{configs, values};
use crate::codec::message::create_topics_request::CreatableTopic;
use crate::codec::message::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use crate::codec::message::{CreateTopicsRequest, CreateTopicsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};
use crate::limits::DESCRIBED_ELEMENTS_MAX;

/// First version in which -1 means the broker's default.
const FIRST_WITH_DEFAULTS: i16 = 4;

type Created = (String, Result<CreatedTopic, MetadataError>);

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: CreateTopicsRequest = call.decode(request)?;
    let version = call.version();
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
            Some(1) if topics.len() >= DESCRIBED_ELEMENTS_MAX => Err(Refusal::new(
                Code::PolicyViolation,
                format!("a request may create {DESCRIBED_ELEMENTS_MAX} topics"),
            )),
            Some(1) => new_topic(topic, version),
            Some(_) => Err(Refusal::new(
                Code::InvalidRequest,
                "the request names this topic twice",
            )),
        };
        names.push(topic.name.clone());
        refused.push(outcome.as_ref().err().cloned());
        topics.extend(outcome);
    }
    let command = (!topics.is_empty()).then(|| Command::CreateTopics {
        topics,
        validate_only: body.validate_only,
        deadline: call.deadline(body.timeout_ms),
    });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        let entries = names.into_iter().zip(outcomes);
        let topics = entries
            .map(|(name, outcome)| result(name, outcome))
            .collect();
        call.respond(&build!(CreateTopicsResponse { topics }))
    })
}

fn take(reply: Reply) -> Option<Vec<Created>> {
    let Reply::TopicsCreated(topics) = reply else {
        return None;
    };
    Some(topics)
}

fn new_topic(topic: &CreatableTopic, version: i16) -> Result<NewTopic, Refusal> {
    let assignment = assignment(topic)?;
    let configs = topic.configs.iter().map(|config| {
        (
            values::text(&config.name),
            values::optional_text(config.value.as_ref()),
        )
    });
    let (partitions, replication_factor) = if assignment.is_empty() {
        (
            partitions(topic, version)?,
            replication_factor(topic, version)?,
        )
    } else if topic.num_partitions == -1 && topic.replication_factor == -1 {
        (None, None)
    } else {
        let message = "a manual assignment excludes a partition count and a replication factor";
        return Err(Refusal::new(Code::InvalidRequest, message));
    };
    Ok(NewTopic {
        name: values::text(&topic.name),
        partitions,
        replication_factor,
        assignment,
        configs: configs.collect(),
    })
}

fn partitions(topic: &CreatableTopic, version: i16) -> Result<Option<u32>, Refusal> {
    match u32::try_from(topic.num_partitions) {
        Ok(count) if count > 0 => Ok(Some(count)),
        Err(_) if topic.num_partitions == -1 && version >= FIRST_WITH_DEFAULTS => Ok(None),
        Ok(_) | Err(_) => Err(Refusal::new(
            Code::InvalidPartitions,
            "number of partitions must be above 0",
        )),
    }
}

fn replication_factor(topic: &CreatableTopic, version: i16) -> Result<Option<u16>, Refusal> {
    match u16::try_from(topic.replication_factor) {
        Ok(factor) if factor > 0 => Ok(Some(factor)),
        Err(_) if topic.replication_factor == -1 && version >= FIRST_WITH_DEFAULTS => Ok(None),
        Ok(_) | Err(_) => Err(Refusal::new(
            Code::InvalidReplicationFactor,
            "replication factor must be above 0",
        )),
    }
}

fn assignment(topic: &CreatableTopic) -> Result<Vec<(PartitionId, Vec<BrokerId>)>, Refusal> {
    let negative = || {
        Refusal::new(
            Code::InvalidReplicaAssignment,
            "negative partition or broker id",
        )
    };
    let one =
        |assigned: &crate::codec::message::create_topics_request::CreatableReplicaAssignment| {
            let partition = values::partition(assigned.partition_index)?;
            let brokers: Option<Vec<_>> = assigned
                .broker_ids
                .iter()
                .map(|id| values::broker(*id))
                .collect();
            Some((partition, brokers?))
        };
    topic
        .assignments
        .iter()
        .map(|assigned| one(assigned).ok_or_else(negative))
        .collect()
}

fn result(name: StrBytes, outcome: Result<Created, Refusal>) -> CreatableTopicResult {
    match outcome {
        Ok((_, Ok(created))) => created_result(name, created),
        Ok((_, Err(error))) => error_result(name, error_map::metadata(&error), error.to_string()),
        Err(refusal) => error_result(name, refusal.code, refusal.message),
    }
}

fn created_result(name: StrBytes, created: CreatedTopic) -> CreatableTopicResult {
    let configs = created.configs.into_iter().map(|entry| {
        build!(CreatableTopicConfigs {
            read_only: entry.is_read_only,
            config_source: configs::source(entry.source),
            is_sensitive: configs::is_sensitive(&entry),
            name: StrBytes::from(entry.name),
            value: entry.value.map(StrBytes::from),
        })
    });
    build!(CreatableTopicResult {
        name,
        topic_id: values::wire_id(created.id),
        num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
    })
}

fn error_result(name: StrBytes, code: Code, message: String) -> CreatableTopicResult {
    build!(CreatableTopicResult {
        name,
        error_code: code.to_wire(),
        error_message: Some(StrBytes::from(message)),
        num_partitions: -1,
        replication_factor: -1,
    })
}
