//! Broker config keys of their own (those that give topic keys their defaults are derived).
//!
//! Owns: the table, and which of them [`BrokerConfig`] holds as fields.
//! Never: resolves values.
//! Invariants: sorted by name; none is a default of a topic key.
//! Source: kafka.md 4.12, Apache Kafka broker configs.

use api::metadata::ConfigType::{Boolean, Int, List, Long, Short, String};

use super::KeyDef;
use super::check::Check;
use crate::config::BrokerConfig;

/// The table, in name order.
pub const KEYS: &[KeyDef] = &[
    KeyDef::broker("advertised.listeners", String, None, "Addresses that clients are told to connect to."),
    KeyDef::broker("auto.create.topics.enable", Boolean, Some("true"), "Whether a metadata request for an unknown topic may create it."),
    KeyDef::broker("auto.leader.rebalance.enable", Boolean, Some("true"), "Whether leadership returns to preferred replicas. Without effect on one broker.").stored(),
    KeyDef::broker("broker.id", Int, Some("1"), "Number of this broker; the same as node.id.").checked(Check::int_from(0)),
    KeyDef::broker("broker.rack", String, None, "Rack of this broker.").stored(),
    KeyDef::broker("connections.max.idle.ms", Long, Some("600000"), "Age at which an idle connection is closed, milliseconds; fixed.").checked(Check::Range(600_000, 600_000)),
    KeyDef::broker("controlled.shutdown.enable", Boolean, Some("true"), "Whether a stop is orderly. It always is.").stored(),
    KeyDef::broker("default.replication.factor", Int, Some("1"), "Replicas of a topic that does not say.").checked(Check::Range(1, i16::MAX as i64)),
    KeyDef::broker("delete.topic.enable", Boolean, Some("true"), "Whether topics may be deleted."),
    KeyDef::broker("fetch.max.bytes", Int, Some("57671680"), "Largest fetch answer, bytes.").checked(Check::int_from(1024)),
    KeyDef::broker("group.coordinator.rebalance.protocols", List, Some("classic"), "Group protocols that are served."),
    KeyDef::broker("group.initial.rebalance.delay.ms", Int, Some("3000"), "How long a new group waits for more members before its first assignment, milliseconds.").checked(Check::int_from(0)),
    KeyDef::broker("group.max.session.timeout.ms", Int, Some("1800000"), "Longest session timeout a member may ask for, milliseconds.").checked(Check::int_from(1)),
    KeyDef::broker("group.max.size", Int, Some("2000"), "Members of one group; fixed.").checked(Check::Range(2_000, 2_000)),
    KeyDef::broker("group.min.session.timeout.ms", Int, Some("6000"), "Shortest session timeout a member may ask for, milliseconds.").checked(Check::int_from(1)),
    KeyDef::broker("inter.broker.protocol.version", String, Some("3.9"), "Kafka release that tools should take this broker for.").stored(),
    KeyDef::broker("listeners", String, None, "Addresses this broker listens on."),
    KeyDef::broker("log.cleaner.enable", Boolean, Some("true"), "Whether compacted topics are compacted. Without effect: they are not yet.").stored(),
    KeyDef::broker("log.dir", String, None, "Directory of this broker's data; the same as log.dirs."),
    KeyDef::broker("log.dirs", String, None, "Directory of this broker's data."),
    KeyDef::broker("log.retention.check.interval.ms", Long, Some("300000"), "How often Kafka looks for segments to remove. Without effect: retention follows its own timer.").checked(Check::long_from(1)).stored(),
    KeyDef::broker("max.connections", Int, Some("2147483647"), "Connections this broker accepts; memory bounds them first.").checked(Check::int_from(0)).stored(),
    KeyDef::broker("max.incremental.fetch.session.cache.slots", Int, Some("1000"), "Fetch sessions that are remembered.").checked(Check::int_from(0)).stored(),
    KeyDef::broker("node.id", Int, Some("1"), "Number of this broker.").checked(Check::int_from(0)),
    KeyDef::broker("num.partitions", Int, Some("1"), "Partitions of a topic that does not say.").checked(Check::Range(1, model::limits::PARTITIONS_PER_TOPIC_MAX as i64)),
    KeyDef::broker("offset.metadata.max.bytes", Int, Some("4096"), "Bytes of metadata in an offset commit.").stored(),
    KeyDef::broker("offsets.commit.timeout.ms", Int, Some("5000"), "How long a commit may wait for durability, milliseconds.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("offsets.retention.check.interval.ms", Long, Some("600000"), "How often expired offsets are looked for, milliseconds.").checked(Check::long_from(1)).stored(),
    KeyDef::broker("offsets.retention.minutes", Int, Some("10080"), "How long the offsets of an empty group are kept, minutes.").checked(Check::int_from(1)),
    KeyDef::broker("offsets.topic.compression.codec", Int, Some("0"), "Compression of the offsets topic. Without effect: it is not compressed.").stored(),
    KeyDef::broker("offsets.topic.num.partitions", Int, Some("50"), "Partitions of the offsets topic; fixed once it exists.").checked(Check::Range(1, model::limits::PARTITIONS_PER_TOPIC_MAX as i64)),
    KeyDef::broker("offsets.topic.replication.factor", Short, Some("1"), "Replicas of the offsets topic, as far as there are brokers.").checked(Check::Range(1, i16::MAX as i64)).stored(),
    KeyDef::broker("offsets.topic.segment.bytes", Int, Some("104857600"), "Bytes of a segment of the offsets topic.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("process.roles", List, Some("broker,controller"), "What this process does."),
    KeyDef::broker("producer.id.expiration.ms", Int, Some("86400000"), "How long an idle producer is remembered, milliseconds.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("rapidmq.clamp.replication.factor", Boolean, Some("false"), "Whether a replication factor above the number of brokers is lowered to it instead of refused."),
    KeyDef::broker("rapidmq.validate.compressed", Boolean, Some("false"), "Whether compressed batches are decompressed and checked record by record when produced."),
    KeyDef::broker("socket.request.max.bytes", Int, Some("104857600"), "Largest request, bytes.").checked(Check::int_from(1)),
    KeyDef::broker("transaction.max.timeout.ms", Int, Some("900000"), "Longest transaction timeout a producer may ask for, milliseconds.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("transaction.state.log.min.isr", Int, Some("1"), "min.insync.replicas of the transaction topic.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("transaction.state.log.num.partitions", Int, Some("50"), "Partitions of the transaction topic.").checked(Check::int_from(1)).stored(),
    KeyDef::broker("transaction.state.log.replication.factor", Short, Some("1"), "Replicas of the transaction topic.").checked(Check::Range(1, i16::MAX as i64)).stored(),
    KeyDef::broker("transactional.id.expiration.ms", Int, Some("604800000"), "How long an idle transactional id is remembered, milliseconds.").checked(Check::int_from(1)).stored(),
];

/// The value of a key that [`BrokerConfig`] holds as a field: the value the broker acts by.
#[must_use]
pub fn field(config: &BrokerConfig, name: &str) -> Option<std::string::String> {
    Some(match name {
        "auto.create.topics.enable" => config.auto_create_topics.to_string(),
        "broker.id" | "node.id" => config.broker.to_string(),
        "default.replication.factor" => config.replication_factor_default.to_string(),
        "group.initial.rebalance.delay.ms" => config.group_initial_rebalance_delay_ms.to_string(),
        "group.max.session.timeout.ms" => config.group_session_timeout_max_ms.to_string(),
        "group.min.session.timeout.ms" => config.group_session_timeout_min_ms.to_string(),
        "num.partitions" => config.partitions_default.to_string(),
        "offsets.retention.minutes" => config.offsets_retention_minutes.to_string(),
        "offsets.topic.num.partitions" => config.offsets_partitions.to_string(),
        "rapidmq.clamp.replication.factor" => config.clamp_replication_factor.to_string(),
        "rapidmq.validate.compressed" => config.validate_compressed.to_string(),
        _ => return None,
    })
}
