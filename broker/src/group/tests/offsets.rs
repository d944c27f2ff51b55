//! OffsetCommit and OffsetFetch.

use super::*;

#[test]
fn a_member_commits_and_everything_round_trips() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    let ticket = bench.commit(key(&member.member, member.generation), &[(0, 5), (1, 6)]);
    assert_eq!(bench.committed(ticket), vec![Ok(()), Ok(())]);
    let all = bench.fetch_all(None);
    let orders = TopicKey::Name("orders".into());
    let expected = |offset: u64| Committed {
        offset: Some(Offset::new(offset)),
        leader_epoch: Some(LeaderEpoch::new(3)),
        metadata: format!("at {offset}"),
    };
    assert_eq!(
        all,
        vec![
            (orders.clone(), PartitionId::new(0), Ok(expected(5))),
            (orders, PartitionId::new(1), Ok(expected(6))),
        ]
    );
}

#[test]
fn nothing_committed_is_no_error() {
    let mut bench = Bench::new();
    assert_eq!(bench.fetch(0), None);
    assert!(bench.fetch_all(None).is_empty());
    let unknown = TopicKey::Name("gone".into());
    let fetched = bench.fetch_all(Some(vec![(unknown, PartitionId::new(9))]));
    let nothing = Committed {
        offset: None,
        leader_epoch: None,
        metadata: String::new(),
    };
    assert_eq!(fetched[0].2, Ok(nothing));
}

#[test]
fn offsets_are_found_and_committed_by_topic_id() {
    let mut bench = Bench::new();
    let id = TopicKey::Id(TopicId::from_bytes([1; 16]));
    let stranger = TopicKey::Id(TopicId::from_bytes([9; 16]));
    let by_id = |topic: &TopicKey| OffsetToCommit {
        topic: topic.clone(),
        ..element("", 2, 8)
    };
    let partition_99 = OffsetToCommit {
        partition: PartitionId::new(99),
        ..by_id(&id)
    };
    let offsets = vec![by_id(&id), by_id(&stranger), partition_99];
    let ticket = bench.send(Command::CommitOffsets(Commit {
        key: simple(),
        offsets,
    }));
    let unknown = Err(GroupError::UnknownTopicId);
    let beyond = Err(GroupError::UnknownTopicOrPartition);
    assert_eq!(bench.committed(ticket), vec![Ok(()), unknown, beyond]);
    assert_eq!(bench.fetch(2), Some(8));
    let two = PartitionId::new(2);
    let fetched = bench.fetch_all(Some(vec![(id.clone(), two), (stranger, two)]));
    assert_eq!(fetched[0].0, id, "the key comes back as asked");
    assert_eq!(fetched[0].2.as_ref().unwrap().offset, Some(Offset::new(8)));
    assert_eq!(fetched[1].2, Err(GroupError::UnknownTopicId));
}

#[test]
fn a_commit_is_seen_only_after_it_is_durable() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Stalls;
    let ticket = bench.commit(simple(), &[(0, 2)]);
    assert!(bench.take(ticket).is_none());
    assert_eq!(bench.fetch(0), Some(1));
    bench.release();
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    assert_eq!(bench.fetch(0), Some(2));
}

#[test]
fn a_commit_that_fails_is_never_seen() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stalls;
    let ticket = bench.commit(simple(), &[(0, 2)]);
    bench.reject();
    assert_eq!(bench.committed(ticket), vec![Err(GroupError::Storage)]);
    assert_eq!(bench.fetch(0), None);
}

#[test]
fn of_two_commits_in_flight_the_later_one_wins_in_any_order_of_reports() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stalls;
    bench.commit(simple(), &[(0, 9)]);
    bench.commit(simple(), &[(0, 4)]);
    bench.held.reverse();
    bench.release();
    assert_eq!(bench.fetch(0), Some(4));
}

#[test]
fn bad_elements_fail_alone() {
    let mut bench = Bench::new();
    let long = OffsetToCommit {
        metadata: "m".repeat(4_097),
        ..element("orders", 1, 1)
    };
    let limit = OffsetToCommit {
        metadata: "m".repeat(4_096),
        ..element("orders", 2, 1)
    };
    let offsets = vec![
        element("orders", 0, 1),
        element("nowhere", 0, 1),
        element("orders", 4, 1),
        long,
        limit,
    ];
    let ticket = bench.send(Command::CommitOffsets(Commit {
        key: simple(),
        offsets,
    }));
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    let large = Err(GroupError::MetadataTooLarge);
    assert_eq!(
        bench.committed(ticket),
        vec![Ok(()), unknown, unknown, large, Ok(())]
    );
    assert_eq!(bench.fetch_all(None).len(), 2);
}

#[test]
fn a_commit_of_nothing_valid_is_answered_at_once_and_makes_no_group() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stalls;
    for offsets in [Vec::new(), vec![element("nowhere", 0, 1)]] {
        let ticket = bench.send(Command::CommitOffsets(Commit {
            key: simple(),
            offsets,
        }));
        assert!(bench.take(ticket).is_some());
    }
    assert_eq!(bench.state(), GroupState::Dead);
}

#[test]
fn a_simple_consumer_commits_only_to_an_empty_group() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    assert_eq!(bench.state(), GroupState::Empty);
    bench.stable(1);
    let ticket = bench.commit(simple(), &[(0, 2)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Err(GroupError::UnknownMember)]
    );
    assert_eq!(bench.fetch(0), Some(1));
}

#[test]
fn commits_of_strangers_and_old_generations_are_refused() {
    let mut bench = Bench::new();
    let ticket = bench.commit(key("m", Generation::new(1)), &[(0, 1)]);
    assert_eq!(bench.committed(ticket), vec![Err(GroupError::NotFound)]);
    let member = bench.stable(1).remove(0);
    let stale = Generation::new(member.generation.get() + 1);
    let ticket = bench.commit(key(&member.member, stale), &[(0, 1)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Err(GroupError::IllegalGeneration)]
    );
    let ticket = bench.commit(key("stranger", member.generation), &[(0, 1)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Err(GroupError::UnknownMember)]
    );
}

#[test]
fn commits_are_accepted_while_members_join_and_refused_while_they_sync() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let leader = bench.join(dynamic(&members[0].member));
    let ticket = bench.commit(key(&members[1].member, members[1].generation), &[(0, 7)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Ok(())],
        "on partitions revoked"
    );
    let follower = bench.join(dynamic(&members[1].member));
    let joined = bench.joined(follower);
    bench.joined(leader);
    let ticket = bench.commit(key(&joined.member, joined.generation), &[(0, 8)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Err(GroupError::RebalanceInProgress)]
    );
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    for offset in 1..5 {
        bench.advance(SESSION_MS - 1);
        let ticket = bench.commit(key(&member.member, member.generation), &[(0, offset)]);
        assert_eq!(bench.committed(ticket), vec![Ok(())]);
    }
}

#[test]
fn the_empty_group_id_works_for_simple_consumers() {
    let mut bench = Bench::new();
    let nameless = MemberKey {
        group: String::new(),
        ..simple()
    };
    let ticket = bench.commit(nameless, &[(0, 3)]);
    assert_eq!(bench.committed(ticket), vec![Ok(())]);
    let query = CommittedQuery {
        group: String::new(),
        partitions: None,
    };
    match bench.ask(Command::FetchCommitted(query)) {
        Reply::CommittedOffsets(Ok(offsets)) => assert_eq!(offsets.len(), 1),
        other => panic!("{other:?}"),
    }
}
