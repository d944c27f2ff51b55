//! The verdict table of the durability witness, for journals.  reliability.md 2.4, 2.6

use super::builder::{
    BLOCK, Batch, Journal, NOW, Put, SHARD, World, holes, log, offset, tail_bases, worst,
};
use crate::exec::{Disk, RecoverError, Severity, Verdict, check, recover};
use crate::format::layout::journal_path;
use crate::format::manifest::Record;
use crate::store::LogId;

/// One log with `groups` groups of one record each in one journal.
fn written(groups: u32) -> (World, Journal, Vec<Batch>) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut batches = Vec::new();
    for _ in 0..groups {
        let batch = history.batch(1, "word");
        world.append(&mut journal, history.log, std::slice::from_ref(&batch));
        batches.push(batch);
    }
    (world, journal, batches)
}

fn position(journal: &Journal, seq: usize) -> u64 {
    journal.positions[seq - 1].1
}

#[test]
fn a_torn_last_group_above_the_witness_is_cut() {
    let (mut world, journal, _) = written(3);
    assert!(world.disk.flip(&journal.path, position(&journal, 3) + 200));
    let recovered = world.recover();
    let log = log(&recovered, 1);
    assert_eq!(tail_bases(log), [0, 1]);
    assert_eq!(holes(log), []);
    assert!(log.is_tail_unverified);
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
}

#[test]
fn a_torn_group_whose_header_never_arrived_is_cut() {
    let (mut world, journal, _) = written(3);
    assert!(world.disk.zero(&journal.path, position(&journal, 3), 128));
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1]);
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
}

#[test]
fn a_group_behind_the_first_invalid_one_above_the_witness_does_not_count() {
    let (mut world, mut journal, _) = written(1);
    let mut history = super::builder::History::new(1);
    let first = history.batch(1, "word");
    assert_eq!(first.info.base_offset, offset(0));
    // Two groups in flight at once: neither knows of the other.
    let (a, b) = (history.batch(1, "a"), history.batch(1, "b"));
    world.group(&mut journal, 1, &[Put::Append(history.log, &[a])]);
    world.group(&mut journal, 1, &[Put::Append(history.log, &[b])]);
    assert!(world.disk.zero(&journal.path, position(&journal, 2), BLOCK));
    let recovered = world.recover();
    let log = log(&recovered, 1);
    assert_eq!(tail_bases(log), [0]);
    assert!(log.is_tail_unverified);
    assert_eq!(holes(log), []);
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
}

#[test]
fn a_witnessed_group_that_is_gone_leaves_a_hole_and_the_rest_stays() {
    let (mut world, journal, batches) = written(4);
    assert!(world.disk.zero(&journal.path, position(&journal, 2), BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(1, 2)]);
    assert_eq!(tail_bases(found), [2, 3], "what follows keeps its offsets");
    assert_eq!(found.log_end, offset(4));
    assert_eq!(found.chain, batches[3].chain_after);
    let [rescued] = found.segments.as_slice() else {
        panic!("batches before the hole get a segment")
    };
    assert_eq!((rescued.base, rescued.upto), (offset(0), offset(1)));
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    let again = world.recover();
    let found = log(&again, 1);
    assert_eq!(holes(found), [(1, 2)], "the manifest remembers the hole");
    assert_eq!(tail_bases(found), [2, 3]);
    assert_eq!(
        found.segments.len(),
        1,
        "what was rescued is not rescued again"
    );
}

#[test]
fn a_witnessed_group_with_a_good_header_tells_which_offsets_are_lost() {
    let (mut world, mut journal, _) = written(3);
    // An empty group witnesses the third; then the third rots: nothing follows it in its log.
    world.seal_journal(&mut journal);
    assert!(world.disk.flip(
        &journal.path,
        position(&journal, 3) + 128 + 2 * 96 + 16 + 70
    ));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(2, 3)]);
    assert_eq!(
        found.log_end,
        offset(3),
        "acknowledged offsets are not given out again"
    );
    assert!(found.tail.is_empty());
    assert_eq!(found.segments.len(), 1);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(log(&world.recover(), 1).log_end, offset(3));
}

#[test]
fn intact_entries_of_a_damaged_group_are_kept() {
    let mut world = World::new();
    let mut one = world.create_log(1);
    let mut two = world.create_log(2);
    let mut journal = world.start_journal(1);
    let (a, b) = (one.batch(1, "a"), two.batch(1, "b"));
    let len = a.bytes.len() as u64;
    world.group(
        &mut journal,
        0,
        &[Put::Append(one.log, &[a]), Put::Append(two.log, &[b])],
    );
    world.seal_journal(&mut journal);
    assert!(
        world
            .disk
            .flip(&journal.path, BLOCK + 128 + 2 * 96 + len + 65)
    );
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0]);
    assert_eq!(holes(log(&recovered, 1)), []);
    assert_eq!(holes(log(&recovered, 2)), [(0, 1)]);
    assert_eq!(log(&recovered, 2).log_end, offset(1));
}

#[test]
fn more_groups_behind_an_invalid_one_than_can_be_in_flight_mean_damage() {
    let (mut world, mut journal, _) = written(1);
    let mut history = super::builder::History::new(1);
    history.batch(1, "word");
    // The witness stands still at 1, but five groups cannot be under way at once.
    for word in ["a", "b", "c", "d", "e"] {
        let batch = history.batch(1, word);
        world.group(&mut journal, 1, &[Put::Append(history.log, &[batch])]);
    }
    assert!(world.disk.zero(&journal.path, position(&journal, 2), BLOCK));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(holes(found), [(1, 2)]);
    assert_eq!(found.log_end, offset(6));
}

#[test]
fn damage_in_an_earlier_file_is_found_by_the_header_of_the_next() {
    let (mut world, mut journal, _) = written(3);
    let path = journal.path.clone();
    let mut history = super::builder::History::new(1);
    for _ in 0..3 {
        history.batch(1, "word");
    }
    world.roll_journal(&mut journal);
    let next = history.batch(1, "next");
    world.append(&mut journal, history.log, &[next]);
    assert!(world.disk.zero(&path, position(&journal, 3), BLOCK));
    let recovered = world.recover();
    assert_eq!(holes(log(&recovered, 1)), [(2, 3)]);
    assert_eq!(tail_bases(log(&recovered, 1)), [3]);
}

#[test]
fn a_file_that_is_cut_short_inside_a_group_is_damage_not_a_torn_write() {
    let (mut world, journal, _) = written(2);
    let len = position(&journal, 2) + 128 + 2 * 96 + 16 + 20;
    assert!(world.disk.truncate(&journal.path, len));
    let recovered = world.recover();
    let found = log(&recovered, 1);
    // Nobody knows what else was in the part that is gone.
    assert_eq!(holes(found), [(1, 2 + (1 << 48))]);
    assert_eq!(found.log_end, offset(2 + (1 << 48)));
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_missing_journal_file_is_reported_and_marks_every_tail_unverified() {
    let (mut world, journal, _) = written(2);
    world.disk.remove(&journal.path).unwrap();
    let recovered = world.recover();
    assert!(log(&recovered, 1).is_tail_unverified);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(recovered.report.findings[0].file, journal.path);
}

#[test]
fn a_damaged_file_header_does_not_hide_the_groups() {
    let (mut world, journal, _) = written(2);
    assert!(world.disk.flip(&journal.path, 40));
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_gap_that_no_damage_explains_was_on_its_way_to_a_segment_and_is_cut() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let batches = [
        history.batch(1, "a"),
        history.batch(1, "direct"),
        history.batch(1, "c"),
    ];
    world.append(&mut journal, history.log, &batches[..1]);
    world.append(&mut journal, history.log, &batches[2..]);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(tail_bases(found), [0]);
    assert_eq!(holes(found), []);
    assert!(found.is_tail_unverified);
}

#[test]
fn what_a_newer_start_wrote_wins_over_what_the_older_one_had_cut() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut first = world.start_journal(1);
    let kept = history.batch(1, "a");
    let mut fork = history.clone();
    let (gap, beyond) = (fork.batch(1, "direct"), fork.batch(1, "c"));
    assert_eq!(gap.info.base_offset, offset(1));
    world.append(&mut first, history.log, std::slice::from_ref(&kept));
    world.append(&mut first, history.log, &[beyond]);
    world.recover();
    let mut world = World::over(world.disk);
    let mut second = world.start_journal(2);
    let new = [
        history.batch(1, "x"),
        history.batch(1, "y"),
        history.batch(1, "z"),
    ];
    world.append(&mut second, history.log, &[kept]);
    world.append(&mut second, history.log, &new);
    let recovered = world.recover();
    let found = log(&recovered, 1);
    assert_eq!(tail_bases(found), [0, 1, 2, 3]);
    assert_eq!(found.chain, history.chain);
    assert_eq!(worst(&recovered), None);
}

#[test]
fn an_entry_that_contradicts_its_segment_is_reported() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut other = history.clone();
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    let real = [history.batch(1, "a"), history.batch(1, "b")];
    let fake = [other.batch(1, "x"), other.batch(1, "y")];
    world.segment_group(&mut segment, &real);
    world.append(&mut journal, history.log, &fake[1..]);
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(
        log(&recovered, 1).chain,
        history.chain,
        "the segment is kept"
    );
}

#[test]
fn stale_groups_of_a_recycled_file_are_passed_over() {
    let (mut world, mut journal, _) = written(4);
    let mut history = super::builder::History::new(1);
    for _ in 0..4 {
        history.batch(1, "word");
    }
    let old = journal.path.clone();
    // The next file is a copy of the first with a new header: its old groups lie behind.
    let contents = world.disk.contents(&old).unwrap().to_vec();
    world.roll_journal(&mut journal);
    let header = world.disk.contents(&journal.path).unwrap()[..4_096].to_vec();
    let mut recycled = contents;
    recycled[..4_096].copy_from_slice(&header);
    world.disk.put(&journal.path, recycled);
    let next = history.batch(1, "next");
    world.append(&mut journal, history.log, &[next]);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2, 3, 4]);
    assert_eq!(worst(&recovered), None);
}

#[test]
fn a_journal_file_whose_record_was_lost_is_replayed_and_reported() {
    let (mut world, mut journal, _) = written(2);
    let mut history = super::builder::History::new(1);
    history.batch(1, "word");
    history.batch(1, "word");
    world.roll_journal(&mut journal);
    let next = history.batch(1, "next");
    world.append(&mut journal, history.log, &[next]);
    world.record(&[Record::JournalRetire { file: journal.file }]);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
}

#[test]
fn a_spare_journal_file_that_was_never_named_is_removed() {
    let (mut world, _, _) = written(1);
    let spare = journal_path(SHARD, &[77; 16]);
    world.disk.create(&spare, 8 * BLOCK).unwrap();
    let recovered = world.recover();
    assert_eq!(world.disk.contents(&spare), None);
    assert_eq!(worst(&recovered), None);
}

#[test]
fn no_single_flipped_byte_of_a_journal_makes_recovery_fail_or_invent_records() {
    let (world, journal, batches) = written(3);
    let end = journal.position;
    for at in (BLOCK..end).step_by(331) {
        let mut copy = World::over(world.disk.clone());
        assert!(copy.disk.flip(&journal.path, at));
        let recovered = copy.recover();
        let found = log(&recovered, 1);
        for (bytes, info) in &found.tail {
            let at = usize::try_from(info.base_offset.get()).unwrap();
            assert_eq!(*bytes, batches[at].bytes, "byte {at} of the journal");
        }
        assert!(found.log_end >= offset(2), "two groups were witnessed");
    }
}

#[test]
fn the_only_journal_file_survives_a_rotten_last_manifest_group() {
    let (mut world, _, _) = written(2);
    // Nothing was recorded since the file was added, so its record is the manifest's last.
    let manifest = world.manifest.file.clone();
    let last = manifest.position - BLOCK;
    assert!(world.disk.flip(&manifest.path, last + 140));
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1]);
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert_eq!(tail_bases(log(&world.recover(), 1)), [0, 1]);
}

#[test]
fn a_retired_file_whose_entries_are_in_segments_is_left_alone() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    let batches = [history.batch(1, "a"), history.batch(1, "b")];
    world.append(&mut journal, history.log, &batches);
    world.seal_journal(&mut journal);
    world.segment_group(&mut segment, &batches);
    world.record(&[Record::JournalRetire { file: journal.file }]);
    let recovered = world.recover();
    assert_eq!(recovered.report.orphans, [journal.path.as_str()]);
    assert!(world.disk.contents(&journal.path).is_some());
}

#[test]
fn a_file_that_no_record_names_and_that_goes_on_where_a_log_ends_stops_the_start() {
    let (mut world, mut journal, _) = written(2);
    world.seal_journal(&mut journal);
    world.record(&[Record::JournalRetire { file: journal.file }]);
    let before = world.disk.clone();
    let refused = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    let RecoverError::Damaged { file, what, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(file, journal.path);
    assert!(what.contains("lost its newest records"), "{what}");
    assert_eq!(world.disk, before, "nothing was changed");
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn the_id_of_a_log_whose_creation_was_cut_off_is_not_given_out_again() {
    let (mut world, mut journal, _) = written(1);
    let mut stranger = super::builder::History::new(40);
    let batch = stranger.batch(1, "unknown");
    world.append(&mut journal, stranger.log, &[batch]);
    assert_eq!(world.recover().next_log, LogId(41));
    let mut again = World::over(world.disk);
    assert_eq!(
        again.recover().next_log,
        LogId(41),
        "and the manifest knows"
    );
}

#[test]
fn entries_of_a_log_that_the_manifest_never_knew_are_told() {
    let (mut world, mut journal, _) = written(1);
    let mut stranger = super::builder::History::new(40);
    let batch = stranger.batch(1, "unknown");
    world.append(&mut journal, stranger.log, &[batch]);
    let recovered = world.recover();
    assert_eq!(recovered.logs.len(), 1);
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
}

#[test]
fn a_group_that_lies_in_another_place_tells_what_was_durable() {
    let (mut world, journal, _) = written(3);
    let newest = usize::try_from(position(&journal, 3)).unwrap();
    let bytes = world.disk.contents(&journal.path).unwrap();
    let astray = bytes[newest..newest + 4_096].to_vec();
    let first = position(&journal, 1);
    for seq in 1..=3 {
        assert!(
            world
                .disk
                .zero(&journal.path, position(&journal, seq), BLOCK)
        );
    }
    world.disk.write(&journal.path, first, &astray).unwrap();
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Damage));
    assert!(
        log(&recovered, 1).log_end >= offset(2),
        "what was given out"
    );
}

#[test]
fn a_write_whose_first_sectors_are_missing_is_told_like_one_whose_last_are() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let batch = history.batch(1, &"word".repeat(3_000));
    world.append(&mut journal, history.log, &[batch]);
    assert!(world.disk.zero(&journal.path, position(&journal, 1), BLOCK));
    let recovered = world.recover();
    assert_eq!(worst(&recovered), Some(Severity::Repairable));
    assert!(log(&recovered, 1).is_tail_unverified);
}
