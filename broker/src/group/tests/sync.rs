//! SyncGroup, Heartbeat and session ends.

use super::*;

/// Two members that joined and did not sync.
fn joined_pair(bench: &mut Bench) -> (Joined, Joined) {
    let members = bench.stable(2);
    let leader = bench.join(dynamic(&members[0].member));
    let follower = bench.join(dynamic(&members[1].member));
    (bench.joined(leader), bench.joined(follower))
}

#[test]
fn followers_wait_for_the_leader_and_everyone_gets_its_part() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let waits = bench.sync(&follower, &[]);
    assert!(bench.take(waits).is_none());
    let assigns = bench.sync(
        &leader,
        &[(&leader.member, "left"), (&follower.member, "right")],
    );
    let synced = bench.synced(assigns).unwrap();
    assert_eq!(
        (synced.assignment.as_ref(), synced.protocol.as_str()),
        (&b"left"[..], "range")
    );
    assert_eq!(bench.synced(waits).unwrap().assignment, "right");

    let again = bench.sync(&follower, &[]);
    assert_eq!(
        bench.synced(again).unwrap().assignment,
        "right",
        "given again in a stable group"
    );
    let view = bench.view();
    assert_eq!(view.state, GroupState::Stable);
    assert!(
        view.members
            .iter()
            .any(|member| member.assignment == "left")
    );
}

#[test]
fn members_the_leader_left_out_get_nothing_and_made_up_ids_are_ignored() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let waits = bench.sync(&follower, &[]);
    let assigns = bench.sync(&leader, &[("nobody", "all")]);
    assert_eq!(bench.synced(assigns).unwrap().assignment, "");
    assert_eq!(bench.synced(waits).unwrap().assignment, "");
}

#[test]
fn nobody_gets_an_assignment_before_it_is_durable() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let waits = bench.sync(&follower, &[]);
    let assigns = bench.sync(&leader, &[(&leader.member, "all")]);
    assert!(bench.take(waits).is_none() && bench.take(assigns).is_none());
    assert_eq!(bench.state(), GroupState::CompletingRebalance);
    bench.release();
    assert_eq!(bench.synced(assigns).unwrap().assignment, "all");
    bench.synced(waits).unwrap();
}

#[test]
fn an_assignment_that_cannot_be_written_is_given_to_nobody() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    bench.disk = Disk::Fails;
    let waits = bench.sync(&follower, &[]);
    let assigns = bench.sync(&leader, &[(&leader.member, "all")]);
    assert_eq!(bench.synced(waits), Err(GroupError::NotAvailable));
    assert_eq!(bench.synced(assigns), Err(GroupError::NotAvailable));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
    assert_eq!(bench.beat(&leader), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_rebalance_during_the_write_makes_the_assignment_void() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let assigns = bench.sync(&leader, &[(&leader.member, "all")]);
    assert_eq!(bench.leave(&[(&follower.member, None)]), vec![Ok(())]);
    assert_eq!(bench.synced(assigns), Err(GroupError::RebalanceInProgress));
    let rejoin = bench.join(dynamic(&leader.member));
    let next = bench.joined(rejoin);
    bench.release();
    assert_eq!(
        bench.state(),
        GroupState::CompletingRebalance,
        "the old write changes nothing"
    );
    bench.disk = Disk::Works;
    let assigns = bench.sync(&next, &[(&next.member, "new")]);
    assert_eq!(bench.synced(assigns).unwrap().assignment, "new");
}

#[test]
fn a_repeated_sync_takes_the_place_of_the_parked_one() {
    let mut bench = Bench::new();
    let (leader, _) = joined_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let first = bench.sync(&leader, &[(&leader.member, "all")]);
    let second = bench.sync(&leader, &[(&leader.member, "none")]);
    assert_eq!(bench.synced(first), Err(GroupError::RebalanceInProgress));
    bench.release();
    assert_eq!(
        bench.synced(second).unwrap().assignment,
        "all",
        "one write per generation"
    );
    bench.restart();
    let again = bench.sync(&leader, &[]);
    assert_eq!(bench.synced(again).unwrap().assignment, "all");
}

#[test]
fn wrong_syncs_are_refused() {
    let mut bench = Bench::new();
    let ticket = bench.sync(&joined("stranger", 1), &[]);
    assert_eq!(bench.synced(ticket), Err(GroupError::UnknownMember));
    let members = bench.stable(1);
    let ticket = bench.sync(&joined("stranger", 1), &[]);
    assert_eq!(bench.synced(ticket), Err(GroupError::UnknownMember));
    let ticket = bench.sync(&joined(&members[0].member, 99), &[]);
    assert_eq!(bench.synced(ticket), Err(GroupError::IllegalGeneration));
    for (protocol_type, protocol) in [(Some("connect"), None), (None, Some("sticky"))] {
        let ticket = bench.send(Command::SyncGroup(Sync {
            key: key(&members[0].member, members[0].generation),
            protocol_type: protocol_type.map(str::to_owned),
            protocol: protocol.map(str::to_owned),
            assignments: Vec::new(),
        }));
        assert_eq!(bench.synced(ticket), Err(GroupError::InconsistentProtocol));
    }
    bench.join(dynamic(&members[0].member));
}

fn joined(member: &str, generation: u32) -> Joined {
    Joined {
        generation: Generation::new(generation),
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        leader: String::new(),
        member: member.into(),
        skip_assignment: false,
        members: Vec::new(),
    }
}

#[test]
fn a_sync_during_a_rebalance_is_told_so() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    bench.join(dynamic(&members[0].member));
    let ticket = bench.sync(&members[1], &[]);
    assert_eq!(bench.synced(ticket), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_leader_that_never_syncs_is_dropped_and_the_group_rebalances() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let waits = bench.sync(&follower, &[]);
    for _ in 0..REBALANCE_MS / 5_000 - 1 {
        bench.advance(5_000);
        assert_eq!(bench.beat(&leader), Ok(()), "alive, but does not sync");
    }
    assert!(bench.take(waits).is_none());
    bench.advance(5_000);
    assert_eq!(bench.synced(waits), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.beat(&leader), Err(GroupError::UnknownMember));
    let rejoin = bench.join(dynamic(&follower.member));
    assert_eq!(bench.joined(rejoin).leader, follower.member);
}

#[test]
fn a_follower_that_never_syncs_is_dropped_from_the_stable_group() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let assigns = bench.sync(&leader, &[(&leader.member, "all")]);
    bench.synced(assigns).unwrap();
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(bench.beat(&leader), Ok(()));
        assert_eq!(bench.beat(&follower), Ok(()));
        bench.advance(5_000);
    }
    assert_eq!(bench.beat(&follower), Err(GroupError::UnknownMember));
    assert_eq!(bench.beat(&leader), Err(GroupError::RebalanceInProgress));
}

#[test]
fn heartbeats_report_the_phase_and_wrong_identities() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.beat_key(key("nobody", Generation::new(1))),
        Err(GroupError::UnknownMember)
    );
    let members = bench.stable(2);
    assert_eq!(bench.beat(&members[0]), Ok(()));
    let old = key(&members[0].member, Generation::new(0));
    assert_eq!(bench.beat_key(old), Err(GroupError::IllegalGeneration));
    assert_eq!(
        bench.beat_key(key("nobody", Generation::new(1))),
        Err(GroupError::UnknownMember)
    );
    bench.join(dynamic(&members[0].member));
    assert_eq!(
        bench.beat(&members[1]),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn heartbeats_are_fine_while_the_assignment_is_awaited() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    assert_eq!(bench.beat(&leader), Ok(()));
    assert_eq!(bench.beat(&follower), Ok(()));
}

#[test]
fn a_silent_member_is_dropped_after_its_session_and_the_rest_rebalances() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    bench.advance(SESSION_MS - 1);
    assert_eq!(bench.beat(&members[0]), Ok(()));
    bench.advance(1);
    assert_eq!(
        bench.beat(&members[0]),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(bench.beat(&members[1]), Err(GroupError::UnknownMember));
    let rejoin = bench.join(dynamic(&members[0].member));
    assert_eq!(bench.joined(rejoin).members.len(), 1);
}

#[test]
fn the_last_silent_member_leaves_an_empty_group() {
    let mut bench = Bench::new();
    bench.stable(1);
    bench.advance(SESSION_MS);
    assert_eq!(bench.state(), GroupState::Empty);
    assert_eq!(bench.unanswered(), 0);
}

#[test]
fn a_parked_sync_keeps_its_session() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let waits = bench.sync(&follower, &[]);
    for _ in 0..4 {
        bench.advance(SESSION_MS - 1);
        bench.beat(&leader).unwrap();
    }
    let assigns = bench.sync(&leader, &[(&follower.member, "part")]);
    bench.synced(assigns).unwrap();
    assert_eq!(bench.synced(waits).unwrap().assignment, "part");
    bench.advance(SESSION_MS - 1);
    assert_eq!(
        bench.beat(&follower),
        Ok(()),
        "a whole session begins with the answer"
    );
}

#[test]
fn an_assignment_over_the_bound_is_refused() {
    let mut bench = Bench::with(|config| config.group_bytes_max = 100);
    let ticket = bench.join(old_client(""));
    let leader = bench.joined(ticket);
    let huge: &'static str = Box::leak("x".repeat(101).into_boxed_str());
    let ticket = bench.sync(&leader, &[(&leader.member, huge)]);
    assert_eq!(bench.synced(ticket), Err(GroupError::Storage));
    assert_eq!(bench.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_old_assignment_that_becomes_durable_late_is_not_taken_for_the_new_one() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    bench.disk = Disk::Stalls;
    let old = bench.sync(&leader, &[(&leader.member, "old")]);
    bench.leave(&[(&follower.member, None)]);
    bench.synced(old).unwrap_err();
    let rejoin = bench.join(dynamic(&leader.member));
    let next = bench.joined(rejoin);
    let new = bench.sync(&next, &[(&next.member, "new")]);
    bench.release();
    assert_eq!(bench.synced(new).unwrap().assignment, "new");
}

#[test]
fn a_follower_that_joins_again_after_its_sync_must_sync_again() {
    let mut bench = Bench::new();
    let (leader, follower) = joined_pair(&mut bench);
    let parked = bench.sync(&follower, &[]);
    let ticket = bench.join(dynamic(&follower.member));
    assert_eq!(bench.synced(parked), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.joined(ticket), follower);
    let assigns = bench.sync(&leader, &[]);
    bench.synced(assigns).unwrap();
    for _ in 0..REBALANCE_MS / 5_000 {
        bench.advance(5_000);
        bench.beat(&leader).ok();
        bench.beat(&follower).ok();
    }
    assert_eq!(bench.beat(&follower), Err(GroupError::UnknownMember));
}
