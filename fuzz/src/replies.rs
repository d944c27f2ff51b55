//! Legal answers to any command.
//!
//! Owns: one success and one failure per kind of command.
//! Never: keeps state: answers need not agree with each other.
//! Invariants: kind, order and number of elements are what the command asks for.
//! Source: the contract of `api::Reply`.

use api::command::{Append, Fetch};
use api::error::{AppendError, GroupError, MetadataError, PartitionError, ReadError};
use api::group;
use api::metadata::{
    BrokerEndpoint, ConfigEntry, ConfigSource, ConfigType, CreatedTopic, MetadataView,
    PartitionView, TopicFilter, TopicKey, TopicView,
};
use api::reply::{Appended, DeletedTopic, Fetched, ListedOffset, Records};
use api::{Command, Reply};
use bytes::Bytes;
use model::batch::{BatchBuilder, NewRecord};
use model::ids::{BrokerId, Generation, PartitionId, ProducerEpoch, ProducerId, TopicId};
use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

/// An answer; `None` for the one command that has none.
pub(crate) fn reply_to(command: &Command, prng: &mut Prng) -> Option<Reply> {
    let fails = prng.chance(1, 3);
    Some(match command {
        Command::CancelFetch { .. } => return None,
        Command::Append(append) => Reply::Appended(appended(append, fails)),
        Command::Fetch(fetch) => Reply::Fetched(fetched(fetch, prng, fails)),
        Command::ListOffset(_) => Reply::Offset(or_read(fails, || ListedOffset {
            offset: Some(Offset::new(5)),
            timestamp: Some(1_700_000_000_000),
            leader_epoch: Some(LeaderEpoch::ZERO),
        })),
        Command::EpochEnd(_) => {
            Reply::EpochEnd(or_read(fails, || Some((LeaderEpoch::ZERO, Offset::new(9)))))
        }
        Command::DeleteRecords(_) => {
            Reply::RecordsDeleted(or_read(fails, || Offset::new(3)).map_err(Into::into))
        }
        Command::JoinGroup(_)
        | Command::SyncGroup(_)
        | Command::Heartbeat(_)
        | Command::LeaveGroup(_)
        | Command::CommitOffsets(_)
        | Command::FetchCommitted(_)
        | Command::DescribeGroup { .. }
        | Command::ListGroups { .. }
        | Command::DeleteGroup { .. }
        | Command::DeleteOffsets { .. }
        | Command::FindCoordinator { .. } => group_reply(command, fails)?,
        Command::Metadata { .. }
        | Command::CreateTopics { .. }
        | Command::DeleteTopics { .. }
        | Command::CreatePartitions { .. }
        | Command::DescribeConfigs { .. }
        | Command::AlterConfigs { .. }
        | Command::InitProducerId { .. } => metadata_reply(command, fails)?,
    })
}

fn or_read<T>(fails: bool, value: impl FnOnce() -> T) -> Result<T, ReadError> {
    if fails {
        Err(PartitionError::UnknownTopicOrPartition.into())
    } else {
        Ok(value())
    }
}

fn or_group<T>(fails: bool, value: impl FnOnce() -> T) -> Result<T, GroupError> {
    if fails {
        Err(GroupError::RebalanceInProgress)
    } else {
        Ok(value())
    }
}

fn or_metadata<T>(fails: bool, value: impl FnOnce() -> T) -> Result<T, MetadataError> {
    if fails {
        Err(MetadataError::InvalidRequest("refused".to_owned()))
    } else {
        Ok(value())
    }
}

fn appended(append: &Append, fails: bool) -> Result<Appended, AppendError> {
    assert_eq!(
        append.info.len(),
        append.batch.len(),
        "the view fits the batch"
    );
    if fails {
        return Err(AppendError::TooLarge {
            bytes: append.info.bytes,
            limit: 1,
        });
    }
    Ok(Appended {
        base_offset: Offset::new(7),
        log_append_time: None,
        log_start: Offset::ZERO,
    })
}

fn fetched(fetch: &Fetch, prng: &mut Prng, fails: bool) -> Result<Fetched, ReadError> {
    if fails {
        let (offset, log_end) = (fetch.offset, Offset::new(1));
        return Err(ReadError::OutOfRange {
            offset,
            log_start: Offset::ZERO,
            log_end,
        });
    }
    let mut records = Records::new();
    if prng.chance(1, 2) && fetch.bytes_max > 0 {
        let mut builder = BatchBuilder::new(0);
        let pushed = builder.push(&NewRecord::value(0, b"value"));
        assert!(pushed.is_ok());
        records.push(builder.build().freeze());
    }
    Ok(Fetched {
        bytes: records.iter().map(Bytes::len).sum(),
        records,
        high_watermark: Offset::new(10),
        last_stable: Offset::new(10),
        log_start: Offset::ZERO,
        diverging: None,
    })
}

fn group_reply(command: &Command, fails: bool) -> Option<Reply> {
    Some(match command {
        Command::JoinGroup(join) => Reply::Joined(joined(join, fails)),
        Command::SyncGroup(_) => Reply::Synced(or_group(fails, || group::Synced {
            protocol_type: "consumer".to_owned(),
            protocol: "range".to_owned(),
            assignment: Bytes::from_static(b"assignment"),
        })),
        Command::Heartbeat(_) => Reply::Heartbeat(or_group(fails, || ())),
        Command::LeaveGroup(leave) => {
            let each = leave.members.iter().map(|_| Ok(())).collect();
            Reply::Left(or_group(fails, || each))
        }
        Command::CommitOffsets(commit) => Reply::OffsetsCommitted(
            commit
                .offsets
                .iter()
                .map(|one| (one.topic.clone(), one.partition, or_group(fails, || ())))
                .collect(),
        ),
        Command::FetchCommitted(query) => {
            let asked = query.partitions.clone().unwrap_or_default();
            let found = asked
                .into_iter()
                .map(|(topic, at)| (topic, at, Ok(committed())));
            Reply::CommittedOffsets(or_group(fails, || found.collect()))
        }
        Command::DescribeGroup { group } => Reply::Group(or_group(fails, || described(group))),
        Command::ListGroups { .. } => Reply::Groups(or_group(fails, || vec![listed()])),
        Command::DeleteGroup { .. } => Reply::GroupDeleted(or_group(fails, || ())),
        Command::DeleteOffsets { partitions, .. } => {
            let each = partitions
                .iter()
                .map(|(topic, at)| (topic.clone(), *at, Ok(())));
            Reply::CommitsDeleted(or_group(fails, || each.collect()))
        }
        Command::FindCoordinator { .. } => Reply::Coordinator(or_group(fails, endpoint)),
        _ => return None,
    })
}

fn joined(join: &group::Join, fails: bool) -> Result<group::Joined, group::JoinRefused> {
    let member = if join.member.is_empty() {
        "member-1".to_owned()
    } else {
        join.member.clone()
    };
    if fails {
        return Err(group::JoinRefused {
            error: GroupError::MemberIdRequired,
            member,
        });
    }
    Ok(group::Joined {
        generation: Generation::new(3),
        protocol_type: join.protocol_type.clone(),
        protocol: join
            .protocols
            .first()
            .map(|(name, _)| name.clone())
            .unwrap_or_default(),
        leader: member.clone(),
        member: member.clone(),
        skip_assignment: join.can_skip_assignment,
        members: vec![(
            member,
            join.instance.clone(),
            Bytes::from_static(b"metadata"),
        )],
    })
}

fn committed() -> group::Committed {
    group::Committed {
        offset: Some(Offset::new(4)),
        leader_epoch: None,
        metadata: "note".to_owned(),
    }
}

fn described(group: &str) -> group::GroupView {
    group::GroupView {
        group: group.to_owned(),
        state: group::GroupState::Stable,
        protocol_type: "consumer".to_owned(),
        protocol: "range".to_owned(),
        members: vec![group::MemberView {
            member: "member-1".to_owned(),
            instance: None,
            client_id: "fuzz".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            metadata: Bytes::from_static(b"metadata"),
            assignment: Bytes::new(),
        }],
    }
}

fn listed() -> group::GroupListing {
    group::GroupListing {
        group: "group".to_owned(),
        protocol_type: "consumer".to_owned(),
        state: group::GroupState::Empty,
    }
}

fn endpoint() -> BrokerEndpoint {
    BrokerEndpoint {
        id: BrokerId::new(1),
        host: "localhost".to_owned(),
        port: 9_092,
        rack: None,
    }
}

fn metadata_reply(command: &Command, fails: bool) -> Option<Reply> {
    Some(match command {
        Command::Metadata { topics, .. } => Reply::Metadata(view(topics, fails)),
        Command::CreateTopics { topics, .. } => Reply::TopicsCreated(
            topics
                .iter()
                .map(|topic| (topic.name.clone(), or_metadata(fails, created)))
                .collect(),
        ),
        Command::DeleteTopics { topics, .. } => Reply::TopicsDeleted(
            topics
                .iter()
                .map(|key| DeletedTopic {
                    key: key.clone(),
                    name: Some("topic".to_owned()),
                    id: Some(topic_id()),
                    result: or_metadata(fails, || ()),
                })
                .collect(),
        ),
        Command::CreatePartitions { topics, .. } => Reply::PartitionsCreated(
            topics
                .iter()
                .map(|(name, ..)| (name.clone(), or_metadata(fails, || ())))
                .collect(),
        ),
        Command::DescribeConfigs { resources } => Reply::Configs(
            resources
                .iter()
                .map(|_| or_metadata(fails, || vec![config()]))
                .collect(),
        ),
        Command::AlterConfigs { changes, .. } => {
            Reply::ConfigsAltered(changes.iter().map(|_| or_metadata(fails, || ())).collect())
        }
        Command::InitProducerId { .. } => {
            let identity = (ProducerId::new(1_000), ProducerEpoch::new(0));
            Reply::ProducerId(or_metadata(fails, || identity))
        }
        _ => return None,
    })
}

fn topic_id() -> TopicId {
    TopicId::from_bytes([7; 16])
}

fn view(topics: &TopicFilter, fails: bool) -> MetadataView {
    let asked = match topics {
        TopicFilter::All => vec![TopicKey::Name("topic".to_owned())],
        TopicFilter::These(keys) => keys.clone(),
    };
    let described = |key: TopicKey| {
        let outcome = if fails {
            Err(MetadataError::UnknownTopic)
        } else {
            Ok(topic_view(&key))
        };
        (key, outcome)
    };
    MetadataView {
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        controller: BrokerId::new(1),
        brokers: vec![endpoint()],
        topics: asked.into_iter().map(described).collect(),
    }
}

fn topic_view(key: &TopicKey) -> TopicView {
    let name = match key {
        TopicKey::Name(name) => name.clone(),
        TopicKey::Id(_) => "topic".to_owned(),
    };
    TopicView {
        name,
        id: topic_id(),
        is_internal: false,
        partitions: vec![PartitionView {
            partition: PartitionId::new(0),
            leader: Some(BrokerId::new(1)),
            leader_epoch: LeaderEpoch::ZERO,
            replicas: vec![BrokerId::new(1)],
            isr: vec![BrokerId::new(1)],
        }],
    }
}

fn created() -> CreatedTopic {
    CreatedTopic {
        id: topic_id(),
        partitions: 1,
        replication_factor: 1,
        configs: vec![config()],
    }
}

fn config() -> ConfigEntry {
    ConfigEntry {
        name: "retention.ms".to_owned(),
        value: Some("604800000".to_owned()),
        source: ConfigSource::Default,
        kind: ConfigType::Long,
        documentation: "How long records are kept.",
        is_read_only: false,
        synonyms: Vec::new(),
    }
}
