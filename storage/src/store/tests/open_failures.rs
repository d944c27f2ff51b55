//! Segment files that cannot be opened.

use model::fatal::Reason;
use model::prng::Prng;

use super::world::{World, small_config};
use crate::io::{FileOp, Io, IoError, IoOutcome};
use crate::log::{LogConfig, ReadOutcome};
use crate::store::{LogId, StoreConfig};

/// errno of a process with too many open files (`EMFILE`).
const EMFILE: i32 = 24;

/// One log with sealed segments, none open.
fn closed() -> (World, LogId) {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log(0);
    for _ in 0..5 {
        world.append(id, 1, 100_000);
        world.settle();
    }
    let (mut world, _) = world.restart(&mut Prng::new(1));
    world.settle();
    (world, id)
}

/// Lets the pending opening of a segment fail.
fn fail_open(world: &mut World, error: IoError) -> Result<(), model::fatal::Fatal> {
    world.round();
    let is_open = |io: &Io| matches!(io, Io::File { op: FileOp::Open { path, .. }, .. } if path.ends_with(".seg"));
    let at = world.pending.iter().position(is_open).unwrap();
    let Some(Io::File { id, .. }) = world.pending.remove(at) else {
        unreachable!()
    };
    world
        .store
        .handle_io(world.now, id, IoOutcome::Failed(error))
}

#[test]
fn a_file_that_cannot_be_opened_now_is_read_later_and_nothing_is_written_down() {
    let (mut world, id) = closed();
    assert_eq!(world.read(id, 0, 1_000), ReadOutcome::Pending);
    fail_open(&mut world, IoError::Device(EMFILE)).unwrap();
    let damaged = ReadOutcome::Damaged(model::offset::Offset::ZERO);
    assert_eq!(world.read(id, 0, 1_000), damaged, "not an endless wait");
    world.settle();
    assert_eq!(world.read(id, 0, 1_000), damaged, "not tried at once");
    world.advance_ms(1_000);
    assert_eq!(world.read_all(id, 0).len(), 5);
    assert!(world.store.logs.get(&id).unwrap().holes.is_empty());
}

#[test]
fn a_file_that_is_gone_is_a_hole_for_good() {
    let (mut world, id) = closed();
    assert_eq!(world.read(id, 0, 1_000), ReadOutcome::Pending);
    fail_open(&mut world, IoError::NotFound).unwrap();
    world.advance_ms(5_000);
    world.settle();
    let damaged = ReadOutcome::Damaged(model::offset::Offset::ZERO);
    assert_eq!(world.read(id, 0, 1_000), damaged);
    assert_eq!(world.store.logs.get(&id).unwrap().holes.len(), 1);
}

#[test]
fn a_segment_that_cannot_be_opened_for_writing_ends_the_process() {
    for error in [IoError::Device(EMFILE), IoError::NotFound] {
        let mut world = World::with(StoreConfig {
            open_files_max: 1,
            tail_bytes_max: 8 << 20,
            ..small_config()
        });
        let (first, second) = (world.log(0), world.log_with(1, LogConfig::default()));
        for id in [first, second] {
            world.append(id, 1, 40_000);
            world.settle();
        }
        // The file of the first was closed for the second.
        world.append(first, 1, 40_000);
        let fatal = fail_open(&mut world, error).unwrap_err();
        assert_eq!(fatal.reason, Reason::DiskWriteFailed);
        assert_eq!(world.flushed(first), 1);
    }
}
