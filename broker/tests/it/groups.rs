//! Tests of consumer groups through the shard: records become durable, are loaded again, and are refused
//! while they load.
//!
//! Owns: what depends on the log of the offsets topic.
//! Never: tests the rules of a group; unit tests of `group` do.
//! Invariants: none.
//! Source: kafka.md 4.8.

use std::time::Duration;

use api::error::GroupError;
use api::group::{Commit, CommittedQuery, Join, Joined, MemberKey, OffsetToCommit, Sync};
use api::{Command, Origin, Reply};
use broker::CoreMessage;
use broker::metadata::group_partition;
use bytes::Bytes;
use model::ids::{PartitionId, ShardId};
use model::offset::Offset;

use crate::ask::{P0, named};
use crate::disk::Hold;
use crate::rig::{OWN, Rig};

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    rig.create("t", &[]);
    rig
}

pub(crate) fn join(member: &str) -> Command {
    Command::JoinGroup(Join {
        group: "g".to_owned(),
        member: member.to_owned(),
        instance: None,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"meta"))],
        requires_known_member: false,
        can_skip_assignment: true,
    })
}

fn key(group: &str, member: Option<&Joined>) -> MemberKey {
    MemberKey {
        group: group.to_owned(),
        generation: member.map(|member| member.generation),
        member: member
            .map(|member| member.member.clone())
            .unwrap_or_default(),
        instance: None,
    }
}

pub(crate) fn commit(group: &str, offset: u64) -> Command {
    Command::CommitOffsets(Commit {
        key: key(group, None),
        offsets: vec![at("t", offset)],
    })
}

pub(crate) fn at(topic: &str, offset: u64) -> OffsetToCommit {
    OffsetToCommit {
        topic: named(topic),
        partition: P0,
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: "m".to_owned(),
    }
}

pub(crate) fn committed(rig: &mut Rig, group: &str) -> Result<Option<u64>, GroupError> {
    let partitions = Some(vec![(named("t"), P0)]);
    let query = CommittedQuery {
        group: group.to_owned(),
        partitions,
    };
    let reply = rig.ask(Command::FetchCommitted(query));
    let Reply::CommittedOffsets(result) = reply else {
        panic!("{reply:?}")
    };
    Ok(result?.remove(0).2?.offset.map(Offset::get))
}

pub(crate) fn was_committed(rig: &mut Rig, origin: Origin) -> Option<Result<(), GroupError>> {
    let reply = rig.answer(origin)?;
    let Reply::OffsetsCommitted(mut each) = reply else {
        panic!("{reply:?}")
    };
    Some(each.remove(0).2)
}

/// Brings a group of one member to its stable state.
fn stable(rig: &mut Rig) -> Joined {
    let origin = rig.send(join(""));
    rig.pass(Duration::from_secs(4));
    let Some(Reply::Joined(Ok(joined))) = rig.answer(origin) else {
        panic!("did not join")
    };
    let assignments = vec![(joined.member.clone(), Bytes::from_static(b"mine"))];
    let sync = Sync {
        key: key("g", Some(&joined)),
        protocol_type: None,
        protocol: None,
        assignments,
    };
    let reply = rig.ask(Command::SyncGroup(sync));
    let Reply::Synced(Ok(synced)) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(synced.assignment.as_ref(), b"mine");
    joined
}

#[test]
fn a_member_joins_syncs_commits_and_fetches() {
    let mut rig = rig();
    let joined = stable(&mut rig);
    let reply = rig.ask(Command::Heartbeat(key("g", Some(&joined))));
    assert!(matches!(reply, Reply::Heartbeat(Ok(()))));
    let key = key("g", Some(&joined));
    let origin = rig.send(Command::CommitOffsets(Commit {
        key,
        offsets: vec![at("t", 7)],
    }));
    assert_eq!(was_committed(&mut rig, origin), Some(Ok(())));
    assert_eq!(committed(&mut rig, "g"), Ok(Some(7)));
    assert_eq!(committed(&mut rig, "other"), Ok(None));
}

#[test]
fn a_commit_is_answered_and_visible_only_when_it_is_durable() {
    let mut rig = rig();
    rig.disk.hold = Hold::Writes;
    let origin = rig.send(commit("g", 5));
    assert!(was_committed(&mut rig, origin).is_none());
    assert_eq!(committed(&mut rig, "g"), Ok(None));
    rig.release();
    assert_eq!(was_committed(&mut rig, origin), Some(Ok(())));
    assert_eq!(committed(&mut rig, "g"), Ok(Some(5)));
}

#[test]
fn a_commit_waits_for_the_device_whatever_durability_topics_have() {
    let mut rig = rig();
    rig.alter_all("rapidmq.durability", "memory");
    rig.disk.hold = Hold::Writes;
    assert_eq!(rig.fill("t", 1), 0, "records are acknowledged from memory");
    let origin = rig.send(commit("g", 1));
    assert!(was_committed(&mut rig, origin).is_none());
    rig.release();
    assert_eq!(was_committed(&mut rig, origin), Some(Ok(())));
}

#[test]
fn commits_and_members_survive_a_crash() {
    let mut rig = rig();
    let joined = stable(&mut rig);
    let member = key("g", Some(&joined));
    for offset in 1..=3 {
        let commit = Commit {
            key: member.clone(),
            offsets: vec![at("t", offset)],
        };
        rig.ask(Command::CommitOffsets(commit));
    }
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(Some(3)));
    let reply = rig.ask(Command::Heartbeat(member));
    assert!(matches!(reply, Reply::Heartbeat(Ok(()))), "{reply:?}");
}

#[test]
fn commits_survive_an_orderly_stop_and_are_refused_as_loading_until_they_are_read() {
    let mut rig = rig();
    rig.ask(commit("g", 5));
    rig.control(CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    rig.restart_with(Hold::Reads);
    assert_eq!(committed(&mut rig, "g"), Err(GroupError::Loading));
    let reply = rig.ask(join(""));
    assert!(matches!(&reply, Reply::Joined(Err(refused)) if refused.error == GroupError::Loading));
    let reply = rig.ask(Command::ListGroups {
        shard: ShardId::new(0),
    });
    assert!(matches!(reply, Reply::Groups(Err(GroupError::Loading))));
    for _ in 0..20 {
        rig.release();
    }
    assert_eq!(committed(&mut rig, "g"), Ok(Some(5)));
}

/// Two groups, each in its own partition of the offsets topic.
fn two_groups() -> (String, String) {
    let partition = |group: &str| group_partition(group, 2);
    let first = "g0".to_owned();
    let other = (1..100)
        .map(|at| format!("g{at}"))
        .find(|other| partition(other) != partition(&first));
    (first, other.unwrap())
}

#[test]
fn a_partition_of_commits_that_cannot_be_read_is_closed_and_said_so() {
    let mut rig = rig();
    let (closed, open) = two_groups();
    rig.ask(commit(&closed, 5));
    rig.control(CoreMessage::Shutdown);
    rig.disk.is_unreadable = true;
    rig.restart();
    rig.disk.is_unreadable = false;
    // Looking the coordinator up again would lead here again: the client is told to wait.
    assert_eq!(committed(&mut rig, &closed), Err(GroupError::NotAvailable));
    let origin = rig.send(commit(&closed, 6));
    let refused = Some(Err(GroupError::NotAvailable));
    assert_eq!(was_committed(&mut rig, origin), refused);
    // A list without the groups of that partition would be a lie.
    let reply = rig.ask(Command::ListGroups {
        shard: ShardId::new(0),
    });
    assert!(matches!(
        reply,
        Reply::Groups(Err(GroupError::NotAvailable))
    ));
    rig.ask(commit(&open, 7));
    assert_eq!(committed(&mut rig, &open), Ok(Some(7)));
}

#[test]
fn many_commits_are_loaded_in_steps() {
    let mut rig = rig();
    let noise = "n".repeat(4_000);
    for round in 0..30_u64 {
        let offsets = (0..100)
            .map(|_| OffsetToCommit {
                metadata: noise.clone(),
                ..at("t", round)
            })
            .collect();
        rig.send(Command::CommitOffsets(Commit {
            key: key("g", None),
            offsets,
        }));
    }
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(Some(29)));
}

#[test]
fn commits_of_a_deleted_topic_are_forgotten_for_good() {
    let mut rig = rig();
    rig.ask(commit("g", 5));
    assert_eq!(rig.delete_topic(named("t")), Ok(()));
    rig.create("t", &[]);
    assert_eq!(committed(&mut rig, "g"), Ok(None));
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(None));
}

/// Commits, then deletes and recreates the topic while the disk takes nothing.
fn recreated_on_a_full_disk() -> Rig {
    let mut rig = rig();
    rig.ask(commit("g", 5));
    rig.disk.free = 1 << 20;
    rig.pass(Duration::from_secs(11));
    assert_eq!(rig.delete_topic(named("t")), Ok(()));
    rig.create("t", &[]);
    assert_eq!(committed(&mut rig, "g"), Ok(None), "of another topic");
    rig.disk.free = 1 << 40;
    rig.pass(Duration::from_secs(11));
    rig
}

#[test]
fn commits_of_a_deleted_topic_are_forgotten_for_good_although_the_disk_was_full() {
    let mut rig = recreated_on_a_full_disk();
    rig.pass(Duration::from_secs(60));
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(None));
}

#[test]
fn what_is_forgotten_late_takes_no_newer_commit_along() {
    let mut rig = recreated_on_a_full_disk();
    rig.ask(commit("g", 1));
    rig.pass(Duration::from_secs(60));
    assert_eq!(committed(&mut rig, "g"), Ok(Some(1)));
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(Some(1)));
}

#[test]
fn the_coordinator_is_this_broker_once_the_offsets_topic_exists() {
    let mut rig = Rig::new();
    let find = || Command::FindCoordinator {
        group: "g".to_owned(),
    };
    let reply = rig.ask(find());
    assert!(matches!(
        reply,
        Reply::Coordinator(Err(GroupError::NotAvailable))
    ));
    let reply = rig.ask(join(""));
    assert!(matches!(&reply, Reply::Joined(Err(one)) if one.error == GroupError::NotAvailable));
    rig.create_offsets_topic();
    let reply = rig.ask(find());
    let Reply::Coordinator(Ok(endpoint)) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((endpoint.id, endpoint.port), (OWN, 9092));
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let mut rig = rig();
    rig.ask(commit("g", 5));
    rig.ask(commit("h", 6));
    let reply = rig.ask(Command::ListGroups {
        shard: ShardId::new(0),
    });
    let Reply::Groups(Ok(groups)) = reply else {
        panic!("{reply:?}")
    };
    let names: Vec<_> = groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, vec!["g", "h"]);
    let reply = rig.ask(Command::DescribeGroup {
        group: "g".to_owned(),
    });
    assert!(
        matches!(&reply, Reply::Group(Ok(view)) if view.members.is_empty()),
        "{reply:?}"
    );
    let reply = rig.ask(Command::DeleteGroup {
        group: "g".to_owned(),
    });
    assert!(matches!(reply, Reply::GroupDeleted(Ok(()))), "{reply:?}");
    rig.restart();
    assert_eq!(committed(&mut rig, "g"), Ok(None));
    assert_eq!(committed(&mut rig, "h"), Ok(Some(6)));
}

#[test]
fn single_commits_are_deleted() {
    let mut rig = rig();
    rig.ask(commit("g", 5));
    let partitions = vec![(named("t"), P0), (named("t"), PartitionId::new(9))];
    let reply = rig.ask(Command::DeleteOffsets {
        group: "g".to_owned(),
        partitions,
    });
    let Reply::CommitsDeleted(Ok(each)) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(each[0].2, Ok(()));
    assert_eq!(each[1].2, Err(GroupError::UnknownTopicOrPartition));
    assert_eq!(committed(&mut rig, "g"), Ok(None));
}

#[test]
fn a_commit_that_the_disk_refuses_is_told() {
    let mut rig = rig();
    rig.disk.free = 1 << 20;
    rig.pass(Duration::from_secs(11));
    let origin = rig.send(commit("g", 5));
    assert!(matches!(was_committed(&mut rig, origin), Some(Err(_))));
    assert_eq!(committed(&mut rig, "g"), Ok(None));
}
