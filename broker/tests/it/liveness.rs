//! Tests that nobody waits for ever and nobody is misled: refused blocks, answers around a stop.
//!
//! Owns: answers in rare states that clients act upon.
//! Never: looks inside the shard.
//! Invariants: none.
//! Source: kafka.md 4.6 (a broker list is never empty), 4.16; KIP-98.

use std::sync::Arc;

use api::error::{GroupError, MetadataError};
use api::group::{Commit, CommittedQuery, MemberKey};
use api::metadata::TopicFilter;
use api::{Command, Origin, Reply};
use broker::CoreMessage;
use broker::metadata::{MetadataCommand, MetadataResult, StateMachine};
use model::ids::MetaIndex;

use crate::ask::{P0, batch, named};
use crate::disk::Hold;
use crate::groups::at;
use crate::rig::{Quorum, Rig};

fn id_of(rig: &mut Rig, origin: Origin) -> Option<Result<u64, MetadataError>> {
    match rig.answer(origin)? {
        Reply::ProducerId(result) => Some(result.map(|(id, _)| id.get())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_that_the_metadata_log_refuses_is_told_at_once_and_asked_for_again() {
    let mut rig = Rig::new();
    rig.quorum = Quorum::IsSilent;
    let origin = rig.send(Command::InitProducerId { current: None });
    let id = rig.proposals.pop_front().unwrap().id;
    // So the state machine answers when ids are exhausted.
    let why = MetadataError::LimitReached("producer ids are exhausted".to_owned());
    let result = Ok(MetadataResult::Each(vec![Err(why.clone())]));
    rig.control(CoreMessage::Proposed { id, result });
    assert_eq!(id_of(&mut rig, origin), Some(Err(why)));
    rig.quorum = Quorum::Commits;
    let origin = rig.send(Command::InitProducerId { current: None });
    assert!(matches!(id_of(&mut rig, origin), Some(Ok(_))));
}

#[test]
fn metadata_is_true_while_the_shard_stops_and_creates_nothing() {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    let topics = || TopicFilter::These(vec![named("t"), named("missing")]);
    let ask = |rig: &mut Rig, auto_create| {
        let topics = topics();
        match rig.ask(Command::Metadata {
            topics,
            auto_create,
        }) {
            Reply::Metadata(view) => view,
            other => panic!("{other:?}"),
        }
    };
    let before = ask(&mut rig, false);
    rig.disk.hold = Hold::Writes;
    let late = batch(rig.now.wall.as_millis(), 1);
    rig.send_append("t", late);
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 0, "the stop waits for a write");
    rig.quorum = Quorum::IsSilent;
    assert_eq!(ask(&mut rig, true), before);
    assert!(!before.brokers.is_empty());
    assert!(rig.proposals.is_empty());
}

fn commit(rig: &mut Rig, group: &str, topics: &[&str]) {
    let key = MemberKey {
        group: group.to_owned(),
        generation: None,
        member: String::new(),
        instance: None,
    };
    let offsets = topics.iter().map(|topic| at(topic, 7)).collect();
    let reply = rig.ask(Command::CommitOffsets(Commit { key, offsets }));
    assert!(matches!(reply, Reply::OffsetsCommitted(each) if each.iter().all(|one| one.2.is_ok())));
}

fn committed(rig: &mut Rig, group: &str, topic: &str) -> Result<Option<u64>, GroupError> {
    let query = CommittedQuery {
        group: group.to_owned(),
        partitions: Some(vec![(named(topic), P0)]),
    };
    match rig.ask(Command::FetchCommitted(query)) {
        Reply::CommittedOffsets(found) => {
            Ok(found?.remove(0).2?.offset.map(model::offset::Offset::get))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn commits_to_a_topic_deleted_while_down_are_forgotten_in_every_partition_that_is_loaded() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    let doomed = rig.create("doomed", &[]);
    rig.create("kept", &[]);
    // One group in each of the two partitions of the offsets topic.
    for group in ["g", "h"] {
        commit(&mut rig, group, &["doomed", "kept"]);
    }
    rig.control(CoreMessage::Shutdown);
    let index = MetaIndex::new(rig.image.index().get() + 1);
    let command = MetadataCommand::DeleteTopics(vec![doomed]);
    let (image, _, _) = StateMachine::apply(&rig.image, index, &command);
    rig.image = Arc::new(image);
    rig.restart_with(Hold::Reads);
    for _ in 0..20 {
        rig.release();
    }
    rig.disk.hold = Hold::Nothing;
    rig.create("doomed", &[]);
    for _ in 0..2 {
        for group in ["g", "h"] {
            assert_eq!(committed(&mut rig, group, "doomed"), Ok(None));
            assert_eq!(committed(&mut rig, group, "kept"), Ok(Some(7)));
        }
        // The tombstones are in the log.
        rig.restart();
    }
}
