//! `DeleteTopics` (20).
//!
//! Owns: names of old versions, names or ids of new ones.
//! Never: knows which topics exist.
//! Invariants: one result per element, in order.
//! Source: kafka.md 4.12; KIP-516 (6), KIP-599 (5).

use std::collections::BTreeMap;

use api::error::MetadataError;
use api::metadata::TopicKey;
use api::reply::DeletedTopic;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::message::delete_topics_request::DeleteTopicState;
use crate::codec::message::delete_topics_response::DeletableTopicResult;
use crate::codec::message::{DeleteTopicsRequest, DeleteTopicsResponse};
use crate::codec::{StrBytes, Uuid, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};

/// First version that knows that deletion can be disabled.
const FIRST_WITH_DISABLED: i16 = 3;
/// First version with names or ids.
const FIRST_BY_ID: i16 = 6;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DeleteTopicsRequest = call.decode(request)?;
    let timeout_ms = body.timeout_ms;
    let elements = elements(call.version(), body);
    let mut mentions = BTreeMap::new();
    for element in &elements {
        let key = (
            element.name.as_ref().map(StrBytes::as_str),
            element.topic_id,
        );
        *mentions.entry(key).or_insert(0_u32) += 1;
    }
    let mut refused = Vec::with_capacity(elements.len());
    let mut topics = Vec::with_capacity(elements.len());
    for element in &elements {
        let key = (
            element.name.as_ref().map(StrBytes::as_str),
            element.topic_id,
        );
        let is_unique = mentions.get(&key).is_some_and(|times| *times == 1);
        let topic = if is_unique {
            topic_key(element)
        } else {
            Err("named twice")
        };
        let topic = topic.map_err(|why| Refusal::new(Code::InvalidRequest, why));
        refused.push(topic.as_ref().err().cloned());
        topics.extend(topic);
    }
    let command = (!topics.is_empty()).then(|| Command::DeleteTopics {
        topics,
        deadline: call.deadline(timeout_ms),
    });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        let entries = elements.into_iter().zip(outcomes);
        let responses = entries
            .map(|(element, outcome)| result(element, outcome, call.version()))
            .collect();
        call.respond(&build!(DeleteTopicsResponse { responses }))
    })
}

fn elements(version: i16, body: DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    if version >= FIRST_BY_ID {
        return body.topics;
    }
    let named = body.topic_names.into_iter();
    named
        .map(|name| build!(DeleteTopicState { name: Some(name) }))
        .collect()
}

fn topic_key(element: &DeleteTopicState) -> Result<TopicKey, &'static str> {
    match &element.name {
        Some(name) if element.topic_id.is_zero() => Ok(values::by_name(name)),
        None if !element.topic_id.is_zero() => Ok(values::by_id(element.topic_id)),
        Some(_) => Err("both a name and an id were given"),
        None => Err("neither a name nor an id was given"),
    }
}

fn code(error: &MetadataError, version: i16) -> Code {
    match error_map::metadata(error) {
        Code::TopicDeletionDisabled if version < FIRST_WITH_DISABLED => Code::InvalidRequest,
        code => code,
    }
}

fn take(reply: Reply) -> Option<Vec<DeletedTopic>> {
    let Reply::TopicsDeleted(topics) = reply else {
        return None;
    };
    Some(topics)
}

fn result(
    element: DeleteTopicState,
    outcome: Result<DeletedTopic, Refusal>,
    version: i16,
) -> DeletableTopicResult {
    let mut name = element.name;
    let mut topic_id = element.topic_id;
    let (error_code, error_message) = match outcome {
        Ok(deleted) => {
            name = name.or(deleted.name.map(StrBytes::from));
            topic_id = deleted.id.map_or(topic_id, values::wire_id);
            values::outcome(&deleted.result, |error| code(error, version))
        }
        Err(refusal) => (
            refusal.code.to_wire(),
            Some(StrBytes::from(refusal.message)),
        ),
    };
    let id: Uuid = topic_id;
    build!(DeletableTopicResult {
        name,
        topic_id: id,
        error_code,
        error_message,
    })
}
