//! Tests of the metadata state machine.
//!
//! Owns: the worlds the tests start from.
//! Never: touches files or clocks.
//! Invariants: every seed is fixed.
//! Source: reliability.md 1.11, kafka.md 4.6 and 4.12.
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

mod applying;
mod codecs;
mod configuring;
mod planning;

use api::metadata::{ConfigChange, ConfigOp, ConfigResource, NewTopic};
use model::ids::{BrokerId, MetaIndex, TopicId};

use super::{Change, Image, MetadataCommand, MetadataResult, StateMachine, TopicSpec};
use crate::config::BrokerConfig;

pub(super) fn id(number: u8) -> TopicId {
    TopicId::from_bytes([number; 16])
}

/// How the broker stopped before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Clean,
    Unclean,
}

pub(super) fn registration(broker: u32, incarnation: u8, stop: Stop) -> MetadataCommand {
    MetadataCommand::RegisterBroker {
        broker: BrokerId::new(broker),
        incarnation: [incarnation; 16],
        host: format!("broker-{broker}"),
        port: 9092,
        rack: None,
        is_clean: stop == Stop::Clean,
    }
}

pub(super) fn spec(name: &str, number: u8, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        id: id(number),
        is_internal: super::names::is_internal(name),
        assignment: (0..partitions).map(|_| vec![BrokerId::new(1)]).collect(),
        configs: Vec::new(),
    }
}

pub(super) fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: None,
        replication_factor: None,
        assignment: Vec::new(),
        configs: Vec::new(),
    }
}

pub(super) fn topic_change(name: &str, changes: &[(&str, ConfigOp, Option<&str>)]) -> ConfigChange {
    ConfigChange {
        resource: ConfigResource::Topic(name.to_owned()),
        is_replacement: false,
        changes: changes
            .iter()
            .map(|(key, op, value)| ((*key).to_owned(), *op, value.map(str::to_owned)))
            .collect(),
    }
}

pub(super) fn broker_change(broker: Option<u32>, key: &str, value: Option<&str>) -> ConfigChange {
    let op = if value.is_some() {
        ConfigOp::Set
    } else {
        ConfigOp::Delete
    };
    ConfigChange {
        resource: ConfigResource::Broker(broker.map(BrokerId::new)),
        is_replacement: false,
        changes: vec![(key.to_owned(), op, value.map(str::to_owned))],
    }
}

/// An image in the making.
#[derive(Default)]
pub(super) struct World {
    pub(super) image: Image,
    pub(super) config: BrokerConfig,
}

impl World {
    /// One registered broker.
    pub(super) fn with_broker() -> Self {
        let mut world = Self::default();
        world.apply(&registration(1, 1, Stop::Clean));
        world
    }

    pub(super) fn apply(&mut self, command: &MetadataCommand) -> (MetadataResult, Vec<Change>) {
        let index = MetaIndex::new(self.image.index().get() + 1);
        let (image, result, changes) = StateMachine::apply(&self.image, index, command);
        assert_eq!(image.index(), index);
        self.image = image;
        (result, changes)
    }

    pub(super) fn create(&mut self, spec: TopicSpec) {
        let (result, _) = self.apply(&MetadataCommand::CreateTopics(vec![spec]));
        assert_eq!(result, MetadataResult::Each(vec![Ok(())]));
    }

    pub(super) fn alter(&mut self, change: &ConfigChange) {
        let planned = super::plan_alter(&self.image, &self.config, std::slice::from_ref(change));
        let planned: Vec<_> = planned.into_iter().map(Result::unwrap).collect();
        let (result, _) = self.apply(&MetadataCommand::AlterConfigs(planned));
        assert_eq!(result, MetadataResult::Each(vec![Ok(())]));
    }
}
