//! JoinGroup: ids, bounds, protocols, when a join rebalances.

use super::*;

#[test]
fn a_new_dynamic_member_is_told_its_id_and_joins_with_it() {
    let mut bench = Bench::new();
    let ticket = bench.join(dynamic(""));
    let refused = bench.refused(ticket);
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    assert!(refused.member.starts_with("app-"), "{}", refused.member);
    assert_eq!(refused.member.len(), "app-".len() + 36);

    let ticket = bench.join(dynamic(&refused.member));
    let joined = bench.joined(ticket);
    assert_eq!(joined.member, refused.member);
    assert_eq!(joined.leader, refused.member);
    assert_eq!(joined.generation, Generation::new(1));
    assert_eq!(
        (joined.protocol.as_str(), joined.protocol_type.as_str()),
        ("range", "consumer")
    );
    assert_eq!(
        joined.members,
        vec![(refused.member, None, subscription(&["orders"], b""))]
    );
}

#[test]
fn an_old_client_joins_without_the_round_trip() {
    let mut bench = Bench::new();
    let ticket = bench.join(old_client(""));
    assert_eq!(bench.joined(ticket).generation, Generation::new(1));
}

#[test]
fn only_the_leader_gets_the_member_list() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    assert_eq!(members[0].leader, members[0].member);
    assert_eq!(members[0].members.len(), 3);
    assert!(members[1].members.is_empty() && members[2].members.is_empty());
    assert!(
        members
            .iter()
            .all(|joined| joined.leader == members[0].member)
    );
}

#[test]
fn malformed_joins_are_refused_without_a_trace() {
    let cases: Vec<(Join, GroupError)> = vec![
        (
            Join {
                group: String::new(),
                ..dynamic("")
            },
            GroupError::InvalidGroupId,
        ),
        (
            Join {
                group: "g".repeat(40_000),
                ..dynamic("")
            },
            GroupError::InvalidGroupId,
        ),
        (
            Join {
                session_timeout_ms: 5_999,
                ..dynamic("")
            },
            GroupError::InvalidSessionTimeout,
        ),
        (
            Join {
                session_timeout_ms: 1_800_001,
                ..dynamic("")
            },
            GroupError::InvalidSessionTimeout,
        ),
        (
            Join {
                protocols: Vec::new(),
                ..dynamic("")
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Join {
                protocol_type: String::new(),
                ..dynamic("")
            },
            GroupError::InconsistentProtocol,
        ),
        (dynamic("stranger"), GroupError::UnknownMember),
        (fixed("i", "stranger"), GroupError::UnknownMember),
    ];
    let mut bench = Bench::new();
    for (join, error) in cases {
        let ticket = bench.join(join.clone());
        let refused = bench.refused(ticket);
        assert_eq!((refused.error, refused.member), (error, join.member));
    }
    assert_eq!(bench.state(), GroupState::Dead);
}

#[test]
fn members_and_metadata_are_bounded() {
    let mut bench = Bench::with(|config| {
        config.members_max = 2;
        config.protocol_bytes_max = 100;
        config.group_bytes_max = 150;
    });
    let big = |bytes: usize| vec![("range".to_owned(), Bytes::from(vec![0; bytes]))];
    let ticket = bench.join(Join {
        protocols: big(100),
        ..dynamic("")
    });
    assert_eq!(bench.refused(ticket).error, GroupError::Full);

    let first = bench.join(Join {
        protocols: big(90),
        ..old_client("")
    });
    bench.joined(first);
    let ticket = bench.join(Join {
        protocols: big(90),
        ..old_client("")
    });
    assert_eq!(bench.refused(ticket).error, GroupError::Full);
    let ticket = bench.join(dynamic(""));
    let pending = bench.refused(ticket).member;
    let ticket = bench.join(dynamic(""));
    assert_eq!(
        bench.refused(ticket).error,
        GroupError::Full,
        "pending members count"
    );
    let ticket = bench.join(dynamic(&pending));
    assert!(
        bench.take(ticket).is_none(),
        "a pending member has its place"
    );
}

#[test]
fn groups_are_bounded() {
    let mut bench = Bench::with(|config| config.groups_max = 1);
    bench.join(dynamic(""));
    let ticket = bench.join(Join {
        group: "other".into(),
        ..dynamic("")
    });
    assert_eq!(bench.refused(ticket).error, GroupError::Full);
    let other = MemberKey {
        group: "other".into(),
        ..simple()
    };
    let ticket = bench.commit(other, &[(0, 1)]);
    assert_eq!(bench.committed(ticket), vec![Err(GroupError::Full)]);
}

#[test]
fn a_member_without_a_common_protocol_is_refused() {
    let mut bench = Bench::new();
    bench.stable(1);
    let strange = vec![("sticky".to_owned(), Bytes::new())];
    let ticket = bench.join(Join {
        protocols: strange,
        ..dynamic("")
    });
    assert_eq!(
        bench.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    let ticket = bench.join(Join {
        protocol_type: "connect".into(),
        ..dynamic("")
    });
    assert_eq!(
        bench.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    assert_eq!(bench.state(), GroupState::Stable);
}

#[test]
fn a_protocol_that_only_some_members_offer_is_not_common() {
    let mut bench = Bench::with(|config| config.initial_rebalance_delay = Duration::from_secs(3));
    let offer = |names: &[&str]| Join {
        protocols: names
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect(),
        ..old_client("")
    };
    bench.join(offer(&["a", "b"]));
    bench.join(offer(&["b"]));
    let ticket = bench.join(offer(&["a"]));
    assert_eq!(
        bench.refused(ticket).error,
        GroupError::InconsistentProtocol
    );
    let ticket = bench.join(offer(&["a", "b"]));
    bench.advance(10_000);
    assert_eq!(bench.joined(ticket).protocol, "b");
}

#[test]
fn the_only_member_may_change_its_protocols() {
    let mut bench = Bench::new();
    let member = bench.stable(1).remove(0);
    let protocols = vec![("sticky".to_owned(), Bytes::new())];
    let ticket = bench.join(Join {
        protocols,
        ..dynamic(&member.member)
    });
    assert_eq!(bench.joined(ticket).protocol, "sticky");
}

#[test]
fn the_protocol_most_members_want_among_the_common_ones_wins() {
    let mut bench = Bench::with(|config| config.initial_rebalance_delay = Duration::from_secs(3));
    let offer = |names: &[&str]| Join {
        protocols: names
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect(),
        ..old_client("")
    };
    let tickets = [
        bench.join(offer(&["a", "b", "c"])),
        bench.join(offer(&["c", "b", "a"])),
        bench.join(offer(&["d", "b", "c"])),
    ];
    bench.advance(10_000);
    // `a` and `d` are not common; `b` has the votes of the first and the third.
    assert!(
        tickets
            .iter()
            .all(|ticket| bench.joined(*ticket).protocol == "b")
    );
}

#[test]
fn a_followers_unchanged_rejoin_does_not_rebalance() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let ticket = bench.join(dynamic(&members[1].member));
    let again = bench.joined(ticket);
    assert_eq!(again, members[1]);
    assert_eq!(bench.state(), GroupState::Stable);
    assert_eq!(bench.beat(&members[0]), Ok(()));
}

#[test]
fn a_followers_changed_rejoin_rebalances() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let changed = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let follower = bench.join(Join {
        protocols: changed.clone(),
        ..dynamic(&members[1].member)
    });
    assert_eq!(
        bench.beat(&members[0]),
        Err(GroupError::RebalanceInProgress)
    );
    let leader = bench.join(dynamic(&members[0].member));
    let leader = bench.joined(leader);
    assert_eq!(leader.generation.get(), members[0].generation.get() + 1);
    assert_eq!(bench.joined(follower).generation, leader.generation);
    let metadata = &leader
        .members
        .iter()
        .find(|(id, ..)| *id == members[1].member)
        .unwrap()
        .2;
    assert_eq!(*metadata, changed[0].1);
}

#[test]
fn the_leaders_rejoin_rebalances_even_if_nothing_changed() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let leader = bench.join(dynamic(&members[0].member));
    assert!(bench.take(leader).is_none());
    assert_eq!(
        bench.beat(&members[1]),
        Err(GroupError::RebalanceInProgress)
    );
    let follower = bench.join(dynamic(&members[1].member));
    let generation = bench.joined(leader).generation;
    assert_eq!(bench.joined(follower).generation, generation);
    assert_eq!(generation.get(), members[0].generation.get() + 1);
}

#[test]
fn a_lost_join_answer_is_given_again_before_the_sync() {
    let mut bench = Bench::new();
    let ticket = bench.join(old_client(""));
    let lost = bench.joined(ticket);
    let ticket = bench.join(old_client(&lost.member));
    assert_eq!(bench.joined(ticket), lost);
    assert_eq!(bench.state(), GroupState::CompletingRebalance);

    let changed = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let ticket = bench.join(Join {
        protocols: changed,
        ..old_client(&lost.member)
    });
    assert_eq!(
        bench.joined(ticket).generation.get(),
        lost.generation.get() + 1
    );
}

#[test]
fn a_repeated_join_takes_the_place_of_the_parked_one() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let first = bench.join(dynamic(&members[0].member));
    let second = bench.join(dynamic(&members[0].member));
    assert_eq!(bench.refused(first).error, GroupError::RebalanceInProgress);
    bench.join(dynamic(&members[1].member));
    bench.joined(second);
}

#[test]
fn the_initial_delay_gathers_members_and_is_extended_by_new_ones() {
    let mut bench = Bench::with(|config| config.initial_rebalance_delay = Duration::from_secs(3));
    let first = bench.join(old_client(""));
    bench.advance(2_000);
    let second = bench.join(old_client(""));
    bench.advance(2_000);
    assert!(bench.take(first).is_none(), "extended");
    bench.advance(2_000);
    let generation = bench.joined(first).generation;
    assert_eq!(bench.joined(second).generation, generation);
    assert_eq!(generation, Generation::new(1));
}

#[test]
fn the_initial_delay_ends_at_the_rebalance_timeout() {
    let mut bench = Bench::with(|config| config.initial_rebalance_delay = Duration::from_secs(3));
    let quick = || Join {
        rebalance_timeout_ms: 7_000,
        ..old_client("")
    };
    let first = bench.join(quick());
    for _ in 0..6 {
        bench.advance(1_000);
        bench.join(quick());
    }
    bench.advance(999);
    assert!(bench.take(first).is_none());
    bench.advance(1);
    assert_eq!(bench.joined(first).members.len(), 7);
}

#[test]
fn a_pending_member_holds_the_rebalance_up_until_its_session_ends() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let ticket = bench.join(dynamic(""));
    bench.refused(ticket);
    assert_eq!(
        bench.beat(&members[0]),
        Ok(()),
        "a pending member alone does not rebalance"
    );
    let ticket = bench.join(dynamic(&members[0].member));
    assert!(bench.take(ticket).is_none());
    bench.advance(SESSION_MS);
    assert_eq!(bench.joined(ticket).members.len(), 1);
}

#[test]
fn dynamic_members_that_do_not_rejoin_are_gone_after_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let ticket = bench.join(dynamic(&members[0].member));
    // The follower keeps its session alive but does not rejoin.
    for _ in 0..REBALANCE_MS / 5_000 - 1 {
        bench.advance(5_000);
        assert_eq!(
            bench.beat(&members[1]),
            Err(GroupError::RebalanceInProgress)
        );
    }
    assert!(bench.take(ticket).is_none());
    bench.advance(5_000);
    assert_eq!(bench.joined(ticket).members.len(), 1);
    assert_eq!(bench.beat(&members[1]), Err(GroupError::UnknownMember));
}

#[test]
fn another_member_leads_if_the_leader_does_not_rejoin() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let changed = vec![("range".to_owned(), subscription(&["bills"], b""))];
    let ticket = bench.join(Join {
        protocols: changed,
        ..dynamic(&members[1].member)
    });
    bench.advance(SESSION_MS);
    let joined = bench.joined(ticket);
    assert_eq!(joined.leader, members[1].member);
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn a_new_member_whose_join_is_parked_for_very_long_is_dropped() {
    let mut bench = Bench::new();
    let slow = Join {
        rebalance_timeout_ms: 1_200_000,
        session_timeout_ms: 1_800_000,
        ..old_client("")
    };
    let ticket = bench.join(slow.clone());
    let first = bench.joined(ticket);
    let ticket = bench.sync(&first, &[]);
    bench.synced(ticket).unwrap();
    let parked = bench.join(slow);
    bench.advance(5 * 60_000 - 1);
    assert!(bench.take(parked).is_none());
    bench.advance(1);
    assert_eq!(bench.refused(parked).error, GroupError::UnknownMember);
}

#[test]
fn a_parked_join_keeps_its_session() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let ticket = bench.join(dynamic(&members[0].member));
    for _ in 0..5 {
        bench.advance(SESSION_MS - 1);
        bench.beat(&members[1]).unwrap_err();
    }
    let other = bench.join(dynamic(&members[1].member));
    assert_eq!(bench.joined(ticket).members.len(), 2);
    bench.joined(other);
}
