//! Kafka requests, encoded by a client library that is not ours.

use bytes::{Bytes, BytesMut};
use kafka::versions::{Api, TABLE};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use model::batch::{BatchBuilder, NewRecord};

use crate::{Seed, chosen};

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(1_000);
    builder
        .push(&NewRecord::keyed(1_000, b"key", b"value"))
        .expect("one record fits");
    builder.build().freeze()
}

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

/// A request that says something, where that takes more than empty lists.
fn filled(key: ApiKey) -> Option<RequestKind> {
    let topic = || TopicName(text("topic"));
    Some(match key {
        ApiKey::Produce => RequestKind::Produce(produce(topic())),
        ApiKey::Fetch => RequestKind::Fetch(fetch(topic())),
        ApiKey::Metadata => {
            RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![
                MetadataRequestTopic::default().with_name(Some(topic())),
            ])))
        }
        ApiKey::ListOffsets => {
            RequestKind::ListOffsets(ListOffsetsRequest::default().with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]),
            ]))
        }
        ApiKey::JoinGroup => RequestKind::JoinGroup(
            JoinGroupRequest::default()
                .with_group_id(GroupId(text("group")))
                .with_session_timeout_ms(10_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![
                    JoinGroupRequestProtocol::default()
                        .with_name(text("range"))
                        .with_metadata(Bytes::from_static(b"subscription")),
                ]),
        ),
        ApiKey::OffsetCommit => RequestKind::OffsetCommit(offset_commit(topic())),
        ApiKey::CreateTopics => RequestKind::CreateTopics(
            CreateTopicsRequest::default()
                .with_timeout_ms(1_000)
                .with_topics(vec![
                    CreatableTopic::default()
                        .with_name(topic())
                        .with_num_partitions(2)
                        .with_replication_factor(1),
                ]),
        ),
        _ => return None,
    })
}

fn produce(topic: TopicName) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch()));
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(topic)
                .with_partition_data(vec![data]),
        ])
}

fn fetch(topic: TopicName) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1_000_000);
    FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1_000_000)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(topic)
                .with_partitions(vec![partition]),
        ])
}

fn offset_commit(topic: TopicName) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text("group")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![
            OffsetCommitRequestTopic::default()
                .with_name(topic)
                .with_partitions(vec![partition]),
        ])
}

/// The body at this version, with the header's tagged fields before it where there are any.
fn body(api: &Api, version: i16) -> Option<Vec<u8>> {
    let key = ApiKey::try_from(api.key.to_wire()).ok()?;
    let encode = |request: &RequestKind| {
        let mut out = BytesMut::new();
        if api.is_flexible(version) {
            out.extend_from_slice(&[0]);
        }
        request
            .encode(&mut out, version)
            .ok()
            .map(|()| out.to_vec())
    };
    filled(key)
        .and_then(|request| encode(&request))
        .or_else(|| plain(key).and_then(|r| encode(&r)))
}

/// A request with nothing but defaults.
fn plain(key: ApiKey) -> Option<RequestKind> {
    Some(match key {
        ApiKey::Produce => RequestKind::Produce(ProduceRequest::default()),
        ApiKey::Fetch => RequestKind::Fetch(FetchRequest::default()),
        ApiKey::ListOffsets => RequestKind::ListOffsets(ListOffsetsRequest::default()),
        ApiKey::Metadata => RequestKind::Metadata(MetadataRequest::default()),
        ApiKey::OffsetCommit => RequestKind::OffsetCommit(OffsetCommitRequest::default()),
        ApiKey::OffsetFetch => RequestKind::OffsetFetch(OffsetFetchRequest::default()),
        ApiKey::FindCoordinator => RequestKind::FindCoordinator(FindCoordinatorRequest::default()),
        ApiKey::JoinGroup => RequestKind::JoinGroup(JoinGroupRequest::default()),
        ApiKey::Heartbeat => RequestKind::Heartbeat(HeartbeatRequest::default()),
        ApiKey::LeaveGroup => RequestKind::LeaveGroup(LeaveGroupRequest::default()),
        ApiKey::SyncGroup => RequestKind::SyncGroup(SyncGroupRequest::default()),
        ApiKey::DescribeGroups => RequestKind::DescribeGroups(DescribeGroupsRequest::default()),
        ApiKey::ListGroups => RequestKind::ListGroups(ListGroupsRequest::default()),
        ApiKey::ApiVersions => RequestKind::ApiVersions(ApiVersionsRequest::default()),
        ApiKey::CreateTopics => RequestKind::CreateTopics(CreateTopicsRequest::default()),
        ApiKey::DeleteTopics => RequestKind::DeleteTopics(DeleteTopicsRequest::default()),
        ApiKey::DeleteRecords => RequestKind::DeleteRecords(DeleteRecordsRequest::default()),
        ApiKey::InitProducerId => RequestKind::InitProducerId(InitProducerIdRequest::default()),
        ApiKey::OffsetForLeaderEpoch => {
            RequestKind::OffsetForLeaderEpoch(OffsetForLeaderEpochRequest::default())
        }
        ApiKey::DescribeConfigs => RequestKind::DescribeConfigs(DescribeConfigsRequest::default()),
        ApiKey::AlterConfigs => RequestKind::AlterConfigs(AlterConfigsRequest::default()),
        ApiKey::CreatePartitions => {
            RequestKind::CreatePartitions(CreatePartitionsRequest::default())
        }
        ApiKey::DeleteGroups => RequestKind::DeleteGroups(DeleteGroupsRequest::default()),
        ApiKey::IncrementalAlterConfigs => {
            RequestKind::IncrementalAlterConfigs(IncrementalAlterConfigsRequest::default())
        }
        ApiKey::OffsetDelete => RequestKind::OffsetDelete(OffsetDeleteRequest::default()),
        ApiKey::DescribeCluster => RequestKind::DescribeCluster(DescribeClusterRequest::default()),
        _ => return None,
    })
}

/// One request per input: the oldest and the newest version of every API.
pub(crate) fn requests() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (index, api) in (0_u8..).zip(TABLE) {
        for version in [api.min, api.max] {
            let Some(body) = body(api, version) else {
                continue;
            };
            let step = u8::try_from(version - api.min).expect("few versions");
            let length = u16::try_from(body.len())
                .expect("small bodies")
                .to_le_bytes();
            let mut input = chosen(1, &[index, step]);
            input.extend_from_slice(&length);
            input.extend_from_slice(&body);
            seeds.push((format!("{}-{version}", api.name), input));
        }
    }
    seeds
}

/// Several requests behind each other, as clients send them.
pub(crate) fn streams() -> Vec<Seed> {
    let stream = |newest: fn(&Api) -> i16| {
        let mut out = vec![3];
        for (correlation, api) in (0_u32..).zip(TABLE) {
            let version = newest(api);
            if let Some(body) = body(api, version) {
                let key = api.key.to_wire();
                let frame = rapidmq_fuzz::kafka_request::frame(key, version, correlation, &body);
                out.extend_from_slice(&frame);
            }
        }
        out
    };
    vec![
        ("all-newest".to_owned(), stream(|api| api.max)),
        ("all-oldest".to_owned(), stream(|api| api.min)),
        (
            "tls-hello".to_owned(),
            b"\x00\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        (
            "http-get".to_owned(),
            b"\x00GET / HTTP/1.1\r\nhost: broker\r\n\r\n".to_vec(),
        ),
    ]
}
