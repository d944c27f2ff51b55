//! A device that is full, or nearly.

use super::world::{World, small_config};
use crate::io::IoError;
use crate::store::{SpaceLimits, StoreConfig};

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
    let space = SpaceLimits {
        free_permille_min: 50,
        free_bytes_enough: 1 << 40,
    };
    let mut world = World::with(StoreConfig {
        space,
        ..small_config()
    });
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
