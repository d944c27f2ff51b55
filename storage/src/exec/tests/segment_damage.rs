//! Segments that were open at the stop, short, missing or rotten.  reliability.md 2.4, 2.5, I2, I6, I12

use super::builder::{
    BLOCK, Batch, History, Journal, NOW, Put, SHARD, Segment, World, holes, log, offset,
    tail_bases, worst,
};
use crate::exec::{Disk, RecoverError, Severity, Verdict, check, recover};
use crate::format::layout::QUARANTINE;

/// A log with an open segment of `groups` groups of two records each; nothing in the journal.
fn written(groups: u32) -> (World, History, Journal, Segment) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    for _ in 0..groups {
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
    }
    (world, history, journal, segment)
}

#[test]
fn a_torn_group_that_no_witness_names_is_cut() {
    let (mut world, _, _, segment) = written(3);
    assert!(world.disk.flip(&segment.path, segment.positions[2] + 150));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(found.log_end, offset(4));
    assert_eq!(found.segments[0].valid_end, segment.positions[2]);
    assert_eq!(holes(found), []);
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
}

#[test]
fn an_open_segment_cut_between_groups_is_damaged_and_no_offset_is_given_out_again() {
    for cut in [0, BLOCK, 512] {
        let (mut world, _, _, segment) = written(3);
        // In front of the last group, behind the header alone, and inside the last group.
        let at = match cut {
            0 => segment.positions[2],
            BLOCK => segment.positions[0],
            _ => segment.positions[2] + cut,
        };
        let kept = if cut == BLOCK { 0 } else { 4 };
        assert!(world.disk.truncate(&segment.path, at));
        for _ in 0..3 {
            let recovered = world.recover();
            let found = log(&recovered, 1);
            assert_eq!(holes(found), [(kept, kept + (1 << 48))], "cut at {at}");
            assert_eq!(found.log_end, offset(kept + (1 << 48)));
        }
    }
}

#[test]
fn an_open_segment_that_is_gone_may_have_given_out_any_offset() {
    let (mut world, _, _, segment) = written(3);
    world.disk.remove(&segment.path).unwrap();
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(log(&recovered, 1).log_end, offset(1 << 48));
    assert_eq!(log(&world.recover(), 1).log_end, offset(1 << 48));
}

#[test]
fn journal_entries_behind_what_a_cut_segment_lost_are_kept() {
    let (mut world, mut history, mut journal, segment) = written(3);
    let batch = history.batch(1, "word");
    world.append(&mut journal, history.log, &[batch]);
    assert!(world.disk.truncate(&segment.path, segment.positions[2]));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(4, 6), (7, 7 + (1 << 48))]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_witnessed_group_that_is_gone_at_the_end_is_a_hole() {
    let (mut world, history, mut journal, segment) = written(3);
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    assert!(world.disk.zero(&segment.path, segment.positions[2], BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(4, 6)]);
    assert_eq!(found.log_end, history.next);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let again = world.recover();
    assert_eq!(holes(log(&again, 1)), [(4, 6)]);
    assert_eq!(log(&again, 1).log_end, offset(6));
}

#[test]
fn a_damaged_group_in_the_middle_is_a_hole_and_what_follows_stays() {
    let (mut world, history, mut journal, segment) = written(3);
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    assert!(world.disk.flip(&segment.path, segment.positions[1] + 3));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(2, 4)]);
    assert_eq!(found.log_end, offset(6));
    assert_eq!(found.chain, history.chain);
    assert_eq!(found.segments[0].valid_end, segment.position);
    assert_eq!(found.segments[0].groups, 3);
}

#[test]
fn the_journal_heals_what_the_segment_lost_at_its_end() {
    let (mut world, mut history, mut journal, mut segment) = written(1);
    let batch = history.batch(2, "both");
    world.append(&mut journal, history.log, std::slice::from_ref(&batch));
    world.segment_group(&mut segment, &[batch]);
    assert!(world.disk.zero(&segment.path, segment.positions[1], BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(tail_bases(found), [2]);
    assert_eq!(holes(found), []);
    assert_eq!(found.log_end, offset(4));
    assert_eq!(worst(&recovered), None);
}

#[test]
fn a_witnessed_segment_without_a_single_group_goes_to_quarantine() {
    let (mut world, _, mut journal, segment) = written(1);
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    assert!(world.disk.zero(&segment.path, segment.positions[0], BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert!(found.segments.is_empty());
    assert_eq!(holes(found), [(0, 2)]);
    assert_eq!(found.log_end, offset(2));
    assert_eq!(world.disk.contents(&segment.path), None);
    assert_eq!(world.disk.list(QUARANTINE).unwrap().len(), 1);
}

#[test]
fn a_lost_write_before_more_groups_than_can_be_in_flight_is_damage() {
    let (mut world, _, _, segment) = written(5);
    assert!(world.disk.zero(&segment.path, segment.positions[1], BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(2, 4)]);
    assert_eq!(found.log_end, offset(10));
}

#[test]
fn a_lost_write_before_the_last_group_in_flight_is_cut_with_it() {
    let (mut world, _, _, segment) = written(3);
    assert!(world.disk.zero(&segment.path, segment.positions[1], BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(found.log_end, offset(2));
    assert_eq!(holes(found), []);
    assert!(found.is_tail_unverified);
}

#[test]
fn bytes_behind_the_sealed_end_do_not_come_back() {
    let (mut world, mut history, _, mut segment) = written(2);
    world.seal_segment(&segment);
    let ghost = history.batch(1, "ghost");
    world.segment_group(&mut segment, &[ghost]);
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).log_end, offset(4));
    assert_eq!(log(&recovered, 1).segments[0].groups, 2);
}

#[test]
fn a_missing_sealed_segment_is_damage_and_never_a_fresh_log() {
    let (mut world, mut history, mut journal, segment) = written(2);
    world.seal_segment(&segment);
    let batch = history.batch(1, "tail");
    world.append(&mut journal, history.log, &[batch]);
    world.disk.remove(&segment.path).unwrap();
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(0, 4)]);
    assert_eq!(tail_bases(found), [4]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(log(&world.recover(), 1).log_end, offset(5));
}

#[test]
fn a_sealed_segment_that_is_too_short_keeps_what_is_left() {
    let (mut world, _, _, segment) = written(3);
    world.seal_segment(&segment);
    assert!(world.disk.truncate(&segment.path, segment.positions[2]));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(4, 6)]);
    assert_eq!(found.log_end, offset(6));
    assert_eq!(found.segments[0].upto, offset(4));
}

#[test]
fn a_hole_closes_when_the_segment_can_be_read_again() {
    let (mut world, history, mut journal, segment) = written(3);
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    let intact = world.disk.contents(&segment.path).unwrap().to_vec();
    assert!(world.disk.flip(&segment.path, segment.positions[1] + 3));
    assert_eq!(holes(log(&world.recover(), 1)), [(2, 4)]);
    world.disk.put(&segment.path, intact);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), []);
    assert_eq!((found.log_end, found.chain), (offset(6), history.chain));
    assert_eq!(holes(log(&world.recover(), 1)), []);
}

#[test]
fn one_damaged_header_copy_is_enough_and_two_are_reported() {
    let (mut world, _, _, segment) = written(1);
    assert!(world.disk.flip(&segment.path, 30));
    assert_eq!(worst(&World::over(world.disk.clone()).recover()), None);
    assert!(world.disk.flip(&segment.path, BLOCK + 30));
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(
        log(&recovered, 1).log_end,
        offset(2),
        "groups carry the uid themselves"
    );
}

#[test]
fn a_group_of_another_segment_does_not_count() {
    let (mut world, mut history, _, mut segment) = written(1);
    let batch = history.batch(2, "misdirected");
    segment.uid = [8; 16];
    world.segment_group(&mut segment, &[batch]);
    assert_eq!(log(&world.recover(), 1).log_end, offset(2));
}

#[test]
fn two_open_segments_are_both_sealed() {
    let (mut world, mut history, _, first) = written(2);
    let mut second = world.add_segment(&history, 10);
    let batch: Batch = history.batch(1, "next");
    world.segment_group(&mut second, &[batch]);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(found.segments.len(), 2);
    assert_eq!(found.segments[0].upto, first.upto);
    assert_eq!(found.chain, history.chain);
    assert_eq!(worst(&recovered), None);
}

#[test]
fn no_single_flipped_byte_of_a_segment_makes_recovery_fail() {
    let (world, _, _, segment) = written(3);
    for at in (0..segment.position).step_by(311) {
        let mut copy = World::over(world.disk.clone());
        assert!(copy.disk.flip(&segment.path, at));
        let recovered = copy.recover();
        assert!(log(&recovered, 1).log_end <= offset(6));
    }
}

#[test]
fn a_log_start_above_everything_leaves_an_empty_log_that_goes_on_there() {
    let (mut world, history, _, segment) = written(2);
    world.seal_segment(&segment);
    let log_start = offset(4);
    world.record(&[
        crate::format::manifest::Record::LogStart {
            log: history.log,
            offset: log_start,
        },
        crate::format::manifest::Record::SegmentRemove {
            log: history.log,
            uid: segment.uid,
        },
    ]);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!((found.log_start, found.log_end), (log_start, log_start));
    assert_eq!(recovered.report.orphans, [segment.path]);
}

#[test]
fn an_unnamed_segment_goes_if_it_is_empty_and_stays_if_it_is_not() {
    let (mut world, mut history, mut journal, _) = written(1);
    let manifest = world.manifest.file.clone();
    let (mut empty, mut full) = (
        world.add_segment(&history, 20),
        world.add_segment(&history, 21),
    );
    let batch = history.batch(1, "data");
    world.append(&mut journal, history.log, std::slice::from_ref(&batch));
    world.segment_group(&mut full, &[batch]);
    empty.uid = [20; 16];
    world.record(&[
        crate::format::manifest::Record::SegmentRemove {
            log: history.log,
            uid: empty.uid,
        },
        crate::format::manifest::Record::SegmentRemove {
            log: history.log,
            uid: full.uid,
        },
    ]);
    assert_eq!(world.manifest.file.path, manifest.path);
    let recovered = world.recover();
    assert_eq!(recovered.report.orphans, [full.path.as_str()]);
    assert_eq!(world.disk.contents(&empty.path), None);
    assert!(world.disk.contents(&full.path).is_some());
}

#[test]
fn a_segment_that_no_record_names_and_that_goes_beyond_its_log_stops_the_start() {
    let (mut world, history, _, segment) = written(2);
    world.record(&[crate::format::manifest::Record::SegmentRemove {
        log: history.log,
        uid: segment.uid,
    }]);
    let before = world.disk.clone();
    let refused = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    let RecoverError::Damaged { file, what, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(file, segment.path);
    assert!(what.contains("offsets up to 4"), "{what}");
    assert_eq!(world.disk, before, "nothing was changed");
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn every_start_tells_of_prepared_zeros_until_they_are_given_back() {
    let (mut world, history, _, segment) = written(3);
    let len = world.disk.len(&segment.path).unwrap();
    assert!(len > segment.position);
    for _ in 0..2 {
        let recovered = world.recover();
        let found = &log(&recovered, 1).segments[0];
        assert_eq!(
            (found.valid_end, found.zeroed_upto),
            (segment.position, len)
        );
    }
    assert!(world.disk.truncate(&segment.path, segment.position));
    let recovered = world.recover();
    let found = &log(&recovered, 1).segments[0];
    assert_eq!(found.zeroed_upto, segment.position);
    assert_eq!(log(&recovered, 1).log_end, history.next);
    assert_eq!(worst(&recovered), None);
}

/// The segment ends at `end` for this start and the next, and what follows is not given back.
fn expect_rest_kept(world: &mut World, end: u64) {
    for _ in 0..2 {
        let recovered = world.recover();
        let found = &log(&recovered, 1).segments[0];
        assert_eq!((found.valid_end, found.zeroed_upto), (end, end));
    }
}

#[test]
fn what_follows_a_torn_group_is_left_to_be_looked_at() {
    let (mut world, _, _, segment) = written(3);
    assert!(world.disk.flip(&segment.path, segment.positions[2] + 150));
    expect_rest_kept(&mut world, segment.positions[2]);
}

#[test]
fn a_sealed_segment_is_not_cut_in_front_of_its_sealed_end() {
    let (mut world, mut history, _, mut segment) = written(2);
    let batch = history.batch(1, &"x".repeat(60_000));
    world.segment_group(&mut segment, &[batch]);
    world.seal_segment(&segment);
    assert!(world.disk.zero(&segment.path, segment.positions[2], BLOCK));
    expect_rest_kept(&mut world, segment.positions[2]);
}

#[test]
fn a_witnessed_group_without_its_header_is_not_cut_off() {
    let (mut world, mut history, mut journal, mut segment) = written(2);
    let batch = history.batch(1, &"x".repeat(60_000));
    world.segment_group(&mut segment, &[batch]);
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    assert!(world.disk.zero(&segment.path, segment.positions[2], BLOCK));
    let recovered = world.recover();
    let found = &log(&recovered, 1).segments[0];
    assert_eq!(found.zeroed_upto, found.valid_end);
    assert_eq!(holes(log(&recovered, 1)), [(4, 5)]);
}

#[test]
fn a_long_lost_write_before_more_groups_than_can_be_in_flight_is_damage() {
    let (mut world, mut history, _, mut segment) = written(1);
    for len in [100_000, 100, 100, 100] {
        let batch = history.batch(2, &"x".repeat(len / 2));
        world.segment_group(&mut segment, &[batch]);
    }
    assert!(world.disk.zero(&segment.path, segment.positions[1], BLOCK));
    let recovered = world.recover();
    assert_eq!(holes(log(&recovered, 1)), [(2, 4)]);
    assert_eq!(log(&recovered, 1).log_end, offset(10));
}

#[test]
fn a_block_behind_the_end_that_cannot_be_read_is_not_taken_for_zeros() {
    let (mut world, _, _, segment) = written(3);
    world.disk.make_unreadable(&segment.path, segment.position);
    for _ in 0..2 {
        let recovered = world.recover();
        let found = &log(&recovered, 1).segments[0];
        assert_eq!(found.zeroed_upto, segment.position);
    }
}
