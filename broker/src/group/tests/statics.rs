//! Static members (KIP-345).

use super::*;

/// A stable group of a static leader `one` and a static follower `two`.
fn static_pair(bench: &mut Bench) -> (Joined, Joined) {
    let ticket = bench.join(fixed("one", ""));
    let first = bench.joined(ticket);
    let two = bench.join(fixed("two", ""));
    let one = bench.join(fixed("one", &first.member));
    let (one, two) = (bench.joined(one), bench.joined(two));
    let waits = bench.sync(&two, &[]);
    let assigns = bench.sync(&one, &[(&one.member, "left"), (&two.member, "right")]);
    bench.synced(waits).unwrap();
    bench.synced(assigns).unwrap();
    (one, two)
}

#[test]
fn a_static_member_joins_without_the_id_round_trip() {
    let mut bench = Bench::new();
    let ticket = bench.join(fixed("one", ""));
    let joined = bench.joined(ticket);
    assert!(joined.member.starts_with("one-"));
    assert_eq!(joined.members[0].1.as_deref(), Some("one"));
}

#[test]
fn a_restarted_static_follower_gets_its_assignment_back_without_a_rebalance() {
    let mut bench = Bench::new();
    let (one, two) = static_pair(&mut bench);
    let ticket = bench.join(fixed("two", ""));
    let back = bench.joined(ticket);
    assert_ne!(back.member, two.member);
    assert_eq!(
        (back.generation, back.leader.as_str()),
        (two.generation, one.member.as_str())
    );
    assert!(back.members.is_empty());
    assert_eq!(bench.beat(&one), Ok(()), "no rebalance");
    let ticket = bench.sync(&back, &[]);
    assert_eq!(bench.synced(ticket).unwrap().assignment, "right");

    let old = MemberKey {
        instance: Some("two".into()),
        ..key(&two.member, two.generation)
    };
    assert_eq!(bench.beat_key(old.clone()), Err(GroupError::FencedInstance));
    let ticket = bench.commit(old, &[(0, 1)]);
    assert_eq!(
        bench.committed(ticket),
        vec![Err(GroupError::FencedInstance)]
    );
    let ticket = bench.join(fixed("two", &two.member));
    assert_eq!(bench.refused(ticket).error, GroupError::FencedInstance);
}

#[test]
fn a_restarted_static_leader_is_not_told_that_it_leads_before_version_9() {
    let mut bench = Bench::new();
    let (one, two) = static_pair(&mut bench);
    let ticket = bench.join(fixed("one", ""));
    let back = bench.joined(ticket);
    assert_eq!(back.leader, one.member, "the old id");
    assert!(back.members.is_empty() && !back.skip_assignment);
    assert_eq!(bench.beat(&two), Ok(()));
    // It does lead, though: its next rejoin rebalances.
    let ticket = bench.join(fixed("one", &back.member));
    assert!(bench.take(ticket).is_none());
    assert_eq!(bench.beat(&two), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_restarted_static_leader_is_told_to_skip_the_assignment_from_version_9() {
    let mut bench = Bench::new();
    let (_, two) = static_pair(&mut bench);
    let join = |instance| Join {
        can_skip_assignment: true,
        ..fixed(instance, "")
    };
    let ticket = bench.join(join("one"));
    let back = bench.joined(ticket);
    assert!(back.skip_assignment);
    assert_eq!(
        (back.leader.clone(), back.members.len()),
        (back.member.clone(), 2)
    );
    let ticket = bench.join(join("two"));
    let follower = bench.joined(ticket);
    assert!(!follower.skip_assignment);
    assert_eq!(follower.leader, back.member);
    assert_ne!(follower.member, two.member);
}

#[test]
fn the_new_id_of_a_static_member_is_durable_before_it_is_told() {
    let mut bench = Bench::new();
    let (one, _) = static_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let ticket = bench.join(fixed("two", ""));
    assert!(bench.take(ticket).is_none());
    bench.release();
    let back = bench.joined(ticket);
    bench.disk = Disk::Works;
    bench.restart();
    assert_eq!(bench.beat(&back), Ok(()));
    assert_eq!(bench.beat(&one), Ok(()));
}

#[test]
fn a_replacement_that_cannot_be_written_is_refused_and_may_be_tried_again() {
    let mut bench = Bench::new();
    let (one, _) = static_pair(&mut bench);
    bench.disk = Disk::Fails;
    let ticket = bench.join(fixed("two", ""));
    assert_eq!(bench.refused(ticket).error, GroupError::NotAvailable);
    bench.disk = Disk::Works;
    let ticket = bench.join(fixed("two", ""));
    let back = bench.joined(ticket);
    let ticket = bench.sync(&back, &[]);
    assert_eq!(bench.synced(ticket).unwrap().assignment, "right");
    assert_eq!(bench.beat(&one), Ok(()));
}

#[test]
fn a_rebalance_during_the_replacement_takes_the_parked_join_along() {
    let mut bench = Bench::new();
    let (one, _) = static_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let two = bench.join(fixed("two", ""));
    let rejoin = bench.join(fixed("one", &one.member));
    let joined = bench.joined(two);
    assert_eq!(joined.generation.get(), one.generation.get() + 1);
    bench.joined(rejoin);
    bench.release();
    assert_eq!(bench.unanswered(), 0);
}

#[test]
fn a_static_member_that_comes_back_for_other_topics_rebalances() {
    let mut bench = Bench::new();
    let (one, _) = static_pair(&mut bench);
    let user_data = vec![("range".to_owned(), subscription(&["orders"], b"other"))];
    let ticket = bench.join(Join {
        protocols: user_data,
        ..fixed("two", "")
    });
    bench.joined(ticket);
    assert_eq!(bench.beat(&one), Ok(()), "other user data is no reason");
    let topics = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let ticket = bench.join(Join {
        protocols: topics,
        ..fixed("two", "")
    });
    assert!(bench.take(ticket).is_none());
    assert_eq!(bench.beat(&one), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_replacement_while_the_assignment_is_awaited_rebalances() {
    let mut bench = Bench::new();
    let (one, two) = static_pair(&mut bench);
    let leader = bench.join(fixed("one", &one.member));
    let follower = bench.join(fixed("two", &two.member));
    let leader = bench.joined(leader);
    bench.joined(follower);
    let parked = bench.sync(&leader, &[]);
    bench.synced(parked).unwrap();
    let leader_again = bench.join(fixed("one", &one.member));
    let follower = bench.join(fixed("two", &two.member));
    let (leader, follower) = (bench.joined(leader_again), bench.joined(follower));
    let waits = bench.sync(&follower, &[]);
    bench.join(fixed("two", ""));
    assert_eq!(bench.synced(waits), Err(GroupError::FencedInstance));
    assert_eq!(bench.beat(&leader), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_parked_join_of_a_replaced_member_is_fenced() {
    let mut bench = Bench::new();
    let (_, two) = static_pair(&mut bench);
    let changed = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let parked = bench.join(Join {
        protocols: changed,
        ..fixed("two", &two.member)
    });
    assert!(bench.take(parked).is_none());
    let ticket = bench.join(fixed("two", ""));
    assert_eq!(bench.refused(parked).error, GroupError::FencedInstance);
    assert!(bench.take(ticket).is_none(), "takes part in the rebalance");
}

#[test]
fn a_static_member_that_does_not_rejoin_stays_until_its_session_ends() {
    let mut bench = Bench::new();
    let slow = |instance: &str, member: &str| Join {
        session_timeout_ms: 300_000,
        ..fixed(instance, member)
    };
    let ticket = bench.join(slow("one", ""));
    let one = bench.joined(ticket);
    let two = bench.join(slow("two", ""));
    let rejoin = bench.join(slow("one", &one.member));
    let (one, two) = (bench.joined(rejoin), bench.joined(two));
    let ticket = bench.sync(&one, &[(&one.member, "left"), (&two.member, "right")]);
    bench.synced(ticket).unwrap();
    let ticket = bench.sync(&two, &[]);
    bench.synced(ticket).unwrap();

    let rejoin = bench.join(slow("one", &one.member));
    bench.advance(REBALANCE_MS);
    let joined = bench.joined(rejoin);
    assert_eq!(
        joined.members.len(),
        2,
        "the absent static member is still counted"
    );
    let ticket = bench.sync(&joined, &[(&joined.member, "all")]);
    bench.synced(ticket).unwrap();
    for _ in 0..4 {
        bench.advance(REBALANCE_MS);
        bench.beat(&joined).ok();
    }
    assert_eq!(bench.beat(&joined), Err(GroupError::RebalanceInProgress));
    let rejoin = bench.join(slow("one", &one.member));
    assert_eq!(bench.joined(rejoin).members.len(), 1);
}

#[test]
fn only_absent_static_members_postpone_the_end_of_a_rebalance() {
    let mut bench = Bench::new();
    let slow = |member: &str| Join {
        session_timeout_ms: 200_000,
        ..fixed("one", member)
    };
    let ticket = bench.join(slow(""));
    let one = bench.joined(ticket);
    let ticket = bench.sync(&one, &[]);
    bench.synced(ticket).unwrap();
    let ticket = bench.join(old_client(""));
    bench.advance(1);
    let other = bench.take(ticket);
    assert!(other.is_none());
    // The newcomer gives up; only the silent static member remains.
    let id = bench
        .view()
        .members
        .iter()
        .find(|m| m.instance.is_none())
        .unwrap()
        .member
        .clone();
    bench.leave(&[(&id, None)]);
    bench.advance(REBALANCE_MS * 2);
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    bench.advance(REBALANCE_MS * 2);
    assert_eq!(bench.state(), GroupState::Empty);
}

#[test]
fn a_replaced_member_moves_between_instances_of_one_group_independently() {
    let mut bench = Bench::new();
    let (one, two) = static_pair(&mut bench);
    let swapped = MemberKey {
        instance: Some("one".into()),
        ..key(&two.member, two.generation)
    };
    assert_eq!(bench.beat_key(swapped), Err(GroupError::FencedInstance));
    let unknown = MemberKey {
        instance: Some("three".into()),
        ..key(&one.member, one.generation)
    };
    assert_eq!(bench.beat_key(unknown), Err(GroupError::UnknownMember));
}

#[test]
fn a_replacement_waits_for_the_whole_rebalance_that_overtook_it() {
    let mut bench = Bench::new();
    let (one, two) = static_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let replaced = bench.join(fixed("two", ""));
    let newcomer = bench.join(old_client(""));
    bench.release();
    assert!(
        bench.take(replaced).is_none(),
        "the leader has not rejoined"
    );
    let rejoin = bench.join(fixed("one", &one.member));
    let generation = bench.joined(rejoin).generation;
    assert!(generation > two.generation);
    assert_eq!(bench.joined(replaced).generation, generation);
    assert_eq!(bench.joined(newcomer).generation, generation);
}

#[test]
fn an_absent_static_member_is_not_dropped_for_a_sync_it_was_not_asked_for() {
    let mut bench = Bench::new();
    let slow = |instance: &str, member: &str| Join {
        session_timeout_ms: 600_000,
        ..fixed(instance, member)
    };
    let ticket = bench.join(slow("one", ""));
    let one = bench.joined(ticket);
    let two = bench.join(slow("two", ""));
    let rejoin = bench.join(slow("one", &one.member));
    bench.joined(two);
    let one = bench.joined(rejoin);
    // `two` never syncs; `one` rebalances without it.
    let changed = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let rejoin = bench.join(Join {
        protocols: changed,
        ..slow("one", &one.member)
    });
    bench.advance(REBALANCE_MS);
    let one = bench.joined(rejoin);
    let ticket = bench.sync(&one, &[]);
    bench.synced(ticket).unwrap();
    bench.advance(REBALANCE_MS * 2);
    assert_eq!(bench.beat(&one), Ok(()));
    assert_eq!(bench.view().members.len(), 2);
}

#[test]
fn a_replaced_member_that_never_synced_does_not_rebalance_the_group_later() {
    let mut bench = Bench::new();
    let ticket = bench.join(fixed("one", ""));
    let one = bench.joined(ticket);
    let two = bench.join(fixed("two", ""));
    let rejoin = bench.join(fixed("one", &one.member));
    bench.joined(two);
    let one = bench.joined(rejoin);
    let ticket = bench.sync(&one, &[]);
    bench.synced(ticket).unwrap();
    let ticket = bench.join(fixed("two", ""));
    let back = bench.joined(ticket);
    for _ in 0..2 * REBALANCE_MS / 5_000 {
        bench.advance(5_000);
        assert_eq!((bench.beat(&one), bench.beat(&back)), (Ok(()), Ok(())));
    }
}
