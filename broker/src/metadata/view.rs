//! Metadata as clients see it.
//!
//! Owns: the answer to `Command::Metadata`.
//! Never: creates topics.
//! Invariants: every topic asked for is answered, found or not, in the order asked for.
//! Source: kafka.md 4.6.

use api::error::MetadataError;
use api::metadata::{MetadataView, PartitionView, TopicFilter, TopicKey, TopicView};
use model::ids::PartitionId;

use super::{Image, TopicState, names};
use crate::config::BrokerConfig;

/// Answers a metadata request from an image.
#[must_use]
pub fn metadata_view(image: &Image, config: &BrokerConfig, filter: &TopicFilter) -> MetadataView {
    let topics = match filter {
        TopicFilter::All => image
            .topics()
            .map(|topic| (TopicKey::Name(topic.name.clone()), Ok(topic_view(topic))))
            .collect(),
        TopicFilter::These(keys) => keys
            .iter()
            .map(|key| (key.clone(), find(image, key)))
            .collect(),
    };
    MetadataView {
        cluster_id: config.cluster_id.clone(),
        controller: image.controller(config.broker),
        brokers: image.brokers().cloned().collect(),
        topics,
    }
}

/// One topic as clients see it.
#[must_use]
pub fn topic_view(topic: &TopicState) -> TopicView {
    let partitions = (0_u32..)
        .zip(&topic.partitions)
        .map(|(index, state)| PartitionView {
            partition: PartitionId::new(index),
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            replicas: state.replicas.clone(),
            isr: state.isr.clone(),
        })
        .collect();
    TopicView {
        name: topic.name.clone(),
        id: topic.id,
        is_internal: topic.is_internal,
        partitions,
    }
}

fn find(image: &Image, key: &TopicKey) -> Result<TopicView, MetadataError> {
    match image.resolve(key) {
        Some(topic) => Ok(topic_view(topic)),
        None => Err(missing(key)),
    }
}

/// The error for a topic that is not there: an illegal name is told apart from an unknown one.
#[must_use]
pub fn missing(key: &TopicKey) -> MetadataError {
    match key {
        TopicKey::Id(_) => MetadataError::UnknownTopicId,
        TopicKey::Name(name) => names::check(name)
            .err()
            .unwrap_or(MetadataError::UnknownTopic),
    }
}
