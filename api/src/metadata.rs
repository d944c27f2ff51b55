//! Metadata commands and what they return.
//!
//! Owns: descriptions of topics, brokers, configs as front ends see them.
//! Never: holds the metadata itself; `broker::metadata` does.
//! Invariants: every requested element is answered, found or not (kafka.md 6).
//! Source: kafka.md 4.6, 4.12.

use model::ids::{BrokerId, PartitionId, TopicId};
use model::offset::LeaderEpoch;

use crate::error::MetadataError;

/// A topic as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// By name.
    Name(String),
    /// By id (KIP-516).
    Id(TopicId),
}

/// Which topics a metadata command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicFilter {
    /// Every topic.
    All,
    /// These, in this order; empty means none.
    These(Vec<TopicKey>),
}

/// A broker and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// Its id.
    pub id: BrokerId,
    /// Advertised host name or address.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Rack, if configured.
    pub rack: Option<String>,
}

/// One partition as Metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Index.
    pub partition: PartitionId,
    /// Leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Current leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// All replicas.
    pub replicas: Vec<BrokerId>,
    /// Those in sync.
    pub isr: Vec<BrokerId>,
}

/// One topic as Metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Name.
    pub name: String,
    /// Id.
    pub id: TopicId,
    /// `__consumer_offsets` and the like.
    pub is_internal: bool,
    /// Partitions by index.
    pub partitions: Vec<PartitionView>,
}

/// Answer to `Command::Metadata`; topics in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataView {
    /// Cluster id, 22 characters of URL-safe base64 without padding.
    pub cluster_id: String,
    /// The broker that acts as controller.
    pub controller: BrokerId,
    /// Every registered broker; never empty.
    pub brokers: Vec<BrokerEndpoint>,
    /// One entry per topic asked for.
    pub topics: Vec<(TopicKey, Result<TopicView, MetadataError>)>,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Partitions; `None` for the broker's default.
    pub partitions: Option<u32>,
    /// Replication factor; `None` for the broker's default.
    pub replication_factor: Option<u16>,
    /// Manual assignment: (partition, replicas); empty for automatic.
    pub assignment: Vec<(PartitionId, Vec<BrokerId>)>,
    /// Config overrides; a `None` value means the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was (or, with validate-only, would be) created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; `TopicId::NONE` with validate-only.
    pub id: TopicId,
    /// Partitions.
    pub partitions: u32,
    /// Replication factor.
    pub replication_factor: u16,
    /// Every config with its source.
    pub configs: Vec<ConfigEntry>,
}

/// What a config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic by name.
    Topic(String),
    /// One broker by id; `None` for the cluster-wide dynamic default.
    Broker(Option<BrokerId>),
}

/// Where a config value comes from.  spec: kafka.md 4.12
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// From the broker's configuration file or flags.
    StaticBroker,
    /// Built in.
    Default,
}

/// Type of a config value, for tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32-bit number.
    Int,
    /// 16-bit number.
    Short,
    /// 64-bit number.
    Long,
    /// Floating point.
    Double,
    /// Comma-separated.
    List,
    /// Class name.
    Class,
    /// Never shown.
    Password,
}

/// One config of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Key.
    pub name: String,
    /// Value; `None` if sensitive or unset.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Type.
    pub kind: ConfigType,
    /// One sentence.
    pub documentation: &'static str,
    /// Cannot be changed while running.
    pub is_read_only: bool,
    /// Other places that give this key a value: (name, value, source), strongest first.
    pub synonyms: Vec<(String, Option<String>, ConfigSource)>,
}

/// How one key is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Set the value.
    Set,
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append,
    /// Remove from a list.
    Subtract,
}

/// Changes to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The resource.
    pub resource: ConfigResource,
    /// `true`: unspecified keys return to their default (legacy AlterConfigs).
    pub is_replacement: bool,
    /// (key, how, value).
    pub changes: Vec<(String, ConfigOp, Option<String>)>,
}
