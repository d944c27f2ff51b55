//! A store over a journal that lost groups: what was given out is not given out again.  docs/format.md, Ends

use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

use super::world::World;
use crate::exec::Disk;
use crate::format::frame::{Frame, FrameKind};
use crate::log::{ReadOutcome, TimeLookup};
use crate::store::LogId;

const BLOCK: usize = 4_096;

/// Three logs with ten acknowledged batches each but the last, which has none, all in the journal.
fn acknowledged() -> (World, [LogId; 3]) {
    let mut world = World::new();
    let ids = [0, 1, 2].map(|number| world.log(number));
    for _ in 0..10 {
        for id in &ids[..2] {
            world.append(*id, 1, 100);
            world.settle();
        }
    }
    world.pass_ms(5);
    (world, ids)
}

fn journal_path(world: &World) -> String {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    let is_used = |path: &String| {
        let contents = world.disk.contents(path).unwrap();
        path.ends_with(".j") && contents[BLOCK..].starts_with(b"RMQJ")
    };
    files.filter(is_used).max().unwrap()
}

/// Positions of the journal's groups.
fn groups(world: &World, path: &str) -> Vec<u64> {
    let bytes = world.disk.contents(path).unwrap();
    let (mut at, mut found) = (BLOCK, Vec::new());
    while let Ok(group) = Frame::decode(FrameKind::Journal, &bytes[at..]) {
        found.push(at as u64);
        at += group.len;
    }
    found
}

fn end(world: &World, id: LogId) -> u64 {
    world.store.bounds(id).unwrap().log_end.get()
}

#[test]
fn lost_groups_within_the_window_cost_what_was_in_them_and_nothing_else() {
    for lost in 1..=8 {
        let (mut world, ids) = acknowledged();
        let path = journal_path(&world);
        let positions = groups(&world, &path);
        let newest = positions.len() - 1;
        // The seal stays; so many groups before it go.
        for at in &positions[newest - lost..newest] {
            assert!(world.disk.zero(&path, *at, 64));
        }
        let (mut world, _) = world.restart(&mut Prng::new(1));
        for (id, acked) in ids.into_iter().zip([10, 10, 0]) {
            assert_eq!(end(&world, id), acked, "{lost} groups lost");
        }
        let lost_of_second = u64::try_from(lost.div_ceil(2)).unwrap();
        let readable = 10 - lost_of_second;
        let outcome = world.read_wait(ids[1], readable, 1_000);
        assert_eq!(outcome, ReadOutcome::Damaged(Offset::new(readable)));
        assert!(matches!(
            world.read_wait(ids[1], readable - 1, 1_000),
            ReadOutcome::Ready { .. }
        ));
        assert_eq!(world.append(ids[1], 1, 10).base_offset, Offset::new(10));
    }
}

#[test]
fn a_lost_journal_file_moves_logs_to_where_no_lost_offset_can_be() {
    let (mut world, ids) = acknowledged();
    let path = journal_path(&world);
    world.disk.remove(&path).unwrap();
    let (mut world, _) = world.restart(&mut Prng::new(1));
    for id in ids {
        world.store.start_epoch(world.now, id, LeaderEpoch::new(1));
    }
    let appended = world.append(ids[0], 1, 10);
    assert!(appended.base_offset.get() >= 1 << 48);
    world.pass_ms(10);
    let damaged = ReadOutcome::Damaged(Offset::new(3));
    assert_eq!(world.read_wait(ids[0], 3, 1_000), damaged);
    let base = appended.base_offset;
    assert_eq!(world.read_all(ids[0], base.get()).len(), 1);
    let found = world
        .store
        .find_timestamp(world.now, ids[0], 0, base.next());
    assert!(matches!(found, TimeLookup::Found(at, _) if at == base));
    // An operator gives the lost records up.
    world.store.delete_records(world.now, ids[0], base);
    world.settle();
    let (mut world, report) = world.restart(&mut Prng::new(2));
    let damage = crate::exec::Severity::Damage;
    assert!(report.findings.iter().all(|found| found.severity != damage));
    let bounds = world.store.bounds(ids[0]).unwrap();
    assert_eq!((bounds.log_start, bounds.log_end), (base, base.next()));
    assert!(world.store.logs.get(&ids[0]).unwrap().holes.is_empty());
    assert_eq!(world.read_all(ids[0], base.get()).len(), 1);
    assert_eq!(end(&world, ids[1]), 1 << 48, "once, not at every start");
}
