//! The metadata state machine: topics, partitions, configs, brokers, producer-id blocks.
//!
//! Owns: commands, their deterministic application, the immutable image, the config catalogue, placement.
//! Never: reads a clock, draws random numbers, depends on map order of a hash.
//! Invariants: the same commands give the same image and the same encoded snapshot on every broker.
//! Source: reliability.md 1.3, 1.11; kafka.md 4.6, 4.12.

pub mod apply;
pub mod codec;
pub mod configs;
pub mod image;
pub mod names;
pub mod placement;
pub mod plan;
pub mod settings;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::error::MetadataError;
use api::metadata::ConfigChange;
use model::ids::{BrokerId, PartitionId, ProducerId, TopicId};
use model::offset::LeaderEpoch;

pub use apply::StateMachine;
pub use configs::describe::describe_configs;
pub use image::{BrokerState, Image};
pub use plan::{
    describe_created, plan_alter, plan_create, plan_create_all, plan_create_partitions, plan_delete,
};
pub use settings::{TimestampType, TopicSettings};
pub use view::metadata_view;

/// One partition in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Replicas, preferred first.
    pub replicas: Vec<BrokerId>,
    /// In sync.
    pub isr: Vec<BrokerId>,
    /// Leader.
    pub leader: Option<BrokerId>,
    /// Generation of leadership.
    pub leader_epoch: LeaderEpoch,
}

/// One topic in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Name.
    pub name: String,
    /// Id.
    pub id: TopicId,
    /// Internal topics are not written by clients.
    pub is_internal: bool,
    /// By index.
    pub partitions: Vec<PartitionState>,
    /// Overrides set on the topic, by key.
    pub configs: BTreeMap<String, String>,
}

/// A topic to create, all defaults resolved by the proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Id, drawn by the proposer.
    pub id: TopicId,
    /// Internal.
    pub is_internal: bool,
    /// Replicas of each partition.
    pub assignment: Vec<Vec<BrokerId>>,
    /// Overrides.
    pub configs: Vec<(String, String)>,
}

/// A change to metadata, as it stands in the Raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataCommand {
    /// A broker started. An unclean start bumps the leader epoch of every partition it leads (kafka.md 4.5).
    RegisterBroker {
        /// Who.
        broker: BrokerId,
        /// This process.
        incarnation: [u8; 16],
        /// Advertised host.
        host: String,
        /// Advertised port.
        port: u16,
        /// Rack.
        rack: Option<String>,
        /// Whether the last stop left the clean marker.
        is_clean: bool,
    },
    /// Create topics; each succeeds or fails on its own.
    CreateTopics(Vec<TopicSpec>),
    /// Delete topics by id.
    DeleteTopics(Vec<TopicId>),
    /// Add partitions: (topic name, replicas of each new partition, expected old count).
    CreatePartitions(Vec<(String, Vec<Vec<BrokerId>>, u32)>),
    /// Change configs.
    AlterConfigs(Vec<ConfigChange>),
    /// Reserve the next block of producer ids.
    AllocateProducerIds(BrokerId),
}

/// What a command gave; lists are in the command's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataResult {
    /// To `RegisterBroker`.
    Registered,
    /// To `CreateTopics`, `DeleteTopics`, `CreatePartitions`, `AlterConfigs`.
    Each(Vec<Result<(), MetadataError>>),
    /// To `AllocateProducerIds`: first id of the block of `limits::PRODUCER_ID_BLOCK`.
    ProducerIds(ProducerId),
}

/// What a data core must do because the image changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Topic and its partitions are new.
    TopicCreated(TopicId),
    /// Topic is gone; its data may be deleted.
    TopicDeleted(TopicId),
    /// Partitions from this index on are new.
    PartitionsAdded(TopicId, PartitionId),
    /// Config overrides of the topic changed.
    TopicConfigChanged(TopicId),
    /// Leader epochs of the topic changed.
    EpochsChanged(TopicId),
    /// Broker registrations or broker configs changed. Broker configs are defaults of topic configs, so
    /// the settings of every topic must be derived again.
    BrokersChanged,
}

/// Which shard of a broker owns a partition. Depends on nothing but its arguments.
#[must_use]
pub fn shard_of(topic: TopicId, partition: PartitionId, shards: u16) -> model::ids::ShardId {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&topic.as_bytes()[..8]);
    let start = u64::from_le_bytes(bytes) % u64::from(shards);
    let index = (start + u64::from(partition.get())) % u64::from(shards);
    model::ids::ShardId::new(u16::try_from(index).unwrap_or(0))
}

/// Name of the topic that holds committed offsets and group metadata.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition of [`OFFSETS_TOPIC`] that coordinates a group: Java's `abs(hashCode) % count`.
#[must_use]
pub fn group_partition(group: &str, partitions: u32) -> PartitionId {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    PartitionId::new((hash & i32::MAX).cast_unsigned() % partitions.max(1))
}
