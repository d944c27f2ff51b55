//! Torn, rotten, superseded and missing manifests.  reliability.md 2.4, 2.5 step 4

use super::builder::{BLOCK, SHARD, World, log, offset, tp};
use crate::exec::manifest_open::flat;
use crate::exec::{Disk, RecoverError, recover};
use crate::format::frame::{Beside, Frame};
use crate::format::layout::manifest_path;
use crate::format::manifest::{FLAG_CHECKPOINT_END, ManifestHeader, Record, encode_group};
use crate::store::LogId;

const NOW: i64 = super::builder::NOW;

/// A core with five logs, each in a group of its own; gives the position of each group.
fn written() -> (World, Vec<u64>) {
    let mut world = World::new();
    let mut positions = Vec::new();
    for number in 1..=5 {
        positions.push(world.manifest.file.position);
        world.create_log(number);
    }
    (world, positions)
}

fn path(world: &World) -> String {
    world.manifest.file.path.clone()
}

#[test]
fn a_torn_last_group_is_cut_and_nothing_is_written_behind_it() {
    let (mut world, positions) = written();
    let path = path(&world);
    assert!(world.disk.flip(&path, positions[4] + 135));
    let recovered = world.recover();
    assert_eq!(recovered.logs.len(), 4);
    assert_ne!(recovered.manifest.path, path, "a new generation starts");
    assert_eq!(world.disk.contents(&path), None);
    assert_eq!(world.recover().logs.len(), 4);
}

#[test]
fn a_witnessed_group_that_cannot_be_read_stops_the_start_and_changes_nothing() {
    let (mut world, positions) = written();
    let path = path(&world);
    assert!(world.disk.flip(&path, positions[2] + 135));
    let before = world.disk.clone();
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    let RecoverError::Damaged { file, position, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((file, position), (path, positions[2]));
    assert_eq!(world.disk, before);
}

#[test]
fn a_manifest_that_is_cut_short_stops_the_start() {
    let (mut world, positions) = written();
    let path = path(&world);
    assert!(world.disk.truncate(&path, positions[4]));
    assert!(matches!(
        recover(&mut world.disk, SHARD, NOW),
        Err(RecoverError::Damaged { .. })
    ));
}

#[test]
fn a_manifest_without_header_that_stands_alone_stops_the_start() {
    let (mut world, _) = written();
    let path = path(&world);
    assert!(world.disk.zero(&path, 0, BLOCK));
    assert!(matches!(
        recover(&mut world.disk, SHARD, NOW),
        Err(RecoverError::Damaged { .. })
    ));
}

#[test]
fn a_manifest_of_a_newer_build_is_named_as_such() {
    let (mut world, _) = written();
    let path = path(&world);
    world.disk.write(&path, 8, &7_u32.to_le_bytes()).unwrap();
    let error = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(matches!(error, RecoverError::Newer { .. }));
    assert!(error.to_string().contains("version 7"), "{error}");
}

#[test]
fn journals_without_a_manifest_are_not_a_fresh_core() {
    let (mut world, _) = written();
    world.start_journal(1);
    let path = path(&world);
    world.disk.remove(&path).unwrap();
    assert!(matches!(
        recover(&mut world.disk, SHARD, NOW),
        Err(RecoverError::Damaged { .. })
    ));
}

/// Puts a next generation beside the present one; `upto` limits how much of it arrived.
fn put_successor(world: &mut World, upto: Option<u64>) -> String {
    let generation = world.manifest.file.generation + 1;
    let uid = [0x5a; 16];
    let path = manifest_path(SHARD, generation);
    let mut bytes = ManifestHeader {
        uid,
        generation,
        shard: SHARD,
    }
    .encode();
    let frame = Frame {
        lineage: uid,
        seq: 1,
        block: 1,
        durable_through: 0,
        prev_hash: 0,
        count: 0,
        body_len: 0,
        flags: FLAG_CHECKPOINT_END,
        beside: Beside::default(),
    };
    bytes.extend(flat(&encode_group(
        frame,
        &world.manifest.state.checkpoint(),
    )));
    if let Some(upto) = upto {
        bytes.truncate(usize::try_from(upto).unwrap());
    }
    bytes.resize(64 * 1024, 0);
    world.disk.put(&path, bytes);
    path
}

#[test]
fn an_unfinished_successor_that_nothing_names_is_removed() {
    for upto in [0, 100, BLOCK, BLOCK + 100] {
        let (mut world, _) = written();
        let present = path(&world);
        let successor = put_successor(&mut world, Some(upto));
        let recovered = world.recover();
        assert_eq!(recovered.logs.len(), 5);
        assert_eq!(recovered.manifest.path, present);
        assert_eq!(world.disk.contents(&successor), None);
    }
}

#[test]
fn a_whole_successor_takes_over_and_the_old_one_goes() {
    let (mut world, _) = written();
    let old = path(&world);
    let successor = put_successor(&mut world, None);
    let recovered = world.recover();
    assert_eq!(recovered.logs.len(), 5);
    assert_eq!(recovered.manifest.path, successor);
    assert_eq!(world.disk.contents(&old), None);
}

#[test]
fn a_damaged_successor_that_the_old_one_names_stops_the_start() {
    let (mut world, _) = written();
    let generation = world.manifest.file.generation + 1;
    put_successor(&mut world, Some(BLOCK + 100));
    world.record(&[Record::Switched { generation }]);
    assert!(matches!(
        recover(&mut world.disk, SHARD, NOW),
        Err(RecoverError::Damaged { .. })
    ));
}

#[test]
fn a_full_manifest_goes_on_in_a_new_generation() {
    let mut world = World::new();
    let first = path(&world);
    world.create_log(1);
    for value in 0..2_000 {
        world.record(&[Record::LogStart {
            log: LogId(1),
            offset: offset(value),
        }]);
    }
    assert_ne!(path(&world), first);
    assert!(world.manifest.file.generation > 1);
    let recovered = world.recover();
    assert_eq!(log(&recovered, 1).log_start, offset(1_999));
    assert_eq!(log(&recovered, 1).tp, tp(1));
    let files = world.disk.list("core-0").unwrap();
    let manifests = files
        .iter()
        .filter(|file| file.name.starts_with("manifest."))
        .count();
    assert_eq!(manifests, 1);
}

#[test]
fn no_single_flipped_byte_of_a_manifest_is_taken_for_something_else() {
    let (world, positions) = written();
    let path = path(&world);
    for at in (0..world.manifest.file.position).step_by(179) {
        let mut disk = world.disk.clone();
        assert!(disk.flip(&path, at));
        match recover(&mut disk, SHARD, NOW) {
            Ok(recovered) => {
                assert!(at >= positions[4], "byte {at} was witnessed");
                assert_eq!(recovered.logs.len(), 4);
            }
            Err(error) => assert!(at < positions[4], "byte {at}: {error}"),
        }
    }
}

#[test]
fn segments_without_any_manifest_are_no_new_core() {
    let mut world = World::new();
    let mut history = world.create_log(1);
    let mut segment = world.add_segment(&history, 9);
    let batch = history.batch(1, "a");
    world.segment_group(&mut segment, &[batch]);
    let manifest = world.manifest.file.path.clone();
    world.disk.remove(&manifest).unwrap();
    let before = world.disk.clone();
    let refused = recover(&mut world.disk, SHARD, NOW).unwrap_err();
    assert!(refused.to_string().contains(&segment.path), "{refused}");
    assert_eq!(world.disk, before, "nothing was changed");
}
