//! Tests of the orderly stop.
//!
//! Owns: answers around a stop, the clean marker.
//! Never: looks at manifest bytes; recovery says whether a stop was clean.
//! Invariants: none.
//! Source: reliability.md 2.4.

use std::time::Duration;

use api::error::{AppendError, GroupError, MetadataError, PartitionError, ReadError};
use api::metadata::TopicFilter;
use api::{Command, Reply};
use broker::CoreMessage;
use model::ids::ShardId;
use storage::exec::recover;

use crate::ask::{batch, fetch, named};
use crate::disk::Hold;
use crate::groups::{commit, committed, join, was_committed};
use crate::rig::{Quorum, Rig};

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    rig.create("t", &[]);
    rig
}

fn is_clean(rig: &Rig) -> bool {
    let mut copy = rig.disk.files.clone();
    recover(&mut copy, ShardId::new(0), rig.now.wall.as_millis())
        .unwrap()
        .is_clean
}

#[test]
fn a_stop_leaves_the_clean_marker_and_everything_that_was_written() {
    let mut rig = rig();
    rig.fill("t", 3);
    rig.ask(commit("g", 5));
    assert!(!is_clean(&rig));
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    assert!(is_clean(&rig));
    rig.restart();
    assert!(!is_clean(&rig), "a start takes the marker back");
    assert_eq!(rig.read("t", 0), vec![(0, 2)]);
    assert_eq!(rig.fill("t", 1), 3);
    assert_eq!(committed(&mut rig, "g"), Ok(Some(5)));
}

#[test]
fn a_shard_without_topics_stops() {
    let mut rig = Rig::new();
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    assert!(is_clean(&rig));
}

#[test]
fn a_stop_is_reported_once_and_only_when_everything_is_durable() {
    let mut rig = rig();
    rig.disk.hold = Hold::Writes;
    let late = batch(rig.now.wall.as_millis(), 1);
    let append = rig.send_append("t", late);
    let offsets = rig.send(commit("g", 5));
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 0);
    assert!(rig.appended(append).is_none());
    rig.release();
    assert_eq!(rig.stops, 1);
    assert!(rig.appended(append).unwrap().is_ok(), "it became durable");
    assert_eq!(was_committed(&mut rig, offsets), Some(Ok(())));
    rig.control(CoreMessage::Shutdown);
    rig.pass(Duration::from_secs(100));
    assert_eq!(rig.stops, 1);
}

#[test]
fn commands_are_refused_while_the_shard_stops() {
    let mut rig = rig();
    rig.fill("t", 1);
    rig.disk.hold = Hold::Writes;
    let late = batch(rig.now.wall.as_millis(), 1);
    rig.send_append("t", late);
    rig.control(CoreMessage::Shutdown);
    let refused = PartitionError::NotLeader;
    let late = batch(rig.now.wall.as_millis(), 1);
    assert_eq!(
        rig.append("t", late),
        Err(AppendError::Partition(refused.clone()))
    );
    assert_eq!(rig.fetch(fetch("t", 0)), Err(ReadError::Partition(refused)));
    assert_eq!(committed(&mut rig, "g"), Err(GroupError::NotAvailable));
    let topics = vec![named("t")];
    let deadline = rig.deadline(1_000);
    let reply = rig.ask(Command::DeleteTopics {
        topics: topics.clone(),
        deadline,
    });
    assert!(matches!(&reply, Reply::TopicsDeleted(each) if each[0].result.is_err()));
    let topics = TopicFilter::These(topics);
    rig.ask(Command::Metadata {
        topics,
        auto_create: true,
    });
}

#[test]
fn whoever_waits_is_answered_before_the_stop_is_reported() {
    let mut rig = rig();
    let until = rig.deadline(60_000);
    let reader = rig.send_fetch(fetch("t", 0), until);
    let member = rig.send(join(""));
    rig.quorum = Quorum::IsSilent;
    let (topics, deadline) = (vec![Rig::new_topic("new", 1, &[])], rig.deadline(60_000));
    let creation = rig.send(Command::CreateTopics {
        topics,
        validate_only: false,
        deadline,
    });
    let producer = rig.send(Command::InitProducerId { current: None });
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    assert!(rig.fetched(reader).unwrap().unwrap().records.is_empty());
    let Some(Reply::TopicsCreated(created)) = rig.answer(creation) else {
        panic!("no answer")
    };
    assert_eq!(created[0].1, Err(MetadataError::TimedOut));
    let late = rig.answer(producer);
    assert!(matches!(
        late,
        Some(Reply::ProducerId(Err(MetadataError::TimedOut)))
    ));
    assert!(matches!(rig.answer(member), Some(Reply::Joined(Err(_)))));
    rig.pass(Duration::from_secs(100));
    assert!(rig.replies.is_empty(), "nobody is answered twice");
}

#[test]
fn deltas_are_acknowledged_while_the_shard_stops() {
    let mut rig = rig();
    rig.disk.hold = Hold::Writes;
    let late = batch(rig.now.wall.as_millis(), 1);
    rig.send_append("t", late);
    rig.control(CoreMessage::Shutdown);
    let before = rig.applied.len();
    rig.create_other("x");
    assert_eq!(rig.applied.len(), before + 1);
    rig.release();
    assert_eq!(rig.stops, 1);
}
