//! Static configuration of a broker, as the core needs it.
//!
//! Owns: defaults for topics and limits that the operator sets.
//! Never: parses files; the root package does.
//! Invariants: values were validated when they were parsed.
//! Source: kafka.md 4.12, features.md 3.2.

use model::ids::BrokerId;

/// Everything the operator sets that the core must know.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// This broker.
    pub broker: BrokerId,
    /// Cluster id, 22 characters.
    pub cluster_id: String,
    /// `num.partitions`.
    pub partitions_default: u32,
    /// `default.replication.factor`.
    pub replication_factor_default: u16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// Accept a replication factor above the number of brokers and use what there is (kafka.md 4.12).
    pub clamp_replication_factor: bool,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: u32,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: u32,
    /// `group.min.session.timeout.ms`.
    pub group_session_timeout_min_ms: u32,
    /// `group.max.session.timeout.ms`.
    pub group_session_timeout_max_ms: u32,
    /// `offsets.retention.minutes`.
    pub offsets_retention_minutes: u32,
    /// Decompress and walk compressed batches at produce as well (kafka.md 3.2).
    pub validate_compressed: bool,
    /// Values from file, environment or flags under their Kafka names, for DescribeConfigs.
    pub static_values: Vec<(String, String)>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            broker: BrokerId::new(1),
            cluster_id: String::new(),
            partitions_default: 1,
            replication_factor_default: 1,
            auto_create_topics: true,
            clamp_replication_factor: false,
            offsets_partitions: 50,
            group_initial_rebalance_delay_ms: 3_000,
            group_session_timeout_min_ms: 6_000,
            group_session_timeout_max_ms: 1_800_000,
            offsets_retention_minutes: 7 * 24 * 60,
            validate_compressed: false,
            static_values: Vec::new(),
        }
    }
}
