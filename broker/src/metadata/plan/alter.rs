//! Checking config changes.
//!
//! Owns: which keys may be altered how, and rules between keys.
//! Never: changes an image.
//! Invariants: what passes leaves only legal values behind.
//! Source: kafka.md 4.12, KIP-339.

use api::error::MetadataError;
use api::metadata::{ConfigChange, ConfigOp, ConfigResource, ConfigType, TopicKey};
use model::ids::BrokerId;

use super::super::configs::describe::check_own;
use super::super::configs::value::Lookup;
use super::super::configs::{KeyDef, Mutability, broker_key, change, topic_key};
use super::super::image::ConfigMap;
use super::super::{Image, view};
use crate::config::BrokerConfig;

/// Checks every change of a request; each gives the change to propose or why not.
#[must_use]
pub fn plan_alter(
    image: &Image,
    config: &BrokerConfig,
    changes: &[ConfigChange],
) -> Vec<Result<ConfigChange, MetadataError>> {
    let mut resources: Vec<&ConfigResource> =
        changes.iter().map(|change| &change.resource).collect();
    resources.sort_unstable();
    let lookup = Lookup { image, config };
    changes
        .iter()
        .map(|change| {
            if super::is_repeated(&resources, &change.resource) {
                let what = "a resource is named twice".to_owned();
                return Err(MetadataError::InvalidRequest(what));
            }
            check_keys_differ(change)?;
            plan_one(lookup, change)
        })
        .collect()
}

fn check_keys_differ(change: &ConfigChange) -> Result<(), MetadataError> {
    let mut keys: Vec<&str> = change
        .changes
        .iter()
        .map(|(key, ..)| key.as_str())
        .collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(MetadataError::InvalidRequest(format!(
            "config {} is altered twice",
            pair[0]
        ))),
        None => Ok(()),
    }
}

fn plan_one(lookup: Lookup<'_>, wanted: &ConfigChange) -> Result<ConfigChange, MetadataError> {
    match &wanted.resource {
        ConfigResource::Topic(name) => plan_topic(lookup, name, wanted),
        ConfigResource::Broker(broker) => plan_broker(lookup, *broker, wanted),
    }
}

fn plan_topic(
    lookup: Lookup<'_>,
    name: &str,
    wanted: &ConfigChange,
) -> Result<ConfigChange, MetadataError> {
    let key = || TopicKey::Name(name.to_owned());
    let topic = lookup
        .image
        .topic_by_name(name)
        .ok_or_else(|| view::missing(&key()))?;
    let mut planned = wanted.clone();
    for (key, op, value) in &mut planned.changes {
        if *op == ConfigOp::Delete {
            continue;
        }
        let def = topic_key(key).ok_or_else(|| unknown_topic_config(key))?;
        check_op(def, *op, value.as_deref())?;
        let is_list_op = matches!(op, ConfigOp::Append | ConfigOp::Subtract);
        let is_static = || {
            def.synonyms
                .iter()
                .any(|synonym| lookup.fixed(synonym.name).is_some())
        };
        if is_list_op && !topic.configs.contains_key(def.name) && is_static() {
            let inherited = lookup.topic_value(def, &ConfigMap::new());
            resolve_static_list(def.name, &inherited, (op, value))?;
        }
    }
    let base = |key: &str| change::list_base(lookup.image, key);
    let after = change::changed(&topic.configs, &planned, base)?;
    for (key, value) in &after {
        if let Some(def) = topic_key(key) {
            def.check_value(value)?;
        }
    }
    check_together(lookup, &after)?;
    Ok(planned)
}

/// Where this broker's file gives an unset list its value, the change becomes a `Set` of the whole list:
/// another broker that applies it may have another file.
fn resolve_static_list(
    key: &str,
    inherited: &str,
    (op, value): (&mut ConfigOp, &mut Option<String>),
) -> Result<(), MetadataError> {
    let one = ConfigChange {
        resource: ConfigResource::Broker(None),
        is_replacement: false,
        changes: vec![(key.to_owned(), *op, value.take())],
    };
    let mut after = change::changed(&ConfigMap::new(), &one, |_| inherited.to_owned())?;
    *op = ConfigOp::Set;
    *value = after.remove(key);
    Ok(())
}

fn plan_broker(
    lookup: Lookup<'_>,
    broker: Option<BrokerId>,
    wanted: &ConfigChange,
) -> Result<ConfigChange, MetadataError> {
    if let Some(broker) = broker {
        check_own(lookup.config, broker)?;
    }
    let empty = ConfigMap::new();
    let present = lookup.image.broker_configs(broker).unwrap_or(&empty);
    let mut planned = wanted.clone();
    if wanted.is_replacement {
        // Tools that replace the whole set send back what DescribeConfigs gave them, read-only keys included.
        planned
            .changes
            .retain(|(key, ..)| !is_unchanged_read_only(lookup, key, wanted));
    }
    for (key, op, value) in &mut planned.changes {
        if *op == ConfigOp::Delete {
            continue;
        }
        let def = broker_key(key)
            .ok_or_else(|| MetadataError::InvalidConfig(format!("unknown broker config {key}")))?;
        check_op(&def, *op, value.as_deref())?;
        if def.mutability == Mutability::ReadOnly {
            let what = format!("broker config {key} cannot be changed while the broker runs");
            return Err(MetadataError::InvalidConfig(what));
        }
        let is_list_op = matches!(op, ConfigOp::Append | ConfigOp::Subtract);
        let fixed = lookup
            .fixed(key)
            .filter(|_| is_list_op && !present.contains_key(key));
        if let Some(fixed) = fixed {
            resolve_static_list(key, fixed, (op, value))?;
        }
    }
    let base = |key: &str| change::list_base(lookup.image, key);
    let after = change::changed(present, &planned, base)?;
    for (key, value) in &after {
        if let Some(def) = broker_key(key) {
            def.check_value(value)?;
        }
    }
    Ok(planned)
}

fn is_unchanged_read_only(lookup: Lookup<'_>, key: &str, wanted: &ConfigChange) -> bool {
    let Some(def) = broker_key(key) else {
        return false;
    };
    let present = lookup
        .broker_candidates(&def)
        .into_iter()
        .next()
        .map(|found| found.value);
    let given = wanted
        .changes
        .iter()
        .find(|(name, ..)| name == key)
        .and_then(|(.., value)| value.as_ref());
    def.mutability == Mutability::ReadOnly && given == present.as_ref()
}

fn check_op(def: &KeyDef, op: ConfigOp, value: Option<&str>) -> Result<(), MetadataError> {
    let Some(value) = value else {
        let what = format!("no value for {}", def.name);
        return Err(MetadataError::InvalidRequest(what));
    };
    match op {
        ConfigOp::Delete => Ok(()),
        ConfigOp::Set => def.check_value(value),
        ConfigOp::Append | ConfigOp::Subtract if def.kind == ConfigType::List => Ok(()),
        ConfigOp::Append | ConfigOp::Subtract => {
            let what = format!("{} is not a list: it can be set or deleted only", def.name);
            Err(MetadataError::InvalidConfig(what))
        }
    }
}

/// Rules between keys of one topic.
pub(super) fn check_together(lookup: Lookup<'_>, after: &ConfigMap) -> Result<(), MetadataError> {
    let number = |name| {
        let def = topic_key(name)?;
        lookup.topic_value(def, after).trim().parse::<i64>().ok()
    };
    let (least, most) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    );
    if least > most {
        let what = "min.compaction.lag.ms is larger than max.compaction.lag.ms".to_owned();
        return Err(MetadataError::InvalidConfig(what));
    }
    Ok(())
}

/// The error for a key that no topic has.
pub(super) fn unknown_topic_config(key: &str) -> MetadataError {
    MetadataError::InvalidConfig(format!("unknown topic config name: {key}"))
}
