//! Tests of `apply`.
//!
//! Owns: what each command does to the image.
//! Never: plans.
//! Invariants: as in the parent.
//! Source: reliability.md 1.11, kafka.md 4.5.

use api::error::MetadataError;
use api::metadata::{ConfigOp, TopicFilter, TopicKey};
use model::ids::{BrokerId, MetaIndex, PartitionId, ProducerId};
use model::limits;
use model::offset::LeaderEpoch;

use super::super::{Change, MetadataCommand, MetadataResult, StateMachine, metadata_view};
use super::{Stop, World, id, registration, spec, topic_change};

fn epochs(world: &World, name: &str) -> Vec<u32> {
    let topic = world.image.topic_by_name(name).unwrap();
    topic
        .partitions
        .iter()
        .map(|state| state.leader_epoch.get())
        .collect()
}

#[test]
fn a_created_topic_is_found_by_name_and_id_and_led_by_its_first_replica() {
    let mut world = World::with_broker();
    let (result, changes) = world.apply(&MetadataCommand::CreateTopics(vec![spec("orders", 7, 3)]));
    assert_eq!(result, MetadataResult::Each(vec![Ok(())]));
    assert_eq!(changes, [Change::TopicCreated(id(7))]);
    let topic = world.image.topic_by_name("orders").unwrap();
    assert_eq!(topic.id, id(7));
    assert_eq!(topic.partitions.len(), 3);
    assert_eq!(topic.partitions[2].leader, Some(BrokerId::new(1)));
    assert_eq!(topic.partitions[2].leader_epoch, LeaderEpoch::ZERO);
    assert!(world.image.resolve(&TopicKey::Id(id(7))).is_some());
    assert_eq!(world.image.partition_count(), 3);
}

#[test]
fn each_topic_of_a_command_succeeds_or_fails_on_its_own() {
    let mut world = World::with_broker();
    world.create(spec("a.b", 1, 1));
    let wanted = vec![
        spec("a.b", 2, 1),
        spec("a_b", 3, 1),
        spec("fine", 4, 1),
        spec("fine", 5, 1),
        spec("same-id", 4, 1),
        spec("", 6, 1),
        spec("no-partitions", 7, 0),
    ];
    let (result, changes) = world.apply(&MetadataCommand::CreateTopics(wanted));
    let MetadataResult::Each(each) = result else {
        panic!("{result:?}")
    };
    assert_eq!(each[0], Err(MetadataError::TopicExists("a.b".to_owned())));
    assert!(matches!(each[1], Err(MetadataError::InvalidTopic(_))));
    assert_eq!(each[2], Ok(()));
    assert_eq!(each[3], Err(MetadataError::TopicExists("fine".to_owned())));
    assert!(matches!(each[4], Err(MetadataError::InvalidRequest(_))));
    assert!(matches!(each[5], Err(MetadataError::InvalidTopic(_))));
    assert!(matches!(each[6], Err(MetadataError::InvalidPartitions(_))));
    assert_eq!(changes, [Change::TopicCreated(id(4))]);
}

#[test]
fn a_deleted_id_is_remembered_and_never_used_again() {
    let mut world = World::with_broker();
    world.create(spec("gone", 9, 2));
    let (result, changes) = world.apply(&MetadataCommand::DeleteTopics(vec![id(9), id(9)]));
    let twice = Err(MetadataError::UnknownTopicId);
    assert_eq!(result, MetadataResult::Each(vec![Ok(()), twice]));
    assert_eq!(changes, [Change::TopicDeleted(id(9))]);
    assert!(world.image.is_deleted(id(9)));
    assert!(!world.image.is_deleted(id(8)));
    assert_eq!(world.image.partition_count(), 0);
    let (again, _) = world.apply(&MetadataCommand::CreateTopics(vec![spec("gone", 9, 1)]));
    assert!(matches!(again, MetadataResult::Each(each) if each[0].is_err()));
    world.create(spec("gone", 10, 1));
}

#[test]
fn internal_topics_are_not_deleted() {
    let mut world = World::with_broker();
    world.create(spec(super::super::OFFSETS_TOPIC, 3, 4));
    let (result, changes) = world.apply(&MetadataCommand::DeleteTopics(vec![id(3)]));
    assert!(
        matches!(result, MetadataResult::Each(each) if matches!(each[0], Err(MetadataError::Policy(_))))
    );
    assert_eq!(changes, []);
}

#[test]
fn partitions_are_added_only_to_the_count_that_was_planned_for() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 2));
    let one = vec![vec![BrokerId::new(1)]];
    let command = MetadataCommand::CreatePartitions(vec![("t".to_owned(), one, 2)]);
    let (result, changes) = world.apply(&command);
    assert_eq!(result, MetadataResult::Each(vec![Ok(())]));
    assert_eq!(
        changes,
        [Change::PartitionsAdded(id(1), PartitionId::new(2))]
    );
    let (stale, changes) = world.apply(&command);
    assert!(matches!(stale, MetadataResult::Each(each) if each[0].is_err()));
    assert_eq!(changes, []);
    assert_eq!(world.image.partition_count(), 3);
}

#[test]
fn an_unclean_start_bumps_the_epoch_of_every_led_partition() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 2));
    let (_, changes) = world.apply(&registration(1, 2, Stop::Unclean));
    assert_eq!(
        changes,
        [Change::BrokersChanged, Change::EpochsChanged(id(1))]
    );
    assert_eq!(epochs(&world, "t"), [1, 1]);
}

#[test]
fn a_clean_start_and_a_repeated_registration_keep_the_epochs() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 1));
    world.apply(&registration(1, 2, Stop::Clean));
    assert_eq!(epochs(&world, "t"), [0]);
    world.apply(&registration(1, 2, Stop::Unclean));
    assert_eq!(epochs(&world, "t"), [0]);
    world.apply(&registration(2, 3, Stop::Unclean));
    assert_eq!(epochs(&world, "t"), [0]);
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut world = World::with_broker();
    let command = MetadataCommand::AllocateProducerIds(BrokerId::new(1));
    let (first, changes) = world.apply(&command);
    let (second, _) = world.apply(&command);
    assert_eq!(first, MetadataResult::ProducerIds(ProducerId::new(0)));
    assert_eq!(
        second,
        MetadataResult::ProducerIds(ProducerId::new(limits::PRODUCER_ID_BLOCK))
    );
    assert_eq!(changes, []);
}

#[test]
fn config_changes_report_only_real_changes() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 1));
    let set = topic_change("t", &[("retention.ms", ConfigOp::Set, Some("1000"))]);
    let command = MetadataCommand::AlterConfigs(vec![set]);
    assert_eq!(world.apply(&command).1, [Change::TopicConfigChanged(id(1))]);
    assert_eq!(world.apply(&command).1, []);
}

#[test]
fn an_old_image_is_untouched_by_later_changes() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 1));
    let before = world.image.clone();
    world.apply(&MetadataCommand::DeleteTopics(vec![id(1)]));
    assert!(before.topic_by_name("t").is_some());
    assert!(world.image.topic_by_name("t").is_none());
}

#[test]
fn the_same_commands_give_the_same_image() {
    let commands = [
        registration(1, 1, Stop::Clean),
        MetadataCommand::CreateTopics(vec![spec("b", 2, 3), spec("a", 1, 1)]),
        MetadataCommand::DeleteTopics(vec![id(2)]),
        registration(1, 2, Stop::Unclean),
    ];
    let run = || {
        let mut world = World::default();
        commands
            .iter()
            .for_each(|command| drop(world.apply(command)));
        super::super::codec::encode_image(&world.image)
    };
    assert_eq!(run(), run());
}

#[test]
fn the_oldest_tombstones_are_forgotten_beyond_the_bound() {
    let mut image = super::super::Image::default();
    let number = |n: u64| {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        model::ids::TopicId::from_bytes(bytes)
    };
    let most = super::super::image::TOMBSTONES_MAX as u64;
    (0..=most).for_each(|n| image.put_tombstone(number(n), MetaIndex::new(n)));
    assert!(!image.is_deleted(number(0)));
    assert!(image.is_deleted(number(1)));
    assert!(image.is_deleted(number(most)));
}

#[test]
fn entries_are_applied_only_once() {
    let world = World::with_broker();
    let again = std::panic::catch_unwind(|| {
        drop(StateMachine::apply(
            &world.image,
            world.image.index(),
            &registration(1, 1, Stop::Clean),
        ));
    });
    assert!(again.is_err());
}

#[test]
fn the_view_answers_every_topic_in_the_order_asked_for() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 1));
    let keys = vec![
        TopicKey::Name("none".to_owned()),
        TopicKey::Id(id(1)),
        TopicKey::Name("not/legal".to_owned()),
        TopicKey::Id(id(2)),
    ];
    let view = metadata_view(&world.image, &world.config, &TopicFilter::These(keys));
    assert_eq!(view.controller, BrokerId::new(1));
    assert_eq!(view.brokers.len(), 1);
    assert_eq!(view.topics[0].1, Err(MetadataError::UnknownTopic));
    assert_eq!(view.topics[1].1.as_ref().unwrap().name, "t");
    assert!(matches!(
        view.topics[2].1,
        Err(MetadataError::InvalidTopic(_))
    ));
    assert_eq!(view.topics[3].1, Err(MetadataError::UnknownTopicId));
    let all = metadata_view(&world.image, &world.config, &TopicFilter::All);
    assert_eq!(all.topics.len(), 1);
}
