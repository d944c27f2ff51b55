//! The orderly stop.

use model::prng::Prng;

use super::world::World;
use crate::io::IoError;
use crate::log::{Durability, LogConfig};

#[test]
fn stop_writes_everything_and_leaves_only_sealed_segments() {
    let mut world = World::new();
    let ids: Vec<_> = (0..5).map(|number| world.log(number)).collect();
    for turn in 0..40 {
        world.append(ids[turn % 4], 1, 5_000);
        if turn % 3 == 0 {
            world.round();
        }
    }
    world.store.begin_shutdown(world.now);
    assert_eq!(world.try_append(ids[0], 1, 10), Err(IoError::Device(108)));
    assert!(!world.store.is_shut_down());
    world.settle();
    assert!(world.store.is_shut_down());
    let files: Vec<String> = world
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert!(!files.iter().any(|path| path.ends_with(".j")), "{files:?}");
    assert_eq!(
        files.iter().filter(|path| path.ends_with(".seg")).count(),
        4
    );
    assert_eq!(
        files.iter().filter(|path| path.ends_with(".idx")).count(),
        4
    );
    assert!(ids[..4].iter().all(|id| world.flushed(*id) == 10));
}

#[test]
fn stop_of_an_idle_store_ends() {
    let mut world = World::new();
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
}

#[test]
fn stop_in_the_middle_of_everything_ends() {
    for steps in 0..20 {
        let mut world = World::new();
        let id = world.log_with(
            0,
            LogConfig {
                segment_bytes: 64 * 1024,
                ..LogConfig::default()
            },
        );
        for _ in 0..steps {
            world.append(id, 1, 30_000);
            world.round();
            if world.pending.len() > 3 {
                world.complete(0);
            }
        }
        world.store.begin_shutdown(world.now);
        world.settle();
        assert!(world.store.is_shut_down(), "stop after {steps} steps");
        assert_eq!(world.flushed(id), steps);
    }
}

#[test]
fn stop_without_room_ends_and_keeps_the_journal() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 1_000);
    world.settle();
    world.capacity = 0;
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let files: Vec<String> = world
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert!(files.iter().any(|path| path.ends_with(".j")), "{files:?}");
    assert_eq!(world.visible(id), 1);
}

#[test]
fn stop_without_room_seals_the_journal() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    world.capacity = 0;
    world.append(id, 1, 1_000);
    world.round();
    while !world.pending.is_empty() {
        world.complete(0);
    }
    assert_eq!(world.flushed(id), 1);
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    let mut journals = files.filter(|path| path.ends_with(".j"));
    let path = journals
        .find(|path| world.disk.contents(path).unwrap()[4_096..].starts_with(b"RMQJ"))
        .unwrap();
    assert!(world.disk.flip(&path, 4_096 + 300));
    let (world, report) = world.restart(&mut Prng::new(1));
    let damage = crate::exec::Severity::Damage;
    assert!(report.findings.iter().any(|found| found.severity == damage));
    assert_eq!(world.store.bounds(id).unwrap().log_end.get(), 1);
}

#[test]
fn stop_without_room_ends_although_batches_wait_for_a_journal_file() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    world.capacity = 0;
    for _ in 0..40 {
        world.append(id, 1, 5_000);
    }
    world.settle();
    let acked = world.flushed(id);
    assert!(acked < 40, "the journal is too small for all");
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let (world, _) = world.restart(&mut Prng::new(1));
    assert!(world.visible(id) >= acked);
}

#[test]
fn stop_without_room_journals_what_was_acknowledged_in_memory() {
    let mut world = World::new();
    let config = LogConfig {
        durability: Durability::Memory,
        flush_interval_ms: 60_000,
        ..LogConfig::default()
    };
    let ids: Vec<_> = (0..300)
        .map(|number| world.log_with(number, config.clone()))
        .collect();
    world.settle();
    for id in &ids[1..] {
        world.append(*id, 1, 10);
    }
    world.capacity = 0;
    world.append(ids[0], 1, 100_000);
    world.settle();
    assert!(ids[1..].iter().all(|id| world.flushed(*id) == 0));
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let (world, _) = world.restart(&mut Prng::new(1));
    assert!(ids[1..].iter().all(|id| world.visible(*id) == 1));
}
