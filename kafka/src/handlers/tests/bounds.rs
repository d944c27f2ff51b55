//! What a small request may make the broker do.
//!
//! Owns: repeated names and long lists, whose answers are far larger than themselves.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: architecture.md A9; kafka.md 2.3.

use api::error::MetadataError;
use api::group::Committed;
use api::metadata::{MetadataView, TopicFilter, TopicKey};
use api::{Command, Reply};
use kafka_wire::create_topics_request::CreatableTopic;
use kafka_wire::describe_configs_request::DescribeConfigsResource;
use kafka_wire::metadata_request::MetadataRequestTopic;
use kafka_wire::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::{
    CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest, MetadataRequest,
    OffsetFetchRequest,
};
use model::ids::BrokerId;
use model::offset::Offset;

use crate::codec::build;
use crate::conversation::{Conversation, text};
use crate::limits::DESCRIBED_ELEMENTS_MAX;

fn name(name: &str) -> TopicKey {
    TopicKey::Name(name.into())
}

fn unknown(key: TopicKey) -> (TopicKey, Result<api::metadata::TopicView, MetadataError>) {
    (key, Err(MetadataError::UnknownTopic))
}

#[test]
fn a_topic_named_again_is_described_once() {
    let named = ["a", "b", "a", "a"].map(|name| {
        build!(MetadataRequestTopic {
            name: Some(text(name))
        })
    });
    let request = build!(MetadataRequest {
        topics: Some(named.to_vec())
    });
    let response = Conversation::new().round(&request, 12, |command| {
        let Command::Metadata { topics, .. } = command else {
            panic!("{command:?}")
        };
        assert_eq!(topics, TopicFilter::These(vec![name("a"), name("b")]));
        Reply::Metadata(MetadataView {
            cluster_id: String::new(),
            controller: BrokerId::new(1),
            brokers: Vec::new(),
            topics: vec![unknown(name("a")), unknown(name("b"))],
        })
    });
    let shown = response.topics.iter().map(|topic| topic.name.as_deref());
    assert_eq!(shown.collect::<Vec<_>>(), [Some("a"), Some("b")]);
}

#[test]
fn a_group_named_again_is_described_once() {
    let request = build!(DescribeGroupsRequest {
        groups: vec![text("g"), text("h"), text("g")]
    });
    let mut asked = Vec::new();
    let response = Conversation::new().converse(&request, 5, |command| {
        let Command::DescribeGroup { group } = command else {
            panic!("{command:?}")
        };
        asked.push(group);
        Reply::Group(Err(api::error::GroupError::NotFound))
    });
    assert_eq!(asked, ["g", "h"]);
    assert_eq!(response.groups.len(), 2);
}

#[test]
fn a_committed_offset_is_fetched_once_however_often_it_is_named() {
    let topic = |partition_indexes| {
        build!(OffsetFetchRequestTopics {
            name: text("t"),
            partition_indexes,
        })
    };
    let group = |topics| {
        build!(OffsetFetchRequestGroup {
            group_id: text("g"),
            topics: Some(topics),
        })
    };
    let request = build!(OffsetFetchRequest {
        groups: vec![
            group(vec![topic(vec![0, 1, 0]), topic(vec![1, 2])]),
            group(vec![topic(vec![0])]),
        ],
    });
    let response = Conversation::new().round(&request, 8, |command| {
        let Command::FetchCommitted(query) = command else {
            panic!("{command:?}")
        };
        let found = query.partitions.expect("a list").into_iter();
        let found = found.map(|(topic, partition)| {
            let committed = Committed {
                offset: Some(Offset::new(u64::from(partition.get()))),
                leader_epoch: None,
                metadata: "m".repeat(4_096),
            };
            (topic, partition, Ok(committed))
        });
        Reply::CommittedOffsets(Ok(found.collect()))
    });
    let topics = response.groups.iter().flat_map(|group| &group.topics);
    let partitions = topics.flat_map(|topic| &topic.partitions);
    let offsets = partitions.map(|partition| partition.committed_offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn configs_are_described_once_per_resource_and_of_so_many_resources_only() {
    let resource = |name: String| {
        build!(DescribeConfigsResource {
            resource_type: 2,
            resource_name: text(&name),
            configuration_keys: None,
        })
    };
    let more = DESCRIBED_ELEMENTS_MAX + 2;
    let names = (0..more).map(|at| format!("t{at}"));
    let names = names.chain(["t0".to_owned()]);
    let request = build!(DescribeConfigsRequest {
        resources: names.map(resource).collect()
    });
    let response = Conversation::new().round(&request, 4, |command| {
        let Command::DescribeConfigs { resources } = command else {
            panic!("{command:?}")
        };
        assert_eq!(resources.len(), DESCRIBED_ELEMENTS_MAX);
        Reply::Configs(resources.iter().map(|_| Ok(Vec::new())).collect())
    });
    let codes: Vec<i16> = response.results.iter().map(|one| one.error_code).collect();
    assert_eq!(codes.len(), more);
    assert_eq!(codes[DESCRIBED_ELEMENTS_MAX..], [44, 44]);
}

#[test]
fn a_request_creates_so_many_topics_and_refuses_the_rest() {
    let topics = (0..=DESCRIBED_ELEMENTS_MAX).map(|at| {
        build!(CreatableTopic {
            name: text(&format!("t{at}")),
            num_partitions: 1,
            replication_factor: 1,
        })
    });
    let request = build!(CreateTopicsRequest {
        topics: topics.collect()
    });
    let response = Conversation::new().round(&request, 7, |command| {
        let Command::CreateTopics { topics, .. } = command else {
            panic!("{command:?}")
        };
        assert_eq!(topics.len(), DESCRIBED_ELEMENTS_MAX);
        let refused = |name: String| (name, Err(MetadataError::TimedOut));
        Reply::TopicsCreated(
            topics
                .into_iter()
                .map(|topic| refused(topic.name))
                .collect(),
        )
    });
    let codes: Vec<i16> = response.topics.iter().map(|one| one.error_code).collect();
    assert_eq!(codes[DESCRIBED_ELEMENTS_MAX - 1..], [7, 44]);
}
