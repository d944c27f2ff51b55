//! Sealed segments whose files are gone.

use model::offset::Offset;
use model::prng::Prng;

use super::world::{World, small_config, split};
use crate::exec::{Disk, check};
use crate::log::{LogConfig, ReadOutcome};
use crate::store::{LogId, StoreConfig};

/// A log of several segments that was started again without one of them; gives its path and contents.
fn lost() -> (World, LogId, String, Vec<u8>) {
    let mut world = World::with(StoreConfig {
        manifest_bytes: 16 * 1024,
        ..small_config()
    });
    let config = LogConfig {
        segment_bytes: 64 * 1024,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config.clone());
    for _ in 0..12 {
        world.append(id, 1, 30_000);
        world.settle();
    }
    world.store.begin_shutdown(world.now);
    world.settle();
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    let mut segments: Vec<String> = files.filter(|path| path.ends_with(".seg")).collect();
    segments.sort_unstable();
    let path = segments.swap_remove(2);
    let contents = world.disk.contents(&path).unwrap().to_vec();
    world.disk.remove(&path).unwrap();
    let (mut world, _) = world.restart(&mut Prng::new(1));
    world.log_with(0, config);
    (world, id, path, contents)
}

/// Starts a new manifest generation.
fn checkpoint(world: &mut World, id: LogId) {
    let generation = |world: &World| {
        let files = world.disk.files().into_iter().map(|(path, _)| path);
        files.filter(|path| path.contains("/manifest.")).max()
    };
    let before = generation(world);
    for epoch in 1..1_000 {
        let epoch = model::offset::LeaderEpoch::new(epoch);
        world.store.start_epoch(world.now, id, epoch);
        world.settle();
        if generation(world) != before {
            return;
        }
    }
    panic!("the manifest never fills up");
}

fn is_named(world: &World, path: &str) -> bool {
    let findings = check(&world.disk).findings;
    findings.iter().any(|finding| finding.file == path)
}

#[test]
fn a_missing_segment_is_named_until_the_log_start_passes() {
    let (mut world, id, path, _) = lost();
    let hole = world.store.logs.get(&id).unwrap().holes[0];
    assert!(is_named(&world, &path));
    checkpoint(&mut world, id);
    assert!(is_named(&world, &path), "the checkpoint forgot it");
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert!(is_named(&world, &path));
    assert_eq!(
        world.read(id, hole.from.get(), 1_000),
        ReadOutcome::Damaged(hole.from)
    );
    let before_end = Offset::new(hole.upto.get() - 1);
    world.store.delete_records(world.now, id, before_end);
    world.settle();
    assert!(is_named(&world, &path));
    world.store.delete_records(world.now, id, hole.upto);
    world.settle();
    assert!(!is_named(&world, &path));
    let (world, report) = world.restart(&mut Prng::new(1));
    let damage = crate::exec::Severity::Damage;
    assert!(report.findings.iter().all(|found| found.severity != damage));
    assert_eq!(world.store.bounds(id).unwrap().log_end, Offset::new(12));
}

#[test]
fn a_missing_segment_that_was_put_back_is_read_again() {
    let (mut world, id, path, contents) = lost();
    checkpoint(&mut world, id);
    world.disk.put(&path, contents);
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.read_all(id, 0).len(), 12);
    assert!(world.store.logs.get(&id).unwrap().holes.is_empty());
    assert!(!is_named(&world, &path));
    let outcome = world.read_wait(id, 0, 1 << 20);
    let ReadOutcome::Ready { records, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(!split(&records).is_empty());
}

#[test]
fn a_log_with_a_missing_segment_is_deleted_whole() {
    let (mut world, id, path, _) = lost();
    world.store.delete_log(world.now, id);
    world.settle();
    assert!(!is_named(&world, &path));
    let files = world.disk.files().into_iter();
    assert_eq!(files.filter(|(path, _)| path.ends_with(".seg")).count(), 0);
}
