//! A device that is full, or nearly.

use super::world::{World, small_config};
use crate::io::IoError;
use crate::log::LogConfig;
use crate::store::{Alarm, LogId, SpaceLevel, SpaceLimit, SpaceLimits, StoreConfig, StoreEvent};

/// Limits that go by the share alone, so that a small device can be scarce.
fn by_share() -> StoreConfig {
    let limit = |permille| SpaceLimit {
        permille,
        bytes_enough: u64::MAX,
    };
    StoreConfig {
        space: SpaceLimits {
            low: limit(150),
            scarce: limit(80),
            full: limit(50),
        },
        ..small_config()
    }
}

/// Makes the device such that so many of a thousand bytes are free.
fn leave_free(world: &mut World, permille: u64) {
    world.capacity = world.used() * 1_000 / (1_000 - permille);
}

fn levels(world: &World) -> Vec<SpaceLevel> {
    let level = |event: &StoreEvent| match event {
        StoreEvent::Alarm(Alarm::Space { level, .. }) => Some(*level),
        _ => None,
    };
    world.events.iter().filter_map(level).collect()
}

#[test]
fn each_level_of_free_space_is_told_once_and_so_is_room_again() {
    let mut world = World::with(by_share());
    world.log(0);
    world.settle();
    for permille in [140, 140, 70, 40, 70, 140, 500, 500] {
        leave_free(&mut world, permille);
        world.pass_ms(11_000);
    }
    use SpaceLevel::{Ample, Full, Low, Scarce};
    assert_eq!(levels(&world), [Low, Scarce, Full, Scarce, Low, Ample]);
}

#[test]
fn a_large_device_is_judged_by_bytes_not_by_its_share() {
    let limits = SpaceLimits::default();
    let (gib, total) = (1 << 30, 10_000 << 30);
    let levels = [16, 14, 7, 4].map(|free| limits.level(free * gib, total));
    use SpaceLevel::{Ample, Full, Low, Scarce};
    assert_eq!(levels, [Ample, Low, Scarce, Full]);
}

/// A log that keeps 1 MiB in segments of 64 MiB, with 3 MiB in its first.
fn with_surplus(world: &mut World, config: LogConfig) -> LogId {
    let id = world.log_with(
        0,
        LogConfig {
            segment_bytes: 64 << 20,
            ..config
        },
    );
    fill(world, id, 60);
    world.pass_ms(6_000);
    id
}

fn fill(world: &mut World, id: LogId, count: usize) {
    for _ in 0..count {
        world.append(id, 1, 50_000);
        world.settle();
    }
}

fn log_start(world: &World, id: LogId) -> u64 {
    world.store.bounds(id).unwrap().log_start.get()
}

#[test]
fn when_space_is_scarce_segments_end_early_so_that_retention_by_size_can_delete() {
    let config = LogConfig {
        retention_bytes: Some(1 << 20),
        retention_ms: None,
        ..LogConfig::default()
    };
    let mut world = World::with(by_share());
    let id = with_surplus(&mut world, config);
    leave_free(&mut world, 140);
    world.pass_ms(20_000);
    assert_eq!(log_start(&world, id), 0, "no hurry while space is only low");
    leave_free(&mut world, 70);
    world.pass_ms(20_000);
    world.capacity = u64::MAX;
    fill(&mut world, id, 30);
    leave_free(&mut world, 70);
    world.pass_ms(20_000);
    assert_eq!(log_start(&world, id), 60, "the first segment went");
    assert_eq!(world.read_all(id, 60).len(), 30);
}

#[test]
fn when_space_is_scarce_segments_end_early_so_that_retention_by_age_can_delete() {
    let config = LogConfig {
        retention_bytes: None,
        retention_ms: Some(60_000),
        segment_ms: u64::MAX,
        ..LogConfig::default()
    };
    let mut world = World::with(by_share());
    let id = with_surplus(&mut world, config);
    leave_free(&mut world, 70);
    // Without the early end each new record would keep all older ones.
    for _ in 0..20 {
        world.pass_ms(10_000);
        world.capacity = u64::MAX;
        world.pass_ms(3_000);
        world.append(id, 1, 100);
        world.settle();
        leave_free(&mut world, 70);
    }
    assert!(log_start(&world, id) >= 60, "{}", log_start(&world, id));
}

#[test]
fn without_the_delete_policy_scarce_space_deletes_nothing() {
    let config = LogConfig {
        retention_bytes: Some(1 << 20),
        retention_ms: Some(1_000),
        is_delete_policy: false,
        ..LogConfig::default()
    };
    let mut world = World::with(by_share());
    let id = with_surplus(&mut world, config);
    leave_free(&mut world, 70);
    world.pass_ms(60_000);
    assert_eq!(log_start(&world, id), 0);
    assert_eq!(world.read_all(id, 0).len(), 60);
}

#[test]
fn full_device_refuses_appends_and_recovers_without_losing_anything() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    world.append(id, 1, 1_000);
    world.settle();
    world.capacity = 0;
    let mut accepted = 1;
    let refused = loop {
        match world.try_append(id, 1, 30_000) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        world.settle();
        assert!(accepted < 1_000, "a full device accepts for ever");
    };
    assert_eq!(refused, IoError::NoSpace);
    world.pass_ms(5_000);
    assert_eq!(world.try_append(id, 1, 10), Err(IoError::NoSpace));
    world.capacity = u64::MAX;
    world.pass_ms(5_000);
    assert_eq!(world.visible(id), accepted);
    world.append(id, 1, 10);
    world.settle();
    assert_eq!(world.visible(id), accepted + 1);
    assert_eq!(world.read_all(id, 0).len() as u64, accepted + 1);
}

#[test]
fn nearly_full_device_refuses_before_anything_fails() {
    let mut world = World::with(by_share());
    let id = world.log(0);
    world.settle();
    let used: u64 = world.disk.files().iter().map(|(_, len)| len).sum();
    world.capacity = used * 1_000 / 960;
    world.pass_ms(11_000);
    assert_eq!(world.try_append(id, 1, 10), Err(IoError::NoSpace));
    world.capacity = used * 2;
    world.pass_ms(11_000);
    assert!(world.try_append(id, 1, 10).is_ok());
}

#[test]
fn small_device_with_room_accepts() {
    let mut world = World::new();
    world.capacity = 4 << 20;
    let id = world.log(0);
    world.pass_ms(11_000);
    assert!(world.try_append(id, 1, 10).is_ok());
}
