//! The immutable image of the cluster's metadata.
//!
//! Owns: topics by id and by name, tombstones, registered brokers, broker configs, the producer-id allocator.
//! Never: decides anything; `apply` makes a new image from an old one.
//! Invariants: every topic is in the id, name and collision maps or in none; a deleted id never names a
//! live topic; cloning shares all trees.
//! Source: reliability.md 1.11.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::metadata::{BrokerEndpoint, TopicKey};
use model::ids::{BrokerId, MetaIndex, TopicId};
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::{TopicState, names};

/// Ids of deleted topics that are remembered; the oldest is forgotten first. A forgotten id is "never
/// known", so its stray data is kept rather than removed: the safe side.
pub const TOMBSTONES_MAX: usize = 100_000;

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerState {
    /// How clients reach it.
    pub endpoint: BrokerEndpoint,
    /// The process that registered.
    pub incarnation: [u8; 16],
    /// Index of the entry that registered it: the broker epoch.
    pub registered_at: MetaIndex,
}

/// Config values by key.
pub type ConfigMap = BTreeMap<String, String>;

/// Immutable metadata; a change makes a new one that shares most of the old.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub(super) index: MetaIndex,
    pub(super) by_id: RedBlackTreeMapSync<TopicId, Arc<TopicState>>,
    pub(super) by_name: RedBlackTreeMapSync<String, Arc<TopicState>>,
    /// Name with `.` as `_` → name: two topics may not differ in that alone.
    pub(super) by_folded_name: RedBlackTreeMapSync<String, String>,
    pub(super) tombstones: RedBlackTreeMapSync<TopicId, MetaIndex>,
    pub(super) tombstone_order: RedBlackTreeSetSync<(MetaIndex, TopicId)>,
    pub(super) brokers: RedBlackTreeMapSync<BrokerId, BrokerState>,
    pub(super) broker_configs: RedBlackTreeMapSync<Option<BrokerId>, ConfigMap>,
    pub(super) producer_id_next: u64,
    pub(super) partitions: u64,
}

impl Image {
    /// Raft index of the last entry this image contains; zero before the first.
    #[must_use]
    pub fn index(&self) -> MetaIndex {
        self.index
    }

    /// The same metadata, known to contain everything up to `index` (for entries that change nothing).
    ///
    /// # Panics
    /// If `index` is below the present one.
    #[must_use]
    pub fn at(&self, index: MetaIndex) -> Self {
        assert!(index >= self.index, "the image moved backwards");
        Self {
            index,
            ..self.clone()
        }
    }

    /// A topic by id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicState>> {
        self.by_id.get(&id)
    }

    /// A topic by name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicState>> {
        self.by_name.get(name)
    }

    /// A topic as a client names it.
    #[must_use]
    pub fn resolve(&self, key: &TopicKey) -> Option<&Arc<TopicState>> {
        match key {
            TopicKey::Name(name) => self.topic_by_name(name),
            TopicKey::Id(id) => self.topic(*id),
        }
    }

    /// Every topic, in name order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicState>> {
        self.by_name.values()
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.by_id.size()
    }

    /// Number of partitions of all topics.
    #[must_use]
    pub fn partition_count(&self) -> u64 {
        self.partitions
    }

    /// The topic whose name equals `name` when `.` and `_` are taken for the same.
    #[must_use]
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        self.by_folded_name
            .get(&names::fold(name))
            .map(String::as_str)
    }

    /// Where clients reach the registered brokers, in id order.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerEndpoint> {
        self.brokers.values().map(|broker| &broker.endpoint)
    }

    /// Ids of the registered brokers, ascending.
    pub fn broker_ids(&self) -> impl Iterator<Item = BrokerId> {
        self.brokers.keys().copied()
    }

    /// A registered broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerState> {
        self.brokers.get(&id)
    }

    /// The broker that acts as controller towards clients: `own` if registered, else the lowest id.
    /// Any broker can forward metadata changes, so the nearest one is the right one to name.
    #[must_use]
    pub fn controller(&self, own: BrokerId) -> BrokerId {
        match self.brokers.contains_key(&own) {
            true => own,
            false => self.brokers.first().map_or(own, |(id, _)| *id),
        }
    }

    /// Configs set while running for one broker, or (`None`) for all brokers.
    #[must_use]
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> Option<&ConfigMap> {
        self.broker_configs.get(&broker)
    }

    /// Whether this topic id was deleted (as opposed to never known): only then may stray data be removed.
    #[must_use]
    pub fn is_deleted(&self, id: TopicId) -> bool {
        self.tombstones.contains_key(&id)
    }

    /// Puts a topic in, or replaces its state (same id and name).
    pub(super) fn put_topic(&mut self, topic: TopicState) {
        if let Some(old) = self.by_id.get(&topic.id) {
            assert!(old.name == topic.name, "a topic changed its name");
            self.partitions -= old.partitions.len() as u64;
        }
        self.partitions += topic.partitions.len() as u64;
        let topic = Arc::new(topic);
        self.by_folded_name
            .insert_mut(names::fold(&topic.name), topic.name.clone());
        self.by_name
            .insert_mut(topic.name.clone(), Arc::clone(&topic));
        self.by_id.insert_mut(topic.id, topic);
        debug_assert_eq!(self.by_id.size(), self.by_name.size());
    }

    /// Takes a topic out and remembers its id as deleted at `index`.
    pub(super) fn remove_topic(&mut self, topic: &TopicState, index: MetaIndex) {
        assert!(self.by_id.remove_mut(&topic.id), "removed topic was there");
        assert!(
            self.by_name.remove_mut(&topic.name),
            "removed topic had its name"
        );
        self.by_folded_name.remove_mut(&names::fold(&topic.name));
        self.partitions -= topic.partitions.len() as u64;
        self.put_tombstone(topic.id, index);
    }

    /// Remembers a deleted id; forgets the oldest beyond [`TOMBSTONES_MAX`].
    pub(super) fn put_tombstone(&mut self, id: TopicId, index: MetaIndex) {
        self.tombstones.insert_mut(id, index);
        self.tombstone_order.insert_mut((index, id));
        if self.tombstones.size() > TOMBSTONES_MAX
            && let Some(oldest) = self.tombstone_order.first().copied()
        {
            self.tombstone_order.remove_mut(&oldest);
            self.tombstones.remove_mut(&oldest.1);
        }
    }
}
