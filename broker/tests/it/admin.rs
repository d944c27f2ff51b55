//! Tests of changes to metadata: topics, partitions, configs, proposals.
//!
//! Owns: what is proposed and what the client is told.
//! Never: tests each rule of planning; unit tests of `metadata` do.
//! Invariants: none.
//! Source: kafka.md 4.12, reliability.md 1.11.

use std::time::Duration;

use api::error::{MetadataError, PartitionError};
use api::metadata::{ConfigChange, ConfigOp, ConfigResource, ConfigSource, TopicKey};
use api::{Command, Reply};
use broker::metadata::{Change, Image};
use broker::{BrokerConfig, CoreMessage};
use model::ids::{PartitionId, TopicId};
use std::sync::Arc;

use crate::ask::{append, batch, named};
use crate::rig::{Quorum, Rig};

type Created = Vec<(String, Result<api::metadata::CreatedTopic, MetadataError>)>;

/// Whether a change is made or only checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    Make,
    Check,
}

fn create(rig: &mut Rig, names: &[&str], intent: Intent) -> Created {
    let topics = names
        .iter()
        .map(|name| Rig::new_topic(name, 2, &[]))
        .collect();
    let deadline = rig.deadline(1_000);
    let reply = rig.ask(Command::CreateTopics {
        topics,
        validate_only: intent == Intent::Check,
        deadline,
    });
    let Reply::TopicsCreated(created) = reply else {
        panic!("{reply:?}")
    };
    created
}

fn alter(rig: &mut Rig, key: &str, value: &str, intent: Intent) -> Result<(), MetadataError> {
    let changes = vec![ConfigChange {
        resource: ConfigResource::Topic("t".to_owned()),
        is_replacement: false,
        changes: vec![(key.to_owned(), ConfigOp::Set, Some(value.to_owned()))],
    }];
    let deadline = rig.deadline(1_000);
    let reply = rig.ask(Command::AlterConfigs {
        changes,
        validate_only: intent == Intent::Check,
        deadline,
    });
    let Reply::ConfigsAltered(mut altered) = reply else {
        panic!("{reply:?}")
    };
    altered.remove(0)
}

fn described(rig: &mut Rig, key: &str) -> (Option<String>, ConfigSource) {
    let resource = ConfigResource::Topic("t".to_owned());
    let resources = vec![(resource, Some(vec![key.to_owned()]))];
    let reply = rig.ask(Command::DescribeConfigs { resources });
    let Reply::Configs(mut configs) = reply else {
        panic!("{reply:?}")
    };
    let entry = configs.remove(0).unwrap().remove(0);
    (entry.value, entry.source)
}

fn add(rig: &mut Rig, total: u32, intent: Intent) -> Result<(), MetadataError> {
    let topics = vec![("t".to_owned(), total, Vec::new())];
    let deadline = rig.deadline(1_000);
    let reply = rig.ask(Command::CreatePartitions {
        topics,
        validate_only: intent == Intent::Check,
        deadline,
    });
    let Reply::PartitionsCreated(mut answers) = reply else {
        panic!("{reply:?}")
    };
    answers.remove(0).1
}

#[test]
fn each_topic_of_a_request_succeeds_or_fails_on_its_own() {
    let mut rig = Rig::new();
    rig.create("old", &[]);
    let created = create(&mut rig, &["a", "old", "twice", "twice", "b"], Intent::Make);
    let names: Vec<_> = created.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, vec!["a", "old", "twice", "twice", "b"]);
    assert_eq!(created[0].1.as_ref().unwrap().partitions, 2);
    assert_eq!(
        created[1].1,
        Err(MetadataError::TopicExists("old".to_owned()))
    );
    assert!(matches!(
        created[2].1,
        Err(MetadataError::InvalidRequest(_))
    ));
    assert!(matches!(
        created[3].1,
        Err(MetadataError::InvalidRequest(_))
    ));
    let id = rig.image.topic_by_name("b").unwrap().id;
    assert_eq!(created[4].1.as_ref().unwrap().id, id);
}

#[test]
fn a_request_of_which_nothing_can_be_made_proposes_nothing() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let created = create(&mut rig, &["bad name"], Intent::Make);
    assert!(matches!(created[0].1, Err(MetadataError::InvalidTopic(_))));
    assert!(rig.proposals.is_empty());
}

#[test]
fn validate_only_changes_nothing() {
    let mut rig = Rig::new();
    let created = create(&mut rig, &["t"], Intent::Check);
    assert_eq!(created[0].1.as_ref().unwrap().id, TopicId::NONE);
    assert_eq!(rig.image.topic_count(), 0);
    rig.create("t", &[]);
    let before = rig.image.index();
    assert_eq!(add(&mut rig, 3, Intent::Check), Ok(()));
    assert!(matches!(
        add(&mut rig, 1, Intent::Check),
        Err(MetadataError::InvalidPartitions(_))
    ));
    assert_eq!(alter(&mut rig, "retention.ms", "5", Intent::Check), Ok(()));
    assert!(matches!(
        alter(&mut rig, "retention.ms", "x", Intent::Check),
        Err(MetadataError::InvalidConfig(_))
    ));
    assert_eq!(rig.image.index(), before);
}

#[test]
fn a_deleted_topic_is_gone_and_may_be_created_again_empty() {
    let mut rig = Rig::new();
    let id = rig.create("t", &[]);
    rig.fill("t", 5);
    let deadline = rig.deadline(1_000);
    let topics = vec![TopicKey::Id(id), named("no")];
    let reply = rig.ask(Command::DeleteTopics { topics, deadline });
    let Reply::TopicsDeleted(deleted) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(deleted[0].name.as_deref(), Some("t"));
    assert_eq!((deleted[0].id, &deleted[0].result), (Some(id), &Ok(())));
    assert_eq!(deleted[1].result, Err(MetadataError::UnknownTopic));
    assert_ne!(rig.create("t", &[]), id);
    assert_eq!(rig.fill("t", 1), 0);
    rig.restart();
    assert_eq!(rig.read("t", 0), vec![(0, 0)]);
}

#[test]
fn the_files_of_a_deleted_topic_are_removed() {
    let mut rig = Rig::new();
    let id = rig.create("t", &[]);
    rig.fill("t", 5);
    rig.pass(Duration::from_secs(10));
    let of_topic = |rig: &Rig| {
        let files = rig.disk.files.files();
        files
            .into_iter()
            .filter(|(path, _)| path.contains(&id.to_string()))
            .count()
    };
    assert!(of_topic(&rig) > 0, "{:?}", rig.disk.files.files());
    assert_eq!(rig.delete_topic(named("t")), Ok(()));
    assert_eq!(of_topic(&rig), 0, "{:?}", rig.disk.files.files());
}

#[test]
fn internal_topics_cannot_be_deleted() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    let refused = rig.delete_topic(named(broker::metadata::OFFSETS_TOPIC));
    assert!(matches!(refused, Err(MetadataError::Policy(_))));
}

#[test]
fn added_partitions_are_served() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    assert_eq!(add(&mut rig, 3, Intent::Make), Ok(()));
    let one = append(&rig, "t", batch(rig.now.wall.as_millis(), 1));
    let partition = PartitionId::new(2);
    let origin = rig.send(Command::Append(api::command::Append { partition, ..one }));
    assert!(rig.appended(origin).unwrap().is_ok());
}

#[test]
fn a_config_is_set_and_described_with_its_source() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    assert_eq!(described(&mut rig, "retention.ms").1, ConfigSource::Default);
    assert_eq!(
        alter(&mut rig, "retention.ms", "5000", Intent::Make),
        Ok(())
    );
    let set = (Some("5000".to_owned()), ConfigSource::DynamicTopic);
    assert_eq!(described(&mut rig, "retention.ms"), set);
    assert!(matches!(
        alter(&mut rig, "no.such", "1", Intent::Make),
        Err(MetadataError::InvalidConfig(_))
    ));
}

#[test]
fn the_same_resource_twice_in_a_request_is_refused() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    let change = ConfigChange {
        resource: ConfigResource::Topic("t".to_owned()),
        is_replacement: false,
        changes: vec![(
            "retention.ms".to_owned(),
            ConfigOp::Set,
            Some("1".to_owned()),
        )],
    };
    let (changes, deadline) = (vec![change.clone(), change], rig.deadline(1_000));
    let reply = rig.ask(Command::AlterConfigs {
        changes,
        validate_only: false,
        deadline,
    });
    let Reply::ConfigsAltered(answers) = reply else {
        panic!("{reply:?}")
    };
    assert!(
        answers
            .iter()
            .all(|one| matches!(one, Err(MetadataError::InvalidRequest(_))))
    );
}

#[test]
fn broker_configs_are_defaults_of_topics_at_once() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    rig.alter_all("message.max.bytes", "90");
    let large = crate::ask::large_batch(rig.now.wall.as_millis(), 500);
    assert!(matches!(
        rig.append("t", large),
        Err(api::error::AppendError::TooLarge { .. })
    ));
}

#[test]
fn a_proposal_that_is_not_committed_in_time_expires_and_may_commit_later() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let (topics, deadline) = (vec![Rig::new_topic("t", 1, &[])], rig.deadline(1_000));
    let origin = rig.send(Command::CreateTopics {
        topics,
        validate_only: false,
        deadline,
    });
    rig.pass(Duration::from_millis(999));
    assert!(rig.answer(origin).is_none());
    rig.pass(Duration::from_millis(1));
    let Some(Reply::TopicsCreated(created)) = rig.answer(origin) else {
        panic!("no answer")
    };
    assert_eq!(created[0].1, Err(MetadataError::TimedOut));
    let proposal = rig.proposals.pop_front().unwrap();
    rig.settle(&proposal);
    assert!(rig.replies.is_empty(), "an answer comes once");
    assert_eq!(rig.fill("t", 1), 0);
}

#[test]
fn every_delta_is_reported_as_applied_in_order() {
    let mut rig = Rig::new();
    rig.create("a", &[]);
    rig.create("b", &[]);
    assert_eq!(
        rig.applied
            .iter()
            .map(|index| index.get())
            .collect::<Vec<_>>(),
        vec![2, 3]
    );
    assert_eq!(rig.shard().image().index(), rig.image.index());
}

#[test]
fn logs_of_unknown_topics_are_kept_and_reported() {
    let mut rig = Rig::new();
    let id = rig.create("t", &[]);
    rig.fill("t", 2);
    let full = Arc::clone(&rig.image);
    rig.image = Arc::new(Image::default());
    rig.restart();
    assert_eq!(rig.shard().strays().len(), 1);
    let one = batch(rig.now.wall.as_millis(), 1);
    let unknown = PartitionError::UnknownTopicOrPartition;
    assert_eq!(rig.append("t", one), Err(unknown.into()));
    // Metadata catches up: the log is served again.
    rig.image = Arc::clone(&full);
    let changes = Arc::new(vec![Change::BrokersChanged, Change::TopicCreated(id)]);
    rig.control(CoreMessage::Delta {
        index: full.index(),
        image: full,
        changes,
    });
    assert!(rig.shard().strays().is_empty());
    assert_eq!(rig.read("t", 0), vec![(0, 1)]);
}

#[test]
fn logs_of_a_topic_that_was_deleted_while_down_are_removed() {
    let mut rig = Rig::with(BrokerConfig::default());
    let id = rig.create("t", &[]);
    rig.fill("t", 2);
    let command = broker::metadata::MetadataCommand::DeleteTopics(vec![id]);
    let index = model::ids::MetaIndex::new(rig.image.index().get() + 1);
    let (image, ..) = broker::metadata::StateMachine::apply(&rig.image, index, &command);
    rig.image = Arc::new(image);
    rig.restart();
    assert!(rig.shard().strays().is_empty());
    rig.image = Arc::new(Image::default());
    rig.restart();
    assert!(rig.shard().strays().is_empty(), "the log is gone for good");
}
