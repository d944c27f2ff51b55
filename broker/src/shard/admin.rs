//! Metadata as clients see and change it.
//!
//! Owns: what is answered from the image at once and what is proposed.
//! Never: changes the image; checks are `metadata`'s.
//! Invariants: validate-only proposes nothing; a request whose elements are all refused proposes nothing.
//! Source: kafka.md 4.6, 4.12.

use std::collections::BTreeSet;

use api::error::MetadataError;
use api::metadata::{ConfigChange, NewTopic, TopicFilter, TopicKey};
use api::reply::DeletedTopic;
use api::{Command, Origin, Reply};
use model::ids::{BrokerId, TopicId};
use model::time::{Instant, Now};

use super::Shard;
use super::proposals::{PROPOSAL_TIMEOUT, Pending};
use crate::metadata::{
    MetadataCommand, TopicSpec, describe_configs, describe_created, plan_alter, plan_create_all,
    plan_create_partitions, plan_delete, settings,
};

/// Topics one metadata request may create; those that exist do not count.
const AUTO_CREATE_MAX: usize = 1_000;

/// Whether a change is made or only checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Make(Instant),
    Check,
}

impl Mode {
    const fn of((validate_only, deadline): (bool, Instant)) -> Self {
        if validate_only {
            Self::Check
        } else {
            Self::Make(deadline)
        }
    }
}

impl Shard {
    pub(super) fn administer(&mut self, now: Now, origin: Origin, command: Command) {
        match command {
            Command::Metadata {
                topics,
                auto_create,
            } => {
                self.describe_topics(now, origin, (topics, auto_create));
            }
            Command::CreateTopics {
                topics,
                validate_only,
                deadline,
            } => {
                self.create_topics(origin, topics, Mode::of((validate_only, deadline)));
            }
            Command::DeleteTopics { topics, deadline } => {
                self.delete_topics(origin, topics, deadline);
            }
            Command::CreatePartitions {
                topics,
                validate_only,
                deadline,
            } => {
                self.create_partitions(origin, &topics, Mode::of((validate_only, deadline)));
            }
            Command::DescribeConfigs { resources } => {
                let (image, broker) = (&self.image, &self.config.broker);
                let one = |(resource, keys): &(_, Option<Vec<String>>)| {
                    describe_configs(image, broker, resource, keys.as_deref())
                };
                let configs = resources.iter().map(one).collect();
                self.reply(origin, Reply::Configs(configs));
            }
            Command::AlterConfigs {
                changes,
                validate_only,
                deadline,
            } => {
                self.alter_configs(origin, &changes, Mode::of((validate_only, deadline)));
            }
            Command::Append(_)
            | Command::Fetch(_)
            | Command::CancelFetch { .. }
            | Command::ListOffset(_)
            | Command::EpochEnd(_)
            | Command::DeleteRecords(_)
            | Command::InitProducerId { .. }
            | Command::FindCoordinator { .. }
            | Command::JoinGroup(_)
            | Command::SyncGroup(_)
            | Command::Heartbeat(_)
            | Command::LeaveGroup(_)
            | Command::CommitOffsets(_)
            | Command::FetchCommitted(_)
            | Command::DescribeGroup { .. }
            | Command::ListGroups { .. }
            | Command::DeleteGroup { .. }
            | Command::DeleteOffsets { .. } => unreachable!("dispatched elsewhere"),
        }
    }

    fn describe_topics(
        &mut self,
        now: Now,
        origin: Origin,
        (filter, auto_create): (TopicFilter, bool),
    ) {
        let specs = if auto_create {
            self.missing_topics(&filter)
        } else {
            Vec::new()
        };
        if specs.is_empty() {
            return self.reply_metadata(origin, &filter);
        }
        let deadline = now.instant.after(PROPOSAL_TIMEOUT);
        let pending = Pending::AutoCreate(origin, filter);
        self.propose(MetadataCommand::CreateTopics(specs), pending, deadline);
    }

    /// Specs of the topics a metadata request names that do not exist and may be created.
    fn missing_topics(&mut self, filter: &TopicFilter) -> Vec<TopicSpec> {
        let TopicFilter::These(keys) = filter else {
            return Vec::new();
        };
        let config = &self.config.broker;
        if !settings::is_enabled(&self.image, config, "auto.create.topics.enable")
            || !config.auto_create_topics
        {
            return Vec::new();
        }
        let mut names = BTreeSet::new();
        for key in keys {
            let TopicKey::Name(name) = key else { continue };
            if names.len() < AUTO_CREATE_MAX && self.image.topic_by_name(name).is_none() {
                names.insert(name);
            }
        }
        let missing: Vec<NewTopic> = names
            .into_iter()
            .map(|name| NewTopic {
                name: name.clone(),
                partitions: None,
                replication_factor: None,
                assignment: Vec::new(),
                configs: Vec::new(),
            })
            .collect();
        let planned = plan_create_all(&self.image, config, &missing, &mut self.prng);
        // What may not be created is answered as what it is: unknown, or an illegal name.
        planned.into_iter().filter_map(Result::ok).collect()
    }

    fn create_topics(&mut self, origin: Origin, topics: Vec<NewTopic>, mode: Mode) {
        let config = &self.config.broker;
        let planned = plan_create_all(&self.image, config, &topics, &mut self.prng);
        let specs: Vec<TopicSpec> = planned
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .cloned()
            .collect();
        match mode {
            Mode::Make(deadline) if !specs.is_empty() => {
                let topics = topics.into_iter().zip(planned).collect();
                let pending = Pending::Create(origin, topics);
                self.propose(MetadataCommand::CreateTopics(specs), pending, deadline);
            }
            Mode::Make(_) | Mode::Check => {
                let image = &self.image;
                let answer = topics.into_iter().zip(planned).map(|(topic, one)| {
                    let created = one.map(|spec| {
                        let spec = TopicSpec {
                            id: TopicId::NONE,
                            ..spec
                        };
                        describe_created(image, config, &spec)
                    });
                    (topic.name, created)
                });
                let answer = answer.collect();
                self.reply(origin, Reply::TopicsCreated(answer));
            }
        }
    }

    fn delete_topics(&mut self, origin: Origin, topics: Vec<TopicKey>, deadline: Instant) {
        let planned = plan_delete(&self.image, &self.config.broker, &topics);
        let ids: Vec<TopicId> = planned
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .copied()
            .collect();
        let name_of = |key: &TopicKey| match key {
            TopicKey::Name(name) => Some(name.clone()),
            TopicKey::Id(_) => self.image.resolve(key).map(|topic| topic.name.clone()),
        };
        let named: Vec<_> = topics
            .into_iter()
            .zip(planned)
            .map(|(key, one)| {
                let name = name_of(&key);
                (key, name, one)
            })
            .collect();
        if !ids.is_empty() {
            let pending = Pending::Delete(origin, named);
            self.propose(MetadataCommand::DeleteTopics(ids), pending, deadline);
            return;
        }
        let refused = named.into_iter().map(|(key, name, one)| {
            let id = match key {
                TopicKey::Id(id) => Some(id),
                TopicKey::Name(_) => None,
            };
            DeletedTopic {
                key,
                name,
                id,
                result: one.map(drop),
            }
        });
        let refused = refused.collect();
        self.reply(origin, Reply::TopicsDeleted(refused));
    }

    fn create_partitions(
        &mut self,
        origin: Origin,
        topics: &[(String, u32, Vec<Vec<BrokerId>>)],
        mode: Mode,
    ) {
        let planned = plan_create_partitions(&self.image, topics);
        let added: Vec<_> = planned
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .cloned()
            .collect();
        let answer: Vec<(String, Result<(), MetadataError>)> = topics
            .iter()
            .zip(planned)
            .map(|((name, ..), one)| (name.clone(), one.map(drop)))
            .collect();
        match mode {
            Mode::Make(deadline) if !added.is_empty() => {
                let pending = Pending::Partitions(origin, answer);
                self.propose(MetadataCommand::CreatePartitions(added), pending, deadline);
            }
            Mode::Make(_) | Mode::Check => self.reply(origin, Reply::PartitionsCreated(answer)),
        }
    }

    fn alter_configs(&mut self, origin: Origin, changes: &[ConfigChange], mode: Mode) {
        let planned = plan_alter(&self.image, &self.config.broker, changes);
        let accepted: Vec<_> = planned
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .cloned()
            .collect();
        let answer: Vec<Result<(), MetadataError>> =
            planned.into_iter().map(|one| one.map(drop)).collect();
        match mode {
            Mode::Make(deadline) if !accepted.is_empty() => {
                let pending = Pending::Configs(origin, answer);
                self.propose(MetadataCommand::AlterConfigs(accepted), pending, deadline);
            }
            Mode::Make(_) | Mode::Check => self.reply(origin, Reply::ConfigsAltered(answer)),
        }
    }
}
