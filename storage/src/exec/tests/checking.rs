//! The offline check says the same as a start would, and changes nothing.

use model::ids::BrokerId;

use super::builder::{BLOCK, History, Journal, NOW, Put, SHARD, Segment, World, offset, tp};
use crate::exec::check::{CheckReport, Verdict, check};
use crate::exec::{Disk, FormatRequest, MemoryDisk, Severity, open_or_format};
use crate::format::index_file::{Entry, IndexFile};
use crate::format::layout::{index_path, segment_path, snapshot_path};
use crate::format::manifest::Record;

/// A formatted directory with a log: a sealed segment of three groups and a journal tail of one batch.
fn directory() -> (World, History, Journal, Segment) {
    let mut world = World::new();
    let request = FormatRequest {
        disk_id: [1; 16],
        cluster_id: [2; 16],
        broker: BrokerId::new(0),
        shards: 1,
        created_ms: NOW,
    };
    let core = world.disk.files();
    let saved: Vec<(String, Vec<u8>)> = core
        .into_iter()
        .map(|(path, _)| (path.clone(), world.disk.contents(&path).unwrap().to_vec()))
        .collect();
    let mut disk = MemoryDisk::new();
    open_or_format(&mut disk, request).unwrap();
    saved
        .into_iter()
        .for_each(|(path, bytes)| disk.put(&path, bytes));
    world = World::over(disk);
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    let mut segment = world.add_segment(&history, 9);
    for _ in 0..3 {
        let batch = history.batch(2, "word");
        world.segment_group(&mut segment, &[batch]);
    }
    world.seal_segment(&segment);
    let batch = history.batch(1, "tail");
    world.append(&mut journal, history.log, &[batch]);
    world.seal_journal(&mut journal);
    (world, history, journal, segment)
}

fn of(report: &CheckReport, severity: Severity) -> Vec<String> {
    let found = report
        .findings
        .iter()
        .filter(|finding| finding.severity == severity);
    found.map(|finding| finding.file.clone()).collect()
}

#[test]
fn an_intact_directory_is_clean_and_counted() {
    let (world, _, _, _) = directory();
    let before = world.disk.clone();
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert_eq!((report.segments, report.batches, report.records), (1, 4, 7));
    assert!(report.bytes > 0);
    assert_eq!(world.disk, before);
    assert_eq!(
        report.findings.len(),
        1,
        "only that the stop was not orderly"
    );
}

#[test]
fn a_clean_stop_leaves_nothing_to_say() {
    let (mut world, _, journal, _) = directory();
    world.record(&[Record::CleanStop {
        lineage: journal.lineage,
    }]);
    assert_eq!(check(&world.disk).findings, []);
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_damage_with_its_offsets() {
    let (mut world, _, _, segment) = directory();
    assert!(world.disk.flip(&segment.path, segment.positions[1] + 140));
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Damaged);
    let finding = report
        .findings
        .iter()
        .find(|f| f.severity == Severity::Damage)
        .unwrap();
    assert_eq!(finding.file, segment.path);
    assert_eq!(
        (finding.offset, finding.records),
        (Some(offset(2)), Some(2))
    );
    assert_eq!(finding.partition, Some(tp(1)));
}

#[test]
fn padding_is_data_too() {
    let (mut world, _, _, segment) = directory();
    assert!(
        world
            .disk
            .flip(&segment.path, segment.positions[1] + BLOCK - 1)
    );
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn a_torn_journal_tail_is_repairable() {
    let (mut world, mut history, mut journal, _) = directory();
    let batch = history.batch(1, "torn");
    world.append(&mut journal, history.log, &[batch]);
    let (path, at) = journal.positions.last().unwrap().clone();
    assert!(world.disk.flip(&path, at + 150));
    let report = check(&world.disk);
    assert_eq!(
        report.verdict(),
        Verdict::Repairable,
        "{:?}",
        report.findings
    );
    assert!(of(&report, Severity::Repairable).contains(&path));
}

#[test]
fn a_witnessed_journal_group_that_rots_is_damage() {
    let (mut world, _, journal, _) = directory();
    assert!(world.disk.flip(&journal.path, BLOCK + 150));
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn a_torn_open_segment_is_repairable_and_a_witnessed_one_damage() {
    let (mut world, mut history, mut journal, _) = directory();
    let mut open = world.add_segment(&history, 10);
    let batch = history.batch(1, "direct");
    world.segment_group(&mut open, &[batch]);
    assert!(world.disk.flip(&open.path, open.positions[0] + 150));
    assert_eq!(check(&world.disk).verdict(), Verdict::Repairable);
    world.group(&mut journal, 1, &[Put::Witness(open.witness())]);
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn a_damaged_manifest_is_damage() {
    let (mut world, _, _, _) = directory();
    let path = world.manifest.file.path.clone();
    assert!(world.disk.flip(&path, 2 * BLOCK + 5));
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert!(of(&report, Severity::Damage).contains(&path));
}

#[test]
fn a_first_start_that_was_cut_off_in_its_superblock_is_no_damage() {
    let mut disk = MemoryDisk::new();
    assert_eq!(
        check(&disk).verdict(),
        Verdict::Damaged,
        "no directory of ours"
    );
    disk.put("superblock.a", vec![0; 4_096]);
    let report = check(&disk);
    assert_eq!(
        report.verdict(),
        Verdict::Repairable,
        "{:?}",
        report.findings
    );
    let mut unreadable = disk.clone();
    unreadable.put("superblock.a", vec![7; 4_096]);
    assert_eq!(check(&unreadable).verdict(), Verdict::Damaged);
    // With data there is something to lose.
    disk.put("core-0/manifest.00000000000000000001", vec![0; 4_096]);
    assert_eq!(check(&disk).verdict(), Verdict::Damaged);
}

#[test]
fn a_missing_superblock_is_damage_but_the_cores_are_read() {
    let (mut world, _, _, _) = directory();
    world.disk.remove("superblock.a").unwrap();
    assert_eq!(
        check(&world.disk).verdict(),
        Verdict::Clean,
        "one slot is enough"
    );
    world.disk.remove("superblock.b").unwrap();
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert_eq!(report.segments, 1);
}

#[test]
fn a_wrong_index_is_repairable_and_a_right_one_is_not_mentioned() {
    let (mut world, _, _, segment) = directory();
    let path = index_path(tp(1), segment.base, &segment.uid);
    let right = IndexFile {
        segment: segment.uid,
        end: segment.position,
        upto: segment.upto.get(),
        entries: vec![Entry {
            base: 0,
            position: segment.positions[0],
            max_timestamp: NOW,
        }],
    };
    world.disk.put(&path, right.encode().unwrap());
    assert_eq!(check(&world.disk).verdict(), Verdict::Clean);
    let mut wrong = right.clone();
    wrong.entries[0].position = segment.positions[1];
    world.disk.put(&path, wrong.encode().unwrap());
    assert_eq!(check(&world.disk).verdict(), Verdict::Repairable);
    world.disk.put(&path, b"garbage".to_vec());
    assert_eq!(of(&check(&world.disk), Severity::Repairable), [path]);
}

#[test]
fn a_snapshot_that_cannot_be_read_is_repairable() {
    let (mut world, _, _, _) = directory();
    let path = snapshot_path(tp(1), offset(4));
    world.disk.put(&path, b"garbage".to_vec());
    assert_eq!(of(&check(&world.disk), Severity::Repairable), [path]);
}

#[test]
fn files_that_nothing_refers_to_are_notes() {
    let (mut world, _, _, _) = directory();
    let paths = [
        "quarantine/x.seg".to_owned(),
        segment_path(tp(1), offset(70), &[3; 16]),
        segment_path(tp(5), offset(0), &[3; 16]),
    ];
    paths
        .iter()
        .for_each(|path| world.disk.put(path, vec![0; 10]));
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Clean);
    let notes = of(&report, Severity::Note);
    assert!(
        notes.contains(&paths[0]) && notes.contains(&paths[1]),
        "{notes:?}"
    );
    assert!(notes.iter().any(|note| paths[2].starts_with(note.as_str())));
}

#[test]
fn a_missing_segment_is_damage_and_so_is_the_hole_that_a_start_records() {
    let (mut world, _, _, segment) = directory();
    world.disk.remove(&segment.path).unwrap();
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
    world.recover();
    assert_eq!(check(&world.disk).verdict(), Verdict::Damaged);
}

#[test]
fn a_start_leaves_nothing_repairable_behind() {
    let (mut world, mut history, mut journal, _) = directory();
    let mut open = world.add_segment(&history, 10);
    let batches = [history.batch(1, "direct"), history.batch(1, "torn")];
    world.segment_group(&mut open, &batches[..1]);
    world.segment_group(&mut open, &batches[1..]);
    assert!(world.disk.flip(&open.path, open.positions[1] + 150));
    world.group(&mut journal, 1, &[]);
    assert_eq!(check(&world.disk).verdict(), Verdict::Repairable);
    world.recover();
    let report = check(&world.disk);
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
}

#[test]
fn a_core_that_the_superblock_does_not_know_is_damage() {
    let (mut world, _, _, _) = directory();
    let mut other = MemoryDisk::new();
    let recovered = crate::exec::recover(&mut other, model::ids::ShardId::new(1), NOW).unwrap();
    assert_ne!(recovered.shard, SHARD);
    for (path, _) in other.files() {
        world
            .disk
            .put(&path, other.contents(&path).unwrap().to_vec());
    }
    assert_eq!(
        check(&world.disk).verdict(),
        Verdict::Damaged,
        "the superblock says one core"
    );
}
