//! Tests of fetches that wait.
//!
//! Owns: what wakes a parked fetch: data, durability, its deadline, a cancellation.
//! Never: tests what is visible; `fetch` does.
//! Invariants: none.
//! Source: kafka.md 4.4.2.

use std::time::Duration;

use api::Command;

use crate::ask::{P0, fetch, named, offsets};
use crate::disk::Hold;
use crate::fetch::rig;

#[test]
fn a_long_poll_is_woken_by_an_append() {
    let mut rig = rig();
    let until = rig.deadline(30_000);
    let origin = rig.send_fetch(fetch("t", 0), until);
    assert!(rig.fetched(origin).is_none());
    rig.fill("t", 2);
    assert_eq!(
        offsets(&rig.fetched(origin).unwrap().unwrap()),
        vec![(0, 1)]
    );
    rig.pass(Duration::from_secs(60));
    assert!(rig.fetched(origin).is_none(), "an answer comes once");
}

#[test]
fn a_long_poll_is_woken_by_durability_not_by_the_append() {
    let mut rig = rig();
    let until = rig.deadline(30_000);
    let origin = rig.send_fetch(fetch("t", 0), until);
    rig.disk.hold = Hold::Writes;
    let batch = crate::ask::batch(rig.now.wall.as_millis(), 1);
    rig.send_append("t", batch);
    assert!(rig.fetched(origin).is_none());
    rig.release();
    assert_eq!(
        offsets(&rig.fetched(origin).unwrap().unwrap()),
        vec![(0, 0)]
    );
}

#[test]
fn a_long_poll_ends_empty_at_its_deadline() {
    let mut rig = rig();
    let until = rig.deadline(500);
    let origin = rig.send_fetch(fetch("t", 0), until);
    rig.pass(Duration::from_millis(499));
    assert!(rig.fetched(origin).is_none());
    rig.pass(Duration::from_millis(1));
    assert!(rig.fetched(origin).unwrap().unwrap().records.is_empty());
}

#[test]
fn a_long_poll_whose_deadline_has_passed_is_answered_at_once() {
    let mut rig = rig();
    let now = rig.now.instant;
    let origin = rig.send_fetch(fetch("t", 0), now);
    assert!(rig.fetched(origin).unwrap().unwrap().records.is_empty());
}

#[test]
fn a_long_poll_is_answered_when_it_is_cancelled() {
    let mut rig = rig();
    let until = rig.deadline(30_000);
    let origin = rig.send_fetch(fetch("t", 0), until);
    let ticket = origin.ticket;
    let cancel = || Command::CancelFetch {
        topic: named("t"),
        partition: P0,
        ticket,
    };
    let other = rig.send(cancel());
    assert!(rig.fetched(origin).unwrap().unwrap().records.is_empty());
    assert!(
        rig.answer(other).is_none(),
        "a cancellation has no answer of its own"
    );
    rig.send(cancel());
    assert!(
        rig.replies.is_empty(),
        "cancelling what is answered is nothing"
    );
}

#[test]
fn many_long_polls_are_all_woken() {
    let mut rig = rig();
    let until = rig.deadline(30_000);
    let origins: Vec<_> = (0..700)
        .map(|connection| rig.send_fetch_from(connection, fetch("t", 0), until))
        .collect();
    rig.fill("t", 1);
    for origin in origins {
        assert_eq!(
            offsets(&rig.fetched(origin).unwrap().unwrap()),
            vec![(0, 0)]
        );
    }
}
