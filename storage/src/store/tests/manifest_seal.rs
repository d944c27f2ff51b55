//! Seals of the manifest: when one is written, and what it is worth.  reliability.md 2.4

use model::offset::{LeaderEpoch, Offset};

use super::world::{World, small_config};
use crate::exec::{RecoverError, recover};
use crate::format::frame::{Frame, FrameKind};
use crate::format::manifest::{Record, records};
use crate::log::LogConfig;
use crate::store::{LogId, StoreConfig};

const BLOCK: usize = 4_096;

/// A group of the manifest as it lies on the device.
struct Group {
    position: u64,
    seq: u64,
    durable_through: u64,
    records: Vec<Record>,
}

/// The present manifest file; the one that is prepared has a higher number.
fn manifest_path(world: &World) -> String {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.contains("/manifest."))
        .min()
        .unwrap()
}

/// The groups of the present manifest file, without the header block.
fn groups(world: &World) -> Vec<Group> {
    let bytes = world.disk.contents(&manifest_path(world)).unwrap();
    let (mut at, mut found) = (BLOCK, Vec::new());
    while let Ok(group) = Frame::decode(FrameKind::Manifest, &bytes[at..]) {
        found.push(Group {
            position: at as u64,
            seq: group.frame.seq,
            durable_through: group.frame.durable_through,
            records: records(&group).unwrap(),
        });
        at += group.len;
    }
    found
}

fn manifest_writes(world: &World) -> usize {
    world.writes_to("/manifest.")
}

/// Lets everything be written and silence be sealed.
fn rest(world: &mut World) {
    world.settle();
    world.pass_ms(5);
}

/// Two groups of the manifest each.
fn start_epochs(world: &mut World, id: LogId, count: u32) {
    for epoch in 1..=count {
        let epoch = LeaderEpoch::new(epoch);
        world.store.start_epoch(world.now, id, epoch);
        rest(world);
    }
}

/// Rot in the newest group that has records; true if the next start notices.
fn is_rot_noticed(world: &World) -> bool {
    let groups = groups(world);
    let newest = groups.iter().rfind(|group| !group.records.is_empty());
    let position = newest.unwrap().position;
    let mut disk = world.disk.clone();
    assert!(disk.flip(&manifest_path(world), position + 130));
    matches!(
        recover(&mut disk, world.config.shard, 0),
        Err(RecoverError::Damaged { position: at, .. }) if at == position
    )
}

#[test]
fn silence_behind_records_is_sealed_once() {
    let mut world = World::new();
    world.log(0);
    world.settle();
    let before = manifest_writes(&world);
    world.advance_ms(4);
    world.settle();
    assert_eq!(manifest_writes(&world), before);
    assert!(!is_rot_noticed(&world));
    world.advance_ms(1);
    world.settle();
    assert_eq!(manifest_writes(&world), before + 1);
    assert!(is_rot_noticed(&world));
    world.pass_ms(60_000);
    assert_eq!(manifest_writes(&world), before + 1, "a seal is not sealed");
}

#[test]
fn records_put_the_seal_off_and_are_sealed_together() {
    let mut world = World::new();
    for number in 0..4 {
        world.log(number);
        world.settle();
        world.advance_ms(3);
        world.settle();
    }
    assert!(groups(&world).iter().all(|group| !group.records.is_empty()));
    rest(&mut world);
    let groups = groups(&world);
    let seals = groups.iter().filter(|group| group.records.is_empty());
    assert_eq!(seals.count(), 1);
    let newest = groups.last().unwrap();
    assert!(newest.records.is_empty());
    assert_eq!(newest.durable_through, newest.seq - 1);
}

#[test]
fn what_recovery_wrote_is_sealed_too() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 40_000);
    rest(&mut world);
    let (mut world, _) = world.restart(&mut model::prng::Prng::new(1));
    rest(&mut world);
    assert!(is_rot_noticed(&world));
}

#[test]
fn a_lost_log_start_or_drop_is_noticed() {
    for is_drop in [false, true] {
        let mut world = World::new();
        let id = world.log(0);
        world.append(id, 5, 100);
        rest(&mut world);
        if is_drop {
            world.store.delete_log(world.now, id);
        } else {
            world.store.delete_records(world.now, id, Offset::new(3));
        }
        rest(&mut world);
        assert!(is_rot_noticed(&world), "drop: {is_drop}");
    }
}

#[test]
fn an_orderly_stop_ends_with_a_seal() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 100);
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let groups = groups(&world);
    let [.., stop, seal] = groups.as_slice() else {
        panic!("two groups at least")
    };
    assert!(matches!(
        stop.records.last(),
        Some(Record::CleanStop { .. })
    ));
    assert!(seal.records.is_empty());
    assert_eq!(seal.durable_through, stop.seq);
    assert!(is_rot_noticed(&world));
    let recovered = recover(&mut world.disk, world.config.shard, 0).unwrap();
    assert!(recovered.is_clean, "a seal does not end the clean stop");
}

#[test]
fn a_new_generation_is_sealed_once_it_has_records_of_its_own() {
    let mut world = World::with(StoreConfig {
        manifest_bytes: 32 * 1024,
        ..small_config()
    });
    let config = LogConfig {
        segment_bytes: 64 * 1024,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    start_epochs(&mut world, id, 80);
    for _ in 0..40 {
        world.append(id, 1, 40_000);
        rest(&mut world);
        let groups = groups(&world);
        let is_fresh = groups.len() == 1;
        assert!(is_fresh || is_rot_noticed(&world));
        let pairs = groups.windows(2);
        let doubles = pairs.filter(|pair| pair.iter().all(|group| group.records.is_empty()));
        assert_eq!(doubles.count(), 0, "a seal is not sealed");
    }
    let path = manifest_path(&world);
    assert!(!path.ends_with("00001"), "{path}");
    let before = manifest_writes(&world);
    world.pass_ms(60_000);
    assert!(manifest_writes(&world) <= before + 2);
}

#[test]
fn a_full_manifest_on_a_full_device_is_left_in_peace() {
    let mut world = World::with(StoreConfig {
        manifest_bytes: 16 * 1024,
        ..small_config()
    });
    let id = world.log(0);
    rest(&mut world);
    world.capacity = 0;
    start_epochs(&mut world, id, 300);
    let before = manifest_writes(&world);
    world.pass_ms(20_000);
    assert_eq!(manifest_writes(&world), before);
    world.capacity = u64::MAX;
    world.pass_ms(20_000);
    assert!(manifest_writes(&world) > before);
}
