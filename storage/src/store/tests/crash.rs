//! Crashes at chosen moments: what was acknowledged is there again, in order and whole.

use model::batch::BatchInfo;
use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

use super::world::{EPOCH_MS, World, batch, partition, small_config};
use crate::exec::{Finding, Severity, recover};
use crate::format::FLAG_END_KEPT;
use crate::format::segment::SegmentHeader;
use crate::log::{Admit, Durability, LogConfig};
use crate::store::{LogId, StoreConfig};

fn find(world: &mut World, number: u32) -> LogId {
    let found = world
        .store
        .logs()
        .into_iter()
        .find(|(_, tp)| *tp == partition(number));
    found.unwrap().0
}

#[test]
fn acknowledged_batches_survive_a_crash_before_any_segment() {
    let mut world = World::new();
    let id = world.log(0);
    for _ in 0..20 {
        world.append(id, 2, 100);
        world.settle();
    }
    let (mut world, report) = world.restart(&mut Prng::new(1));
    assert_eq!(report.tail_batches, 20);
    assert_eq!(find(&mut world, 0), id);
    assert_eq!((world.visible(id), world.flushed(id)), (40, 40));
    assert_eq!(world.read_all(id, 0).len(), 20);
}

#[test]
fn carried_batches_survive_a_second_crash_at_any_moment() {
    for steps in 0..30 {
        let mut world = World::new();
        let id = world.log(0);
        for _ in 0..10 {
            world.append(id, 1, 1_000);
            world.settle();
        }
        let mut prng = Prng::new(steps);
        let (mut world, _) = world.restart(&mut prng);
        for _ in 0..steps {
            world.round();
            if !world.pending.is_empty() {
                world.complete(0);
            }
        }
        let (mut world, _) = world.restart(&mut prng);
        assert_eq!(
            world.read_all(id, 0).len(),
            10,
            "second crash after {steps} steps"
        );
        world.settle();
        let journals = world
            .disk
            .files()
            .iter()
            .filter(|(p, _)| p.ends_with(".j"))
            .count();
        assert!(journals <= 2, "old journal files stay: {journals}");
    }
}

#[test]
fn batches_in_segments_and_journal_come_back_in_order() {
    let mut world = World::with(StoreConfig {
        tail_bytes_max: 8 << 20,
        ..small_config()
    });
    let id = world.log_with(
        0,
        LogConfig {
            segment_bytes: 256 * 1024,
            ..LogConfig::default()
        },
    );
    for turn in 0..60 {
        world.append(id, 1, if turn % 3 == 0 { 40_000 } else { 300 });
        world.settle();
    }
    let (mut world, report) = world.restart(&mut Prng::new(3));
    assert!(report.segments_scanned > 0);
    assert_eq!(world.visible(id), 60);
    assert_eq!(world.read_all(id, 0).len(), 60);
    let appended = world.append(id, 1, 10);
    assert_eq!(appended.base_offset, Offset::new(60));
    world.settle();
    assert_eq!(world.read_all(id, 0).len(), 61);
}

#[test]
fn unacknowledged_batches_may_go_but_never_in_the_middle() {
    for seed in 0..50 {
        let mut world = World::new();
        let ids: Vec<_> = (0..3).map(|number| world.log(number)).collect();
        world.settle();
        for turn in 0..12 {
            world.append(ids[turn % 3], 1, if turn % 5 == 0 { 50_000 } else { 200 });
            if turn % 2 == 0 {
                world.round();
            }
        }
        let acked: Vec<u64> = ids.iter().map(|id| world.flushed(*id)).collect();
        let (mut world, _) = world.restart(&mut Prng::new(seed));
        for (id, acked) in ids.iter().zip(acked) {
            let end = world.visible(*id);
            assert!(end >= acked);
            assert_eq!(world.read_all(*id, 0).len() as u64, end);
        }
    }
}

#[test]
fn clean_stop_is_followed_by_a_start_without_scans() {
    let mut world = World::new();
    let id = world.log(0);
    for _ in 0..30 {
        world.append(id, 1, 5_000);
        world.settle();
    }
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    let (mut world, report) = world.restart(&mut Prng::new(1));
    assert_eq!((report.segments_scanned, report.journal_groups), (0, 0));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(world.read_all(id, 0).len(), 30);
}

#[test]
fn duplicate_is_known_after_a_crash_and_after_a_clean_stop() {
    for is_clean in [false, true] {
        let mut world = World::new();
        let id = world.log(0);
        let mut infos = Vec::new();
        for sequence in 0..5 {
            let (bytes, info) = idempotent(sequence);
            assert_eq!(world.store.admit(world.now, id, &info), Admit::Fresh);
            world.store.append(world.now, id, bytes, &info).unwrap();
            world.settle();
            infos.push(info);
        }
        if is_clean {
            world.store.begin_shutdown(world.now);
            world.settle();
        }
        let (world, _) = world.restart(&mut Prng::new(1));
        for (sequence, info) in infos.iter().enumerate() {
            let offset = Offset::new(sequence as u64);
            let expected = Admit::Duplicate {
                first: offset,
                last: offset,
                log_append_time: None,
            };
            assert_eq!(
                world.store.admit(world.now, id, info),
                expected,
                "clean: {is_clean}"
            );
        }
        assert_eq!(
            world.store.admit(world.now, id, &idempotent(5).1),
            Admit::Fresh
        );
    }
}

fn idempotent(sequence: u32) -> (bytes::BytesMut, BatchInfo) {
    use model::batch::{BatchBuilder, BatchProducer, NewRecord};
    use model::ids::{BatchSequence, ProducerEpoch, ProducerId};
    let producer = BatchProducer {
        id: ProducerId::new(77),
        epoch: ProducerEpoch::new(2),
        base_sequence: Some(BatchSequence::new(sequence)),
    };
    let mut builder = BatchBuilder::new(EPOCH_MS).producer(producer);
    builder.push(&NewRecord::value(EPOCH_MS, b"v")).unwrap();
    let bytes = builder.build();
    let info = BatchInfo::parse(&bytes).unwrap();
    (bytes, info)
}

#[test]
fn duplicate_is_known_although_the_clock_jumps_ahead() {
    let mut world = World::new();
    let id = world.log(0);
    let (bytes, info) = idempotent(0);
    world.store.append(world.now, id, bytes, &info).unwrap();
    world.pass_ms(1_000);
    world.now.wall = world.now.wall.plus_millis(400 * 24 * 3_600_000);
    world.pass_ms(5_000);
    let admitted = world.store.admit(world.now, id, &info);
    assert!(matches!(admitted, Admit::Duplicate { .. }), "{admitted:?}");
}

#[test]
fn epochs_are_known_after_a_crash() {
    let mut world = World::new();
    let id = world.log(0);
    for epoch in 1..4 {
        world
            .store
            .start_epoch(world.now, id, LeaderEpoch::new(epoch));
        world.append(id, 10, 10);
        world.settle();
    }
    let (world, _) = world.restart(&mut Prng::new(1));
    let end = |epoch| world.store.epoch_end(id, LeaderEpoch::new(epoch));
    assert_eq!(end(1), Some((LeaderEpoch::new(1), Offset::new(10))));
    assert_eq!(end(3), Some((LeaderEpoch::new(3), Offset::new(30))));
    assert_eq!(
        world.store.epoch_at(id, Offset::new(15)),
        Some(LeaderEpoch::new(2))
    );
}

#[test]
fn deleted_log_does_not_come_back_and_its_id_is_not_given_again() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 10);
    world.settle();
    world.store.delete_log(world.now, id);
    world.settle();
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert!(world.store.logs().is_empty());
    assert!(world.log(0) > id);
}

#[test]
fn files_of_a_deleted_log_are_not_taken_for_those_of_its_successor() {
    let mut world = World::new();
    let id = world.log(0);
    for _ in 0..5 {
        world.append(id, 1, 100_000);
        world.settle();
    }
    let mut files = world.disk.files().into_iter().map(|(path, _)| path);
    let path = files.find(|path| path.ends_with(".seg")).unwrap();
    let contents = world.disk.contents(&path).unwrap().to_vec();
    world.store.delete_log(world.now, id);
    world.settle();
    // The stop came before the file was removed.
    world.disk.put(&path, contents);
    let next = world.log(0);
    world.append(next, 1, 10);
    world.settle();
    let (mut world, report) = world.restart(&mut Prng::new(1));
    assert_eq!(report.orphans, [path]);
    assert_eq!(world.read_all(next, 0).len(), 1);
}

#[test]
fn log_start_survives_a_crash() {
    let mut world = World::new();
    let id = world.log(0);
    for _ in 0..10 {
        world.append(id, 1, 1_000);
    }
    world.settle();
    world.store.delete_records(world.now, id, Offset::new(7));
    world.settle();
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.store.bounds(id).unwrap().log_start, Offset::new(7));
    assert_eq!(world.read_all(id, 7).len(), 3);
}

#[test]
fn memory_durable_batches_beyond_the_device_are_lost_and_offsets_go_on_from_what_is_left() {
    let mut world = World::new();
    let config = LogConfig {
        durability: Durability::Memory,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    world.append(id, 5, 10);
    world.advance_ms(10);
    world.settle();
    let (bytes, info) = batch(5, 10, 0);
    world.store.append(world.now, id, bytes, &info).unwrap();
    assert_eq!(world.visible(id), 10);
    let (mut world, _) = world.restart(&mut Prng::new(1));
    assert_eq!(world.visible(id), 5);
    assert_eq!(world.append(id, 1, 10).base_offset, Offset::new(5));
}

#[test]
fn rot_in_an_acknowledged_idle_segment_is_damage_and_not_a_torn_tail() {
    let mut world = World::with(StoreConfig {
        tail_bytes_max: 8 << 20,
        ..small_config()
    });
    let (idle, busy) = (world.log(0), world.log(1));
    world.append(idle, 1, 40_000);
    world.append(idle, 1, 40_000);
    world.settle();
    world.append(idle, 1, 40_000);
    world.settle();
    assert_eq!(world.flushed(idle), 3);
    // Many journal files later nothing but a repeated witness tells that the last group was durable.
    for _ in 0..600 {
        world.append(busy, 1, 5_000);
        world.settle();
        world.advance_ms(6);
    }
    let files = world.disk.files();
    let is_idle = |path: &String| path.contains("/0/") && path.ends_with(".seg");
    let path = files
        .into_iter()
        .map(|(path, _)| path)
        .find(is_idle)
        .unwrap();
    let bytes = world.disk.contents(&path).unwrap();
    let last = (0..bytes.len())
        .step_by(4_096)
        .rfind(|at| bytes[*at..].starts_with(b"RMQG"));
    world.disk.flip(&path, last.unwrap() as u64 + 5_000);
    let (world, report) = world.restart(&mut Prng::new(1));
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.severity == Severity::Damage)
    );
    assert_eq!(world.store.bounds(idle).unwrap().log_end, Offset::new(3));
}

#[test]
fn recycled_journal_files_do_not_bring_old_groups_back() {
    for seed in 0..8 {
        let mut world = World::new();
        let ids: Vec<_> = (0..10).map(|number| world.log(number)).collect();
        let mut prng = Prng::new(seed);
        for turn in 0..700 + usize::try_from(prng.below(700)).unwrap() {
            world.append(ids[turn % 10], 1, 1_000);
            if prng.chance(9, 10) {
                world.settle();
            }
            if turn % 50 == 0 {
                world.advance_ms(10);
            }
        }
        let acked: Vec<u64> = ids.iter().map(|id| world.flushed(*id)).collect();
        let (mut world, report) = world.restart(&mut prng);
        let is_damage = |f: &&Finding| f.severity == Severity::Damage;
        assert_eq!(report.findings.iter().find(is_damage), None);
        for (id, acked) in ids.iter().zip(acked) {
            assert!(world.visible(*id) >= acked);
            assert_eq!(world.read_all(*id, 0).len() as u64, world.visible(*id));
        }
    }
}

#[test]
fn nothing_expires_before_the_broker_says_how_long_records_are_kept() {
    let mut world = World::new();
    let config = LogConfig {
        retention_ms: None,
        segment_ms: 1_000,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    world.append(id, 1, 10);
    world.pass_ms(20_000);
    world.now.wall = world.now.wall.plus_millis(400 * 24 * 3_600_000);
    let (mut world, _) = world.restart(&mut Prng::new(1));
    world.pass_ms(5_000);
    assert_eq!(world.store.bounds(id).unwrap().log_start, Offset::ZERO);
    assert_eq!(world.read_all(id, 0).len(), 1);
}

/// One log whose large batch waits for its first segment, of which the creation was asked for.
fn waiting_for_its_first_segment() -> (World, LogId) {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 100);
    world.settle();
    world.append(id, 1, 3 << 20);
    world.settle_but_segments();
    assert_eq!(world.segments_asked_for(), 1);
    (world, id)
}

#[test]
fn a_segment_is_created_with_its_header_and_takes_groups_after_its_record() {
    let (mut world, id) = waiting_for_its_first_segment();
    assert_eq!(world.visible(id), 1);
    assert_eq!(world.writes_to(".seg"), 0);
    world.settle();
    assert_eq!(world.visible(id), 2);
    assert_eq!(world.writes_to(".seg"), 2, "one group for each batch");
    let files = world.disk.files();
    let (path, _) = files
        .iter()
        .find(|(path, _)| path.ends_with(".seg"))
        .unwrap();
    let contents = world.disk.contents(path).unwrap();
    for copy in [&contents[..4_096], &contents[4_096..8_192]] {
        let header = SegmentHeader::decode(copy).unwrap();
        assert_eq!((header.log, header.tp), (id, partition(0)));
        assert_eq!(header.flags & FLAG_END_KEPT, FLAG_END_KEPT);
    }
}

#[test]
fn what_is_left_of_a_segment_that_was_not_answered_is_removed_and_costs_nothing() {
    let is_segment = |(path, _): &(String, u64)| path.ends_with(".seg");
    let mut left = 0;
    for seed in 0..60 {
        let (world, id) = waiting_for_its_first_segment();
        let now = world.now;
        let mut disk = world.lose_power(&mut Prng::new(seed));
        left += usize::from(disk.files().iter().any(is_segment));
        let config = StoreConfig {
            seed: seed + 2,
            ..small_config()
        };
        let recovered = recover(&mut disk, config.shard, EPOCH_MS).unwrap();
        assert!(!disk.files().iter().any(is_segment), "seed {seed}");
        let findings = &recovered.report.findings;
        let is_harmless = |finding: &Finding| finding.severity != Severity::Damage;
        assert!(findings.iter().all(is_harmless), "{seed}: {findings:?}");
        let mut world = World::over(disk, config, recovered, now);
        assert_eq!(world.visible(id), 1, "the second was not acknowledged");
        world.append(id, 1, 3 << 20);
        world.settle();
        let (mut world, _) = world.restart(&mut Prng::new(seed));
        assert_eq!(world.read_all(id, 0).len(), 2);
    }
    assert!(left > 20, "{left} times something was left");
}
