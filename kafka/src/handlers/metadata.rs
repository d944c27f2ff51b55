//! `Metadata` (3): topics, partitions, leaders, brokers.
//!
//! Owns: what an empty or absent list means per version; which elements are not names of a topic.
//! Never: caches; the broker's image answers.
//! Invariants: one entry per distinct topic asked for, in the order of their first mention.
//! Source: kafka.md 4.6; KIP-516 (10, 12), KIP-430 (8).

use std::collections::BTreeSet;

use api::error::MetadataError;
use api::metadata::{MetadataView, PartitionView, TopicFilter, TopicKey, TopicView};
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::message::metadata_request::MetadataRequestTopic;
use crate::codec::message::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::codec::message::{MetadataRequest, MetadataResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

/// First version that asks by id.
const FIRST_BY_ID: i16 = 12;

struct Wanted {
    version: i16,
    // One per element: the name of an element that is refused.
    refused: Vec<Option<StrBytes>>,
    topic_operations: i32,
    cluster_operations: i32,
}

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: MetadataRequest = call.decode(request)?;
    let version = call.version();
    let mut wanted = Wanted {
        version,
        refused: Vec::new(),
        topic_operations: if body.include_topic_authorized_operations {
            values::OPERATIONS_TOPIC
        } else {
            values::OPERATIONS_NOT_ASKED
        },
        cluster_operations: if body.include_cluster_authorized_operations {
            values::OPERATIONS_CLUSTER
        } else {
            values::OPERATIONS_NOT_ASKED
        },
    };
    let topics = match body.topics {
        // Version 0 cannot send null; its empty list means all.
        Some(topics) if version == 0 && topics.is_empty() => TopicFilter::All,
        None => TopicFilter::All,
        Some(topics) => TopicFilter::These(sift(&topics, &mut wanted)),
    };
    let command = Command::Metadata {
        topics,
        auto_create: body.allow_auto_topic_creation,
    };
    Ok(gather::ask(call, command, move |call, reply| {
        let Reply::Metadata(view) = reply else {
            return Err(call.unexpected());
        };
        respond(call, &wanted, view)
    }))
}

// A topic named again is answered once, as in Kafka: repeating one of many partitions would cost the client three
// bytes and the broker megabytes.
fn sift(topics: &[MetadataRequestTopic], wanted: &mut Wanted) -> Vec<TopicKey> {
    let mut keys = Vec::with_capacity(topics.len());
    let mut seen = BTreeSet::new();
    for topic in topics {
        let key = topic_key(topic, wanted.version);
        if key.as_ref().is_some_and(|key| !seen.insert(key.clone())) {
            continue;
        }
        let refused = key
            .is_none()
            .then(|| topic.name.clone().unwrap_or_default());
        wanted.refused.push(refused);
        keys.extend(key);
    }
    keys
}

// `None` if the element names no topic in this version.
fn topic_key(topic: &MetadataRequestTopic, version: i16) -> Option<TopicKey> {
    match &topic.name {
        _ if version >= FIRST_BY_ID && !topic.topic_id.is_zero() => {
            Some(values::by_id(topic.topic_id))
        }
        Some(name) if topic.topic_id.is_zero() => Some(values::by_name(name)),
        Some(_) | None => None,
    }
}

fn respond(
    call: &mut Call<'_>,
    wanted: &Wanted,
    view: MetadataView,
) -> Result<Response, SessionError> {
    let brokers = view.brokers.into_iter().map(|broker| {
        build!(MetadataResponseBroker {
            node_id: values::wire_broker(broker.id),
            host: StrBytes::from(broker.host),
            port: broker.port.into(),
            rack: broker.rack.map(StrBytes::from),
        })
    });
    let mut found = view.topics.into_iter();
    let mut topics = Vec::new();
    for refused in &wanted.refused {
        match refused {
            Some(name) => topics.push(invalid_entry(name, wanted)),
            None => topics.extend(found.next().map(|(key, result)| entry(wanted, key, result))),
        }
    }
    topics.extend(found.map(|(key, result)| entry(wanted, key, result)));
    let response = build!(MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(StrBytes::from(view.cluster_id)),
        controller_id: values::wire_broker(view.controller),
        topics,
        cluster_authorized_operations: wanted.cluster_operations,
    });
    call.respond(&response)
}

fn invalid_entry(name: &StrBytes, wanted: &Wanted) -> MetadataResponseTopic {
    build!(MetadataResponseTopic {
        error_code: Code::InvalidRequest.to_wire(),
        name: Some(name.clone()),
        topic_authorized_operations: wanted.topic_operations,
    })
}

fn entry(
    wanted: &Wanted,
    key: TopicKey,
    result: Result<TopicView, MetadataError>,
) -> MetadataResponseTopic {
    let topic = match result {
        Ok(topic) => topic,
        Err(error) => return error_entry(wanted, key, &error),
    };
    build!(MetadataResponseTopic {
        name: Some(StrBytes::from(topic.name)),
        topic_id: values::wire_id(topic.id),
        is_internal: topic.is_internal,
        partitions: topic.partitions.iter().map(partition_entry).collect(),
        topic_authorized_operations: wanted.topic_operations,
    })
}

fn error_entry(wanted: &Wanted, key: TopicKey, error: &MetadataError) -> MetadataResponseTopic {
    let mut entry = build!(MetadataResponseTopic {
        error_code: error_map::metadata(error).to_wire(),
        topic_authorized_operations: wanted.topic_operations,
    });
    match key {
        TopicKey::Name(name) => entry.name = Some(StrBytes::from(name)),
        TopicKey::Id(id) => {
            entry.name = None;
            entry.topic_id = values::wire_id(id);
        }
    }
    entry
}

fn partition_entry(partition: &PartitionView) -> MetadataResponsePartition {
    let wire = |brokers: &[_]| brokers.iter().map(|id| values::wire_broker(*id)).collect();
    let code = if partition.leader.is_some() {
        Code::None
    } else {
        Code::LeaderNotAvailable
    };
    build!(MetadataResponsePartition {
        error_code: code.to_wire(),
        partition_index: values::wire_partition(partition.partition),
        leader_id: partition.leader.map_or(-1, values::wire_broker),
        leader_epoch: partition.leader_epoch.to_wire(),
        replica_nodes: wire(&partition.replicas),
        isr_nodes: wire(&partition.isr),
    })
}
