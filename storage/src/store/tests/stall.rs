//! Writes that do not come back.

use std::time::Duration;

use model::fatal::{Fatal, Reason};
use model::time::Instant;

use super::world::World;
use crate::store::{Alarm, StoreEvent};

/// A store with one write on its way that the device keeps to itself.
fn stalled() -> World {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    world.events.clear();
    world.append(id, 1, 100);
    world.round();
    assert_eq!(world.pending.len(), 1, "the journal group is on its way");
    world
}

/// Turns the core every `step_ms` for so long, as a shell does that is told when to come back.
fn turn(world: &mut World, step_ms: u64, ms: u64) -> Result<(), Fatal> {
    for _ in 0..ms / step_ms {
        let later = world.now.instant.as_nanos() + step_ms * 1_000_000;
        world.now.instant = Instant::from_nanos(later);
        while world
            .store
            .poll_timeout()
            .is_some_and(|due| due <= world.now.instant)
        {
            world.store.handle_timeout(world.now)?;
            world.round();
        }
    }
    Ok(())
}

fn alarms(world: &World) -> Vec<Alarm> {
    let alarm = |event: &StoreEvent| match event {
        StoreEvent::Alarm(alarm) => Some(*alarm),
        StoreEvent::Advanced(_) | StoreEvent::Readable(_) | StoreEvent::LogStartMoved(_) => None,
    };
    world.events.iter().filter_map(alarm).collect()
}

#[test]
fn a_write_that_takes_a_second_is_nothing_to_speak_of() {
    let mut world = stalled();
    turn(&mut world, 100, 1_500).unwrap();
    assert_eq!(alarms(&world), []);
}

#[test]
fn after_two_seconds_the_device_is_unfit_until_the_write_comes_back() {
    let mut world = stalled();
    turn(&mut world, 100, 3_000).unwrap();
    let [Alarm::Stalled { waited }] = alarms(&world)[..] else {
        panic!("{:?}", alarms(&world));
    };
    assert!(waited >= Duration::from_secs(2));
    world.complete(0);
    turn(&mut world, 100, 1_000).unwrap();
    assert_eq!(alarms(&world).last(), Some(&Alarm::StallOver));
    // Journal and manifest name each other once more; then nothing is written.
    for _ in 0..3 {
        world.settle();
        turn(&mut world, 100, 1_500).unwrap();
    }
    world.settle();
    turn(&mut world, 100, 60_000).unwrap();
    assert_eq!(alarms(&world).len(), 2);
}

#[test]
fn after_thirty_seconds_the_device_is_fenced() {
    let mut world = stalled();
    turn(&mut world, 100, 29_000).unwrap();
    let fatal = turn(&mut world, 100, 3_000).unwrap_err();
    assert_eq!(fatal.reason, Reason::DiskWriteFailed);
    assert!(fatal.detail.contains("has not come back"), "{fatal:?}");
}

#[test]
fn a_device_that_is_slow_but_goes_on_is_never_fenced() {
    let mut world = stalled();
    let id = world.store.logs()[0].0;
    for _ in 0..40 {
        turn(&mut world, 100, 1_900).unwrap();
        world.settle();
        world.append(id, 1, 100);
        world.round();
    }
    assert_eq!(alarms(&world), []);
}

#[test]
fn time_in_which_the_process_was_stopped_does_not_count() {
    let mut world = stalled();
    turn(&mut world, 100, 1_000).unwrap();
    turn(&mut world, 600_000, 600_000).unwrap();
    assert_eq!(alarms(&world), [], "ten minutes without a turn of the core");
    world.settle();
    turn(&mut world, 100, 1_000).unwrap();
    assert_eq!(alarms(&world), []);
}

#[test]
fn a_store_without_writes_does_not_wake_up_for_them() {
    let mut world = stalled();
    world.settle();
    world.round();
    assert_eq!(world.store.stall.next_look(), None);
}
