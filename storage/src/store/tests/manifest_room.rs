//! The manifest always has room: the next generation is prepared ahead, and large enough.  reliability.md I10

use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

use super::world::{World, small_config};
use crate::exec::{RecoverError, recover};
use crate::log::LogConfig;
use crate::store::{LogId, StoreConfig};

fn world() -> World {
    World::with(StoreConfig {
        manifest_bytes: 32 * 1024,
        ..small_config()
    })
}

fn manifests(world: &World) -> Vec<(String, u64)> {
    let files = world.disk.files().into_iter();
    files
        .filter(|(path, _)| path.contains("/manifest."))
        .collect()
}

/// Makes the manifest grow by a record and a seal.
fn grow(world: &mut World, id: LogId, number: u32) {
    let epoch = LeaderEpoch::new(number);
    world.store.start_epoch(world.now, id, epoch);
    world.settle();
    world.advance_ms(5);
    world.settle();
}

#[test]
fn a_checkpoint_of_many_records_gets_a_file_that_holds_it() {
    let mut world = world();
    let id = world.log(0);
    for number in 1..=900 {
        grow(&mut world, id, number);
        world.append(id, 1, 10);
        world.settle();
    }
    assert_eq!(world.flushed(id), 900);
    assert!(
        !manifests(&world)[0].0.ends_with("0001"),
        "generations pass"
    );
    let (world, _) = world.restart(&mut Prng::new(1));
    let end = world.store.epoch_end(id, LeaderEpoch::new(450));
    assert_eq!(end, Some((LeaderEpoch::new(450), Offset::new(450))));
}

#[test]
fn a_deletion_gets_through_on_a_full_device_whatever_the_manifest_holds() {
    let mut world = world();
    let (id, doomed) = (world.log(0), world.log(1));
    world.append(doomed, 1, 100_000);
    world.settle();
    world.capacity = world.used();
    // More groups than one file has blocks.
    for number in 1..=600 {
        grow(&mut world, id, number);
    }
    world.store.delete_log(world.now, doomed);
    world.settle();
    let files = world.disk.files().into_iter();
    let segments = files.filter(|(path, _)| path.ends_with(".seg"));
    assert_eq!(segments.count(), 0);
    let (world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.store.logs().len(), 1);
}

#[test]
fn the_prepared_file_is_gone_after_an_orderly_stop_and_harmless_after_a_crash() {
    let mut world = world();
    let id = world.log(0);
    world.append(id, 1, 100);
    world.settle();
    assert_eq!(manifests(&world).len(), 2);
    let (mut world, report) = world.restart(&mut Prng::new(1));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(world.read_all(id, 0).len(), 1);
    world.settle();
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    assert_eq!(manifests(&world).len(), 1);
}

#[test]
fn rot_in_the_present_file_is_named_although_the_prepared_one_is_newer() {
    let mut world = world();
    let id = world.log(0);
    for number in 1..=4 {
        grow(&mut world, id, number);
    }
    let present = manifests(&world)[0].0.clone();
    assert!(world.disk.flip(&present, 3 * 4_096 + 20));
    let refused = recover(&mut world.disk, world.config.shard, 0).unwrap_err();
    let RecoverError::Damaged { file, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(file, present);
}

#[test]
fn a_stop_on_a_full_device_ends() {
    let mut world = world();
    let config = LogConfig {
        segment_bytes: 64 * 1024,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    world.append(id, 1, 10_000);
    world.settle();
    world.pass_ms(6_000);
    world.capacity = 0;
    // The present file and the prepared one are used up.
    for number in 1..=700 {
        grow(&mut world, id, number);
    }
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.read_all(id, 0).len(), 1);
}

#[test]
fn a_stop_ends_although_the_manifest_is_full_and_the_next_file_does_not_fit() {
    let mut world = World::with(StoreConfig {
        manifest_bytes: 2 << 20,
        ..small_config()
    });
    let id = world.log(0);
    world.append(id, 1, 10_000);
    world.settle();
    world.pass_ms(6_000);
    world.capacity = 0;
    for number in 1..=1_000 {
        grow(&mut world, id, number);
    }
    // Room is reported, but too little for a manifest, and then the stop begins.
    world.capacity = world.used() + 300_000;
    world.advance_ms(2_000);
    world.round();
    assert_eq!(world.pending.len(), 1, "free space is asked for");
    world.complete(0);
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.read_all(id, 0).len(), 1);
}
