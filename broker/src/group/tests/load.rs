//! Restart, loading and unloading.

use super::*;
use crate::group::records::{OffsetValue, offset_record};

#[test]
fn a_restarted_broker_keeps_generation_members_and_assignments() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    let ticket = bench.commit(key(&members[0].member, members[0].generation), &[(0, 5)]);
    bench.committed(ticket);
    let before = bench.view();
    bench.restart();
    assert_eq!(bench.view(), before);
    for member in &members {
        assert_eq!(bench.beat(member), Ok(()), "no rebalance");
        let ticket = bench.sync(member, &[]);
        assert_eq!(bench.synced(ticket).unwrap().assignment, "part");
    }
    let ticket = bench.commit(key(&members[1].member, members[1].generation), &[(0, 6)]);
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    let ticket = bench.join(dynamic(&members[0].member));
    assert!(bench.take(ticket).is_none(), "it still leads");
}

#[test]
fn restored_members_get_a_whole_session_and_are_dropped_after_it() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    bench.advance(SESSION_MS - 1);
    bench.restart();
    bench.advance(SESSION_MS - 1);
    assert_eq!(bench.beat(&members[0]), Ok(()));
    bench.advance(1);
    assert_eq!(bench.beat(&members[1]), Err(GroupError::UnknownMember));
    assert_eq!(
        bench.beat(&members[0]),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn restored_static_members_are_still_fenced_by_instance() {
    let mut bench = Bench::new();
    let ticket = bench.join(fixed("one", ""));
    let joined = bench.joined(ticket);
    let ticket = bench.sync(&joined, &[(&joined.member, "all")]);
    bench.synced(ticket).unwrap();
    bench.restart();
    let ticket = bench.join(fixed("one", ""));
    let back = bench.joined(ticket);
    assert_eq!(back.generation, joined.generation);
    let old = MemberKey {
        instance: Some("one".into()),
        ..key(&joined.member, joined.generation)
    };
    assert_eq!(bench.beat_key(old), Err(GroupError::FencedInstance));
    let ticket = bench.sync(&back, &[]);
    assert_eq!(bench.synced(ticket).unwrap().assignment, "all");
}

#[test]
fn a_generation_that_was_not_synced_is_not_restored() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    bench.join(dynamic(&members[0].member));
    bench.join(dynamic(&members[1].member));
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    bench.restart();
    assert_eq!(bench.state(), GroupState::Stable);
    assert_eq!(
        bench.beat(&members[0]),
        Ok(()),
        "of the last synced generation"
    );
}

#[test]
fn a_partition_answers_loading_until_it_is_read() {
    let mut bench = Bench::new();
    bench.stable(1);
    bench.coordinator.begin_load(PARTITION);
    assert!(!bench.coordinator.is_loaded(PARTITION));
    let ticket = bench.join(dynamic(""));
    assert_eq!(bench.refused(ticket).error, GroupError::Loading);
    assert_eq!(
        bench.beat_key(key("m", Generation::new(1))),
        Err(GroupError::Loading)
    );
    let ticket = bench.commit(simple(), &[(0, 1)]);
    assert_eq!(bench.committed(ticket), vec![Err(GroupError::Loading)]);
    let origin = bench.origin();
    bench.coordinator.list(bench.now, origin);
    bench.pump();
    let listed = bench.take(origin.ticket.0);
    assert!(matches!(
        listed,
        Some(Reply::Groups(Err(GroupError::Loading)))
    ));
    bench.load();
    assert!(bench.coordinator.is_loaded(PARTITION));
    assert_eq!(bench.state(), GroupState::Stable);
}

#[test]
fn a_topic_deleted_while_loading_is_forgotten_after_it() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.coordinator.begin_load(PARTITION);
    for record in &bench.log {
        let value = record.value.as_deref();
        bench
            .coordinator
            .replay(PARTITION, &record.key, value, bench.now.wall);
    }
    bench.delete_topic("orders");
    let topics = bench.topics.clone();
    bench.coordinator.finish_load(bench.now, PARTITION, &topics);
    bench.pump();
    assert_eq!(bench.fetch(0), None);
}

#[test]
fn commits_to_an_earlier_topic_of_the_same_name_are_left_out() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 7), (1, 8)]);
    bench.committed(ticket);
    // Deleted and made again; the process died before the tombstones were durable.
    let (_, partitions) = bench.topics.0["orders"];
    let again = (TopicId::from_bytes([77; 16]), partitions);
    bench.topics.0.insert("orders".to_owned(), again);
    bench.restart();
    assert_eq!((bench.fetch(0), bench.fetch(1)), (None, None));
    let ticket = bench.commit(simple(), &[(1, 2)]);
    bench.committed(ticket);
    bench.restart();
    assert_eq!(bench.fetch(0), None);
    assert_eq!(bench.fetch(1), Some(2));
}

#[test]
fn commits_of_older_records_name_no_topic_and_are_taken_by_name() {
    let mut bench = Bench::new();
    let value = OffsetValue {
        offset: Offset::new(5),
        leader_epoch: None,
        metadata: String::new(),
        committed_at: bench.now.wall,
        topic_id: None,
    };
    let record = offset_record(GROUP, "orders", PartitionId::new(0), &value);
    bench.log.push(record);
    bench.restart();
    assert_eq!(bench.fetch(0), Some(5));
}

#[test]
fn a_partition_given_up_answers_everyone_who_waits() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let parked_join = bench.join(dynamic(&members[0].member));
    bench.disk = Disk::Stalls;
    let key = key(&members[1].member, members[1].generation);
    let parked_commit = bench.commit(key, &[(0, 1)]);
    bench.coordinator.unload(PARTITION);
    bench.pump();
    assert_eq!(bench.refused(parked_join).error, GroupError::NotCoordinator);
    assert_eq!(
        bench.committed(parked_commit),
        vec![Err(GroupError::NotCoordinator)]
    );
    bench.release();
    assert_eq!(bench.unanswered(), 0);
    assert_eq!(bench.coordinator.poll_timeout(), None, "no timer is left");
    let ticket = bench.join(dynamic(""));
    assert_eq!(bench.refused(ticket).error, GroupError::NotCoordinator);
}

#[test]
fn a_parked_sync_and_a_deletion_are_answered_when_the_partition_is_given_up() {
    let mut bench = Bench::new();
    let ticket = bench.join(old_client(""));
    let joined = bench.joined(ticket);
    bench.disk = Disk::Stalls;
    let parked = bench.sync(&joined, &[]);
    let other = MemberKey {
        group: "other".into(),
        ..simple()
    };
    bench.commit(other, &[(0, 1)]);
    let deleted = bench.send(Command::DeleteGroup {
        group: "other".into(),
    });
    bench.coordinator.unload(PARTITION);
    bench.pump();
    assert_eq!(bench.synced(parked), Err(GroupError::NotCoordinator));
    let refused = bench.take(deleted);
    assert!(matches!(
        refused,
        Some(Reply::GroupDeleted(Err(GroupError::NotCoordinator)))
    ));
    assert_eq!(bench.unanswered(), 0);
}

#[test]
fn damaged_and_foreign_records_are_counted_and_skipped() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    let good = bench.log[0].clone();
    let record = |key: &[u8], value: &[u8]| GroupRecord {
        key: Bytes::copy_from_slice(key),
        value: Some(Bytes::copy_from_slice(value)),
    };
    bench.log.push(record(&[0, 9, 1, 2, 3], &[0, 3]));
    bench.log.push(record(&good.key, &[0, 99]));
    bench.log.push(record(&good.key, &[0, 3, 0]));
    bench.log.push(record(&[0], &[]));
    bench.restart();
    assert_eq!(bench.coordinator.skipped_records(), 4);
    assert_eq!(bench.fetch(0), Some(1));
}
