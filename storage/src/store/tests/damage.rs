//! Bytes on the device that are not what was written, and devices that fail.

use model::fatal::Reason;

use super::world::{World, small_config, split};
use crate::io::{Io, IoError, IoOutcome};
use crate::log::{LogConfig, ReadOutcome};
use crate::store::{LogId, StoreConfig};

fn filled() -> (World, LogId, String) {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log_with(0, LogConfig::default());
    for _ in 0..30 {
        world.append(id, 1, 40_000);
        world.settle();
    }
    let other = world.log(1);
    world.append(other, 1, 40_000);
    world.settle();
    let path = world
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .find(|p| p.ends_with(".seg"));
    (world, id, path.unwrap())
}

/// Offsets that can be read, and where damage was met.
fn walk(world: &mut World, id: LogId) -> (Vec<u64>, Vec<u64>) {
    let (mut next, mut read, mut damaged) = (0, Vec::new(), Vec::new());
    while next < world.visible(id) {
        match world.read_wait(id, next, 100_000) {
            ReadOutcome::Ready { records, .. } => {
                for batch in split(&records) {
                    let info = model::batch::BatchInfo::parse(&batch).unwrap();
                    next = info.last_offset().get() + 1;
                    read.push(info.base_offset.get());
                }
            }
            ReadOutcome::Damaged(at) => {
                damaged.push(at.get());
                next += 1;
            }
            ReadOutcome::Pending => unreachable!(),
        }
    }
    (read, damaged)
}

#[test]
fn flipped_bit_makes_a_hole_and_nothing_else() {
    let (mut world, id, path) = filled();
    let middle = world.disk.contents(&path).unwrap().len() as u64 / 2;
    let before = walk(&mut world, id);
    assert_eq!((before.0.len(), before.1.len()), (30, 0));
    world.disk.flip(&path, middle.min(600_000));
    let (read, damaged) = walk(&mut world, id);
    assert_eq!(read.len() + damaged.len(), 30);
    assert_eq!(damaged.len(), 1);
    assert_eq!(walk(&mut world, id).1, damaged, "the hole is remembered");
}

#[test]
fn damaged_group_header_hides_only_its_group() {
    let (mut world, id, path) = filled();
    let bytes = world.disk.contents(&path).unwrap().to_vec();
    let starts: Vec<usize> = (0..bytes.len())
        .step_by(4_096)
        .filter(|at| bytes[*at..].starts_with(b"RMQG"))
        .collect();
    world.disk.flip(&path, starts[7] as u64 + 20);
    let (read, damaged) = walk(&mut world, id);
    assert_eq!(read.len() + damaged.len(), 30);
    assert!((1..=3).contains(&damaged.len()));
}

#[test]
fn missing_segment_is_damage_and_not_an_empty_log() {
    let (mut world, id, path) = filled();
    let key = *world
        .paths
        .iter()
        .find(|(_, open)| **open == path)
        .unwrap()
        .0;
    let segment = &mut world.store.logs.get_mut(&id).unwrap().segments[0];
    assert_eq!(segment.file.take(), Some(key));
    assert!(world.store.open_files.doom(key));
    world.disk.put(&path, Vec::new());
    crate::exec::Disk::remove(&mut world.disk, &path).unwrap();
    let (read, damaged) = walk(&mut world, id);
    assert!(!damaged.is_empty());
    assert_eq!(read.len() + damaged.len(), 30);
}

#[test]
fn read_that_fails_once_is_tried_again() {
    let (mut world, id, _) = filled();
    assert_eq!(world.read(id, 3, 100), ReadOutcome::Pending);
    world.round();
    let at = world
        .pending
        .iter()
        .position(|io| matches!(io, Io::Read { .. }))
        .unwrap();
    let Some(Io::Read { id: io, .. }) = world.pending.remove(at) else {
        unreachable!()
    };
    let failed = IoOutcome::Failed(IoError::Device(5));
    world.store.handle_io(world.now, io, failed).unwrap();
    assert!(matches!(
        world.read_wait(id, 3, 100),
        ReadOutcome::Ready { .. }
    ));
}

#[test]
fn failed_write_ends_the_process() {
    let mut world = World::new();
    let id = world.log(0);
    world.settle();
    world.append(id, 1, 10);
    world.round();
    let Some(Io::Write { id: io, .. }) = world.pending.pop_front() else {
        unreachable!()
    };
    let failed = IoOutcome::Failed(IoError::Device(5));
    let fatal = world.store.handle_io(world.now, io, failed).unwrap_err();
    assert_eq!(fatal.reason, Reason::DiskWriteFailed);
    assert_eq!(world.visible(id), 0);
}
