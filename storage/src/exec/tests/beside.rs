//! Journal and manifest name how far the other was durable.  docs/format.md (group header)

use super::builder::{
    BLOCK, History, Journal, NOW, SHARD, World, holes, is_core_damaged, log, offset, tail_bases,
    worst,
};
use crate::exec::{RecoverError, Severity, recover};
use crate::format::frame::{Beside, lineage_tag};

/// A log with two groups in a journal; then a second log is created, and one group more says so if told.
fn written(says: impl Fn(&World) -> Beside) -> (World, Journal, u64) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for _ in 0..2 {
        let batch = history.batch(1, "word");
        world.append(&mut journal, history.log, &[batch]);
    }
    let end = world.manifest.file.position;
    world.create_log(2);
    journal.beside = says(&world);
    let batch = history.batch(1, "word");
    world.append(&mut journal, history.log, &[batch]);
    (world, journal, end)
}

/// Puts the manifest back to what it was before its last group.
fn put_back(world: &mut World, end: u64) {
    let path = world.manifest.file.path.clone();
    assert!(world.disk.zero(&path, end, BLOCK));
}

fn newest(world: &World) -> Beside {
    Beside {
        of: world.manifest.file.generation,
        through: world.manifest.file.next_seq - 1,
    }
}

#[test]
fn a_manifest_that_is_put_back_below_what_a_journal_group_names_stops_the_start() {
    let (mut world, journal, end) = written(newest);
    put_back(&mut world, end);
    let before = world.disk.clone();
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    let RecoverError::Damaged { file, position, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        (file, position),
        (journal.path.clone(), journal.positions[2].1)
    );
    assert!(world.disk == before, "a refused start changes nothing");
    assert!(is_core_damaged(&world));
}

#[test]
fn a_header_whose_body_is_lost_still_names_the_manifest() {
    let (mut world, journal, end) = written(newest);
    put_back(&mut world, end);
    assert!(world.disk.flip(&journal.path, journal.positions[2].1 + 140));
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");
}

#[test]
fn a_journal_without_header_and_record_still_names_the_manifest() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let end = world.manifest.file.position;
    let mut journal = world.start_journal(1);
    journal.beside = newest(&world);
    let batch = history.batch(1, "word");
    world.append(&mut journal, history.log, &[batch]);
    put_back(&mut world, end);
    assert!(world.disk.flip(&journal.path, 40));
    let before = world.disk.clone();
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");
    assert!(world.disk == before, "a refused start changes nothing");
}

#[test]
fn a_manifest_of_an_older_generation_stops_the_start() {
    let (mut world, _, _) = written(|world| Beside {
        of: world.manifest.file.generation + 1,
        through: 1,
    });
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(matches!(error, RecoverError::Damaged { .. }), "{error}");
}

#[test]
fn journal_groups_that_name_no_manifest_refute_none() {
    let (mut world, _, end) = written(|_| Beside::default());
    put_back(&mut world, end);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2]);
    assert!(worst(&recovered) < Some(Severity::Damage));
}

#[test]
fn a_manifest_that_has_what_the_journal_names_is_whole() {
    let (mut world, _, _) = written(newest);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2]);
    assert!(worst(&recovered) < Some(Severity::Damage));
}

/// A log with three groups, which the manifest's newest group names.
fn named() -> (World, Journal, History) {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut journal = world.start_journal(1);
    for _ in 0..3 {
        let batch = history.batch(1, "word");
        world.append(&mut journal, history.log, &[batch]);
    }
    world.manifest.journal = Beside {
        of: lineage_tag(&journal.lineage),
        through: 3,
    };
    (world, journal, history)
}

#[test]
fn journal_groups_that_the_manifest_names_and_that_are_zeros_are_damage() {
    let (mut world, journal, _) = named();
    world.create_log(2);
    assert!(
        world
            .disk
            .zero(&journal.path, journal.positions[1].1, 2 * BLOCK)
    );
    assert!(is_core_damaged(&world));
    for _ in 0..2 {
        let recovered = world.recover();
        assert_eq!(worst(&recovered), Some(Severity::Damage));
        let found = log(&recovered, 1);
        assert_eq!(holes(found), [(1, 1 + (1 << 48))]);
        assert_eq!(found.log_end, offset(1 + (1 << 48)));
    }
}

#[test]
fn what_the_manifest_names_is_named_by_the_next_start_as_well() {
    let (mut world, journal, _) = named();
    world.create_log(2);
    // The start changes nothing but the manifest, which goes on.
    world.recover();
    assert!(
        world
            .disk
            .zero(&journal.path, journal.positions[1].1, 2 * BLOCK)
    );
    assert_eq!(worst(&world.recover()), Some(Severity::Damage));
}

#[test]
fn a_newer_manifest_group_that_names_no_journal_takes_the_name_back() {
    let (mut world, journal, _) = named();
    world.create_log(2);
    // An orderly stop retires files in any order.
    world.manifest.journal = Beside::default();
    world.create_log(3);
    assert!(
        world
            .disk
            .zero(&journal.path, journal.positions[2].1, BLOCK)
    );
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1]);
    assert!(worst(&recovered) < Some(Severity::Damage));
}

#[test]
fn another_lineage_is_not_judged_by_what_the_manifest_names() {
    let (mut world, _, mut history) = named();
    world.create_log(2);
    let mut newer = world.start_journal(2);
    let batch = history.batch(1, "word");
    world.append(&mut newer, history.log, &[batch]);
    let recovered = world.recover();
    assert_eq!(tail_bases(log(&recovered, 1)), [0, 1, 2, 3]);
    assert!(worst(&recovered) < Some(Severity::Damage));
}
