//! Offsets: listed, deleted, committed, fetched.
//!
//! Owns: the APIs about positions.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.5, 4.7, 4.8.

use api::command::{Isolation, OffsetQuery};
use api::error::{GroupError, PartitionError, ReadError};
use api::group::Committed;
use api::metadata::{MetadataView, TopicFilter, TopicKey, TopicView};
use api::reply::{DeleteRecordsError, ListedOffset};
use api::{Command, Reply};
use kafka_wire::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_wire::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_wire::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_wire::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest,
};
use kafka_wire_core::Uuid;
use model::ids::{BrokerId, Generation, PartitionId, TopicId};
use model::offset::{LeaderEpoch, Offset};

use crate::codec::build;
use crate::conversation::{Conversation, text};

const ID: [u8; 16] = [6; 16];

fn name(name: &str) -> TopicKey {
    TopicKey::Name(name.into())
}

fn id() -> TopicKey {
    TopicKey::Id(TopicId::from_bytes(ID))
}

fn list(partitions: Vec<(i32, i64)>) -> ListOffsetsRequest {
    let partitions = partitions.into_iter().map(|(partition_index, timestamp)| {
        build!(ListOffsetsPartition {
            partition_index,
            timestamp
        })
    });
    let topic = build!(ListOffsetsTopic {
        name: text("t"),
        partitions: partitions.collect()
    });
    build!(ListOffsetsRequest {
        topics: vec![topic]
    })
}

fn listed(offset: u64) -> Reply {
    Reply::Offset(Ok(ListedOffset {
        offset: Some(Offset::new(offset)),
        timestamp: Some(99),
        leader_epoch: Some(LeaderEpoch::new(4)),
    }))
}

#[test]
fn offsets_are_listed_at_every_version() {
    for version in 1..=11 {
        let mut request = list(vec![(0, -1), (1, -2), (2, 1000)]);
        request.isolation_level = i8::from(version >= 2);
        let response = Conversation::new().converse(&request, version, |command| {
            let Command::ListOffset(lookup) = command else {
                panic!("{command:?}")
            };
            let committed = lookup.isolation == Isolation::ReadCommitted;
            assert_eq!(committed, version >= 2);
            match lookup.query {
                OffsetQuery::Latest => listed(50),
                OffsetQuery::Earliest => listed(5),
                OffsetQuery::AtTimestamp(1000) => listed(20),
                other => panic!("{other:?}"),
            }
        });
        let shown: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.offset, partition.timestamp, partition.error_code))
            .collect();
        assert_eq!(shown, [(50, -1, 0), (5, -1, 0), (20, 99, 0)]);
        let epoch = response.topics[0].partitions[0].leader_epoch;
        assert_eq!(epoch, if version >= 4 { 4 } else { -1 });
    }
}

#[test]
fn special_timestamps_are_gated_by_version() {
    for (timestamp, first) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
        let old = Conversation::new().local(&list(vec![(0, timestamp)]), first - 1);
        assert_eq!(old.topics[0].partitions[0].error_code, 35, "{timestamp}");
        let new = Conversation::new().converse(&list(vec![(0, timestamp)]), first, |_| listed(7));
        let partition = &new.topics[0].partitions[0];
        let expected = match timestamp {
            -3 => (7, 99),
            -4 => (7, -1),
            _ => (-1, -1), // nothing is tiered
        };
        assert_eq!(
            (partition.offset, partition.timestamp, partition.error_code).0,
            expected.0
        );
        assert_eq!((partition.timestamp, partition.error_code), (expected.1, 0));
    }
    let unknown = Conversation::new().local(&list(vec![(0, -7)]), 11);
    assert_eq!(unknown.topics[0].partitions[0].error_code, 35);
}

#[test]
fn no_record_at_or_after_a_time_is_minus_one_without_an_error() {
    let response = Conversation::new().converse(&list(vec![(0, 5000)]), 7, |_| {
        Reply::Offset(Ok(ListedOffset {
            offset: None,
            timestamp: None,
            leader_epoch: Some(LeaderEpoch::new(1)),
        }))
    });
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.offset, partition.timestamp), (-1, -1));
    assert_eq!((partition.error_code, partition.leader_epoch), (0, -1));
}

#[test]
fn a_partition_listed_twice_is_an_invalid_request() {
    let response =
        Conversation::new().converse(&list(vec![(0, -1), (1, -1), (0, -2)]), 5, |_| listed(1));
    let codes = response.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [42, 0, 42]);
}

#[test]
fn listing_errors_are_per_partition() {
    let response = Conversation::new().converse(&list(vec![(-1, -1), (0, -1)]), 5, |_| {
        let stale = PartitionError::FencedLeaderEpoch {
            got: LeaderEpoch::new(1),
            current: LeaderEpoch::new(2),
        };
        Reply::Offset(Err(ReadError::Partition(stale)))
    });
    let codes = response.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [3, 74]);
}

#[test]
fn ends_of_epochs_are_answered_at_every_version() {
    for version in 2..=4 {
        let partition = |partition, leader_epoch| {
            build!(OffsetForLeaderPartition {
                partition,
                current_leader_epoch: 9,
                leader_epoch
            })
        };
        let topic = build!(OffsetForLeaderTopic {
            topic: text("t"),
            partitions: vec![
                partition(0, 3),
                partition(1, 8),
                partition(2, -1),
                partition(-1, 1)
            ],
        });
        let request = build!(OffsetForLeaderEpochRequest {
            topics: vec![topic]
        });
        let response = Conversation::new().converse(&request, version, |command| {
            let Command::EpochEnd(lookup) = command else {
                panic!("{command:?}")
            };
            assert_eq!(lookup.current_epoch, Some(LeaderEpoch::new(9)));
            let found = (lookup.epoch.get() == 3).then_some((LeaderEpoch::new(2), Offset::new(70)));
            Reply::EpochEnd(Ok(found))
        });
        let shown: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|end| {
                (
                    end.partition,
                    end.error_code,
                    end.leader_epoch,
                    end.end_offset,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (0, 0, 2, 70),
                (1, 0, -1, -1),
                (2, 0, -1, -1),
                (-1, 3, -1, -1)
            ]
        );
    }
}

#[test]
fn records_are_deleted_at_every_version() {
    for version in 0..=2 {
        let partition = |partition_index, offset| {
            build!(DeleteRecordsPartition {
                partition_index,
                offset
            })
        };
        let topic = build!(DeleteRecordsTopic {
            name: text("t"),
            partitions: vec![partition(0, 30), partition(1, -1), partition(2, -2)],
        });
        let request = build!(DeleteRecordsRequest {
            topics: vec![topic]
        });
        let response = Conversation::new().converse(&request, version, |command| {
            let Command::DeleteRecords(deletion) = command else {
                panic!("{command:?}")
            };
            match deletion.before {
                Some(before) => Reply::RecordsDeleted(Ok(before)),
                None => Reply::RecordsDeleted(Err(DeleteRecordsError::Policy)),
            }
        });
        let shown: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.low_watermark, partition.error_code))
            .collect();
        assert_eq!(shown, [(30, 0), (-1, 44), (-1, 1)]);
    }
}

fn commit(version: i16, partitions: Vec<(i32, i64)>) -> OffsetCommitRequest {
    let partitions = partitions
        .into_iter()
        .map(|(partition_index, committed_offset)| {
            build!(OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_leader_epoch: if version >= 6 { 4 } else { -1 },
                committed_metadata: Some(text("note")),
            })
        });
    let mut topic = build!(OffsetCommitRequestTopic {
        partitions: partitions.collect()
    });
    if version >= 10 {
        topic.topic_id = Uuid::from_bytes(ID);
    } else {
        topic.name = text("t");
    }
    build!(OffsetCommitRequest {
        group_id: text("g"),
        generation_id_or_member_epoch: 5,
        member_id: text("m"),
        topics: vec![topic],
    })
}

fn commit_codes(version: i16, error: GroupError) -> i16 {
    let response = Conversation::new().round(&commit(version, vec![(0, 1)]), version, |command| {
        let Command::CommitOffsets(commit) = command else {
            panic!("{command:?}")
        };
        let offset = &commit.offsets[0];
        Reply::OffsetsCommitted(vec![(offset.topic.clone(), offset.partition, Err(error))])
    });
    response.topics[0].partitions[0].error_code
}

#[test]
fn offsets_are_committed_at_every_version() {
    for version in 2..=10 {
        let request = commit(version, vec![(0, 17), (1, -5), (2, 18)]);
        let response = Conversation::new().round(&request, version, |command| {
            let Command::CommitOffsets(commit) = command else {
                panic!("{command:?}")
            };
            assert_eq!(commit.key.group, "g");
            assert_eq!(commit.key.generation, Some(Generation::new(5)));
            let offsets = commit.offsets;
            assert_eq!(offsets.len(), 2, "the negative one is not committed");
            assert_eq!(
                offsets[0].topic,
                if version >= 10 { id() } else { name("t") }
            );
            assert_eq!(
                (offsets[0].offset, offsets[0].metadata.as_str()),
                (Offset::new(17), "note")
            );
            let epoch = (version >= 6).then_some(LeaderEpoch::new(4));
            assert_eq!(offsets[0].leader_epoch, epoch);
            let done = offsets
                .into_iter()
                .map(|offset| (offset.topic, offset.partition, Ok(())));
            Reply::OffsetsCommitted(done.collect())
        });
        let topic = &response.topics[0];
        assert_eq!(topic.topic_id.is_zero(), version < 10);
        let codes = topic
            .partitions
            .iter()
            .map(|partition| partition.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 42, 0]);
    }
}

#[test]
fn an_unknown_group_has_the_code_of_the_version() {
    assert_eq!(commit_codes(8, GroupError::NotFound), 22);
    assert_eq!(commit_codes(9, GroupError::NotFound), 69);
    assert_eq!(commit_codes(9, GroupError::UnknownTopicOrPartition), 3);
    assert_eq!(commit_codes(10, GroupError::UnknownTopicId), 100);
    assert_eq!(commit_codes(10, GroupError::UnknownTopicOrPartition), 3);
    assert_eq!(commit_codes(7, GroupError::MetadataTooLarge), 12);
}

#[test]
fn a_simple_consumer_commits_without_a_generation() {
    let mut request = commit(7, vec![(0, 1)]);
    request.generation_id_or_member_epoch = -1;
    request.member_id = text("");
    Conversation::new().round(&request, 7, |command| {
        let Command::CommitOffsets(commit) = command else {
            panic!("{command:?}")
        };
        assert_eq!(commit.key.generation, None);
        Reply::OffsetsCommitted(vec![(name("t"), PartitionId::new(0), Ok(()))])
    });
}

fn committed(offset: Option<u64>) -> Result<Committed, GroupError> {
    Ok(Committed {
        offset: offset.map(Offset::new),
        leader_epoch: offset.map(|_| LeaderEpoch::new(4)),
        metadata: offset.map_or_else(String::new, |_| "note".to_owned()),
    })
}

fn fetch_flat() -> OffsetFetchRequest {
    let topic = build!(OffsetFetchRequestTopic {
        name: text("t"),
        partition_indexes: vec![0, -1, 1]
    });
    build!(OffsetFetchRequest {
        group_id: text("g"),
        topics: Some(vec![topic])
    })
}

#[test]
fn committed_offsets_are_fetched_in_the_flat_versions() {
    for version in 1..=7 {
        let mut request = fetch_flat();
        request.require_stable = version >= 7;
        let response = Conversation::new().round(&request, version, |command| {
            let Command::FetchCommitted(query) = command else {
                panic!("{command:?}")
            };
            let asked = query.partitions.expect("a list");
            assert_eq!(
                asked,
                [
                    (name("t"), PartitionId::new(0)),
                    (name("t"), PartitionId::new(1))
                ]
            );
            let results = asked
                .into_iter()
                .zip([committed(Some(17)), committed(None)]);
            let results = results.map(|((topic, partition), result)| (topic, partition, result));
            Reply::CommittedOffsets(Ok(results.collect()))
        });
        assert_eq!(response.error_code, 0);
        let shown: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| {
                let metadata = partition.metadata.as_deref().expect("never null");
                (partition.committed_offset, metadata, partition.error_code)
            })
            .collect();
        assert_eq!(shown, [(17, "note", 0), (-1, "", 3), (-1, "", 0)]);
        let epoch = response.topics[0].partitions[0].committed_leader_epoch;
        assert_eq!(epoch, if version >= 5 { 4 } else { -1 });
    }
}

#[test]
fn the_error_of_a_group_is_per_partition_in_version_1_and_above_later() {
    let loading = |_| Reply::CommittedOffsets(Err(GroupError::Loading));
    let response = Conversation::new().round(&fetch_flat(), 1, loading);
    assert_eq!(response.topics[0].partitions[0].error_code, 14);
    let response = Conversation::new().round(&fetch_flat(), 2, loading);
    assert_eq!((response.error_code, response.topics.len()), (14, 0));
}

fn fetch_groups(version: i16) -> OffsetFetchRequest {
    let mut topic = build!(OffsetFetchRequestTopics {
        partition_indexes: vec![0]
    });
    if version >= 10 {
        topic.topic_id = Uuid::from_bytes(ID);
    } else {
        topic.name = text("t");
    }
    build!(OffsetFetchRequest {
        groups: vec![
            build!(OffsetFetchRequestGroup {
                group_id: text("a"),
                topics: Some(vec![topic])
            }),
            build!(OffsetFetchRequestGroup {
                group_id: text("b"),
                topics: None
            }),
            build!(OffsetFetchRequestGroup {
                group_id: text("c"),
                topics: None
            }),
        ],
        require_stable: true,
    })
}

#[test]
fn several_groups_are_fetched_with_topics_named_as_the_version_needs() {
    for version in 8..=10 {
        let mut asked_names = false;
        let response =
            Conversation::new().converse(
                &fetch_groups(version),
                version,
                |command| match command {
                    Command::FetchCommitted(query) => {
                        Reply::CommittedOffsets(match &*query.group {
                            "a" => Ok(query
                                .partitions
                                .expect("a list")
                                .into_iter()
                                .map(|(topic, partition)| (topic, partition, committed(Some(1))))
                                .collect()),
                            "b" => Ok(vec![
                                (name("t"), PartitionId::new(0), committed(Some(2))),
                                (name("gone"), PartitionId::new(0), committed(Some(3))),
                            ]),
                            _ => Err(GroupError::NotCoordinator),
                        })
                    }
                    Command::Metadata {
                        topics,
                        auto_create,
                    } => {
                        asked_names = true;
                        assert_eq!(topics, TopicFilter::These(vec![name("gone"), name("t")]));
                        assert!(!auto_create);
                        names()
                    }
                    other => panic!("{other:?}"),
                },
            );
        assert_eq!(asked_names, version >= 10);
        let groups = &response.groups;
        let codes = groups.iter().map(|group| group.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 0, 16]);
        assert_eq!(groups[0].topics[0].partitions[0].committed_offset, 1);
        if version >= 10 {
            assert_eq!(groups[1].topics.len(), 1, "a topic without an id is gone");
            assert_eq!(groups[1].topics[0].topic_id.to_bytes(), ID);
            assert_eq!(groups[0].topics[0].topic_id.to_bytes(), ID);
        } else {
            let names = groups[1].topics.iter().map(|topic| topic.name.as_str());
            assert_eq!(names.collect::<Vec<_>>(), ["gone", "t"]);
        }
    }
}

fn names() -> Reply {
    let topic = TopicView {
        name: "t".into(),
        id: TopicId::from_bytes(ID),
        is_internal: false,
        partitions: Vec::new(),
    };
    Reply::Metadata(MetadataView {
        cluster_id: String::new(),
        controller: BrokerId::new(1),
        brokers: Vec::new(),
        topics: vec![
            (name("gone"), Err(api::error::MetadataError::UnknownTopic)),
            (name("t"), Ok(topic)),
        ],
    })
}

#[test]
fn no_groups_are_answered_at_once() {
    assert!(
        Conversation::new()
            .local(&OffsetFetchRequest::default(), 9)
            .groups
            .is_empty()
    );
}

#[test]
fn committed_offsets_are_deleted() {
    let partition = |partition_index| build!(OffsetDeleteRequestPartition { partition_index });
    let topic = build!(OffsetDeleteRequestTopic {
        name: text("t"),
        partitions: vec![partition(0), partition(-1), partition(1)],
    });
    let request = build!(OffsetDeleteRequest {
        group_id: text("g"),
        topics: vec![topic]
    });
    let response = Conversation::new().round(&request, 0, |command| {
        let Command::DeleteOffsets { group, partitions } = command else {
            panic!("{command:?}")
        };
        assert_eq!(group, "g");
        let results = partitions
            .into_iter()
            .zip([Ok(()), Err(GroupError::Subscribed)]);
        let results = results.map(|((topic, partition), result)| (topic, partition, result));
        Reply::CommitsDeleted(Ok(results.collect()))
    });
    let codes = response.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [0, 3, 86]);
    let failed = |_| Reply::CommitsDeleted(Err(GroupError::NotFound));
    let response = Conversation::new().round(&request, 0, failed);
    assert_eq!((response.error_code, response.topics.len()), (69, 0));
    let nameless = OffsetDeleteRequest::default();
    assert_eq!(Conversation::new().local(&nameless, 0).error_code, 24);
}
