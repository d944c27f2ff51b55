//! When logs leave the journal, and how many at once.

use super::world::{World, small_config};
use crate::store::StoreConfig;
use crate::store::journal::{FILES_MAX, FilePhase};
use crate::store::pressing::FULL_MAX;

const LOGS: u32 = 400;

/// Tails have room for all that the journal holds, and time never runs.
fn config() -> StoreConfig {
    StoreConfig {
        tail_bytes_max: 64 << 20,
        open_files_max: 1_000,
        ..small_config()
    }
}

fn full_files(world: &World) -> usize {
    let files = world.store.journal.files.values();
    files.filter(|file| file.phase == FilePhase::Full).count()
}

#[test]
fn the_journal_fills_to_half_before_a_log_is_flushed_for_its_sake() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..LOGS).map(|number| world.log(number)).collect();
    let mut turns = 0;
    while full_files(&world) < FULL_MAX {
        assert_eq!(world.writes_to(".seg"), 0, "after {turns} appends");
        world.append(ids[turn_of(turns)], 1, 1_000);
        world.settle();
        turns += 1;
    }
    assert!(turns > 400, "{turns}");
    for turn in 0..turns {
        world.append(ids[turn_of(turn)], 1, 1_000);
        world.settle();
    }
    assert!(world.writes_to(".seg") > 0);
}

fn turn_of(turn: usize) -> usize {
    turn % LOGS as usize
}

#[test]
fn logs_leave_a_full_journal_a_few_at_a_time() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..LOGS).map(|number| world.log(number)).collect();
    let (mut most, mut fullest) = (0, 0);
    for turn in 0..6_000 {
        world.append(ids[turn_of(turn)], 1, 1_000);
        world.round();
        most = most.max(world.store.flush_list.len());
        fullest = fullest.max(full_files(&world));
        world.settle();
    }
    // A file holds 126 appends at most, so a group of one append asks for one log or two.
    assert!((1..=8).contains(&most), "{most} logs at once");
    assert!(
        (FULL_MAX..FULL_MAX + 3).contains(&fullest),
        "{fullest} of {FILES_MAX} files"
    );
    for id in ids {
        assert_eq!(world.visible(id), 15);
        assert_eq!(world.read_all(id, 0).len(), 15);
    }
}

#[test]
fn a_log_that_is_written_once_does_not_keep_its_journal_file() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..LOGS).map(|number| world.log(number)).collect();
    let idle = world.log(LOGS);
    world.append(idle, 1, 100);
    for turn in 0..3_000 {
        world.append(ids[turn_of(turn)], 1, 1_000);
        world.settle();
    }
    let held = &world.store.logs.get(&idle).unwrap().journal_refs;
    assert!(held.is_empty(), "{held:?}");
    assert_eq!(world.read_all(idle, 0).len(), 1);
}

#[test]
fn a_journal_that_filled_up_for_want_of_segments_goes_on_once_they_are_made() {
    let mut world = World::with(config());
    let ids: Vec<_> = (0..LOGS).map(|number| world.log(number)).collect();
    world.settle();
    let mut turns = 0;
    while world.store.dirty.is_empty() {
        world.append(ids[turn_of(turns)], 1, 1_000);
        world.settle_but_segments();
        turns += 1;
        assert!(turns < 10_000, "{} full files", full_files(&world));
        // Nothing piles up that would be asked for at once when the next file is full.
        assert!(world.store.journal.pace.owed <= config().journal_bytes / 8);
    }
    assert_eq!(full_files(&world), FILES_MAX - 1);
    assert_eq!(world.store.flush_list.len(), 0);
    for _ in 0..2_000 {
        world.append(ids[turn_of(turns)], 1, 1_000);
        world.settle();
        turns += 1;
    }
    assert!(full_files(&world) < FULL_MAX + 3);
    let visible: u64 = ids.iter().map(|id| world.visible(*id)).sum();
    assert_eq!(visible, turns as u64);
}

#[test]
fn a_tail_is_written_when_its_share_is_full_but_not_below_64_kib_while_there_is_memory() {
    let mut world = World::with(StoreConfig {
        tail_bytes_max: 512 << 20,
        ..small_config()
    });
    let expected = [
        (0, 256 << 10),
        (256, 256 << 10),
        (512, 128 << 10),
        (1_024, 64 << 10),
        (8_192, 64 << 10),
        (16_384, 32 << 10),
    ];
    for (logs, bytes) in expected {
        world.store.unflushed_logs = logs;
        assert_eq!(world.store.flush_threshold(), bytes, "{logs}");
    }
}
