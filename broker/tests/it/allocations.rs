//! Heap allocations of a shard that is warm, per so many requests.
//!
//! Owns: the ratchet of allocations in `Shard::handle` and `Shard::poll_output`.
//! Never: counts what the test or the disk in memory allocates.
//! Invariants: the limits may only fall.
//! Source: performance.md section 5 (what is repeatable is held by a ratchet).

use api::Command;

use crate::append::{now_ms, rig_with};
use crate::ask::{fetch, large_batch};

/// Requests before anything is counted: buffers have grown to what they need.
const WARM: usize = 20_000;

/// Appends that are counted: many flushes, so that it does not matter where in a tail or a file the count begins.
const COUNTED: usize = 10_000;

/// Appends of 1 KiB, each durable before the next. What is left belongs to segments, not to requests: their
/// files, indexes, and the cache of what moved there.
const APPENDS_MAX: u64 = 1_900;

/// Of ten thousand appends of 1 KiB so many at least need nothing but the journal: a tail is flushed at 256 KiB.
const ORDINARY_MIN: usize = 9_880;

#[test]
fn ten_thousand_durable_appends_allocate_next_to_nothing() {
    let mut rig = rig_with(&[("segment.bytes", "1048576")]);
    let mut spent = 0;
    for number in 0..WARM + COUNTED {
        let batch = large_batch(now_ms(&rig), 1_024);
        let before = rig.allocations;
        let origin = rig.send_append("t", batch);
        if number >= WARM {
            spent += rig.allocations - before;
        }
        rig.appended(origin).unwrap().unwrap();
    }
    assert!(
        spent <= APPENDS_MAX,
        "{spent} allocations, at most {APPENDS_MAX}"
    );
}

/// Appends that cut, settle or change a segment may allocate; those are few.
#[test]
fn an_append_that_only_goes_to_the_journal_allocates_nothing() {
    let mut rig = rig_with(&[]);
    let mut ordinary = 0;
    for number in 0..WARM + COUNTED {
        let batch = large_batch(now_ms(&rig), 1_024);
        let before = (rig.allocations, rig.disk.beside_journal);
        let origin = rig.send_append("t", batch);
        let spent = rig.allocations - before.0;
        if number >= WARM && rig.disk.beside_journal == before.1 {
            assert_eq!(spent, 0, "append {number}");
            ordinary += 1;
        }
        rig.appended(origin).unwrap().unwrap();
    }
    assert!(ordinary >= ORDINARY_MIN, "{ordinary} ordinary appends");
}

#[test]
fn a_thousand_fetches_from_memory_allocate_nothing() {
    let mut rig = rig_with(&[]);
    for _ in 0..200 {
        let batch = large_batch(now_ms(&rig), 1_024);
        rig.send_append("t", batch);
    }
    let mut spent = 0;
    for number in 0..2_000 {
        let before = rig.allocations;
        rig.ask(Command::Fetch(fetch("t", 190)));
        if number >= 1_000 {
            spent += rig.allocations - before;
        }
    }
    // The list of pieces lies in the answer, the piece they are gathered in is cut from a chunk that is used again.
    assert_eq!(spent, 0, "allocations of a thousand fetches");
}
