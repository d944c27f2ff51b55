//! Retention, DeleteRecords, deletion of logs.

use model::offset::Offset;

use super::world::{World, small_config};
use crate::log::LogConfig;
use crate::store::{LogId, StoreEvent};

fn filled(config: LogConfig) -> (World, LogId) {
    let mut world = World::with(small_config());
    let id = world.log_with(
        0,
        LogConfig {
            segment_bytes: 128 * 1024,
            ..config
        },
    );
    for _ in 0..60 {
        world.append(id, 1, 10_000);
        world.settle();
    }
    world.events.clear();
    (world, id)
}

fn segments(world: &World) -> usize {
    world
        .disk
        .files()
        .iter()
        .filter(|(path, _)| path.ends_with(".seg"))
        .count()
}

fn log_start(world: &World, id: LogId) -> u64 {
    world.store.bounds(id).unwrap().log_start.get()
}

#[test]
fn whole_segments_go_when_the_log_is_too_large() {
    let (mut world, id) = filled(LogConfig {
        retention_bytes: Some(300 * 1024),
        retention_ms: None,
        ..LogConfig::default()
    });
    let is_first = |(path, _): &(String, u64)| {
        path.ends_with(".seg") && path.contains("/00000000000000000000-")
    };
    assert!(world.disk.files().iter().any(is_first));
    world.pass_ms(2_000);
    assert!(!world.disk.files().iter().any(is_first));
    let start = log_start(&world, id);
    assert!(start > 20, "log starts at {start}");
    assert!(world.events.contains(&StoreEvent::LogStartMoved(id)));
    assert_eq!(world.read_all(id, start).len() as u64, 60 - start);
}

#[test]
fn segments_go_when_their_newest_record_is_too_old() {
    let config = LogConfig {
        retention_ms: Some(60_000),
        ..LogConfig::default()
    };
    let (mut world, id) = filled(config);
    world.pass_ms(30_000);
    assert_eq!(log_start(&world, id), 0);
    world.pass_ms(40_000);
    assert_eq!(log_start(&world, id), 60);
    assert_eq!(segments(&world), 0);
    world.append(id, 1, 10);
    world.settle();
    assert_eq!(world.read_all(id, 60).len(), 1);
}

#[test]
fn nothing_goes_without_the_delete_policy() {
    let (mut world, id) = filled(LogConfig {
        retention_bytes: Some(1),
        retention_ms: Some(1),
        is_delete_policy: false,
        ..LogConfig::default()
    });
    world.pass_ms(10_000);
    assert_eq!(log_start(&world, id), 0);
}

#[test]
fn deleted_records_are_gone_once_the_manifest_says_so() {
    let (mut world, id) = filled(LogConfig::default());
    let before = segments(&world);
    world.store.delete_records(world.now, id, Offset::new(45));
    assert_eq!(log_start(&world, id), 0);
    world.settle();
    assert_eq!(log_start(&world, id), 45);
    assert_eq!(world.events, [StoreEvent::LogStartMoved(id)]);
    assert!(segments(&world) < before);
    assert_eq!(world.read_all(id, 45).len(), 15);
}

#[test]
fn records_above_the_high_watermark_are_not_deleted() {
    let (mut world, id) = filled(LogConfig::default());
    world.append(id, 5, 10);
    world
        .store
        .delete_records(world.now, id, Offset::new(1_000));
    world.settle();
    assert_eq!(log_start(&world, id), 60);
}

#[test]
fn deleted_log_leaves_no_files_and_its_id_is_not_used_again() {
    let (mut world, id) = filled(LogConfig::default());
    world.store.delete_log(world.now, id);
    world.settle();
    assert_eq!(segments(&world), 0);
    assert_eq!(world.store.bounds(id), None);
    let again = world.log(0);
    assert!(again > id);
    assert_eq!(world.store.bounds(again).unwrap().log_end, Offset::ZERO);
}

#[test]
fn log_deleted_in_the_middle_of_everything_leaves_no_files() {
    for steps in 0..12 {
        let mut world = World::new();
        let id = world.log_with(
            0,
            LogConfig {
                segment_bytes: 64 * 1024,
                ..LogConfig::default()
            },
        );
        for turn in 0..20 {
            world.append(id, 1, 50_000);
            world.round();
            if !world.pending.is_empty() && turn % 2 == steps % 2 {
                world.complete(0);
            }
        }
        for _ in 0..steps {
            world.round();
            world.complete(0);
        }
        world.store.delete_log(world.now, id);
        world.settle();
        assert_eq!(segments(&world), 0, "deleted after {steps} steps");
        assert!(
            !world.paths.values().any(|path| path.ends_with(".seg")),
            "a file stays open"
        );
    }
}

#[test]
fn a_clock_that_jumps_ahead_deletes_nothing_until_it_stays_there() {
    let (mut world, id) = filled(LogConfig {
        retention_ms: Some(24 * 3_600_000),
        ..LogConfig::default()
    });
    world.pass_ms(6_000);
    let before = segments(&world);
    world.now.wall = world.now.wall.plus_millis(400 * 24 * 3_600_000);
    world.pass_ms(3_500_000);
    assert_eq!((log_start(&world, id), segments(&world)), (0, before));
    world.pass_ms(200_000);
    assert_eq!(log_start(&world, id), 60);
    assert_eq!(segments(&world), 0);
}
