//! Topics and configs.
//!
//! Owns: the APIs that create, change and delete them.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.12.

use api::error::MetadataError;
use api::metadata::{
    ConfigEntry, ConfigOp, ConfigResource, ConfigSource, ConfigType, CreatedTopic, TopicKey,
};
use api::reply::DeletedTopic;
use api::{Command, Reply};
use kafka_wire::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_wire::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_wire::delete_topics_request::DeleteTopicState;
use kafka_wire::describe_configs_request::DescribeConfigsResource;
use kafka_wire::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, alter_configs_request as legacy,
    incremental_alter_configs_request as incremental,
};
use kafka_wire_core::Uuid;
use model::ids::{BrokerId, PartitionId, TopicId};

use crate::codec::build;
use crate::conversation::{Conversation, text};

const ID: [u8; 16] = [5; 16];

fn entry(name: &str, kind: ConfigType) -> ConfigEntry {
    ConfigEntry {
        name: name.into(),
        value: Some("v".into()),
        source: ConfigSource::DynamicTopic,
        kind,
        documentation: "What it does.",
        is_read_only: false,
        synonyms: vec![
            (name.into(), Some("v".into()), ConfigSource::DynamicTopic),
            (
                format!("log.{name}"),
                Some("w".into()),
                ConfigSource::Default,
            ),
        ],
    }
}

fn new_topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    build!(CreatableTopic {
        name: text(name),
        num_partitions: partitions,
        replication_factor: factor,
    })
}

fn created(name: &str) -> Reply {
    Reply::TopicsCreated(vec![(
        name.into(),
        Ok(CreatedTopic {
            id: TopicId::from_bytes(ID),
            partitions: 6,
            replication_factor: 1,
            configs: vec![entry("retention.ms", ConfigType::Long)],
        }),
    )])
}

#[test]
fn topics_are_created_at_every_version() {
    for version in 2..=7 {
        let mut topic = new_topic("a", 6, 1);
        topic.configs = vec![build!(CreatableTopicConfig {
            name: text("retention.ms"),
            value: None
        })];
        let request = build!(CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 700,
            validate_only: true,
        });
        let mut talk = Conversation::new();
        let due = talk
            .now
            .instant
            .after(std::time::Duration::from_millis(700));
        let response = talk.round(&request, version, |command| {
            let Command::CreateTopics {
                topics,
                validate_only,
                deadline,
            } = command
            else {
                panic!("{command:?}")
            };
            assert_eq!((validate_only, deadline), (true, due));
            assert_eq!(
                (topics[0].partitions, topics[0].replication_factor),
                (Some(6), Some(1))
            );
            assert_eq!(topics[0].configs, [("retention.ms".to_owned(), None)]);
            created("a")
        });
        let topic = &response.topics[0];
        assert_eq!((topic.name.as_str(), topic.error_code), ("a", 0));
        if version >= 5 {
            assert_eq!((topic.num_partitions, topic.replication_factor), (6, 1));
            let config = &topic.configs.as_ref().expect("shown")[0];
            assert_eq!(
                (config.name.as_str(), config.config_source),
                ("retention.ms", 1)
            );
        }
        assert_eq!(topic.topic_id.is_zero(), version < 7);
    }
}

#[test]
fn minus_one_is_the_default_from_version_4() {
    let request = build!(CreateTopicsRequest {
        topics: vec![new_topic("a", -1, -1)]
    });
    assert_eq!(
        Conversation::new().local(&request, 3).topics[0].error_code,
        37
    );
    Conversation::new().round(&request, 4, |command| {
        let Command::CreateTopics { topics, .. } = command else {
            panic!("{command:?}")
        };
        assert_eq!(
            (topics[0].partitions, topics[0].replication_factor),
            (None, None)
        );
        created("a")
    });
}

#[test]
fn what_the_shape_forbids_is_refused_per_topic_and_the_rest_created() {
    let mut both = new_topic("both", 3, 1);
    both.assignments = vec![build!(CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1]
    })];
    let mut negative = new_topic("negative", -1, -1);
    negative.assignments = vec![build!(CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![-1]
    })];
    let mut manual = new_topic("manual", -1, -1);
    manual.assignments = vec![build!(CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1]
    })];
    let request = build!(CreateTopicsRequest {
        topics: vec![
            new_topic("twice", 1, 1),
            new_topic("none", 0, 1),
            new_topic("factor", 1, 0),
            both,
            manual,
            negative,
            new_topic("twice", 1, 1),
        ],
    });
    let response = Conversation::new().round(&request, 7, |command| {
        let Command::CreateTopics { topics, .. } = command else {
            panic!("{command:?}")
        };
        assert_eq!(topics.len(), 1);
        assert_eq!(
            topics[0].assignment,
            [(PartitionId::new(0), vec![BrokerId::new(1)])]
        );
        Reply::TopicsCreated(vec![(
            "manual".into(),
            Err(MetadataError::TopicExists("manual".into())),
        )])
    });
    let shown: Vec<_> = response
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.error_code))
        .collect();
    let expected = [
        ("twice", 42),
        ("none", 37),
        ("factor", 38),
        ("both", 42),
        ("manual", 36),
        ("negative", 39),
    ];
    assert_eq!(shown, expected);
    assert!(
        response
            .topics
            .iter()
            .all(|topic| topic.error_message.is_some())
    );
}

#[test]
fn topics_are_deleted_by_name_at_every_version() {
    for version in 1..=6 {
        let request = if version >= 6 {
            build!(DeleteTopicsRequest {
                topics: vec![build!(DeleteTopicState {
                    name: Some(text("a"))
                })],
            })
        } else {
            build!(DeleteTopicsRequest {
                topic_names: vec![text("a")]
            })
        };
        let response = Conversation::new().round(&request, version, |command| {
            let Command::DeleteTopics { topics, .. } = command else {
                panic!("{command:?}")
            };
            assert_eq!(topics, [TopicKey::Name("a".into())]);
            Reply::TopicsDeleted(vec![DeletedTopic {
                key: TopicKey::Name("a".into()),
                name: Some("a".into()),
                id: Some(TopicId::from_bytes(ID)),
                result: Ok(()),
            }])
        });
        let topic = &response.responses[0];
        assert_eq!((topic.name.as_deref(), topic.error_code), (Some("a"), 0));
        assert_eq!(topic.topic_id.is_zero(), version < 6);
    }
}

#[test]
fn disabled_deletion_has_a_code_of_its_own_from_version_3() {
    let request = build!(DeleteTopicsRequest {
        topic_names: vec![text("a")]
    });
    for (version, code) in [(1, 42), (2, 42), (3, 73), (5, 73)] {
        let response = Conversation::new().round(&request, version, |_| {
            Reply::TopicsDeleted(vec![DeletedTopic {
                key: TopicKey::Name("a".into()),
                name: Some("a".into()),
                id: None,
                result: Err(MetadataError::DeletionDisabled),
            }])
        });
        assert_eq!(response.responses[0].error_code, code);
    }
}

#[test]
fn topics_are_deleted_by_id_and_ambiguous_elements_refused() {
    let id = Uuid::from_bytes(ID);
    let request = build!(DeleteTopicsRequest {
        topics: vec![
            build!(DeleteTopicState {
                name: None,
                topic_id: id
            }),
            build!(DeleteTopicState {
                name: Some(text("x")),
                topic_id: id
            }),
            build!(DeleteTopicState { name: None }),
            build!(DeleteTopicState {
                name: Some(text("y"))
            }),
            build!(DeleteTopicState {
                name: Some(text("y"))
            }),
        ],
    });
    let response = Conversation::new().round(&request, 6, |command| {
        let Command::DeleteTopics { topics, .. } = command else {
            panic!("{command:?}")
        };
        let key = TopicKey::Id(TopicId::from_bytes(ID));
        assert_eq!(topics, std::slice::from_ref(&key));
        let result = Err(MetadataError::UnknownTopicId);
        Reply::TopicsDeleted(vec![DeletedTopic {
            key,
            name: None,
            id: None,
            result,
        }])
    });
    let codes = response.responses.iter().map(|topic| topic.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [100, 42, 42, 42, 42]);
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!(response.responses[0].name, None);
}

#[test]
fn partitions_are_added_at_every_version() {
    for version in 0..=3 {
        let topic = |name: &str, count, assignments| {
            build!(CreatePartitionsTopic {
                name: text(name),
                count,
                assignments
            })
        };
        let brokers = |ids: Vec<i32>| build!(CreatePartitionsAssignment { broker_ids: ids });
        let request = build!(CreatePartitionsRequest {
            topics: vec![
                topic("a", 5, None),
                topic("zero", 0, None),
                topic("b", 2, Some(vec![brokers(vec![1])])),
                topic("c", 2, Some(vec![brokers(vec![-1])])),
                topic("d", 2, None),
                topic("d", 3, None),
            ],
        });
        let response = Conversation::new().round(&request, version, |command| {
            let Command::CreatePartitions { topics, .. } = command else {
                panic!("{command:?}")
            };
            let expected = [
                ("a".to_owned(), 5, vec![]),
                ("b".to_owned(), 2, vec![vec![BrokerId::new(1)]]),
            ];
            assert_eq!(topics, expected);
            Reply::PartitionsCreated(vec![
                ("a".into(), Ok(())),
                (
                    "b".into(),
                    Err(MetadataError::InvalidPartitions("not above 2".into())),
                ),
            ])
        });
        let shown: Vec<_> = response
            .results
            .iter()
            .map(|topic| (topic.name.as_str(), topic.error_code))
            .collect();
        assert_eq!(
            shown,
            [("a", 0), ("zero", 37), ("b", 37), ("c", 39), ("d", 42)]
        );
    }
}

#[test]
fn configs_are_described_at_every_version() {
    for version in 1..=4 {
        let resource = |kind, name: &str, keys: Option<Vec<_>>| {
            build!(DescribeConfigsResource {
                resource_type: kind,
                resource_name: text(name),
                configuration_keys: keys,
            })
        };
        let request = build!(DescribeConfigsRequest {
            resources: vec![
                resource(2, "a", Some(vec![text("retention.ms")])),
                resource(16, "metrics", None),
                resource(4, "1", Some(Vec::new())),
                resource(4, "", None),
                resource(4, "one", None),
            ],
            include_synonyms: true,
            include_documentation: version >= 3,
        });
        let response = Conversation::new().round(&request, version, |command| {
            let Command::DescribeConfigs { resources } = command else {
                panic!("{command:?}")
            };
            let expected = [
                (
                    ConfigResource::Topic("a".into()),
                    Some(vec!["retention.ms".to_owned()]),
                ),
                (ConfigResource::Broker(Some(BrokerId::new(1))), None),
                (ConfigResource::Broker(None), None),
            ];
            assert_eq!(resources, expected);
            let secret = entry("ssl.key.password", ConfigType::Password);
            Reply::Configs(vec![
                Ok(vec![entry("retention.ms", ConfigType::Long), secret]),
                Err(MetadataError::UnknownTopic),
                Ok(Vec::new()),
            ])
        });
        let codes = response.results.iter().map(|result| result.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 42, 3, 0, 42]);
        assert_eq!(response.results[2].resource_name.as_str(), "1");
        let configs = &response.results[0].configs;
        assert_eq!(
            (configs[0].value.as_deref(), configs[0].config_source),
            (Some("v"), 1)
        );
        assert_eq!(configs[0].synonyms.len(), 2);
        assert_eq!(configs[0].synonyms[1].source, 5);
        assert!(configs[1].is_sensitive && configs[1].value.is_none());
        assert!(
            configs[1]
                .synonyms
                .iter()
                .all(|synonym| synonym.value.is_none())
        );
        if version >= 3 {
            assert_eq!(configs[0].config_type, 5);
            assert_eq!(configs[0].documentation.as_deref(), Some("What it does."));
        }
    }
}

#[test]
fn synonyms_and_documentation_are_shown_only_when_asked_for() {
    let resource = build!(DescribeConfigsResource {
        resource_type: 2,
        resource_name: text("a")
    });
    let request = build!(DescribeConfigsRequest {
        resources: vec![resource]
    });
    let response = Conversation::new().round(&request, 4, |_| {
        Reply::Configs(vec![Ok(vec![entry("retention.ms", ConfigType::Long)])])
    });
    let config = &response.results[0].configs[0];
    assert!(config.synonyms.is_empty() && config.documentation.is_none());
}

#[test]
fn legacy_alteration_replaces_the_whole_set() {
    for version in 0..=2 {
        let resource = |name: &str| {
            build!(legacy::AlterConfigsResource {
                resource_type: 2,
                resource_name: text(name),
                configs: vec![build!(legacy::AlterableConfig {
                    name: text("retention.ms"),
                    value: Some(text("1")),
                })],
            })
        };
        let request = build!(AlterConfigsRequest {
            resources: vec![resource("a"), resource("twice"), resource("twice")],
        });
        let response = Conversation::new().round(&request, version, |command| {
            let Command::AlterConfigs {
                changes,
                validate_only,
                ..
            } = command
            else {
                panic!("{command:?}")
            };
            assert!(!validate_only && changes.len() == 1 && changes[0].is_replacement);
            let expected = (
                "retention.ms".to_owned(),
                ConfigOp::Set,
                Some("1".to_owned()),
            );
            assert_eq!(changes[0].changes, [expected]);
            Reply::ConfigsAltered(vec![Ok(())])
        });
        let codes = response
            .responses
            .iter()
            .map(|resource| resource.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 42, 42]);
    }
}

#[test]
fn incremental_alteration_knows_four_operations() {
    let config = |name: &str, operation, value: Option<&str>| {
        build!(incremental::AlterableConfig {
            name: text(name),
            config_operation: operation,
            value: value.map(text),
        })
    };
    let resource = |name: &str, configs: Vec<_>| {
        build!(incremental::AlterConfigsResource {
            resource_type: 2,
            resource_name: text(name),
            configs,
        })
    };
    for version in 0..=1 {
        let four = vec![
            config("a", 0, Some("1")),
            config("b", 1, None),
            config("c", 2, Some("2")),
            config("d", 3, Some("3")),
        ];
        let request = build!(IncrementalAlterConfigsRequest {
            resources: vec![
                resource("four", four),
                resource("fifth", vec![config("a", 4, Some("1"))]),
                resource("null", vec![config("a", 0, None)]),
                resource(
                    "twice",
                    vec![config("a", 0, Some("1")), config("a", 1, None)]
                ),
            ],
            validate_only: true,
        });
        let response = Conversation::new().round(&request, version, |command| {
            let Command::AlterConfigs {
                changes,
                validate_only,
                ..
            } = command
            else {
                panic!("{command:?}")
            };
            assert!(validate_only && changes.len() == 1 && !changes[0].is_replacement);
            let operations: Vec<_> = changes[0].changes.iter().map(|change| change.1).collect();
            let expected = [
                ConfigOp::Set,
                ConfigOp::Delete,
                ConfigOp::Append,
                ConfigOp::Subtract,
            ];
            assert_eq!(operations, expected);
            Reply::ConfigsAltered(vec![Err(MetadataError::InvalidConfig("no".into()))])
        });
        let codes = response
            .responses
            .iter()
            .map(|resource| resource.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [40, 42, 42, 42]);
    }
}
