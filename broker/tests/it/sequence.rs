//! Tests of idempotent appends.
//!
//! Owns: duplicates, gaps and fenced epochs, also across a crash.
//! Never: asks for producer ids; `producers` does.
//! Invariants: none.
//! Source: KIP-98, kafka.md 4.9.

use std::time::Duration;

use api::error::AppendError;

use crate::append::{now_ms, rig_with};
use crate::ask::sequenced;
use crate::disk::Hold;

#[test]
fn a_duplicate_of_an_idempotent_batch_gets_the_original_offset() {
    let mut rig = rig_with(&[]);
    let time = now_ms(&rig);
    assert_eq!(
        rig.append("t", sequenced(time, 2, (5, 0, 0)))
            .unwrap()
            .base_offset
            .get(),
        0
    );
    assert_eq!(
        rig.append("t", sequenced(time, 3, (5, 0, 2)))
            .unwrap()
            .base_offset
            .get(),
        2
    );
    assert_eq!(
        rig.append("t", sequenced(time, 2, (5, 0, 0)))
            .unwrap()
            .base_offset
            .get(),
        0
    );
    assert_eq!(rig.read("t", 0), vec![(0, 1), (2, 4)]);
}

#[test]
fn a_duplicate_of_a_batch_that_is_not_durable_waits_as_the_original() {
    let mut rig = rig_with(&[]);
    rig.disk.hold = Hold::Writes;
    let time = now_ms(&rig);
    let original = rig.send_append("t", sequenced(time, 2, (5, 0, 0)));
    let newer = rig.send_append("t", sequenced(time, 1, (5, 0, 2)));
    let duplicate = rig.send_append("t", sequenced(time, 2, (5, 0, 0)));
    assert!(rig.replies.is_empty());
    rig.release();
    let bases = [original, duplicate, newer]
        .map(|origin| rig.appended(origin).unwrap().unwrap().base_offset.get());
    assert_eq!(bases, [0, 0, 2]);
}

#[test]
fn a_gap_in_the_sequence_and_an_old_epoch_are_refused() {
    let mut rig = rig_with(&[]);
    let time = now_ms(&rig);
    rig.append("t", sequenced(time, 2, (5, 1, 0))).unwrap();
    let gap = rig.append("t", sequenced(time, 1, (5, 1, 3)));
    assert_eq!(
        gap,
        Err(AppendError::OutOfOrder {
            expected: 2,
            got: 3
        })
    );
    let old = rig.append("t", sequenced(time, 1, (5, 0, 2)));
    assert_eq!(old, Err(AppendError::ProducerFenced));
    let new_epoch = rig.append("t", sequenced(time, 1, (5, 2, 0)));
    assert_eq!(new_epoch.unwrap().base_offset.get(), 2);
}

#[test]
fn a_duplicate_is_known_after_a_crash() {
    let mut rig = rig_with(&[]);
    let time = now_ms(&rig);
    rig.append("t", sequenced(time, 2, (5, 0, 0))).unwrap();
    rig.append("t", sequenced(time, 1, (5, 0, 2))).unwrap();
    rig.restart();
    assert_eq!(
        rig.append("t", sequenced(time, 1, (5, 0, 2)))
            .unwrap()
            .base_offset
            .get(),
        2
    );
    assert_eq!(
        rig.append("t", sequenced(time, 1, (5, 0, 3)))
            .unwrap()
            .base_offset
            .get(),
        3
    );
    assert_eq!(rig.read("t", 0), vec![(0, 1), (2, 2), (3, 3)]);
}

#[test]
fn a_duplicate_gets_the_append_time_of_the_original() {
    let mut rig = rig_with(&[("message.timestamp.type", "LogAppendTime")]);
    let now = now_ms(&rig);
    rig.append("t", sequenced(5, 1, (5, 0, 0))).unwrap();
    rig.pass(Duration::from_secs(3));
    let again = rig.append("t", sequenced(5, 1, (5, 0, 0))).unwrap();
    assert_eq!(again.log_append_time, Some(now));
}
