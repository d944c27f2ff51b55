//! Tests of bounds, of partitions that live elsewhere, and of settings that change under load.
//!
//! Owns: what happens at the edges.
//! Never: repeats the everyday cases of the other modules.
//! Invariants: none.
//! Source: architecture.md A9; kafka.md 4.4, 4.12.

use std::time::Duration;

use api::command::{Append, DeleteRecords, Fetch};
use api::error::{AppendError, MetadataError, PartitionError, ReadError};
use api::metadata::TopicFilter;
use api::{Command, Reply};
use broker::CoreMessage;
use broker::metadata::OFFSETS_TOPIC;
use model::ids::PartitionId;
use model::limits::{self, FETCHES_PER_CONNECTION_MAX};
use model::offset::Offset;

use crate::ask::{P0, append, batch, fetch, large_batch, named, offsets};
use crate::disk::Hold;
use crate::groups::{commit, was_committed};
use crate::rig::{Quorum, Rig};

#[test]
fn a_partition_of_another_shard_is_not_led_here() {
    let mut rig = Rig::of_two_shards();
    rig.create_wide("t", 2);
    let mut results = Vec::new();
    for partition in [0, 1].map(PartitionId::new) {
        let one = append(&rig, "t", batch(rig.now.wall.as_millis(), 1));
        let origin = rig.send(Command::Append(Append { partition, ..one }));
        results.push(rig.appended(origin).unwrap());
    }
    let not_leader = Err(AppendError::Partition(PartitionError::NotLeader));
    assert_eq!(
        results
            .iter()
            .filter(|result| **result == not_leader)
            .count(),
        1
    );
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[test]
fn too_many_readers_of_one_partition_are_told_so_and_keep_no_writer_out() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    let until = rig.deadline(30_000);
    let at_end = |rig: &mut Rig, connection| rig.send_fetch_from(connection, fetch("t", 0), until);
    let count = u64::try_from(limits::WAITERS_PER_PARTITION_MAX).unwrap();
    for connection in 0..count {
        at_end(&mut rig, connection);
    }
    assert!(rig.replies.is_empty());
    let origin = at_end(&mut rig, count);
    let busy = ReadError::Partition(PartitionError::Busy);
    assert_eq!(rig.fetched(origin), Some(Err(busy)));
    rig.pass(Duration::from_secs(31));
    assert_eq!(rig.replies.len(), limits::WAITERS_PER_PARTITION_MAX);
    rig.replies.clear();
    let until = rig.deadline(30_000);
    for connection in 0..count {
        rig.send_fetch_from(connection, fetch("t", 0), until);
    }
    assert_eq!(rig.fill("t", 1), 0, "a writer has room of its own");
}

#[test]
fn one_connection_cannot_take_the_room_of_all_readers() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    let until = rig.deadline(30_000);
    for _ in 0..FETCHES_PER_CONNECTION_MAX {
        rig.send_fetch_from(7, fetch("t", 0), until);
    }
    assert!(rig.replies.is_empty());
    let refused = rig.send_fetch_from(7, fetch("t", 0), until);
    let busy = ReadError::Partition(PartitionError::Busy);
    assert_eq!(rig.fetched(refused), Some(Err(busy)));
    rig.send_fetch_from(8, fetch("t", 0), until);
    assert!(rig.replies.is_empty(), "others have room");
}

#[test]
fn too_many_open_proposals_are_refused() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let create = |rig: &Rig, name: &str| Command::CreateTopics {
        topics: vec![Rig::new_topic(name, 1, &[])],
        validate_only: false,
        deadline: rig.deadline(1_000),
    };
    for at in 0..1_024 {
        let command = create(&rig, &format!("t{at}"));
        rig.send(command);
    }
    let command = create(&rig, "late");
    let Reply::TopicsCreated(created) = rig.ask(command) else {
        panic!("wrong kind")
    };
    assert!(matches!(created[0].1, Err(MetadataError::LimitReached(_))));
    // Producer ids need proposals too.
    let reply = rig.ask(Command::InitProducerId { current: None });
    assert!(matches!(
        reply,
        Reply::ProducerId(Err(MetadataError::LimitReached(_)))
    ));
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.replies.len(), 1_024);
}

#[test]
fn auto_creation_that_takes_too_long_is_answered_with_what_there_is() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let topics = TopicFilter::These(vec![named("new")]);
    let origin = rig.send(Command::Metadata {
        topics,
        auto_create: true,
    });
    rig.pass(Duration::from_secs(31));
    let Some(Reply::Metadata(view)) = rig.answer(origin) else {
        panic!("no answer")
    };
    assert_eq!(view.topics[0].1, Err(MetadataError::UnknownTopic));
}

#[test]
fn a_batch_exactly_as_large_as_a_segment_is_stored() {
    let mut rig = Rig::new();
    rig.create("t", &[("segment.bytes", "65536")]);
    let now = rig.now.wall.as_millis();
    let overhead = large_batch(now, 65_000).len() - 65_000;
    let exact = large_batch(now, 65_536 - overhead);
    assert_eq!(exact.len(), 65_536);
    for base in 0..3 {
        let appended = rig.append("t", exact.clone()).unwrap();
        assert_eq!(appended.base_offset, Offset::new(base));
    }
    rig.pass(Duration::from_secs(10));
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    rig.restart();
    assert_eq!(rig.read_all("t"), vec![(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn a_commit_larger_than_a_segment_of_the_offsets_topic_is_stored_or_refused() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    rig.create("t", &[]);
    rig.alter(OFFSETS_TOPIC, "segment.bytes", "65536");
    let offsets = (0..100).map(|at| api::group::OffsetToCommit {
        metadata: "n".repeat(4_000),
        ..crate::groups::at("t", at)
    });
    let mut large = commit("g", 0);
    let Command::CommitOffsets(inner) = &mut large else {
        panic!("wrong kind")
    };
    inner.offsets = offsets.collect();
    let origin = rig.send(large);
    assert!(was_committed(&mut rig, origin).is_some(), "it is answered");
    let origin = rig.send(commit("g", 3));
    assert_eq!(was_committed(&mut rig, origin), Some(Ok(())));
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
}

#[test]
fn more_durability_later_takes_nothing_back() {
    let mut rig = Rig::new();
    rig.create("t", &[("rapidmq.durability", "memory")]);
    rig.disk.hold = Hold::Writes;
    rig.fill("t", 2);
    rig.alter("t", "rapidmq.durability", "disk");
    assert_eq!(
        rig.read("t", 0),
        vec![(0, 1)],
        "what was visible stays visible"
    );
    let one = batch(rig.now.wall.as_millis(), 1);
    let origin = rig.send_append("t", one);
    assert!(rig.appended(origin).is_none());
    rig.release();
    assert!(rig.appended(origin).unwrap().is_ok());
}

#[test]
fn less_durability_answers_whoever_waits() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    rig.disk.hold = Hold::Writes;
    let one = batch(rig.now.wall.as_millis(), 1);
    let origin = rig.send_append("t", one);
    rig.alter("t", "rapidmq.durability", "memory");
    assert!(rig.appended(origin).unwrap().is_ok());
}

#[test]
fn a_parked_reader_at_the_end_stays_parked_when_records_before_it_are_deleted() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    rig.fill("t", 3);
    let until = rig.deadline(30_000);
    let origin = rig.send_fetch(fetch("t", 3), until);
    let deletion = DeleteRecords {
        topic: named("t"),
        partition: P0,
        before: None,
    };
    rig.ask(Command::DeleteRecords(deletion));
    assert!(rig.fetched(origin).is_none());
    rig.fill("t", 1);
    assert_eq!(
        offsets(&rig.fetched(origin).unwrap().unwrap()),
        vec![(3, 3)]
    );
}

#[test]
fn a_reader_that_waits_for_the_device_is_answered_when_it_is_cancelled_or_the_shard_stops() {
    for is_cancelled in [true, false] {
        let mut rig = Rig::new();
        rig.create("t", &[]);
        rig.fill("t", 3);
        rig.control(CoreMessage::Shutdown);
        rig.restart();
        rig.disk.hold = Hold::Reads;
        let origin = rig.send(Command::Fetch(fetch("t", 0)));
        assert!(rig.fetched(origin).is_none());
        if is_cancelled {
            let (topic, ticket) = (named("t"), origin.ticket);
            rig.send(Command::CancelFetch {
                topic,
                partition: P0,
                ticket,
            });
        } else {
            rig.control(CoreMessage::Shutdown);
        }
        let fetched = rig.fetched(origin).unwrap().unwrap();
        assert!(fetched.records.is_empty());
        rig.release();
        assert!(rig.replies.is_empty());
    }
}

#[test]
fn retention_by_time_moves_the_start_and_readers_below_it_are_told() {
    let mut rig = Rig::new();
    rig.create("t", &[("retention.ms", "60000"), ("segment.ms", "10000")]);
    rig.fill("t", 3);
    for _ in 0..40 {
        rig.pass(Duration::from_secs(10));
        rig.fill("t", 1);
    }
    rig.pass(Duration::from_secs(60));
    let below = rig.fetch(Fetch { ..fetch("t", 0) });
    assert!(
        matches!(below, Err(ReadError::OutOfRange { .. })),
        "{below:?}"
    );
}

#[test]
fn topics_that_come_and_go_leave_nothing_behind() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    let names: Vec<String> = (0..100).map(|at| format!("t{at}")).collect();
    for _ in 0..10 {
        for name in &names {
            rig.create(name, &[]);
        }
        rig.fill("t7", 3);
        let until = rig.deadline(30_000);
        let reader = rig.send_fetch(fetch("t9", 0), until);
        let topics = names.iter().map(|name| named(name)).collect();
        let deadline = rig.deadline(10_000);
        let reply = rig.ask(Command::DeleteTopics { topics, deadline });
        assert!(
            matches!(&reply, Reply::TopicsDeleted(each) if each.iter().all(|one| one.result.is_ok()))
        );
        assert!(matches!(rig.fetched(reader), Some(Err(_))));
        rig.pass(Duration::from_secs(30));
        let left = rig.disk.files.files().len();
        assert!(left <= 16, "files are removed: {left} are left");
        assert!(rig.shard().strays().is_empty());
    }
    assert!(rig.replies.is_empty());
}

#[test]
fn appends_that_the_disk_does_not_keep_up_with_are_refused_and_taken_again_later() {
    let mut rig = Rig::new();
    rig.create("t", &[("rapidmq.durability", "memory")]);
    rig.disk.hold = Hold::Writes;
    let batch = large_batch(rig.now.wall.as_millis(), 500 << 10);
    let mut taken = 0;
    let refused = loop {
        let origin = rig.send_append("t", batch.clone());
        match rig.appended(origin).unwrap() {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "nothing bounds what waits in memory");
    };
    assert_eq!(refused, AppendError::Partition(PartitionError::Busy));
    // Four times the tail memory of 4 MiB.
    assert!((32..36).contains(&taken), "{taken} batches");
    rig.release();
    let origin = rig.send_append("t", batch);
    let appended = rig.appended(origin).unwrap().unwrap();
    assert_eq!(
        appended.base_offset,
        Offset::new(taken),
        "a refused batch took no offset"
    );
}
