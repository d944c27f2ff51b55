//! Versions, metadata, coordinators, producer ids.
//!
//! Owns: the APIs about the cluster as a whole.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.1, 4.6, 4.9.

use api::error::{GroupError, MetadataError};
use api::metadata::{
    BrokerEndpoint, MetadataView, PartitionView, TopicFilter, TopicKey, TopicView,
};
use api::{Command, Reply};
use kafka_wire::metadata_request::MetadataRequestTopic;
use kafka_wire::{
    ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, InitProducerIdRequest,
    MetadataRequest,
};
use kafka_wire_core::Uuid;
use model::ids::{BrokerId, PartitionId, ProducerEpoch, ProducerId, TopicId};
use model::offset::LeaderEpoch;

use crate::codec::build;
use crate::conversation::{Conversation, text};
use crate::handlers::values;
use crate::versions::TABLE;

const ID: [u8; 16] = [5; 16];

fn endpoint() -> BrokerEndpoint {
    BrokerEndpoint {
        id: BrokerId::new(1),
        host: "broker.example".into(),
        port: 9092,
        rack: Some("r1".into()),
    }
}

fn view(topics: Vec<(TopicKey, Result<TopicView, MetadataError>)>) -> Reply {
    Reply::Metadata(MetadataView {
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        controller: BrokerId::new(1),
        brokers: vec![endpoint()],
        topics,
    })
}

fn topic(name: &str) -> TopicView {
    let partition = |index, leader: Option<u32>| PartitionView {
        partition: PartitionId::new(index),
        leader: leader.map(BrokerId::new),
        leader_epoch: LeaderEpoch::new(4),
        replicas: vec![BrokerId::new(1)],
        isr: vec![BrokerId::new(1)],
    };
    TopicView {
        name: name.into(),
        id: TopicId::from_bytes(ID),
        is_internal: name.starts_with("__"),
        partitions: vec![partition(0, Some(1)), partition(1, None)],
    }
}

fn asked(command: Command) -> (TopicFilter, bool) {
    match command {
        Command::Metadata {
            topics,
            auto_create,
        } => (topics, auto_create),
        other => panic!("{other:?}"),
    }
}

#[test]
fn api_versions_announces_the_table_at_every_version() {
    for version in 0..=4 {
        let request = build!(ApiVersionsRequest {
            client_software_name: text("librdkafka"),
            client_software_version: text("2.15.0-rc1"),
        });
        let response = Conversation::new().local(&request, version);
        assert_eq!(response.error_code, 0);
        let announced: Vec<_> = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        let table: Vec<_> = TABLE
            .iter()
            .map(|api| (api.key.to_wire(), api.advertised_min, api.max))
            .collect();
        assert_eq!(announced, table);
        assert!(response.supported_features.is_empty() && response.finalized_features.is_empty());
    }
}

#[test]
fn software_names_that_break_the_pattern_are_an_invalid_request_from_version_3() {
    for name in ["", "-x", "x-", "a b", "ä"] {
        let request = build!(ApiVersionsRequest {
            client_software_name: text(name),
            client_software_version: text("1"),
        });
        assert_eq!(
            Conversation::new().local(&request, 3).error_code,
            42,
            "{name:?}"
        );
        assert_eq!(
            Conversation::new().local(&request, 2).error_code,
            0,
            "{name:?}"
        );
    }
}

#[test]
fn metadata_shows_topics_at_every_version() {
    for version in 0..=13 {
        let wanted = build!(MetadataRequestTopic {
            name: Some(text("__offsets"))
        });
        let request = build!(MetadataRequest {
            topics: Some(vec![wanted])
        });
        let response = Conversation::new().round(&request, version, |command| {
            let (topics, auto_create) = asked(command);
            let key = TopicKey::Name("__offsets".into());
            assert_eq!(topics, TopicFilter::These(vec![key.clone()]));
            assert!(auto_create, "before version 4 nobody can say no");
            view(vec![(key, Ok(topic("__offsets")))])
        });
        assert_eq!(response.brokers[0].host.as_str(), "broker.example");
        assert_eq!(
            (response.brokers[0].node_id, response.brokers[0].port),
            (1, 9092)
        );
        let topic = &response.topics[0];
        assert_eq!(
            (topic.error_code, topic.name.as_deref()),
            (0, Some("__offsets"))
        );
        assert_eq!(topic.is_internal, version >= 1);
        assert_eq!(topic.topic_id.is_zero(), version < 10);
        assert_eq!(topic.topic_authorized_operations, i32::MIN);
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| {
                (
                    partition.partition_index,
                    partition.leader_id,
                    partition.error_code,
                )
            })
            .collect();
        assert_eq!(partitions, [(0, 1, 0), (1, -1, 5)]);
        assert_eq!(
            topic.partitions[0].leader_epoch,
            if version >= 7 { 4 } else { -1 }
        );
        assert_eq!(topic.partitions[0].isr_nodes, [1]);
        if version >= 2 {
            assert_eq!(
                response.cluster_id.as_deref(),
                Some("AAAAAAAAAAAAAAAAAAAAAA")
            );
        }
    }
}

#[test]
fn an_empty_list_means_all_in_version_0_and_none_later() {
    for version in 0..=13 {
        let request = build!(MetadataRequest {
            topics: Some(Vec::new())
        });
        Conversation::new().round(&request, version, |command| {
            let all = if version == 0 {
                TopicFilter::All
            } else {
                TopicFilter::These(Vec::new())
            };
            assert_eq!(asked(command).0, all);
            view(Vec::new())
        });
        if version > 0 {
            let request = build!(MetadataRequest { topics: None });
            let response = Conversation::new().round(&request, version, |command| {
                assert_eq!(asked(command).0, TopicFilter::All);
                view(vec![(TopicKey::Name("a".into()), Ok(topic("a")))])
            });
            assert_eq!(response.topics.len(), 1, "what was found is shown");
        }
    }
}

#[test]
fn metadata_may_forbid_creation_from_version_4() {
    let request = build!(MetadataRequest {
        topics: Some(Vec::new()),
        allow_auto_topic_creation: false
    });
    Conversation::new().round(&request, 4, |command| {
        assert!(!asked(command).1);
        view(Vec::new())
    });
}

#[test]
fn metadata_errors_name_what_was_asked_for() {
    let by_name = build!(MetadataRequestTopic {
        name: Some(text("no"))
    });
    let bad = build!(MetadataRequestTopic {
        name: Some(text("a/b"))
    });
    let by_id = build!(MetadataRequestTopic {
        name: None,
        topic_id: Uuid::from_bytes(ID)
    });
    let neither = build!(MetadataRequestTopic { name: None });
    let request = build!(MetadataRequest {
        topics: Some(vec![by_name, by_id, neither, bad])
    });
    let response = Conversation::new().round(&request, 12, |command| {
        let (topics, _) = asked(command);
        let TopicFilter::These(keys) = topics else {
            panic!("a list")
        };
        assert_eq!(keys.len(), 3, "the element without a name is not asked for");
        let errors = [
            MetadataError::UnknownTopic,
            MetadataError::UnknownTopicId,
            MetadataError::InvalidTopic("a/b".into()),
        ];
        view(keys.into_iter().zip(errors.map(Err)).collect())
    });
    let shown: Vec<_> = response
        .topics
        .iter()
        .map(|topic| {
            (
                topic.error_code,
                topic.name.as_deref(),
                topic.topic_id.is_zero(),
            )
        })
        .collect();
    let expected = [
        (3, Some("no"), true),
        (100, None, false),
        (42, Some(""), true),
        (17, Some("a/b"), true),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn an_id_is_not_a_name_before_version_12() {
    let by_id = build!(MetadataRequestTopic {
        name: None,
        topic_id: Uuid::from_bytes(ID)
    });
    let request = build!(MetadataRequest {
        topics: Some(vec![by_id])
    });
    let response = Conversation::new().round(&request, 11, |_| view(Vec::new()));
    assert_eq!(response.topics[0].error_code, 42);
}

#[test]
fn authorised_operations_are_shown_when_asked_for() {
    let request = build!(MetadataRequest {
        topics: None,
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
    });
    let answer = |_| view(vec![(TopicKey::Name("a".into()), Ok(topic("a")))]);
    let response = Conversation::new().round(&request, 8, answer);
    assert_eq!(
        response.cluster_authorized_operations,
        values::OPERATIONS_CLUSTER
    );
    assert_eq!(
        response.topics[0].topic_authorized_operations,
        values::OPERATIONS_TOPIC
    );
}

#[test]
fn describe_cluster_shows_brokers_at_every_version() {
    for version in 0..=2 {
        let request = build!(DescribeClusterRequest {
            include_cluster_authorized_operations: true
        });
        let response = Conversation::new().round(&request, version, |command| {
            assert_eq!(asked(command), (TopicFilter::These(Vec::new()), false));
            view(Vec::new())
        });
        assert_eq!((response.error_code, response.controller_id), (0, 1));
        assert_eq!(response.brokers[0].rack.as_deref(), Some("r1"));
        assert_eq!(
            response.cluster_authorized_operations,
            values::OPERATIONS_CLUSTER
        );
    }
}

#[test]
fn describe_cluster_has_no_controllers() {
    for (endpoint_type, code) in [(2, 114), (3, 115)] {
        let request = build!(DescribeClusterRequest { endpoint_type });
        assert_eq!(Conversation::new().local(&request, 1).error_code, code);
    }
}

#[test]
fn find_coordinator_answers_one_key_in_old_versions() {
    for version in 0..=3 {
        let request = build!(FindCoordinatorRequest { key: text("g") });
        let mut talk = Conversation::new();
        let response = talk.round(&request, version, |command| {
            assert!(matches!(&command, Command::FindCoordinator { group } if group == "g"));
            Reply::Coordinator(Ok(endpoint()))
        });
        assert_eq!(
            (response.error_code, response.node_id, response.port),
            (0, 1, 9092)
        );
        let response = talk.round(&request, version, |_| {
            Reply::Coordinator(Err(GroupError::NotAvailable))
        });
        assert_eq!(
            (response.error_code, response.node_id, response.port),
            (15, -1, -1)
        );
    }
}

#[test]
fn find_coordinator_answers_each_key_in_new_versions() {
    for version in 4..=6 {
        let request = build!(FindCoordinatorRequest {
            coordinator_keys: vec![text("a"), text("b")]
        });
        let response = Conversation::new().converse(&request, version, |command| match command {
            Command::FindCoordinator { group } if group == "a" => {
                Reply::Coordinator(Ok(endpoint()))
            }
            _ => Reply::Coordinator(Err(GroupError::Loading)),
        });
        let shown: Vec<_> = response
            .coordinators
            .iter()
            .map(|entry| (entry.key.as_str(), entry.error_code, entry.node_id))
            .collect();
        assert_eq!(shown, [("a", 0, 1), ("b", 14, -1)]);
    }
}

#[test]
fn coordinators_of_transactions_and_of_unknown_types_do_not_exist() {
    for (key_type, code) in [(1, 53), (2, 42), (9, 42)] {
        let old = build!(FindCoordinatorRequest {
            key: text("t"),
            key_type
        });
        assert_eq!(Conversation::new().local(&old, 2).error_code, code);
        let new = build!(FindCoordinatorRequest {
            coordinator_keys: vec![text("t")],
            key_type
        });
        assert_eq!(
            Conversation::new().local(&new, 6).coordinators[0].error_code,
            code
        );
    }
}

#[test]
fn idempotent_producers_get_an_id_at_every_version() {
    for version in 0..=5 {
        let request = build!(InitProducerIdRequest {
            transactional_id: None
        });
        let mut talk = Conversation::new();
        let response = talk.round(&request, version, |command| {
            assert!(matches!(command, Command::InitProducerId { current: None }));
            Reply::ProducerId(Ok((ProducerId::new(4000), ProducerEpoch::new(0))))
        });
        assert_eq!((response.error_code, response.producer_id), (0, 4000));
        let response = talk.round(&request, version, |_| {
            Reply::ProducerId(Err(MetadataError::TimedOut))
        });
        assert_eq!((response.error_code, response.producer_id), (14, -1));
    }
}

#[test]
fn a_producer_may_ask_for_the_next_epoch_from_version_3() {
    let ask = |producer_id, producer_epoch| {
        build!(InitProducerIdRequest {
            transactional_id: None,
            producer_id,
            producer_epoch
        })
    };
    Conversation::new().round(&ask(7, 2), 3, |command| {
        let current = Some((ProducerId::new(7), ProducerEpoch::new(2)));
        assert!(matches!(command, Command::InitProducerId { current: asked } if asked == current));
        Reply::ProducerId(Ok((ProducerId::new(7), ProducerEpoch::new(3))))
    });
    assert_eq!(Conversation::new().local(&ask(7, -1), 3).error_code, 42);
    assert_eq!(Conversation::new().local(&ask(-1, 2), 3).error_code, 42);
}

#[test]
fn transactional_producers_are_refused_for_good() {
    for (id, code) in [("tx", 53), ("", 42)] {
        let request = build!(InitProducerIdRequest {
            transactional_id: Some(text(id))
        });
        assert_eq!(Conversation::new().local(&request, 4).error_code, code);
    }
}
