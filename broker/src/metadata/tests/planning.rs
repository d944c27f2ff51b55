//! Tests of planning.
//!
//! Owns: every rule a metadata request must satisfy.
//! Never: applies what it planned, except to check that it can be.
//! Invariants: as in the parent.
//! Source: kafka.md 4.6, 4.12.

use api::error::MetadataError;
use api::metadata::{NewTopic, TopicKey};
use model::ids::{BrokerId, PartitionId};
use model::prng::Prng;

use super::super::{
    MetadataCommand, describe_created, plan_create, plan_create_all, plan_create_partitions,
    plan_delete,
};
use super::{Stop, World, id, new_topic, registration, spec};

fn error(world: &World, topic: &NewTopic) -> MetadataError {
    plan_create(&world.image, &world.config, topic, id(200)).unwrap_err()
}

#[test]
fn names_follow_kafkas_rules() {
    let world = World::with_broker();
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "ä", long.as_str()] {
        let refused = error(&world, &new_topic(name));
        assert!(
            matches!(refused, MetadataError::InvalidTopic(_)),
            "{name}: {refused:?}"
        );
    }
    let longest = "x".repeat(249);
    for name in ["a", "A-b_c.9", "...", longest.as_str()] {
        assert!(plan_create(&world.image, &world.config, &new_topic(name), id(1)).is_ok());
    }
}

#[test]
fn a_name_that_differs_in_dot_and_underscore_only_collides() {
    let mut world = World::with_broker();
    world.create(spec("a.b_c", 1, 1));
    assert!(matches!(
        error(&world, &new_topic("a_b.c")),
        MetadataError::InvalidTopic(_)
    ));
    assert!(matches!(
        error(&world, &new_topic("a.b_c")),
        MetadataError::TopicExists(_)
    ));
}

#[test]
fn counts_default_and_are_checked() {
    let mut world = World::with_broker();
    world.config.partitions_default = 4;
    let planned = plan_create(&world.image, &world.config, &new_topic("t"), id(1)).unwrap();
    assert_eq!(planned.assignment, vec![vec![BrokerId::new(1)]; 4]);
    let partitions = |count| NewTopic {
        partitions: Some(count),
        ..new_topic("t")
    };
    for count in [0, 100_001] {
        assert!(matches!(
            error(&world, &partitions(count)),
            MetadataError::InvalidPartitions(_)
        ));
    }
    let replicas = |count| NewTopic {
        replication_factor: Some(count),
        ..new_topic("t")
    };
    for count in [0, 2] {
        let refused = error(&world, &replicas(count));
        assert!(matches!(
            refused,
            MetadataError::InvalidReplicationFactor(_)
        ));
    }
}

#[test]
fn the_clamp_switch_lowers_the_replication_factor_to_what_there_is() {
    let mut world = World::with_broker();
    world.config.clamp_replication_factor = true;
    let wanted = NewTopic {
        replication_factor: Some(3),
        ..new_topic("t")
    };
    let planned = plan_create(&world.image, &world.config, &wanted, id(1)).unwrap();
    assert_eq!(planned.assignment[0].len(), 1);
    let none = NewTopic {
        replication_factor: Some(0),
        ..new_topic("t")
    };
    assert!(plan_create(&world.image, &world.config, &none, id(1)).is_err());
}

#[test]
fn replicas_are_spread_over_distinct_brokers() {
    let mut world = World::with_broker();
    world.apply(&registration(2, 2, Stop::Clean));
    world.apply(&registration(3, 3, Stop::Clean));
    let wanted = NewTopic {
        partitions: Some(6),
        replication_factor: Some(2),
        ..new_topic("t")
    };
    let planned = plan_create(&world.image, &world.config, &wanted, id(5)).unwrap();
    for replicas in &planned.assignment {
        assert_ne!(replicas[0], replicas[1]);
    }
    for broker in 1..=3 {
        let leads = planned
            .assignment
            .iter()
            .filter(|replicas| replicas[0] == BrokerId::new(broker));
        assert_eq!(leads.count(), 2);
    }
}

#[test]
fn manual_assignments_are_dense_known_and_even() {
    let mut world = World::with_broker();
    world.apply(&registration(2, 2, Stop::Clean));
    let assigned = |assignment: &[(u32, &[u32])]| NewTopic {
        assignment: assignment
            .iter()
            .map(|(partition, brokers)| {
                let brokers = brokers
                    .iter()
                    .map(|broker| BrokerId::new(*broker))
                    .collect();
                (PartitionId::new(*partition), brokers)
            })
            .collect(),
        ..new_topic("t")
    };
    let good = assigned(&[(1, &[1, 2]), (0, &[2, 1])]);
    let planned = plan_create(&world.image, &world.config, &good, id(1)).unwrap();
    assert_eq!(planned.assignment[0], [BrokerId::new(2), BrokerId::new(1)]);
    for bad in [
        assigned(&[(1, &[1])]),
        assigned(&[(0, &[1]), (0, &[1])]),
        assigned(&[(0, &[])]),
        assigned(&[(0, &[1, 1])]),
        assigned(&[(0, &[9])]),
        assigned(&[(0, &[1]), (1, &[1, 2])]),
    ] {
        let refused = error(&world, &bad);
        assert!(
            matches!(refused, MetadataError::InvalidAssignment(_)),
            "{bad:?}: {refused:?}"
        );
    }
    let both = NewTopic {
        partitions: Some(2),
        ..good
    };
    assert!(matches!(
        error(&world, &both),
        MetadataError::InvalidRequest(_)
    ));
}

#[test]
fn configs_of_a_new_topic_are_checked_and_described() {
    let world = World::with_broker();
    let with = |configs: &[(&str, Option<&str>)]| NewTopic {
        configs: configs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect(),
        ..new_topic("t")
    };
    for bad in [
        with(&[("no.such.key", Some("1"))]),
        with(&[("retention.ms", Some("soon"))]),
        with(&[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
        with(&[("cleanup.policy", Some("shred"))]),
        with(&[("remote.storage.enable", Some("true"))]),
        with(&[
            ("min.compaction.lag.ms", Some("10")),
            ("max.compaction.lag.ms", Some("5")),
        ]),
    ] {
        assert!(
            matches!(error(&world, &bad), MetadataError::InvalidConfig(_)),
            "{bad:?}"
        );
    }
    let good = with(&[("retention.ms", Some("5")), ("segment.bytes", None)]);
    let planned = plan_create(&world.image, &world.config, &good, id(1)).unwrap();
    assert_eq!(
        planned.configs,
        [("retention.ms".to_owned(), "5".to_owned())]
    );
    let described = describe_created(&world.image, &world.config, &planned);
    assert_eq!((described.partitions, described.replication_factor), (1, 1));
    let entry = described
        .configs
        .iter()
        .find(|entry| entry.name == "retention.ms")
        .unwrap();
    assert_eq!(entry.value.as_deref(), Some("5"));
}

#[test]
fn without_a_broker_nothing_can_be_placed() {
    let world = World::default();
    let refused = error(&world, &new_topic("t"));
    assert!(matches!(
        refused,
        MetadataError::InvalidReplicationFactor(_)
    ));
}

#[test]
fn a_name_given_twice_is_refused_in_both_places() {
    let mut world = World::with_broker();
    let topics = [new_topic("a"), new_topic("b"), new_topic("a")];
    let planned = plan_create_all(&world.image, &world.config, &topics, &mut Prng::new(7));
    assert!(matches!(planned[0], Err(MetadataError::InvalidRequest(_))));
    assert!(matches!(planned[2], Err(MetadataError::InvalidRequest(_))));
    world.create(planned[1].clone().unwrap());
}

#[test]
fn a_name_that_collides_with_an_earlier_one_of_the_request_is_refused() {
    let mut world = World::with_broker();
    world.create(spec("there.already", 1, 1));
    let names = ["a.b", "a_b", "a.c", "there_already", "a-b"];
    let plan = |names: &[&str]| {
        let topics: Vec<_> = names.iter().map(|name| new_topic(name)).collect();
        plan_create_all(&world.image, &world.config, &topics, &mut Prng::new(7))
    };
    let planned = plan(&names);
    let refused: Vec<bool> = planned.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, false, true, false]);
    for place in [1, 3] {
        assert!(matches!(
            planned[place],
            Err(MetadataError::InvalidTopic(_))
        ));
    }
    // What is refused for another reason stands in nobody's way.
    let planned = plan(&["there.already", "x y", "x_y"]);
    assert!(planned[2].is_ok());
}

#[test]
fn deletion_is_refused_for_unknown_internal_repeated_and_disabled() {
    let mut world = World::with_broker();
    world.create(spec("a", 1, 1));
    world.create(spec("b", 2, 1));
    world.create(spec(super::super::OFFSETS_TOPIC, 3, 1));
    let name = |name: &str| TopicKey::Name(name.to_owned());
    let keys = [
        name("a"),
        TopicKey::Id(id(1)),
        name("b"),
        name("c"),
        TopicKey::Id(id(9)),
        name(super::super::OFFSETS_TOPIC),
    ];
    let planned = plan_delete(&world.image, &world.config, &keys);
    assert!(matches!(planned[0], Err(MetadataError::InvalidRequest(_))));
    assert!(matches!(planned[1], Err(MetadataError::InvalidRequest(_))));
    assert_eq!(planned[2], Ok(id(2)));
    assert_eq!(planned[3], Err(MetadataError::UnknownTopic));
    assert_eq!(planned[4], Err(MetadataError::UnknownTopicId));
    assert!(matches!(planned[5], Err(MetadataError::Policy(_))));
    world
        .config
        .static_values
        .push(("delete.topic.enable".to_owned(), "false".to_owned()));
    let planned = plan_delete(&world.image, &world.config, &keys[2..3]);
    assert_eq!(planned[0], Err(MetadataError::DeletionDisabled));
}

#[test]
fn partitions_only_grow() {
    let mut world = World::with_broker();
    world.create(spec("t", 1, 2));
    let ask = |total: u32, manual: Vec<Vec<BrokerId>>| ("t".to_owned(), total, manual);
    let one = || vec![BrokerId::new(1)];
    let plan = |request| plan_create_partitions(&world.image, &[request]).remove(0);
    for total in [0, 1, 2, 100_001] {
        let refused = plan(ask(total, Vec::new()));
        assert!(matches!(refused, Err(MetadataError::InvalidPartitions(_))));
    }
    assert_eq!(
        plan(ask(4, Vec::new())),
        Ok(("t".to_owned(), vec![one(), one()], 2))
    );
    assert!(plan(ask(3, vec![one()])).is_ok());
    for bad in [
        vec![one(), one()],
        vec![vec![BrokerId::new(8)]],
        vec![Vec::new()],
    ] {
        assert!(matches!(
            plan(ask(3, bad)),
            Err(MetadataError::InvalidAssignment(_))
        ));
    }
    world.create(spec(super::super::OFFSETS_TOPIC, 9, 1));
    let internal = (super::super::OFFSETS_TOPIC.to_owned(), 3, Vec::new());
    let planned = plan_create_partitions(&world.image, &[internal]).remove(0);
    assert!(matches!(planned, Err(MetadataError::Policy(_))));
    let unknown = ("u".to_owned(), 3, Vec::new());
    assert_eq!(
        plan_create_partitions(&world.image, &[unknown]),
        [Err(MetadataError::UnknownTopic)]
    );
}

#[test]
fn a_request_counts_as_a_whole_before_it_is_laid_out() {
    let mut world = World::with_broker();
    let topics: Vec<NewTopic> = (0..12)
        .map(|at| NewTopic {
            partitions: Some(100_000),
            ..new_topic(&format!("t{at}"))
        })
        .collect();
    let planned = plan_create_all(&world.image, &world.config, &topics, &mut Prng::new(1));
    let is_full = |error: &MetadataError| matches!(error, MetadataError::LimitReached(_));
    assert!(planned[..10].iter().all(Result::is_ok));
    assert!(
        planned[10..]
            .iter()
            .all(|one| one.as_ref().is_err_and(is_full))
    );
    (0..12).for_each(|at| world.create(spec(&format!("t{at}"), at + 1, 1)));
    let wanted: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.clone(), 99_999, Vec::new()))
        .collect();
    let planned = plan_create_partitions(&world.image, &wanted);
    assert!(planned[..10].iter().all(Result::is_ok));
    let rest = &planned[10..];
    assert!(rest.iter().all(|one| one.as_ref().is_err_and(is_full)));
}

#[test]
fn what_was_planned_applies() {
    let mut world = World::with_broker();
    let topics = [new_topic("x"), new_topic("y.z")];
    let planned = plan_create_all(&world.image, &world.config, &topics, &mut Prng::new(1));
    let specs = planned.into_iter().map(Result::unwrap).collect();
    let (result, _) = world.apply(&MetadataCommand::CreateTopics(specs));
    assert_eq!(
        result,
        super::super::MetadataResult::Each(vec![Ok(()), Ok(())])
    );
    let added = plan_create_partitions(&world.image, &[("x".to_owned(), 5, Vec::new())]);
    let added = added.into_iter().map(Result::unwrap).collect();
    let (result, _) = world.apply(&MetadataCommand::CreatePartitions(added));
    assert_eq!(result, super::super::MetadataResult::Each(vec![Ok(())]));
}
