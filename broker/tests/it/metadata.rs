//! Tests of metadata requests and auto-creation.
//!
//! Owns: the view of topics and brokers through a shard.
//! Never: tests the rules of names; unit tests of `metadata` do.
//! Invariants: none.
//! Source: kafka.md 4.6.

use api::error::MetadataError;
use api::metadata::{MetadataView, TopicFilter, TopicKey};
use api::{Command, Reply};
use broker::BrokerConfig;
use broker::metadata::{MetadataCommand, OFFSETS_TOPIC, TopicSpec};
use model::ids::TopicId;

use crate::ask::named;
use crate::rig::{OWN, Quorum, Rig};

fn describe(rig: &mut Rig, topics: TopicFilter) -> MetadataView {
    view(rig.ask(Command::Metadata {
        topics,
        auto_create: false,
    }))
}

/// As a producer asks: what is missing is to be created.
fn describe_creating(rig: &mut Rig, topics: TopicFilter) -> MetadataView {
    view(rig.ask(Command::Metadata {
        topics,
        auto_create: true,
    }))
}

fn view(reply: Reply) -> MetadataView {
    let Reply::Metadata(view) = reply else {
        panic!("{reply:?}")
    };
    view
}

fn these(names: &[&str]) -> TopicFilter {
    TopicFilter::These(names.iter().map(|name| named(name)).collect())
}

#[test]
fn all_topics_are_described_in_name_order_with_the_brokers() {
    let mut rig = Rig::with(BrokerConfig {
        cluster_id: "c".to_owned(),
        ..BrokerConfig::default()
    });
    rig.create("b", &[]);
    rig.create("a", &[]);
    rig.create_offsets_topic();
    let view = describe_creating(&mut rig, TopicFilter::All);
    let names: Vec<_> = view
        .topics
        .iter()
        .map(|(_, topic)| topic.as_ref().unwrap())
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|topic| (topic.name.as_str(), topic.is_internal))
        .collect();
    assert_eq!(
        names,
        vec![(OFFSETS_TOPIC, true), ("a", false), ("b", false)]
    );
    assert_eq!(view.cluster_id, "c");
    assert_eq!(view.controller, OWN);
    assert_eq!((view.brokers.len(), view.brokers[0].port), (1, 9092));
}

#[test]
fn topics_are_answered_in_the_order_asked_for_found_or_not() {
    let mut rig = Rig::new();
    let id = rig.create("a", &[]);
    let keys = vec![
        named("x"),
        TopicKey::Id(id),
        TopicKey::Id(TopicId::from_bytes([4; 16])),
        named("a"),
    ];
    let view = describe(&mut rig, TopicFilter::These(keys.clone()));
    let got: Vec<_> = view.topics.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(got, keys);
    let [x, by_id, by_other_id, a] = view.topics.try_into().unwrap();
    assert_eq!(x.1, Err(MetadataError::UnknownTopic));
    assert_eq!(by_id.1.unwrap().name, "a");
    assert_eq!(by_other_id.1, Err(MetadataError::UnknownTopicId));
    let topic = a.1.unwrap();
    assert_eq!(topic.partitions[0].leader, Some(OWN));
}

#[test]
fn a_missing_topic_is_created_if_the_client_asks() {
    let config = BrokerConfig {
        partitions_default: 3,
        ..BrokerConfig::default()
    };
    let mut rig = Rig::with(config);
    let view = describe_creating(&mut rig, these(&["new", "bad name", "new"]));
    let topic = view.topics[0].1.as_ref().unwrap();
    assert_eq!(topic.partitions.len(), 3);
    assert!(matches!(
        view.topics[1].1,
        Err(MetadataError::InvalidTopic(_))
    ));
    assert_eq!(view.topics[2].1.as_ref().unwrap().id, topic.id);
    assert_eq!(rig.fill("new", 1), 0);
}

#[test]
fn topics_that_exist_do_not_use_up_what_a_request_may_create() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..1_000).map(|at| format!("old-{at}")).collect();
    let specs = (0_u16..).zip(&names).map(|(at, name)| {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&at.to_be_bytes());
        TopicSpec {
            name: name.clone(),
            id: TopicId::from_bytes(id),
            is_internal: false,
            assignment: vec![vec![OWN]],
            configs: Vec::new(),
        }
    });
    rig.commit(&MetadataCommand::CreateTopics(specs.collect()));
    let mut keys: Vec<&str> = names.iter().map(String::as_str).collect();
    keys.push("new");
    let view = describe_creating(&mut rig, these(&keys));
    assert!(view.topics.iter().all(|(_, topic)| topic.is_ok()));
}

#[test]
fn a_missing_topic_is_not_created_without_being_asked_or_allowed() {
    let mut rig = Rig::new();
    let view = describe(&mut rig, these(&["new"]));
    assert_eq!(view.topics[0].1, Err(MetadataError::UnknownTopic));
    let config = BrokerConfig {
        auto_create_topics: false,
        ..BrokerConfig::default()
    };
    let mut rig = Rig::with(config);
    let view = describe_creating(&mut rig, these(&["new"]));
    assert_eq!(view.topics[0].1, Err(MetadataError::UnknownTopic));
    assert_eq!(rig.image.topic_count(), 0);
}

#[test]
fn two_clients_that_create_the_same_topic_at_once_both_find_it() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let ask = |rig: &mut Rig| {
        rig.send(Command::Metadata {
            topics: these(&["new"]),
            auto_create: true,
        })
    };
    let origins = [ask(&mut rig), ask(&mut rig)];
    while let Some(proposal) = rig.proposals.pop_front() {
        rig.settle(&proposal);
    }
    let ids = origins.map(|origin| {
        let view = view(rig.answer(origin).unwrap());
        view.topics[0].1.as_ref().unwrap().id
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(rig.image.topic_count(), 1);
}

#[test]
fn auto_creation_that_fails_is_answered_as_unknown() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::Refuses;
    let view = describe_creating(&mut rig, these(&["new"]));
    assert_eq!(view.topics[0].1, Err(MetadataError::UnknownTopic));
}
