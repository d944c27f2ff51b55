//! Heap allocations of a shard that is warm, per so many requests.
//!
//! Owns: the ratchet of allocations in `Shard::handle` and `Shard::poll_output`.
//! Never: counts what the test or the disk in memory allocates.
//! Invariants: the limits may only fall.
//! Source: performance.md section 5 (what is repeatable is held by a ratchet).

use std::time::Duration;

use api::Command;

use crate::append::{now_ms, rig_with};
use crate::ask::{append, fetch, large_batch};
use crate::rig::Rig;

/// Requests before anything is counted: buffers have grown to what they need.
const WARM: usize = 20_000;

/// Appends that are counted: many flushes, so that it does not matter where in a tail or a file the count begins.
const COUNTED: usize = 10_000;

/// Appends of 1 KiB, each durable before the next, in segments of 1 MiB. What is left belongs to changes of segment,
/// nine for each, and to new manifest files, not to requests.
const APPENDS_MAX: u64 = 119;

/// Changes of segment among them at least.
const CHANGES_MIN: u64 = 9;

/// Of ten thousand appends of 1 KiB so many at least need nothing but the journal: a tail is flushed at 256 KiB.
const ORDINARY_MIN: usize = 9_880;

/// Groups that they are cut into at least.
const GROUPS_MIN: u64 = 40;

/// Of these groups so many at least come with no new file, of a journal or manifest that is full.
const QUIET_GROUPS_MIN: u64 = 40;

/// Appends that stay in one segment. What is left are names and contents of new manifest files.
const INSIDE_MAX: u64 = 21;

/// Partitions of the test with many: their timers fill several nodes of a tree.
const PARTITIONS: usize = 40;

/// Of five thousand appends to them so many at least: the age of a tail writes it to its segment.
const UNTIMED_MIN: usize = 4_700;

/// What one append cost, and what the disk saw of it.
struct Seen {
    allocations: u64,
    beside_journal: u64,
    segment_groups: u64,
    files_changed: u64,
    segments_made: u64,
}

impl Seen {
    /// What came since `before`.
    fn since(&self, before: &Self) -> Self {
        Self {
            allocations: self.allocations - before.allocations,
            beside_journal: self.beside_journal - before.beside_journal,
            segment_groups: self.segment_groups - before.segment_groups,
            files_changed: self.files_changed - before.files_changed,
            segments_made: self.segments_made - before.segments_made,
        }
    }
}

/// Appends batches of 1 KiB, each durable before the next; shows all that are counted.
fn append_many(configs: &[(&str, &str)], mut look: impl FnMut(&Seen)) {
    let mut rig = rig_with(configs);
    for number in 0..WARM + COUNTED {
        let batch = large_batch(now_ms(&rig), 1_024);
        let before = seen(&rig);
        let origin = rig.send_append("t", batch);
        let after = seen(&rig);
        if number >= WARM {
            look(&after.since(&before));
        }
        rig.appended(origin).unwrap().unwrap();
    }
}

fn seen(rig: &Rig) -> Seen {
    Seen {
        allocations: rig.allocations,
        beside_journal: rig.disk.beside_journal,
        segment_groups: rig.disk.segment_groups,
        files_changed: rig.disk.files_changed,
        segments_made: rig.disk.segments_made,
    }
}

#[test]
fn a_change_of_segment_allocates_little() {
    let (mut spent, mut groups, mut segments) = (0, 0, 0);
    append_many(&[("segment.bytes", "1048576")], |seen| {
        spent += seen.allocations;
        groups += seen.segment_groups;
        segments += seen.segments_made;
    });
    assert!(groups >= GROUPS_MIN, "{groups} groups");
    assert!(segments >= CHANGES_MIN, "{segments} segments");
    assert!(spent <= APPENDS_MAX, "{spent}, at most {APPENDS_MAX}");
}

/// Rounds of a test in which several appends come at once: before anything is counted, and counted.
const ROUNDS: (usize, usize) = (300, 300);

/// Groups of large batches that need no new file: what is left is room for the index of a segment that was extended.
const LARGE_MAX: u64 = 1;

/// Appends `count` batches of so many bytes in every round; shows the rounds that are counted.
fn append_together(count: usize, bytes: usize, mut look: impl FnMut(&Seen)) {
    let mut rig = rig_with(&[]);
    for number in 0..ROUNDS.0 + ROUNDS.1 {
        let one = |_| Command::Append(append(&rig, "t", large_batch(now_ms(&rig), bytes)));
        let crowd = (0..count).map(one).collect();
        let before = seen(&rig);
        rig.crowd(crowd);
        let after = seen(&rig);
        if number >= ROUNDS.0 {
            look(&after.since(&before));
        }
        rig.replies.clear();
    }
}

/// Eleven batches and what stands before them: more pieces than a list has places for by itself.
#[test]
fn a_journal_group_of_several_batches_allocates_nothing() {
    let mut ordinary = 0;
    append_together(11, 1_024, |seen| {
        if seen.beside_journal == 0 {
            assert_eq!(seen.allocations, 0, "round {ordinary}");
            ordinary += 1;
        }
    });
    assert!(ordinary >= 270, "{ordinary} ordinary rounds");
}

/// Batches that are too large to be copied together.
#[test]
fn a_segment_group_of_several_large_batches_allocates_nothing() {
    let (mut groups, mut spent) = (0, 0);
    append_together(6, 10 * 1_024, |seen| {
        if seen.files_changed == 0 {
            groups += seen.segment_groups;
            spent += seen.allocations;
        }
    });
    assert!(groups >= GROUPS_MIN, "{groups} groups");
    assert!(spent <= LARGE_MAX, "{spent}, at most {LARGE_MAX}");
}

#[test]
fn an_append_that_only_goes_to_the_journal_allocates_nothing() {
    let mut ordinary = 0;
    append_many(&[], |seen| {
        if seen.beside_journal == 0 {
            assert_eq!(seen.allocations, 0, "append {ordinary}");
            ordinary += 1;
        }
    });
    assert!(ordinary >= ORDINARY_MIN, "{ordinary} ordinary appends");
}

/// Cut from the tail, written, settled and witnessed in the journal, moved to the cache and the index.
#[test]
fn a_group_that_goes_to_the_segment_of_the_one_before_allocates_nothing() {
    let (mut groups, mut quiet, mut spent) = (0, 0, 0);
    append_many(&[], |seen| {
        groups += seen.segment_groups;
        spent += seen.allocations;
        if seen.files_changed == 0 {
            assert_eq!(seen.allocations, 0, "with group {groups}");
            quiet += seen.segment_groups;
        }
    });
    assert!(groups >= GROUPS_MIN, "{groups} groups");
    assert!(
        quiet >= QUIET_GROUPS_MIN,
        "{quiet} groups without new files"
    );
    assert!(spent <= INSIDE_MAX, "{spent}, at most {INSIDE_MAX}");
}

/// Timers of so many partitions come and go with every append.
#[test]
fn a_memory_durable_append_that_needs_no_segment_allocates_nothing() {
    let configs = [("rapidmq.durability", "memory")];
    let mut rig = rig_with(&configs);
    let names: Vec<String> = (0..PARTITIONS).map(|number| format!("m{number}")).collect();
    for name in &names {
        rig.create(name, &configs);
    }
    let mut ordinary = 0;
    for number in 0..(WARM + COUNTED) / 2 {
        let batch = large_batch(now_ms(&rig), 100);
        let before = seen(&rig);
        // Seven shares no factor with their number: each has its turn, none after its neighbour.
        rig.send_append(&names[number * 7 % PARTITIONS], batch);
        rig.pass(Duration::from_millis(1));
        let after = seen(&rig);
        if number >= WARM / 2 && before.beside_journal == after.beside_journal {
            assert_eq!(before.allocations, after.allocations, "append {number}");
            ordinary += 1;
        }
        rig.replies.clear();
    }
    assert!(ordinary >= UNTIMED_MIN, "{ordinary} ordinary appends");
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
