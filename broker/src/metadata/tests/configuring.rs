//! Tests of configs.
//!
//! Owns: the catalogue's own soundness, altering, describing, typed settings.
//! Never: parses files.
//! Invariants: as in the parent.
//! Source: kafka.md 4.12.

use api::error::MetadataError;
use api::metadata::{ConfigChange, ConfigEntry, ConfigOp, ConfigResource, ConfigSource};
use model::ids::BrokerId;
use storage::Durability;

use super::super::configs::{
    Effect, broker_key, broker_keys, check_broker_value, topic_key, topic_keys,
};
use super::super::{TimestampType, TopicSettings, describe_configs, plan_alter};
use super::{World, broker_change, id, spec, topic_change};

fn world() -> World {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 1));
    world
}

fn settings(world: &World) -> TopicSettings {
    TopicSettings::from(
        world.image.topic(id(1)).unwrap(),
        &world.image,
        &world.config,
    )
}

fn set(world: &mut World, key: &str, value: &str) {
    world.alter(&topic_change("t", &[(key, ConfigOp::Set, Some(value))]));
}

fn refusal(world: &World, change: &ConfigChange) -> MetadataError {
    let planned = plan_alter(&world.image, &world.config, std::slice::from_ref(change));
    planned.into_iter().next().unwrap().unwrap_err()
}

fn entry(world: &World, resource: &ConfigResource, key: &str) -> ConfigEntry {
    let keys = [key.to_owned()];
    let found = describe_configs(&world.image, &world.config, resource, Some(&keys)).unwrap();
    assert_eq!(found.len(), 1);
    found.into_iter().next().unwrap()
}

fn topic() -> ConfigResource {
    ConfigResource::Topic("t".to_owned())
}

fn value(world: &World, key: &str) -> Option<String> {
    world.image.topic(id(1)).unwrap().configs.get(key).cloned()
}

#[test]
fn the_tables_are_sorted_documented_and_their_defaults_are_legal() {
    for pair in topic_keys().windows(2) {
        assert!(
            pair[0].name < pair[1].name,
            "{} {}",
            pair[0].name,
            pair[1].name
        );
    }
    let brokers = broker_keys();
    for pair in brokers.windows(2) {
        assert!(
            pair[0].name < pair[1].name,
            "{} {}",
            pair[0].name,
            pair[1].name
        );
    }
    for def in topic_keys().iter().chain(&brokers) {
        assert!(def.documentation.ends_with('.'), "{}", def.name);
        if let Some(default) = def.default {
            assert_eq!(def.check_value(default), Ok(()), "{}", def.name);
        }
    }
}

#[test]
fn every_topic_key_of_kafka_is_known() {
    for key in "cleanup.policy compression.type compression.gzip.level compression.lz4.level \
        compression.zstd.level delete.retention.ms file.delete.delay.ms flush.messages flush.ms \
        follower.replication.throttled.replicas leader.replication.throttled.replicas \
        index.interval.bytes local.retention.bytes local.retention.ms max.compaction.lag.ms \
        max.message.bytes message.timestamp.type message.timestamp.before.max.ms \
        message.timestamp.after.max.ms min.cleanable.dirty.ratio min.compaction.lag.ms \
        min.insync.replicas preallocate remote.storage.enable remote.log.copy.disable \
        remote.log.delete.on.disable retention.bytes retention.ms segment.bytes segment.ms \
        segment.index.bytes segment.jitter.ms unclean.leader.election.enable \
        message.format.version message.downconversion.enable message.timestamp.difference.max.ms \
        rapidmq.durability rapidmq.flush.interval.ms"
        .split_whitespace()
    {
        assert!(topic_key(key).is_some(), "{key}");
    }
}

#[test]
fn the_broker_keys_that_tools_read_are_known() {
    for key in "num.partitions default.replication.factor min.insync.replicas \
        auto.create.topics.enable delete.topic.enable log.retention.ms log.retention.hours \
        message.max.bytes offsets.topic.num.partitions transaction.max.timeout.ms \
        group.min.session.timeout.ms inter.broker.protocol.version advertised.listeners log.dirs"
        .split_whitespace()
    {
        assert!(broker_key(key).is_some(), "{key}");
    }
    assert!(check_broker_value("num.partitions", "3").is_ok());
    assert!(check_broker_value("num.partitions", "0").is_err());
    assert!(check_broker_value("num.partition", "3").is_err());
}

#[test]
fn only_lists_can_be_appended_to() {
    let world = world();
    let change = topic_change("t", &[("retention.ms", ConfigOp::Append, Some("1"))]);
    assert!(matches!(
        refusal(&world, &change),
        MetadataError::InvalidConfig(_)
    ));
}

#[test]
fn append_and_subtract_work_on_the_effective_list() {
    let mut world = world();
    world.alter(&topic_change(
        "t",
        &[("cleanup.policy", ConfigOp::Append, Some("compact"))],
    ));
    assert_eq!(
        value(&world, "cleanup.policy").as_deref(),
        Some("delete,compact")
    );
    world.alter(&topic_change(
        "t",
        &[("cleanup.policy", ConfigOp::Subtract, Some("delete"))],
    ));
    assert_eq!(value(&world, "cleanup.policy").as_deref(), Some("compact"));
    let none = topic_change(
        "t",
        &[("cleanup.policy", ConfigOp::Subtract, Some("compact"))],
    );
    assert!(matches!(
        refusal(&world, &none),
        MetadataError::InvalidConfig(_)
    ));
}

#[test]
fn appending_starts_from_a_static_value_of_the_broker() {
    let mut world = world();
    world
        .config
        .static_values
        .push(("log.cleanup.policy".to_owned(), "compact".to_owned()));
    world.alter(&topic_change(
        "t",
        &[("cleanup.policy", ConfigOp::Append, Some("delete"))],
    ));
    assert_eq!(
        value(&world, "cleanup.policy").as_deref(),
        Some("compact,delete")
    );
}

#[test]
fn a_key_or_resource_given_twice_is_an_invalid_request() {
    let world = world();
    let one = ("retention.ms", ConfigOp::Set, Some("1"));
    let twice = topic_change("t", &[one, ("retention.ms", ConfigOp::Delete, None)]);
    assert!(matches!(
        refusal(&world, &twice),
        MetadataError::InvalidRequest(_)
    ));
    let change = topic_change("t", &[one]);
    let both = plan_alter(&world.image, &world.config, &[change.clone(), change]);
    assert!(
        both.iter()
            .all(|one| matches!(one, Err(MetadataError::InvalidRequest(_))))
    );
}

#[test]
fn unknown_keys_topics_and_missing_values_are_refused() {
    let world = world();
    let unknown = topic_change("t", &[("x.y", ConfigOp::Set, Some("1"))]);
    assert!(matches!(
        refusal(&world, &unknown),
        MetadataError::InvalidConfig(_)
    ));
    let missing = topic_change("t", &[("retention.ms", ConfigOp::Set, None)]);
    assert!(matches!(
        refusal(&world, &missing),
        MetadataError::InvalidRequest(_)
    ));
    assert_eq!(
        refusal(&world, &topic_change("u", &[])),
        MetadataError::UnknownTopic
    );
    let illegal = refusal(&world, &topic_change("?", &[]));
    assert!(matches!(illegal, MetadataError::InvalidTopic(_)));
}

#[test]
fn a_legacy_change_replaces_the_whole_set() {
    let mut world = world();
    set(&mut world, "retention.ms", "5");
    let replacement = ConfigChange {
        is_replacement: true,
        ..topic_change("t", &[("segment.ms", ConfigOp::Set, Some("9"))])
    };
    world.alter(&replacement);
    assert_eq!(value(&world, "retention.ms"), None);
    assert_eq!(value(&world, "segment.ms").as_deref(), Some("9"));
}

#[test]
fn describing_a_topic_gives_every_live_key_with_its_source() {
    let mut world = world();
    set(&mut world, "retention.ms", "5");
    let all = describe_configs(&world.image, &world.config, &topic(), None).unwrap();
    let live = topic_keys()
        .iter()
        .filter(|def| def.effect != Effect::Dead)
        .count();
    assert_eq!(all.len(), live);
    let entry = entry(&world, &topic(), "retention.ms");
    assert_eq!(entry.value.as_deref(), Some("5"));
    assert_eq!(entry.source, ConfigSource::DynamicTopic);
    let weakest = entry.synonyms.last().unwrap();
    let hours = (
        "log.retention.hours".to_owned(),
        Some("168".to_owned()),
        ConfigSource::Default,
    );
    assert_eq!(*weakest, hours);
}

#[test]
fn dead_keys_are_listed_only_where_they_are_set() {
    let mut world = world();
    set(&mut world, "message.format.version", "2.8");
    let shown = entry(&world, &topic(), "message.format.version");
    assert_eq!(shown.value.as_deref(), Some("2.8"));
}

#[test]
fn sources_override_each_other_from_topic_down_to_default() {
    let mut world = world();
    let key = "retention.ms";
    let seen = |world: &World| {
        let entry = entry(world, &topic(), key);
        (entry.value.unwrap(), entry.source)
    };
    assert_eq!(
        seen(&world),
        ("604800000".to_owned(), ConfigSource::Default)
    );
    world
        .config
        .static_values
        .push(("log.retention.hours".to_owned(), "2".to_owned()));
    assert_eq!(
        seen(&world),
        ("7200000".to_owned(), ConfigSource::StaticBroker)
    );
    world.alter(&broker_change(None, "log.retention.ms", Some("30")));
    assert_eq!(
        seen(&world),
        ("30".to_owned(), ConfigSource::DynamicDefaultBroker)
    );
    world.alter(&broker_change(Some(1), "log.retention.ms", Some("40")));
    assert_eq!(seen(&world), ("40".to_owned(), ConfigSource::DynamicBroker));
    set(&mut world, key, "50");
    assert_eq!(seen(&world), ("50".to_owned(), ConfigSource::DynamicTopic));
    assert_eq!(entry(&world, &topic(), key).synonyms.len(), 5);
    world.alter(&broker_change(None, "log.retention.ms", None));
    assert_eq!(entry(&world, &topic(), key).synonyms.len(), 4);
}

#[test]
fn broker_keys_show_what_the_broker_acts_by() {
    let mut world = world();
    world.config.partitions_default = 6;
    let own = ConfigResource::Broker(Some(BrokerId::new(1)));
    let entry = entry(&world, &own, "num.partitions");
    assert_eq!(entry.value.as_deref(), Some("6"));
    assert_eq!(entry.source, ConfigSource::StaticBroker);
    assert!(entry.is_read_only);
    let other = ConfigResource::Broker(Some(BrokerId::new(2)));
    let refused = describe_configs(&world.image, &world.config, &other, None);
    assert!(matches!(refused, Err(MetadataError::InvalidRequest(_))));
    let cluster = ConfigResource::Broker(None);
    let described = describe_configs(&world.image, &world.config, &cluster, None);
    assert_eq!(described, Ok(Vec::new()));
}

#[test]
fn read_only_broker_keys_cannot_be_altered() {
    let world = world();
    let change = broker_change(Some(1), "num.partitions", Some("3"));
    assert!(matches!(
        refusal(&world, &change),
        MetadataError::InvalidConfig(_)
    ));
    let change = broker_change(Some(2), "log.retention.ms", Some("3"));
    assert!(matches!(
        refusal(&world, &change),
        MetadataError::InvalidRequest(_)
    ));
}

#[test]
fn settings_follow_the_configs() {
    let mut world = world();
    let plain = settings(&world);
    assert_eq!(plain.max_message_bytes, 1_048_588);
    assert_eq!(plain.timestamp_type, TimestampType::CreateTime);
    assert_eq!(plain.log, storage::LogConfig::default());
    assert_eq!(plain.min_insync_replicas, 1);
    for (key, value) in [
        ("max.message.bytes", "2000"),
        ("message.timestamp.type", "LogAppendTime"),
        ("cleanup.policy", "compact"),
        ("retention.ms", "-1"),
        ("retention.bytes", "12345"),
        ("segment.bytes", "14"),
    ] {
        set(&mut world, key, value);
    }
    let changed = settings(&world);
    assert_eq!(changed.max_message_bytes, 2_000);
    assert_eq!(changed.timestamp_type, TimestampType::LogAppendTime);
    assert!(changed.is_compacted);
    assert!(!changed.log.is_delete_policy);
    assert_eq!(changed.log.retention_ms, None);
    assert_eq!(changed.log.retention_bytes, Some(12_345));
    assert_eq!(changed.log.segment_bytes, 64 * 1024);
}

#[test]
fn flush_configs_only_make_a_topic_more_durable() {
    let mut world = world();
    set(&mut world, "flush.ms", "5");
    assert_eq!(settings(&world).log.durability, Durability::Disk);
    set(&mut world, "rapidmq.durability", "memory");
    let log = settings(&world).log;
    assert_eq!(
        (log.durability, log.flush_interval_ms),
        (Durability::Memory, 5)
    );
    set(&mut world, "flush.ms", "5000");
    assert_eq!(settings(&world).log.flush_interval_ms, 10);
    set(&mut world, "flush.ms", "0");
    assert_eq!(settings(&world).log.durability, Durability::Disk);
    set(&mut world, "flush.ms", "7");
    set(&mut world, "flush.messages", "1");
    assert_eq!(settings(&world).log.durability, Durability::Disk);
}

#[test]
fn defaults_are_the_limits_that_the_broker_acts_by() {
    use model::limits;
    let default = |key: &str| broker_key(key).unwrap().default.unwrap().to_owned();
    assert_eq!(
        default("group.max.size"),
        limits::GROUP_MEMBERS_MAX.to_string()
    );
    assert_eq!(
        default("socket.request.max.bytes"),
        limits::FRAME_BYTES_MAX.to_string()
    );
    assert_eq!(
        default("fetch.max.bytes"),
        limits::FETCH_BYTES_MAX.to_string()
    );
    assert_eq!(
        default("message.max.bytes"),
        limits::BATCH_BYTES_DEFAULT.to_string()
    );
    let metadata = limits::OFFSET_METADATA_BYTES_MAX.to_string();
    assert_eq!(default("offset.metadata.max.bytes"), metadata);
}

#[test]
fn only_the_strongest_synonym_is_dynamic_and_hours_are_limited_so_that_they_fit() {
    let world = world();
    let hours = broker_change(None, "log.retention.hours", Some("3"));
    assert!(matches!(
        refusal(&world, &hours),
        MetadataError::InvalidConfig(_)
    ));
    assert!(check_broker_value("log.retention.hours", "-1").is_ok());
    assert!(check_broker_value("log.retention.hours", "9223372036854775807").is_err());
}

#[test]
fn lists_of_a_broker_are_appended_to_what_it_inherits() {
    let append = |broker: Option<u32>| ConfigChange {
        resource: ConfigResource::Broker(broker.map(BrokerId::new)),
        is_replacement: false,
        changes: vec![(
            "log.cleanup.policy".to_owned(),
            ConfigOp::Append,
            Some("compact".to_owned()),
        )],
    };
    let stored = |world: &World, broker: Option<u32>| {
        let configs = world
            .image
            .broker_configs(broker.map(BrokerId::new))
            .unwrap();
        configs["log.cleanup.policy"].clone()
    };
    let mut inherits_default = world();
    inherits_default.alter(&append(None));
    assert_eq!(stored(&inherits_default, None), "delete,compact");
    let mut inherits_cluster = world();
    inherits_cluster.alter(&broker_change(None, "log.cleanup.policy", Some("compact")));
    inherits_cluster.alter(&append(Some(1)));
    assert_eq!(stored(&inherits_cluster, Some(1)), "compact");
    let mut inherits_file = world();
    let fixed = ("log.cleanup.policy".to_owned(), "delete".to_owned());
    inherits_file.config.static_values.push(fixed);
    inherits_file.alter(&append(Some(1)));
    assert_eq!(stored(&inherits_file, Some(1)), "delete,compact");
}
