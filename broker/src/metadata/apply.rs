//! Applying committed commands.
//!
//! Owns: the one function that changes metadata, live, on replay and after a snapshot alike.
//! Never: checks what depends on this broker's own configuration: brokers may differ in that, but not here.
//! Invariants: total: every command gives an image, also one that a newer or broken proposer made.
//! Source: reliability.md 1.11, kafka.md 4.5.

use std::sync::Arc;

use api::error::MetadataError;
use api::metadata::{BrokerEndpoint, ConfigChange, ConfigResource};
use model::ids::{BrokerId, MetaIndex, PartitionId, ProducerId, TopicId};
use model::limits;
use model::offset::LeaderEpoch;

use super::configs::change;
use super::image::{BrokerState, ConfigMap};
use super::{
    Change, Image, MetadataCommand, MetadataResult, PartitionState, TopicSpec, TopicState, names,
};

/// Partitions of all topics together; bounds the image (about 200 bytes each) and its snapshot.
pub const PARTITIONS_MAX: u64 = 1_000_000;

/// Brokers that may be registered.
pub const BROKERS_MAX: usize = 1_000;

/// The metadata state machine; it has no state besides the image.
#[derive(Clone, Copy, Debug)]
pub struct StateMachine;

impl StateMachine {
    /// Applies the command of entry `index` to `image`.
    ///
    /// # Panics
    /// If `index` is not above the image's: entries are applied once, in order.
    #[must_use]
    pub fn apply(
        image: &Image,
        index: MetaIndex,
        command: &MetadataCommand,
    ) -> (Image, MetadataResult, Vec<Change>) {
        assert!(index > image.index, "entries are applied once and in order");
        let mut next = Step {
            image: image.at(index),
            changes: Vec::new(),
        };
        let result = next.run(command);
        (next.image, result, next.changes)
    }
}

/// An image in the making and what changed in it so far.
struct Step {
    image: Image,
    changes: Vec<Change>,
}

impl Step {
    fn run(&mut self, command: &MetadataCommand) -> MetadataResult {
        match command {
            MetadataCommand::RegisterBroker {
                broker,
                incarnation,
                host,
                port,
                rack,
                is_clean,
            } => {
                let endpoint = BrokerEndpoint {
                    id: *broker,
                    host: host.clone(),
                    port: *port,
                    rack: rack.clone(),
                };
                self.register(endpoint, *incarnation, CleanStop::from(*is_clean))
            }
            MetadataCommand::CreateTopics(specs) => self.each(specs, Self::create),
            MetadataCommand::DeleteTopics(ids) => self.each(ids, Self::delete),
            MetadataCommand::CreatePartitions(requests) => self
                .each(requests, |step, (name, added, old)| {
                    step.add_partitions(name, added, *old)
                }),
            MetadataCommand::AlterConfigs(changes) => self.each(changes, Self::alter),
            MetadataCommand::AllocateProducerIds(_) => self.allocate_producer_ids(),
        }
    }

    fn each<T>(
        &mut self,
        items: &[T],
        mut one: impl FnMut(&mut Self, &T) -> Result<(), MetadataError>,
    ) -> MetadataResult {
        MetadataResult::Each(items.iter().map(|item| one(self, item)).collect())
    }

    fn register(
        &mut self,
        endpoint: BrokerEndpoint,
        incarnation: [u8; 16],
        stop: CleanStop,
    ) -> MetadataResult {
        let id = endpoint.id;
        let known = self.image.brokers.get(&id);
        let is_same_process = known.is_some_and(|broker| broker.incarnation == incarnation);
        if known.is_none() && self.image.brokers.size() >= BROKERS_MAX {
            let refused = format!("the cluster has {BROKERS_MAX} brokers");
            return MetadataResult::Each(vec![Err(MetadataError::LimitReached(refused))]);
        }
        let registered_at = self.image.index;
        self.image.brokers.insert_mut(
            id,
            BrokerState {
                endpoint,
                incarnation,
                registered_at,
            },
        );
        self.changes.push(Change::BrokersChanged);
        // The same process registering again (a new address) lost nothing in between.
        if stop == CleanStop::No && !is_same_process {
            self.bump_epochs_led_by(id);
        }
        MetadataResult::Registered
    }

    /// Consumers detect a truncated log only by a new epoch.  spec: KIP-320
    fn bump_epochs_led_by(&mut self, broker: BrokerId) {
        let led: Vec<Arc<TopicState>> = self
            .image
            .topics()
            .filter(|topic| {
                topic
                    .partitions
                    .iter()
                    .any(|state| state.leader == Some(broker))
            })
            .cloned()
            .collect();
        for topic in led {
            let mut topic = TopicState::clone(&topic);
            for state in topic
                .partitions
                .iter_mut()
                .filter(|state| state.leader == Some(broker))
            {
                state.leader_epoch = bumped(state.leader_epoch);
            }
            self.changes.push(Change::EpochsChanged(topic.id));
            self.image.put_topic(topic);
        }
    }

    fn create(&mut self, spec: &TopicSpec) -> Result<(), MetadataError> {
        self.check_new(spec)?;
        let topic = TopicState {
            name: spec.name.clone(),
            id: spec.id,
            is_internal: spec.is_internal,
            partitions: spec
                .assignment
                .iter()
                .map(|replicas| new_partition(replicas))
                .collect(),
            configs: spec.configs.iter().cloned().collect(),
        };
        self.changes.push(Change::TopicCreated(topic.id));
        self.image.put_topic(topic);
        Ok(())
    }

    fn check_new(&self, spec: &TopicSpec) -> Result<(), MetadataError> {
        names::check(&spec.name)?;
        if self.image.topic_by_name(&spec.name).is_some() {
            return Err(MetadataError::TopicExists(spec.name.clone()));
        }
        if let Some(other) = self.image.colliding_topic(&spec.name) {
            return Err(collision(&spec.name, other));
        }
        let is_used = spec.id.is_none()
            || self.image.topic(spec.id).is_some()
            || self.image.is_deleted(spec.id);
        if is_used {
            return Err(MetadataError::InvalidRequest(
                "topic id is already used".to_owned(),
            ));
        }
        self.check_room(1, spec.assignment.len())?;
        check_assignment(&spec.assignment)
    }

    fn check_room(&self, topics: usize, partitions: usize) -> Result<(), MetadataError> {
        if self.image.topic_count() + topics > limits::TOPICS_MAX {
            let what = format!("the cluster has {} topics", limits::TOPICS_MAX);
            return Err(MetadataError::LimitReached(what));
        }
        if self.image.partition_count() + partitions as u64 > PARTITIONS_MAX {
            let what = format!("the cluster may have {PARTITIONS_MAX} partitions");
            return Err(MetadataError::LimitReached(what));
        }
        Ok(())
    }

    fn delete(&mut self, id: &TopicId) -> Result<(), MetadataError> {
        let topic = self
            .image
            .topic(*id)
            .cloned()
            .ok_or(MetadataError::UnknownTopicId)?;
        if topic.is_internal {
            return Err(MetadataError::Policy(format!(
                "topic {} is internal",
                topic.name
            )));
        }
        self.image.remove_topic(&topic, self.image.index);
        self.changes.push(Change::TopicDeleted(*id));
        Ok(())
    }

    fn add_partitions(
        &mut self,
        name: &str,
        added: &[Vec<BrokerId>],
        old: u32,
    ) -> Result<(), MetadataError> {
        let topic = self
            .image
            .topic_by_name(name)
            .ok_or(MetadataError::UnknownTopic)?;
        check_growth(topic)?;
        if topic.partitions.len() != old as usize {
            let now = topic.partitions.len();
            let what = format!("topic {name} has {now} partitions by now, not {old}");
            return Err(MetadataError::InvalidPartitions(what));
        }
        let mut topic = TopicState::clone(topic);
        self.check_room(0, added.len())?;
        check_assignment(added)?;
        check_partition_count(topic.partitions.len() + added.len())?;
        topic
            .partitions
            .extend(added.iter().map(|replicas| new_partition(replicas)));
        self.changes
            .push(Change::PartitionsAdded(topic.id, PartitionId::new(old)));
        self.image.put_topic(topic);
        Ok(())
    }

    fn alter(&mut self, wanted: &ConfigChange) -> Result<(), MetadataError> {
        match &wanted.resource {
            ConfigResource::Topic(name) => self.alter_topic(name, wanted),
            ConfigResource::Broker(broker) => self.alter_broker(*broker, wanted),
        }
    }

    fn alter_topic(&mut self, name: &str, wanted: &ConfigChange) -> Result<(), MetadataError> {
        let topic = self
            .image
            .topic_by_name(name)
            .ok_or(MetadataError::UnknownTopic)?;
        let base = |key: &str| change::list_base(&self.image, key);
        let configs = change::changed(&topic.configs, wanted, base)?;
        if configs == topic.configs {
            return Ok(());
        }
        let topic = TopicState {
            configs,
            ..TopicState::clone(topic)
        };
        self.changes.push(Change::TopicConfigChanged(topic.id));
        self.image.put_topic(topic);
        Ok(())
    }

    fn alter_broker(
        &mut self,
        broker: Option<BrokerId>,
        wanted: &ConfigChange,
    ) -> Result<(), MetadataError> {
        let empty = ConfigMap::new();
        let present = self.image.broker_configs(broker).unwrap_or(&empty);
        let base = |key: &str| change::list_base(&self.image, key);
        let configs = change::changed(present, wanted, base)?;
        if configs == *present {
            return Ok(());
        }
        let is_new = !self.image.broker_configs.contains_key(&broker);
        if is_new && self.image.broker_configs.size() > BROKERS_MAX {
            return Err(MetadataError::LimitReached(
                "too many brokers have configs".to_owned(),
            ));
        }
        if configs.is_empty() {
            self.image.broker_configs.remove_mut(&broker);
        } else {
            self.image.broker_configs.insert_mut(broker, configs);
        }
        self.changes.push(Change::BrokersChanged);
        Ok(())
    }

    fn allocate_producer_ids(&mut self) -> MetadataResult {
        let first = self.image.producer_id_next;
        match first.checked_add(limits::PRODUCER_ID_BLOCK) {
            Some(next) if next <= i64::MAX.cast_unsigned() => {
                self.image.producer_id_next = next;
                MetadataResult::ProducerIds(ProducerId::new(first))
            }
            Some(_) | None => {
                let what = "producer ids are exhausted".to_owned();
                MetadataResult::Each(vec![Err(MetadataError::LimitReached(what))])
            }
        }
    }
}

/// Whether the last stop of a broker left the clean marker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CleanStop {
    Yes,
    No,
}

impl From<bool> for CleanStop {
    fn from(is_clean: bool) -> Self {
        if is_clean { Self::Yes } else { Self::No }
    }
}

/// The error for two names that differ in `.` and `_` only.
pub(super) fn collision(name: &str, other: &str) -> MetadataError {
    MetadataError::InvalidTopic(format!(
        "topic '{name}' collides with existing topic '{other}'"
    ))
}

/// A group is looked for in the partition that its name and their number give: with another number its commits
/// would be elsewhere, as if they had never been made.
pub(super) fn check_growth(topic: &TopicState) -> Result<(), MetadataError> {
    if topic.is_internal {
        let what = format!("the partitions of {} are as many for ever", topic.name);
        return Err(MetadataError::Policy(what));
    }
    Ok(())
}

/// Every partition has replicas and none twice; the count is within bounds.
pub(super) fn check_assignment(assignment: &[Vec<BrokerId>]) -> Result<(), MetadataError> {
    check_partition_count(assignment.len())?;
    for replicas in assignment {
        if replicas.is_empty() {
            return Err(MetadataError::InvalidAssignment(
                "a partition has no replica".to_owned(),
            ));
        }
        let mut sorted = replicas.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != replicas.len() {
            let what = "a partition names a broker twice".to_owned();
            return Err(MetadataError::InvalidAssignment(what));
        }
    }
    Ok(())
}

pub(super) fn check_partition_count(count: usize) -> Result<(), MetadataError> {
    let is_legal = count > 0 && count <= limits::PARTITIONS_PER_TOPIC_MAX as usize;
    if is_legal {
        return Ok(());
    }
    let most = limits::PARTITIONS_PER_TOPIC_MAX;
    Err(MetadataError::InvalidPartitions(format!(
        "{count} is not in 1..={most}"
    )))
}

fn new_partition(replicas: &[BrokerId]) -> PartitionState {
    PartitionState {
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        leader: replicas.first().copied(),
        leader_epoch: LeaderEpoch::ZERO,
    }
}

/// The next epoch; stays at the last one rather than stopping every broker that replays the entry.
fn bumped(epoch: LeaderEpoch) -> LeaderEpoch {
    if epoch.get() < i32::MAX.cast_unsigned() {
        epoch.next()
    } else {
        epoch
    }
}
