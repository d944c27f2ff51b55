//! Checking what clients ask for and turning it into commands.
//!
//! Owns: every rule that a metadata request must satisfy before it is proposed; defaults and placement.
//! Never: changes an image.
//! Invariants: a planned command applies, unless metadata changed in between; nothing depends on time or chance.
//! Source: kafka.md 4.6, 4.12.

use std::collections::BTreeMap;

use api::error::MetadataError;
use api::metadata::{CreatedTopic, NewTopic, TopicKey};
use model::ids::{BrokerId, PartitionId, TopicId};
use model::limits;
use model::prng::Prng;

use super::apply::{
    PARTITIONS_MAX, check_assignment, check_growth, check_partition_count, collision,
};
use super::configs::describe::topic_entries;
use super::configs::topic_key;
use super::configs::value::Lookup;
use super::image::ConfigMap;
use super::placement::{Spread, assign};
use super::{Image, TopicSpec, names, settings};
use crate::config::BrokerConfig;

pub mod alter;

pub use alter::plan_alter;

/// Checks one topic to be created and resolves its defaults. `id` must be fresh.
///
/// # Errors
/// Every rule of kafka.md 4.6 and 4.12 has its variant.
pub fn plan_create(
    image: &Image,
    config: &BrokerConfig,
    topic: &NewTopic,
    id: TopicId,
) -> Result<TopicSpec, MetadataError> {
    plan_one(Lookup { image, config }, &mut Room::of(image), topic, id)
}

fn plan_one(
    lookup: Lookup<'_>,
    room: &mut Room,
    topic: &NewTopic,
    id: TopicId,
) -> Result<TopicSpec, MetadataError> {
    let Lookup { image, config } = lookup;
    names::check(&topic.name)?;
    if image.topic_by_name(&topic.name).is_some() {
        return Err(MetadataError::TopicExists(topic.name.clone()));
    }
    if let Some(other) = image.colliding_topic(&topic.name) {
        return Err(collision(&topic.name, other));
    }
    let configs = checked_configs(image, config, &topic.configs)?;
    room.check_topic()?;
    let assignment = match topic.assignment.is_empty() {
        true => automatic(lookup, room, topic, id)?,
        false => {
            room.check_partitions(topic.assignment.len())?;
            manual(image, topic)?
        }
    };
    room.topics -= 1;
    room.partitions -= assignment.len() as u64;
    let is_internal = names::is_internal(&topic.name);
    Ok(TopicSpec {
        name: topic.name.clone(),
        id,
        is_internal,
        assignment,
        configs,
    })
}

/// Plans a whole request: a name given twice is refused in both places, one that collides with an earlier one of the
/// request in the later place; ids come from `prng`.
pub fn plan_create_all(
    image: &Image,
    config: &BrokerConfig,
    topics: &[NewTopic],
    prng: &mut Prng,
) -> Vec<Result<TopicSpec, MetadataError>> {
    let mut names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    names.sort_unstable();
    let (lookup, mut room) = (Lookup { image, config }, Room::of(image));
    let mut planned: BTreeMap<String, &str> = BTreeMap::new();
    topics
        .iter()
        .map(|topic| {
            if is_repeated(&names, topic.name.as_str()) {
                let what = format!("topic {} is named twice", topic.name);
                return Err(MetadataError::InvalidRequest(what));
            }
            let collides = names::fold(&topic.name);
            if let Some(other) = planned.get(&collides) {
                return Err(collision(&topic.name, other));
            }
            let spec = plan_one(lookup, &mut room, topic, fresh_id(image, prng))?;
            planned.insert(collides, &topic.name);
            Ok(spec)
        })
        .collect()
}

/// What may still be created. A request counts as a whole, before anything of it is laid out: otherwise one of
/// many large topics would take as much memory as it pleases.
struct Room {
    topics: usize,
    partitions: u64,
}

impl Room {
    fn of(image: &Image) -> Self {
        Self {
            topics: limits::TOPICS_MAX.saturating_sub(image.topic_count()),
            partitions: PARTITIONS_MAX.saturating_sub(image.partition_count()),
        }
    }

    fn check_topic(&self) -> Result<(), MetadataError> {
        if self.topics > 0 {
            return Ok(());
        }
        let what = format!("the cluster may have {} topics", limits::TOPICS_MAX);
        Err(MetadataError::LimitReached(what))
    }

    fn check_partitions(&self, partitions: usize) -> Result<(), MetadataError> {
        if partitions as u64 <= self.partitions {
            return Ok(());
        }
        let what = format!("the cluster may have {PARTITIONS_MAX} partitions");
        Err(MetadataError::LimitReached(what))
    }
}

/// What a created topic looks like; with validate-only pass a spec with [`TopicId::NONE`].
#[must_use]
pub fn describe_created(image: &Image, config: &BrokerConfig, spec: &TopicSpec) -> CreatedTopic {
    let overrides: ConfigMap = spec.configs.iter().cloned().collect();
    let replicas = spec.assignment.first().map_or(0, Vec::len);
    CreatedTopic {
        id: spec.id,
        partitions: u32::try_from(spec.assignment.len()).unwrap_or(u32::MAX),
        replication_factor: u16::try_from(replicas).unwrap_or(u16::MAX),
        configs: topic_entries(Lookup { image, config }, &overrides, |_| true),
    }
}

/// Checks which topics may be deleted: (id) or why not, in the order asked for.
#[must_use]
pub fn plan_delete(
    image: &Image,
    config: &BrokerConfig,
    topics: &[TopicKey],
) -> Vec<Result<TopicId, MetadataError>> {
    let resolved: Vec<Option<TopicId>> = topics
        .iter()
        .map(|key| image.resolve(key).map(|topic| topic.id))
        .collect();
    let mut ids: Vec<TopicId> = resolved.iter().flatten().copied().collect();
    ids.sort_unstable();
    let is_enabled = settings::is_enabled(image, config, "delete.topic.enable");
    let one = |key: &TopicKey| {
        let topic = image.resolve(key).ok_or_else(|| unknown(key))?;
        if is_repeated(&ids, topic.id) {
            let what = format!("topic {} is named twice", topic.name);
            return Err(MetadataError::InvalidRequest(what));
        }
        if topic.is_internal {
            return Err(MetadataError::Policy(format!(
                "topic {} is internal",
                topic.name
            )));
        }
        if !is_enabled {
            return Err(MetadataError::DeletionDisabled);
        }
        Ok(topic.id)
    };
    topics.iter().map(one).collect()
}

/// One element of `MetadataCommand::CreatePartitions`.
pub type AddedPartitions = (String, Vec<Vec<BrokerId>>, u32);

/// Checks which topics may get more partitions: (topic, new total, manual assignment of the new ones).
#[must_use]
pub fn plan_create_partitions(
    image: &Image,
    topics: &[(String, u32, Vec<Vec<BrokerId>>)],
) -> Vec<Result<AddedPartitions, MetadataError>> {
    let mut names: Vec<&str> = topics.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    let mut room = Room::of(image);
    topics
        .iter()
        .map(|wanted| {
            if is_repeated(&names, wanted.0.as_str()) {
                let what = format!("topic {} is named twice", wanted.0);
                return Err(MetadataError::InvalidRequest(what));
            }
            let added = plan_added(image, &room, wanted)?;
            room.partitions -= added.1.len() as u64;
            Ok(added)
        })
        .collect()
}

fn plan_added(
    image: &Image,
    room: &Room,
    (name, total, manual): &(String, u32, Vec<Vec<BrokerId>>),
) -> Result<AddedPartitions, MetadataError> {
    let total = *total;
    let key = || TopicKey::Name(name.to_owned());
    let topic = image
        .topic_by_name(name)
        .ok_or_else(|| super::view::missing(&key()))?;
    check_growth(topic)?;
    let old = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    if total <= old {
        let what = format!("topic {name} has {old} partitions, which {total} would not increase");
        return Err(MetadataError::InvalidPartitions(what));
    }
    check_partition_count(total as usize)?;
    let count = total - old;
    room.check_partitions(count as usize)?;
    let width = topic
        .partitions
        .first()
        .map_or(1, |state| state.replicas.len());
    if manual.is_empty() {
        let brokers: Vec<BrokerId> = image.broker_ids().collect();
        let replicas = u16::try_from(width.min(brokers.len())).unwrap_or(u16::MAX);
        check_brokers(&brokers)?;
        let spread = Spread {
            topic: topic.id,
            first: old,
            count,
            replicas,
        };
        return Ok((name.clone(), assign(&brokers, spread), old));
    }
    if manual.len() != count as usize {
        let what = format!("{} assignments for {count} new partitions", manual.len());
        return Err(MetadataError::InvalidAssignment(what));
    }
    check_manual(image, manual, width)?;
    Ok((name.clone(), manual.clone(), old))
}

fn automatic(
    lookup: Lookup<'_>,
    room: &Room,
    topic: &NewTopic,
    id: TopicId,
) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
    let Lookup { image, config } = lookup;
    let count = topic.partitions.unwrap_or(config.partitions_default);
    check_partition_count(count as usize)?;
    room.check_partitions(count as usize)?;
    let brokers: Vec<BrokerId> = image.broker_ids().collect();
    check_brokers(&brokers)?;
    let wanted = topic
        .replication_factor
        .unwrap_or(config.replication_factor_default);
    let replicas = replication_factor(wanted, brokers.len(), config)?;
    Ok(assign(
        &brokers,
        Spread {
            topic: id,
            first: 0,
            count,
            replicas,
        },
    ))
}

fn replication_factor(
    wanted: u16,
    brokers: usize,
    config: &BrokerConfig,
) -> Result<u16, MetadataError> {
    if wanted == 0 {
        let what = "it must be at least 1".to_owned();
        return Err(MetadataError::InvalidReplicationFactor(what));
    }
    match usize::from(wanted) > brokers {
        false => Ok(wanted),
        true if config.clamp_replication_factor => Ok(u16::try_from(brokers).unwrap_or(wanted)),
        true => {
            let what = format!("{wanted} is larger than the number of brokers, {brokers}");
            Err(MetadataError::InvalidReplicationFactor(what))
        }
    }
}

fn manual(image: &Image, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, MetadataError> {
    if topic.partitions.is_some() || topic.replication_factor.is_some() {
        let what = "an assignment cannot be combined with a partition count or replication factor";
        return Err(MetadataError::InvalidRequest(what.to_owned()));
    }
    let mut sorted = topic.assignment.clone();
    sorted.sort_by_key(|(partition, _)| *partition);
    let is_dense = (0_u32..)
        .zip(&sorted)
        .all(|(want, (got, _))| *got == PartitionId::new(want));
    if !is_dense {
        let what = "partitions must be numbered from 0 without gaps".to_owned();
        return Err(MetadataError::InvalidAssignment(what));
    }
    let assignment: Vec<Vec<BrokerId>> = sorted.into_iter().map(|(_, replicas)| replicas).collect();
    let width = assignment.first().map_or(0, Vec::len);
    check_manual(image, &assignment, width)?;
    Ok(assignment)
}

fn check_manual(
    image: &Image,
    assignment: &[Vec<BrokerId>],
    width: usize,
) -> Result<(), MetadataError> {
    check_assignment(assignment)?;
    if assignment.iter().any(|replicas| replicas.len() != width) {
        let what = "every partition must have the same number of replicas".to_owned();
        return Err(MetadataError::InvalidAssignment(what));
    }
    match assignment
        .iter()
        .flatten()
        .find(|id| image.broker(**id).is_none())
    {
        Some(unknown) => Err(MetadataError::InvalidAssignment(format!(
            "broker {unknown} is not registered"
        ))),
        None => Ok(()),
    }
}

fn check_brokers(brokers: &[BrokerId]) -> Result<(), MetadataError> {
    if brokers.is_empty() {
        let what = "no broker is registered yet".to_owned();
        return Err(MetadataError::InvalidReplicationFactor(what));
    }
    Ok(())
}

/// Checks the overrides of a new topic; a missing value means the default.
fn checked_configs(
    image: &Image,
    config: &BrokerConfig,
    wanted: &[(String, Option<String>)],
) -> Result<Vec<(String, String)>, MetadataError> {
    let mut checked = ConfigMap::new();
    let mut seen: Vec<&str> = Vec::with_capacity(wanted.len().min(64));
    for (key, value) in wanted {
        let def = topic_key(key).ok_or_else(|| alter::unknown_topic_config(key))?;
        if seen.contains(&def.name) {
            return Err(MetadataError::InvalidConfig(format!(
                "config {key} is given twice"
            )));
        }
        seen.push(def.name);
        if let Some(value) = value {
            def.check_value(value)?;
            checked.insert(key.clone(), value.trim().to_owned());
        }
    }
    alter::check_together(Lookup { image, config }, &checked)?;
    Ok(checked.into_iter().collect())
}

/// A topic that is asked for by name to be deleted: an illegal name is simply unknown.
fn unknown(key: &TopicKey) -> MetadataError {
    match key {
        TopicKey::Name(_) => MetadataError::UnknownTopic,
        TopicKey::Id(_) => MetadataError::UnknownTopicId,
    }
}

/// An id that no topic has or had.
fn fresh_id(image: &Image, prng: &mut Prng) -> TopicId {
    loop {
        let id = TopicId::from_bytes(prng.bytes16());
        if !id.is_none() && image.topic(id).is_none() && !image.is_deleted(id) {
            return id;
        }
    }
}

fn is_repeated<T: Ord>(sorted: &[T], wanted: T) -> bool {
    let first = sorted.partition_point(|item| *item < wanted);
    sorted
        .get(first + 1)
        .is_some_and(|second| *second == wanted)
}
