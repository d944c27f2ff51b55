//! Journal files that end where a group does.  docs/format.md (journal file)

use super::builder::{
    BLOCK, Journal, SHARD, World, holes, is_core_damaged, log, offset, tail_bases, worst,
};
use crate::exec::{Disk, Severity};
use crate::format::FLAG_END_KEPT;
use crate::format::journal::JournalHeader;

const LOST: u64 = 1 << 48;

/// One log with `groups` groups of one record each, all in one file, all witnessed by a seal.
fn written(groups: u32) -> (World, Journal) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for _ in 0..groups {
        let batch = history.batch(1, "word");
        world.append(&mut journal, history.log, std::slice::from_ref(&batch));
    }
    world.seal_journal(&mut journal);
    (world, journal)
}

fn position(journal: &Journal, seq: usize) -> u64 {
    journal.positions[seq - 1].1
}

#[test]
fn a_file_cut_between_two_groups_is_damaged_and_no_offset_is_given_out_again() {
    let (mut world, journal) = written(4);
    assert!(world.disk.truncate(&journal.path, position(&journal, 3)));
    assert!(is_core_damaged(&world));
    for _ in 0..3 {
        let recovered = world.recover();
        assert_eq!(worst(&recovered), Some(Severity::Damage));
        let found = log(&recovered, 1);
        assert_eq!(holes(found), [(2, 2 + LOST)]);
        assert_eq!(found.log_end, offset(2 + LOST));
    }
}

#[test]
fn a_file_cut_behind_its_header_is_damaged() {
    let (mut world, journal) = written(4);
    assert!(world.disk.truncate(&journal.path, BLOCK));
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(holes(log(&recovered, 1)), [(0, LOST)]);
}

#[test]
fn a_file_cut_inside_a_group_may_have_lost_groups_behind_it() {
    let (mut world, journal) = written(4);
    assert!(
        world
            .disk
            .truncate(&journal.path, position(&journal, 3) + 512)
    );
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let [(from, upto)] = holes(log(&recovered, 1))[..] else {
        panic!("one hole");
    };
    // What is left of the group itself is kept.
    assert!(from == 3 && upto >= LOST, "{from} to {upto}");
}

#[test]
fn a_file_cut_in_the_zeros_behind_its_groups_lost_nothing() {
    let (mut world, journal) = written(4);
    assert!(world.disk.truncate(&journal.path, journal.position + BLOCK));
    let recovered = world.recover();
    assert!(worst(&recovered) < Some(Severity::Damage));
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2, 3]);
}

#[test]
fn groups_of_the_next_file_bound_what_a_cut_file_lost() {
    let (mut world, mut journal) = written(4);
    let path = journal.path.clone();
    let cut = position(&journal, 3);
    world.roll_journal(&mut journal);
    let mut history = super::builder::History::new(1);
    for _ in 0..4 {
        history.batch(1, "word");
    }
    let batch = history.batch(1, "word");
    world.append(&mut journal, history.log, &[batch]);
    world.seal_journal(&mut journal);
    assert!(world.disk.truncate(&path, cut));
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(2, 4)]);
    assert_eq!(found.log_end, offset(5));
}

#[test]
fn a_file_of_a_writer_that_used_the_last_block_is_whole_where_a_group_ends() {
    let (mut world, journal) = written(4);
    let header = JournalHeader::decode(world.disk.contents(&journal.path).unwrap()).unwrap();
    assert_eq!(header.flags, FLAG_END_KEPT);
    let earlier = JournalHeader { flags: 0, ..header };
    world
        .disk
        .write(&journal.path, 0, &earlier.encode())
        .unwrap();
    assert!(world.disk.truncate(&journal.path, journal.position));
    assert!(!is_core_damaged(&world));
    let recovered = world.recover();
    assert_eq!(recovered.shard, SHARD);
    assert!(worst(&recovered) < Some(Severity::Damage));
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2, 3]);
}
