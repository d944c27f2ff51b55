//! Starts that find nothing wrong.

use super::builder::{NOW, SHARD, World, holes, log, offset, tail_bases, tp, worst};
use crate::exec::{MemoryDisk, recover};
use crate::format::manifest::Record;
use crate::store::LogId;

#[test]
fn an_empty_directory_becomes_an_empty_core_and_stays_one() {
    let mut disk = MemoryDisk::new();
    let first = recover(&mut disk, SHARD, NOW).unwrap();
    assert!(first.logs.is_empty() && first.journals.is_empty() && !first.is_clean);
    let second = recover(&mut disk, SHARD, NOW).unwrap();
    assert_eq!(second.manifest.uid, first.manifest.uid);
    assert!(second.manifest.next_seq > first.manifest.next_seq);
    assert_eq!(worst(&second), None);
}

#[test]
fn a_tail_that_lives_only_in_the_journal_is_replayed_in_order() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for word in ["a", "b", "c"] {
        let batch = history.batch(2, word);
        world.append(&mut journal, history.log, &[batch]);
    }
    let recovered = world.recover();
    let log = log(&recovered, 1);
    assert_eq!(tail_bases(log), [0, 2, 4]);
    assert_eq!((log.log_end, log.chain), (offset(6), history.chain));
    assert_eq!(worst(&recovered), None);
    assert_eq!(recovered.journals.len(), 1);
    assert_eq!(recovered.next_log, LogId(2));
}

#[test]
fn batches_that_a_segment_covers_are_not_in_the_tail_again() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    let batches = [
        history.batch(1, "a"),
        history.batch(3, "b"),
        history.batch(1, "c"),
    ];
    world.append(&mut journal, history.log, &batches);
    world.segment_group(&mut segment, &batches[..2]);
    let recovered = world.recover();
    let log = log(&recovered, 1);
    assert_eq!(
        tail_bases(log),
        [4],
        "an entry that straddles the end is cut at the batch"
    );
    let [recovered_segment] = log.segments.as_slice() else {
        panic!("one segment")
    };
    assert_eq!(recovered_segment.upto, offset(4));
    assert_eq!(recovered_segment.valid_end, segment.position);
    assert_eq!(recovered_segment.index.as_ref().unwrap().upto(), offset(4));
    assert_eq!(worst(&recovered), None);
}

#[test]
fn the_open_segment_is_sealed_by_recovery_and_trusted_by_the_next() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut segment = world.add_segment(&history, 9);
    let batch = history.batch(5, "a");
    world.segment_group(&mut segment, &[batch]);
    let first = world.recover();
    assert_eq!(first.report.segments_scanned, 1);
    let second = world.recover();
    let (one, two) = (log(&first, 1), log(&second, 1));
    assert_eq!(one.segments[0].valid_end, two.segments[0].valid_end);
    assert_eq!(one.segments[0].chain_after, two.segments[0].chain_after);
    assert_eq!(two.chain, history.chain);
}

#[test]
fn a_clean_stop_skips_the_scan_and_holds_for_one_start_only() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    let batch = history.batch(5, "a");
    world.append(&mut journal, history.log, std::slice::from_ref(&batch));
    world.segment_group(&mut segment, &[batch]);
    world.seal_segment(&segment);
    world.record(&[Record::CleanStop {
        lineage: journal.lineage,
    }]);
    let first = world.recover();
    assert!(first.is_clean);
    assert_eq!(first.report.journal_groups, 0);
    let second = world.recover();
    assert!(!second.is_clean, "the first start invalidated it");
    assert_eq!(second.report.journal_groups, 1);
    assert_eq!(log(&first, 1).chain, log(&second, 1).chain);
}

#[test]
fn an_empty_segment_is_forgotten_with_its_file() {
    let mut world = World::new();
    let history = world.create_log(1);
    let segment = world.add_segment(&history, 9);
    let recovered = world.recover();
    assert!(log(&recovered, 1).segments.is_empty());
    assert_eq!(world.disk.contents(&segment.path), None);
    assert_eq!(worst(&recovered), None);
    assert_eq!(log(&world.recover(), 1).log_end, offset(0));
}

#[test]
fn logs_are_recovered_apart_from_each_other() {
    let mut world = World::new();
    let mut one = world.create_log(1);
    let mut two = world.create_log(2);
    let mut journal = world.start_journal(1);
    let (a, b) = (one.batch(1, "a"), two.batch(7, "b"));
    world.append(&mut journal, one.log, &[a]);
    world.append(&mut journal, two.log, &[b]);
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).log_end, offset(1));
    assert_eq!(log(&recovered, 2).log_end, offset(7));
    assert_eq!(log(&recovered, 2).tp, tp(2));
}

#[test]
fn a_dropped_log_stays_dropped_although_the_journal_remembers_it() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let batch = history.batch(1, "a");
    world.append(&mut journal, history.log, &[batch]);
    world.record(&[Record::LogDrop(history.log)]);
    let recovered = world.recover();
    assert!(recovered.logs.is_empty());
    assert_eq!(
        recovered.next_log,
        LogId(2),
        "its id is not given out again"
    );
}

#[test]
fn a_second_start_replays_both_lineages_without_doubling() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut first = world.start_journal(1);
    let old = [history.batch(1, "a"), history.batch(1, "b")];
    world.append(&mut first, history.log, &old);
    world.recover();
    let mut world = World::over(world.disk);
    let mut second = world.start_journal(2);
    world.append(&mut second, history.log, &old[..1]);
    let recovered = world.recover();
    assert_eq!(
        tail_bases(log(&recovered, 1)),
        [0, 1],
        "the second start carried only half forward"
    );
    let mut world = World::over(world.disk);
    let new = history.batch(1, "c");
    world.append(&mut second, history.log, &old[1..]);
    world.append(&mut second, history.log, &[new]);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2]);
    assert_eq!(log(&recovered, 1).chain, history.chain);
    assert_eq!(holes(log(&recovered, 1)), []);
    assert_eq!(worst(&recovered), None);
    assert_eq!(recovered.journals.len(), 2);
}

#[test]
fn a_journal_goes_on_in_the_next_file_and_retired_files_are_not_missed() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for word in ["a", "b", "c"] {
        let batch = history.batch(1, word);
        world.append(&mut journal, history.log, &[batch]);
        world.roll_journal(&mut journal);
    }
    assert_eq!(tail_bases(log(&world.recover(), 1)), [0, 1, 2]);
}

#[test]
fn epochs_come_from_the_manifest_and_from_the_batches() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let epoch = model::offset::LeaderEpoch::new;
    world.record(&[Record::EpochStart {
        log: history.log,
        epoch: epoch(1),
        start: offset(0),
    }]);
    let mut journal = world.start_journal(1);
    history.epoch = epoch(1);
    let first = history.batch(4, "a");
    history.epoch = epoch(3);
    let second = history.batch(1, "b");
    world.append(&mut journal, history.log, &[first]);
    world.append(&mut journal, history.log, &[second]);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(found.epoch, epoch(3));
    assert_eq!(found.epochs.at(offset(3)), Some(epoch(1)));
    assert_eq!(found.epochs.at(offset(4)), Some(epoch(3)));
}
