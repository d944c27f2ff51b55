//! Blocks that the device refuses to read are damage of exactly those blocks.  reliability.md 2.6

use super::builder::{BLOCK, NOW, Put, SHARD, World, holes, log, offset, tail_bases, tp, worst};
use crate::exec::{RecoverError, Severity, Verdict, check, recover};
use crate::format::layout::segment_path;
use crate::format::segment::FIRST_GROUP_POSITION;

#[test]
fn an_unreadable_block_of_a_witnessed_segment_is_a_hole_of_that_group() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    for _ in 0..4 {
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
    }
    world.group(&mut journal, 0, &[Put::Witness(segment.witness())]);
    world
        .disk
        .make_unreadable(&segment.path, segment.positions[1]);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(2, 4)]);
    assert_eq!((found.log_end, found.chain), (offset(8), history.chain));
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn an_unreadable_block_of_a_journal_loses_that_group_only() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for _ in 0..4 {
        let batch = history.batch(1, "word");
        world.append(&mut journal, history.log, &[batch]);
    }
    world
        .disk
        .make_unreadable(&journal.path, journal.positions[1].1);
    let recovered = world.recover();
    assert_eq!(holes(log(&recovered, 1)), [(1, 2)]);
    assert_eq!(tail_bases(log(&recovered, 1)), [2, 3]);
}

#[test]
fn an_unreadable_manifest_block_stops_the_start() {
    let mut world = World::new();
    for number in 1..4 {
        world.create_log(number);
    }
    let path = world.manifest.file.path.clone();
    world.disk.make_unreadable(&path, 3 * BLOCK);
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { position, .. } if position == 3 * BLOCK));
}

#[test]
fn the_check_goes_on_behind_unreadable_blocks_and_names_them() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut segment = world.add_segment(&history, 9);
    for _ in 0..3 {
        let batch = history.batch(1, "word");
        world.segment_group(&mut segment, &[batch]);
    }
    world.seal_segment(&segment);
    world
        .disk
        .make_unreadable(&segment.path, segment.positions[0]);
    let report = check(&world.disk);
    assert_eq!(report.records, 2);
    let is_told = |finding: &crate::exec::Finding| finding.what.contains("1 blocks cannot be read");
    assert!(report.findings.iter().any(is_told), "{:?}", report.findings);
}

#[test]
fn newest_records_that_the_device_cannot_read_stop_the_start() {
    let mut world = World::new();
    world.create_log(1);
    let newest = world.manifest.file.position;
    world.create_log(2);
    let path = world.manifest.file.path.clone();
    world.disk.make_unreadable(&path, newest);
    let before = world.disk.clone();
    let refused = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(refused.to_string().contains("newest records"), "{refused}");
    assert_eq!(world.disk, before, "nothing was changed");
    let verdict = check(&world.disk).verdict();
    assert_eq!(verdict, Verdict::Damaged);
}

#[test]
fn a_bad_sector_behind_the_end_of_the_manifest_matters_to_nobody() {
    let mut world = World::new();
    world.create_log(1);
    let (path, end) = (
        world.manifest.file.path.clone(),
        world.manifest.file.position,
    );
    world.disk.make_unreadable(&path, end + BLOCK);
    assert_eq!(world.recover().logs.len(), 1);
}

#[test]
fn a_segment_that_nothing_refers_to_and_nobody_can_read_stays_and_stops_nothing() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let batch = history.batch(1, "word");
    world.append(&mut journal, history.log, &[batch]);
    world.seal_journal(&mut journal);
    let path = segment_path(tp(1), offset(7), &[9; 16]);
    world.disk.put(&path, vec![0; 65_536]);
    world.disk.make_unreadable(&path, FIRST_GROUP_POSITION);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0]);
    assert_eq!(recovered.report.orphans, std::slice::from_ref(&path));
    assert!(world.disk.contents(&path).is_some());
}
