//! The typed settings of one topic, as a shard acts by them.
//!
//! Owns: turning config text into numbers.
//! Never: fails: values were checked when they were set, and a value that does not parse gives the default.
//! Invariants: flush.messages and flush.ms only ever make a topic more durable.
//! Source: kafka.md 4.12, reliability.md 2.2.

use model::limits;
use storage::{Durability, LogConfig};

use super::configs::check::{boolean, elements};
use super::configs::value::Lookup;
use super::configs::{KeyDef, topic_keys};
use super::image::ConfigMap;
use super::{Image, TopicState};
use crate::config::BrokerConfig;

/// Smallest segment, bytes: below it headers and padding outweigh the data.
pub const SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// Whose timestamps a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, stamped at append.
    LogAppendTime,
}

/// What a shard must know of a topic's configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `max.message.bytes`: largest batch.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `cleanup.policy` has `compact`: records must have keys.
    pub is_compacted: bool,
    /// `cleanup.policy` has `delete`.
    pub is_deleting: bool,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// What the store must know.
    pub log: LogConfig,
}

impl TopicSettings {
    /// The settings of a topic: its own configs over those of the broker.
    #[must_use]
    pub fn from(topic: &TopicState, image: &Image, config: &BrokerConfig) -> Self {
        let values = Values {
            lookup: Lookup { image, config },
            overrides: &topic.configs,
        };
        let policies = values.text("cleanup.policy");
        let is_deleting = elements(&policies).any(|policy| policy == "delete");
        let is_compacted = elements(&policies).any(|policy| policy == "compact");
        let timestamp_type = match values.text("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        };
        Self {
            max_message_bytes: values.u32("max.message.bytes").min(limits::BATCH_BYTES_MAX),
            timestamp_type,
            timestamp_before_max_ms: values.u64("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.u64("message.timestamp.after.max.ms"),
            is_compacted,
            is_deleting,
            min_insync_replicas: values.u32("min.insync.replicas"),
            log: LogConfig {
                is_delete_policy: is_deleting,
                ..values.log()
            },
        }
    }
}

struct Values<'a> {
    lookup: Lookup<'a>,
    overrides: &'a ConfigMap,
}

impl Values<'_> {
    fn log(&self) -> LogConfig {
        let flush_ms = self.u64("flush.ms");
        let is_flush_asked = self.number("flush.messages") < i64::MAX || flush_ms == 0;
        let durability = match self.text("rapidmq.durability").as_str() {
            "memory" if !is_flush_asked => Durability::Memory,
            _ => Durability::Disk,
        };
        let interval = self.u32("rapidmq.flush.interval.ms").max(1);
        LogConfig {
            durability,
            flush_interval_ms: interval.min(u32::try_from(flush_ms.max(1)).unwrap_or(u32::MAX)),
            segment_bytes: self.u64("segment.bytes").max(SEGMENT_BYTES_MIN),
            segment_ms: self.u64("segment.ms"),
            retention_ms: u64::try_from(self.number("retention.ms")).ok(),
            retention_bytes: u64::try_from(self.number("retention.bytes")).ok(),
            is_delete_policy: true,
        }
    }

    fn text(&self, name: &str) -> String {
        let def = def(name);
        let value = self.lookup.topic_value(def, self.overrides);
        value.trim().to_owned()
    }

    fn number(&self, name: &str) -> i64 {
        let parsed = self.text(name).parse().ok();
        parsed
            .or_else(|| def(name).default?.parse().ok())
            .unwrap_or(0)
    }

    /// Negative values have their own meaning and are read with `number`; here they give zero.
    fn u64(&self, name: &str) -> u64 {
        u64::try_from(self.number(name)).unwrap_or(0)
    }

    fn u32(&self, name: &str) -> u32 {
        u32::try_from(self.u64(name)).unwrap_or(u32::MAX)
    }
}

/// Whether a broker key that holds `true` or `false` is on.
#[must_use]
pub fn is_enabled(image: &Image, config: &BrokerConfig, name: &str) -> bool {
    let lookup = Lookup { image, config };
    let def = super::configs::broker_key(name);
    let value = def.and_then(|def| lookup.broker_candidates(&def).into_iter().next());
    value
        .and_then(|found| boolean(found.value.trim()))
        .unwrap_or(false)
}

fn def(name: &str) -> &'static KeyDef {
    let found = topic_keys().iter().find(|def| def.name == name);
    assert!(
        found.is_some(),
        "settings ask only for keys of the catalogue"
    );
    found.unwrap_or(&topic_keys()[0])
}
