//! Describe, list, delete.

use super::*;

fn delete(bench: &mut Bench) -> Result<(), GroupError> {
    match bench.ask(Command::DeleteGroup {
        group: GROUP.into(),
    }) {
        Reply::GroupDeleted(result) => result,
        other => panic!("{other:?}"),
    }
}

fn delete_offsets(
    bench: &mut Bench,
    elements: &[(&str, u32)],
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let element =
        |(topic, at): &(&str, u32)| (TopicKey::Name((*topic).into()), PartitionId::new(*at));
    let partitions = elements.iter().map(element).collect();
    match bench.ask(Command::DeleteOffsets {
        group: GROUP.into(),
        partitions,
    }) {
        Reply::CommitsDeleted(result) => {
            result.map(|results| results.into_iter().map(|(_, _, result)| result).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_group_is_described_as_dead() {
    let mut bench = Bench::new();
    let view = bench.view();
    assert_eq!(
        (view.state, view.group.as_str(), view.members.len()),
        (GroupState::Dead, GROUP, 0)
    );
}

#[test]
fn a_stable_group_is_described_with_metadata_and_assignments() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let view = bench.view();
    assert_eq!(
        (view.protocol.as_str(), view.protocol_type.as_str()),
        ("range", "consumer")
    );
    for member in &view.members {
        assert!(members.iter().any(|joined| joined.member == member.member));
        assert_eq!(member.metadata, subscription(&["orders"], b""));
        assert_eq!(member.assignment, "part");
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("app", "/10.0.0.9")
        );
    }
    bench.join(dynamic(&members[0].member));
    let view = bench.view();
    assert_eq!(
        (view.state, view.protocol.as_str()),
        (GroupState::PreparingRebalance, "")
    );
    assert!(
        view.members
            .iter()
            .all(|member| member.assignment.is_empty())
    );
}

#[test]
fn groups_are_listed_with_their_state_and_type() {
    let mut bench = Bench::new();
    bench.stable(1);
    let other = MemberKey {
        group: "audit".into(),
        ..simple()
    };
    bench.commit(other, &[(0, 1)]);
    let origin = bench.origin();
    bench.coordinator.list(bench.now, origin);
    bench.pump();
    let listed = match bench.take(origin.ticket.0) {
        Some(Reply::Groups(Ok(groups))) => groups,
        other => panic!("{other:?}"),
    };
    let lines: Vec<_> = listed
        .iter()
        .map(|line| (&*line.group, &*line.protocol_type, line.state))
        .collect();
    assert_eq!(
        lines,
        [
            ("audit", "", GroupState::Empty),
            (GROUP, "consumer", GroupState::Stable)
        ]
    );
}

#[test]
fn a_group_with_members_or_unknown_is_not_deleted() {
    let mut bench = Bench::new();
    assert_eq!(delete(&mut bench), Err(GroupError::NotFound));
    bench.stable(1);
    assert_eq!(delete(&mut bench), Err(GroupError::NonEmpty));
}

#[test]
fn a_deleted_group_is_gone_with_its_offsets_for_good() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1), (1, 2)]);
    bench.committed(ticket);
    let members = bench.stable(1);
    bench.leave(&[(&members[0].member, None)]);
    assert_eq!(delete(&mut bench), Ok(()));
    assert_eq!(bench.state(), GroupState::Dead);
    assert_eq!(bench.fetch(0), None);
    bench.restart();
    assert_eq!(bench.state(), GroupState::Dead);
    assert!(bench.fetch_all(None).is_empty());
    assert_eq!(delete(&mut bench), Err(GroupError::NotFound));
}

#[test]
fn a_group_that_is_being_deleted_asks_its_clients_to_wait() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Stalls;
    let pending = bench.commit(simple(), &[(1, 1)]);
    let deleted = bench.send(Command::DeleteGroup {
        group: GROUP.into(),
    });
    assert!(bench.take(deleted).is_none());
    assert_eq!(bench.fetch(0), Some(1), "until the tombstone is durable");
    let ticket = bench.commit(simple(), &[(0, 2)]);
    assert_eq!(bench.committed(ticket), vec![Err(GroupError::NotAvailable)]);
    let ticket = bench.join(dynamic(""));
    assert_eq!(bench.refused(ticket).error, GroupError::NotAvailable);
    assert_eq!(
        bench.beat_key(key("m", Generation::new(0))),
        Err(GroupError::NotAvailable)
    );
    bench.release();
    assert_eq!(bench.committed(pending), vec![Ok(())]);
    assert!(matches!(
        bench.take(deleted),
        Some(Reply::GroupDeleted(Ok(())))
    ));
    assert_eq!(bench.fetch(1), None, "the commit in flight came first");
    bench.restart();
    assert_eq!(bench.state(), GroupState::Dead);
}

#[test]
fn a_deletion_that_fails_leaves_the_group_as_it_was() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Fails;
    assert_eq!(delete(&mut bench), Err(GroupError::Storage));
    bench.disk = Disk::Works;
    assert_eq!(
        (bench.state(), bench.fetch(0)),
        (GroupState::Empty, Some(1))
    );
    assert_eq!(delete(&mut bench), Ok(()));
}

#[test]
fn offsets_of_an_inactive_group_are_deleted_one_by_one() {
    let mut bench = Bench::new();
    assert_eq!(
        delete_offsets(&mut bench, &[("orders", 0)]),
        Err(GroupError::NotFound)
    );
    let ticket = bench.commit(simple(), &[(0, 1), (1, 2), (2, 3)]);
    bench.committed(ticket);
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    let elements = [
        ("orders", 0),
        ("nowhere", 0),
        ("orders", 3),
        ("orders", 9),
        ("orders", 0),
    ];
    let results = delete_offsets(&mut bench, &elements).unwrap();
    assert_eq!(results, vec![Ok(()), unknown, Ok(()), unknown, Ok(())]);
    assert_eq!((bench.fetch(0), bench.fetch(1)), (None, Some(2)));
    bench.restart();
    assert_eq!((bench.fetch(0), bench.fetch(1)), (None, Some(2)));
}

#[test]
fn offsets_of_a_topic_that_a_member_reads_are_not_deleted() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    let key = key(&member.member, member.generation);
    let offsets = vec![element("orders", 0, 1), element("bills", 0, 1)];
    let ticket = bench.send(Command::CommitOffsets(Commit { key, offsets }));
    bench.committed(ticket);
    let results = delete_offsets(&mut bench, &[("orders", 0), ("bills", 0)]).unwrap();
    assert_eq!(results, vec![Err(GroupError::Subscribed), Ok(())]);
    assert_eq!(bench.fetch(0), Some(1));
}

#[test]
fn a_subscription_that_cannot_be_read_protects_every_topic() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    let protocols = vec![("range".to_owned(), Bytes::from_static(b"\0\x01\x7f"))];
    bench.join(Join {
        protocols,
        ..old_client("")
    });
    let results = delete_offsets(&mut bench, &[("orders", 0)]).unwrap();
    assert_eq!(results, vec![Err(GroupError::Subscribed)]);
}

#[test]
fn a_group_of_another_protocol_type_keeps_its_offsets_while_it_has_members() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.join(Join {
        protocol_type: "connect".into(),
        ..old_client("")
    });
    assert_eq!(
        delete_offsets(&mut bench, &[("orders", 0)]),
        Err(GroupError::NonEmpty)
    );
}

#[test]
fn an_offset_deletion_that_fails_changes_nothing() {
    let mut bench = Bench::new();
    let ticket = bench.commit(simple(), &[(0, 1)]);
    bench.committed(ticket);
    bench.disk = Disk::Fails;
    assert_eq!(
        delete_offsets(&mut bench, &[("orders", 0)]),
        Err(GroupError::Storage)
    );
    assert_eq!(bench.fetch(0), Some(1));
}
