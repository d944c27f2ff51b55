//! Expiry of offsets and groups; deleted topics.

use super::*;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const WEEK_MS: u64 = 7 * DAY_MS;

#[test]
fn offsets_of_a_simple_consumer_expire_a_week_after_the_commit() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.advance(DAY_MS);
    let ticket = bench.commit(simple(), &[(1, 1)]);
    bench.committed(ticket);
    bench.advance(6 * DAY_MS - MINUTE_MS);
    assert_eq!(bench.fetch(0), Some(1));
    bench.advance(20 * MINUTE_MS);
    assert_eq!((bench.fetch(0), bench.fetch(1)), (None, Some(1)));
    bench.restart();
    assert_eq!(
        (bench.fetch(0), bench.fetch(1)),
        (None, Some(1)),
        "the tombstone is in the log"
    );
    bench.advance(DAY_MS + 20 * MINUTE_MS);
    assert_eq!(
        bench.state(),
        GroupState::Dead,
        "nothing is left of the group"
    );
    bench.restart();
    assert_eq!(bench.state(), GroupState::Dead);
}

#[test]
fn offsets_of_a_consumer_group_expire_a_week_after_it_became_empty() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    let ticket = bench.commit(key(&member.member, member.generation), &[(0, 1)]);
    bench.committed(ticket);
    for _ in 0..8 * DAY_MS / 9_000 {
        bench.advance(9_000);
        bench.beat(&member).unwrap();
    }
    assert_eq!(bench.fetch(0), Some(1), "the member subscribes to it");
    bench.leave(&[(&member.member, None)]);
    bench.advance(WEEK_MS - MINUTE_MS);
    assert_eq!(bench.fetch(0), Some(1));
    bench.advance(20 * MINUTE_MS);
    assert_eq!(bench.state(), GroupState::Dead);
    let group_tombstones = bench
        .log
        .iter()
        .filter(|record| record.value.is_none())
        .count();
    assert_eq!(group_tombstones, 2, "one for the offset, one for the group");
}

#[test]
fn an_active_group_loses_offsets_of_topics_nobody_subscribes_to() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    let offsets = vec![element("orders", 0, 1), element("bills", 0, 1)];
    let key = key(&member.member, member.generation);
    let ticket = bench.send(Command::CommitOffsets(Commit { key, offsets }));
    bench.committed(ticket);
    for _ in 0..(WEEK_MS + 20 * MINUTE_MS) / 9_000 {
        bench.advance(9_000);
        bench.beat(&member).unwrap();
    }
    let left = bench.fetch_all(None);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, TopicKey::Name("orders".into()));
}

#[test]
fn an_empty_group_without_offsets_goes_after_a_while() {
    let mut bench = Bench::new();
    bench.join(dynamic(""));
    assert_eq!(bench.state(), GroupState::Empty);
    bench.advance(20 * MINUTE_MS);
    assert_eq!(bench.state(), GroupState::Dead);
    assert!(bench.log.is_empty(), "it never had a record");
    assert_eq!(bench.coordinator.poll_timeout(), None);
}

#[test]
fn expiry_that_cannot_be_written_is_tried_again() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Fails;
    bench.advance(WEEK_MS + 60 * MINUTE_MS);
    assert_eq!(bench.fetch(0), Some(1));
    bench.disk = Disk::Works;
    bench.advance(20 * MINUTE_MS);
    assert_eq!(bench.fetch(0), None);
}

#[test]
fn a_commit_in_flight_does_not_expire() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.advance(WEEK_MS - MINUTE_MS);
    bench.disk = Disk::Stalls;
    let ticket = bench.commit(simple(), &[(0, 2)]);
    bench.advance(20 * MINUTE_MS);
    bench.disk = Disk::Works;
    bench.release();
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    assert_eq!(bench.fetch(0), Some(2));
}

#[test]
fn commits_of_a_deleted_topic_are_forgotten() {
    let mut bench = Bench::new();
    let offsets = vec![element("orders", 0, 1), element("bills", 0, 1)];
    let ticket = bench.send(Command::CommitOffsets(Commit {
        key: simple(),
        offsets,
    }));
    bench.committed(ticket);
    bench.disk = Disk::Stalls;
    let in_flight = bench.commit(simple(), &[(1, 1)]);
    bench.delete_topic("orders");
    bench.pump();
    bench.release();
    assert_eq!(bench.committed(in_flight), vec![Ok(())]);
    assert_eq!(bench.fetch_all(None).len(), 1);
    bench.restart();
    assert_eq!(bench.fetch_all(None).len(), 1);
}

#[test]
fn a_commit_after_the_deletion_of_a_topic_survives_its_tombstone() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Stalls;
    bench.delete_topic("orders");
    bench.pump();
    bench.commit(simple(), &[(0, 0)]);
    bench.held.reverse();
    for (write, _) in std::mem::take(&mut bench.held) {
        bench.coordinator.handle_persisted(bench.now, write, true);
    }
    bench.pump();
    assert_eq!(bench.fetch(0), Some(0));
}

#[test]
fn tombstones_come_in_bounded_batches() {
    let mut bench = Bench::new();
    bench
        .topics
        .0
        .insert("wide".into(), (TopicId::from_bytes([3; 16]), 5_000));
    let offsets = (0..2_500)
        .map(|partition| element("wide", partition, 1))
        .collect();
    let ticket = bench.send(Command::CommitOffsets(Commit {
        key: simple(),
        offsets,
    }));
    bench.committed(ticket);
    bench.disk = Disk::Stalls;
    bench.delete_topic("wide");
    bench.pump();
    let sizes: Vec<usize> = bench
        .held
        .iter()
        .map(|(_, records)| records.len())
        .collect();
    assert_eq!(sizes, [1_000, 1_000, 500]);
    bench.release();
    assert!(bench.fetch_all(None).is_empty());
}

#[test]
fn commits_to_topics_that_do_not_exist_are_forgotten_on_request() {
    let mut bench = Bench::new();
    let offsets = vec![element("orders", 0, 1), element("bills", 0, 1)];
    let ticket = bench.send(Command::CommitOffsets(Commit {
        key: simple(),
        offsets,
    }));
    bench.committed(ticket);
    bench.topics.0.remove("orders");
    bench.restart();
    let topics = bench.topics.clone();
    bench.coordinator.retain_topics(bench.now, &topics);
    bench.pump();
    let left = bench.fetch_all(None);
    assert_eq!(
        (left.len(), &left[0].0),
        (1, &TopicKey::Name("bills".into()))
    );
}
