//! Configs as tools see them.
//!
//! Owns: the answer to `Command::DescribeConfigs` for one resource.
//! Never: changes anything.
//! Invariants: all keys of the resource unless keys were named, each with its source and synonyms.
//! Source: kafka.md 4.12.

use api::error::MetadataError;
use api::metadata::{ConfigEntry, ConfigResource, ConfigSource, TopicKey};
use model::ids::BrokerId;

use super::super::image::ConfigMap;
use super::super::{Image, view};
use super::value::{Candidate, Lookup};
use super::{Effect, KeyDef, Mutability, broker_key, broker_keys, topic_keys};
use crate::config::BrokerConfig;

/// Describes one resource; `keys` of `None` means all.
///
/// # Errors
/// The topic is unknown or its name illegal; the broker is not this one.
pub fn describe_configs(
    image: &Image,
    config: &BrokerConfig,
    resource: &ConfigResource,
    keys: Option<&[String]>,
) -> Result<Vec<ConfigEntry>, MetadataError> {
    let lookup = Lookup { image, config };
    let is_wanted = |name: &str| keys.is_none_or(|keys| keys.iter().any(|key| key == name));
    match resource {
        ConfigResource::Topic(name) => {
            let key = || TopicKey::Name(name.clone());
            let topic = image
                .topic_by_name(name)
                .ok_or_else(|| view::missing(&key()))?;
            Ok(topic_entries(lookup, &topic.configs, is_wanted))
        }
        ConfigResource::Broker(None) => Ok(cluster_entries(lookup)
            .filter(|entry| is_wanted(&entry.name))
            .collect()),
        ConfigResource::Broker(Some(broker)) => {
            check_own(config, *broker)?;
            let defs = broker_keys().into_iter().filter(|def| is_wanted(def.name));
            Ok(defs.map(|def| broker_entry(lookup, &def)).collect())
        }
    }
}

/// The configs of a topic with these overrides.
#[must_use]
pub fn topic_entries(
    lookup: Lookup<'_>,
    overrides: &ConfigMap,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<ConfigEntry> {
    topic_keys()
        .iter()
        .filter(|def| def.effect != Effect::Dead || overrides.contains_key(def.name))
        .filter(|def| is_wanted(def.name))
        .map(|def| entry(def, &lookup.topic_candidates(def, overrides)))
        .collect()
}

fn broker_entry(lookup: Lookup<'_>, def: &KeyDef) -> ConfigEntry {
    entry(def, &lookup.broker_candidates(def))
}

/// Only what is set: the cluster-wide resource has no defaults of its own.
fn cluster_entries(lookup: Lookup<'_>) -> impl Iterator<Item = ConfigEntry> {
    lookup
        .image
        .broker_configs(None)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let def = broker_key(name)?;
            let source = ConfigSource::DynamicDefaultBroker;
            Some(entry(
                &def,
                &[Candidate {
                    name: def.name,
                    value: value.clone(),
                    factor: 1,
                    source,
                }],
            ))
        })
}

fn entry(def: &KeyDef, candidates: &[Candidate]) -> ConfigEntry {
    let strongest = candidates.first();
    ConfigEntry {
        name: def.name.to_owned(),
        value: strongest.map(Candidate::scaled),
        source: strongest.map_or(ConfigSource::Default, |candidate| candidate.source),
        kind: def.kind,
        documentation: def.documentation,
        is_read_only: def.mutability == Mutability::ReadOnly,
        synonyms: candidates
            .iter()
            .map(|place| {
                (
                    place.name.to_owned(),
                    Some(place.value.clone()),
                    place.source,
                )
            })
            .collect(),
    }
}

/// Static and dynamic values of another broker are known there only.
pub(in super::super) fn check_own(
    config: &BrokerConfig,
    broker: BrokerId,
) -> Result<(), MetadataError> {
    if broker == config.broker {
        return Ok(());
    }
    let own = config.broker;
    Err(MetadataError::InvalidRequest(format!(
        "unexpected broker id {broker}: this is broker {own}"
    )))
}
