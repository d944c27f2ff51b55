//! LeaveGroup.

use super::*;

#[test]
fn a_leaving_member_rebalances_the_rest() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    assert_eq!(bench.leave(&[(&members[0].member, None)]), vec![Ok(())]);
    assert_eq!(
        bench.beat(&members[1]),
        Err(GroupError::RebalanceInProgress)
    );
    let rejoin = bench.join(dynamic(&members[1].member));
    let joined = bench.joined(rejoin);
    assert_eq!(
        (joined.leader.as_str(), joined.members.len()),
        (members[1].member.as_str(), 1)
    );
}

#[test]
fn the_last_leaving_member_leaves_an_empty_group() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    assert_eq!(bench.leave(&[(&members[0].member, None)]), vec![Ok(())]);
    let view = bench.view();
    assert_eq!((view.state, view.members.len()), (GroupState::Empty, 0));
    bench.restart();
    assert_eq!(
        bench.state(),
        GroupState::Empty,
        "that it is empty was written"
    );
}

#[test]
fn every_member_of_a_batch_gets_its_own_result_and_one_rebalance_follows() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    let waits = bench.join(dynamic(&members[2].member));
    assert_eq!(
        bench.refused_or_parked(waits),
        None,
        "unchanged follower is answered at once"
    );
    let results = bench.leave(&[
        (&members[0].member, None),
        ("stranger", None),
        (&members[1].member, None),
        ("", None),
    ]);
    let unknown = Err(GroupError::UnknownMember);
    assert_eq!(results, vec![Ok(()), unknown, Ok(()), unknown]);
    let rejoin = bench.join(dynamic(&members[2].member));
    assert_eq!(
        bench.joined(rejoin).generation.get(),
        members[2].generation.get() + 1
    );
}

impl Bench {
    fn refused_or_parked(&mut self, ticket: u64) -> Option<GroupError> {
        match self.take(ticket) {
            Some(Reply::Joined(Err(refused))) => Some(refused.error),
            _ => None,
        }
    }
}

#[test]
fn a_parked_join_of_a_leaving_member_is_answered() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let parked = bench.join(dynamic(&members[0].member));
    assert_eq!(bench.leave(&[(&members[0].member, None)]), vec![Ok(())]);
    assert_eq!(bench.refused(parked).error, GroupError::UnknownMember);
}

#[test]
fn a_pending_member_may_leave_without_a_rebalance() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let ticket = bench.join(dynamic(""));
    let pending = bench.refused(ticket).member;
    assert_eq!(bench.leave(&[(&pending, None)]), vec![Ok(())]);
    assert_eq!(bench.beat(&members[0]), Ok(()));
    let ticket = bench.join(dynamic(&pending));
    assert_eq!(bench.refused(ticket).error, GroupError::UnknownMember);
}

#[test]
fn a_rebalance_goes_on_when_the_pending_member_it_waits_for_leaves() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let ticket = bench.join(dynamic(""));
    let pending = bench.refused(ticket).member;
    let waits = bench.join(dynamic(&members[0].member));
    assert!(bench.take(waits).is_none());
    bench.leave(&[(&pending, None)]);
    bench.joined(waits);
}

#[test]
fn leaving_an_unknown_group_is_an_error_per_member() {
    let mut bench = Bench::new();
    let unknown = Err(GroupError::UnknownMember);
    assert_eq!(
        bench.leave(&[("a", None), ("b", Some("i"))]),
        vec![unknown, unknown]
    );
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut bench = Bench::new();
    let ticket = bench.join(fixed("one", ""));
    let member = bench.joined(ticket);
    assert_eq!(
        bench.leave(&[("", Some("two"))]),
        vec![Err(GroupError::UnknownMember)]
    );
    assert_eq!(
        bench.leave(&[("stranger", Some("one"))]),
        vec![Err(GroupError::FencedInstance)]
    );
    assert_eq!(bench.leave(&[("", Some("one"))]), vec![Ok(())]);
    assert_eq!(bench.beat(&member), Err(GroupError::UnknownMember));
    assert_eq!(bench.state(), GroupState::Empty);
}
