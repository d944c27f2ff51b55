//! Group commit: order of acknowledgements, routes, witnesses.

use super::world::{World, small_config};
use crate::io::Io;
use crate::log::{Durability, LogConfig, ReadOutcome};
use crate::store::{StoreConfig, StoreEvent};

fn is_journal_write(world: &World, io: &Io) -> bool {
    match io {
        Io::Write { file, position, .. } => {
            world
                .paths
                .get(file)
                .is_some_and(|path| path.ends_with(".j"))
                && *position > 0
        }
        Io::Read { .. } | Io::File { .. } => false,
    }
}

fn journal_writes(world: &World) -> usize {
    world
        .pending
        .iter()
        .filter(|io| is_journal_write(world, io))
        .count()
}

#[test]
fn append_is_visible_once_its_group_is_durable() {
    let mut world = World::new();
    let id = world.log(0);
    let appended = world.append(id, 3, 10);
    assert_eq!(
        (appended.base_offset.get(), appended.last_offset.get()),
        (0, 2)
    );
    assert_eq!(world.visible(id), 0);
    world.settle();
    assert_eq!(world.visible(id), 3);
    assert_eq!(world.events, [StoreEvent::Advanced(id)]);
    assert_eq!(world.read_all(id, 0).len(), 1);
}

#[test]
fn one_round_of_many_logs_is_one_write() {
    let mut world = World::new();
    let ids: Vec<_> = (0..50).map(|number| world.log(number)).collect();
    world.settle();
    let before = world.writes;
    ids.iter().for_each(|id| {
        world.append(*id, 1, 100);
    });
    world.round();
    assert_eq!(journal_writes(&world), 1);
    world.settle();
    assert_eq!(world.writes, before + 1);
    assert!(ids.iter().all(|id| world.visible(*id) == 1));
}

#[test]
fn two_groups_are_in_flight_and_not_three() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    for turn in 1..=3 {
        world.append(id, 1, 10);
        world.round();
        assert_eq!(journal_writes(&world), turn.min(2));
    }
}

#[test]
fn later_group_that_ends_first_releases_nothing() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    for _ in 0..2 {
        world.append(id, 1, 10);
        world.round();
    }
    world.complete(1);
    assert_eq!(world.visible(id), 0);
    world.complete(0);
    assert_eq!(world.visible(id), 2);
}

#[test]
fn other_log_in_a_later_group_waits_as_well() {
    let mut world = World::new();
    let (first, second) = (world.log(0), world.log(1));
    world.settle();
    world.append(first, 1, 10);
    world.round();
    world.append(second, 1, 10);
    world.round();
    world.complete(1);
    assert_eq!(world.visible(second), 0);
    world.complete(0);
    assert_eq!(world.visible(second), 1);
}

#[test]
fn memory_durable_append_is_visible_at_once_and_durable_within_its_interval() {
    let mut world = World::new();
    let config = LogConfig {
        durability: Durability::Memory,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    world.settle();
    world.append(id, 1, 10);
    assert_eq!((world.visible(id), world.flushed(id)), (1, 0));
    world.settle();
    assert_eq!(world.flushed(id), 0);
    world.advance_ms(10);
    world.settle();
    assert_eq!(world.flushed(id), 1);
}

#[test]
fn silence_is_followed_by_one_sealing_group() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 10);
    world.settle();
    let before = world.writes_to("/journal/");
    world.advance_ms(5);
    world.settle();
    assert_eq!(world.writes_to("/journal/"), before + 1);
    world.pass_ms(1_000);
    assert_eq!(world.writes_to("/journal/"), before + 1);
}

#[test]
fn large_append_goes_to_its_segment_only() {
    let mut world = World::with(StoreConfig {
        tail_bytes_max: 8 << 20,
        ..small_config()
    });
    let id = world.log(0);
    world.append(id, 1, 40_000);
    world.settle();
    let before = world.writes;
    world.append(id, 1, 40_000);
    world.round();
    assert_eq!(journal_writes(&world), 0);
    world.settle();
    assert_eq!(world.visible(id), 2);
    assert_eq!(world.writes, before + 1);
    assert_eq!(world.read_all(id, 0).len(), 2);
}

#[test]
fn small_append_behind_a_large_one_waits_for_it() {
    let mut world = World::with(StoreConfig {
        tail_bytes_max: 8 << 20,
        ..small_config()
    });
    let id = world.log(0);
    world.append(id, 1, 40_000);
    world.settle();
    world.append(id, 1, 40_000);
    world.round();
    world.append(id, 1, 10);
    world.round();
    assert_eq!(world.pending.len(), 2);
    world.complete(1);
    assert_eq!(world.visible(id), 1);
    world.complete(0);
    assert_eq!(world.visible(id), 3);
    world.settle();
    assert_eq!(world.read_all(id, 0).len(), 3);
}

#[test]
fn tail_is_flushed_by_age_and_read_back_from_the_segment() {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log(0);
    for _ in 0..100 {
        world.append(id, 2, 50);
    }
    world.settle();
    world.pass_ms(6_000);
    assert!(
        world
            .disk
            .files()
            .iter()
            .any(|(path, _)| path.ends_with(".seg"))
    );
    let other = world.log(1);
    world.append(other, 1, 200_000);
    world.settle();
    assert_eq!(world.read(id, 0, 1_000), ReadOutcome::Pending);
    assert_eq!(world.read_all(id, 0).len(), 100);
}
