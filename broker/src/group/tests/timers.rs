//! The set of wake-ups stays as small as what it stands for.

use super::super::timers::{Deadline, TimerKey, Timers};
use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn timer_key() -> TimerKey {
    TimerKey::Rebalance {
        group: GROUP.into(),
    }
}

#[test]
fn moving_a_deadline_later_keeps_its_one_wake_up() {
    let mut timers = Timers::default();
    let mut deadline = Deadline::default();
    for due in 1..100 {
        timers.set(&mut deadline, at(due), timer_key);
    }
    assert_eq!((timers.len(), timers.next()), (1, Some(at(1))));
    let wake_up = timers.pop(at(1)).unwrap();
    assert!(
        !timers.has_passed(&mut deadline, wake_up, at(1)),
        "it moved"
    );
    assert_eq!(timers.next(), Some(at(99)));
    let wake_up = timers.pop(at(99)).unwrap();
    assert!(timers.has_passed(&mut deadline, wake_up, at(99)));
    assert_eq!(timers.len(), 0);
}

#[test]
fn moving_a_deadline_earlier_moves_its_wake_up() {
    let mut timers = Timers::default();
    let mut deadline = Deadline::default();
    timers.set(&mut deadline, at(50), timer_key);
    timers.set(&mut deadline, at(20), timer_key);
    assert_eq!((timers.len(), timers.next()), (1, Some(at(20))));
    assert_eq!(timers.pop(at(19)), None);
}

#[test]
fn a_cleared_deadline_does_not_pass() {
    let mut timers = Timers::default();
    let mut deadline = Deadline::default();
    timers.set(&mut deadline, at(5), timer_key);
    deadline.clear();
    let wake_up = timers.pop(at(9)).unwrap();
    assert!(!timers.has_passed(&mut deadline, wake_up, at(9)));
    timers.set(&mut deadline, at(10), timer_key);
    timers.disarm(&mut deadline, timer_key());
    assert_eq!(timers.len(), 0);
}

#[test]
fn members_that_come_and_go_leave_no_timers_behind() {
    let mut bench = Bench::new();
    for _ in 0..50 {
        let ticket = bench.join(dynamic(""));
        let id = bench.refused(ticket).member;
        bench.leave(&[(&id, None)]);
        let ticket = bench.join(old_client(""));
        let joined = bench.joined(ticket);
        bench.beat(&joined).unwrap();
        bench.leave(&[(&joined.member, None)]);
    }
    // Join phase, sync phase and expiry of the one group.
    assert!(bench.coordinator.effects.timers.len() <= 3);
    assert!(bench.coordinator.effects.writes.is_empty());
}
