//! Segments: rolling, extending, journal recycling, reading back, open files.

use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;

use super::world::{EPOCH_MS, World, small_config};
use crate::exec::recover;
use crate::io::{FileOp, Io};
use crate::log::LogConfig;
use crate::log::ReadOutcome;
use crate::store::pressing::FULL_MAX;
use crate::store::{LogId, ReadBudget, StoreConfig};

fn paths(world: &World, ending: &str) -> Vec<String> {
    let files = world.disk.files();
    files
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.ends_with(ending))
        .collect()
}

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 256 * 1024,
        ..LogConfig::default()
    }
}

#[test]
fn segments_roll_at_their_size_and_everything_is_read_back() {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log_with(0, small_segments());
    let mut tail = 0;
    for turn in 0..200 {
        let appended = world.append(id, 1 + turn % 3, 10_000);
        tail += usize::from(appended.last_offset.get() >= 137);
        world.settle();
    }
    assert!(paths(&world, ".seg").len() > 5);
    for path in paths(&world, ".seg") {
        assert!(world.disk.contents(&path).unwrap().len() <= 256 * 1024 + 64 * 1024);
    }
    assert_eq!(world.read_all(id, 0).len(), 200);
    assert_eq!(world.read_all(id, 137).len(), tail);
}

#[test]
fn batch_larger_than_a_segment_gets_one_of_its_own() {
    let mut world = World::new();
    let id = world.log_with(0, small_segments());
    world.append(id, 1, 600_000);
    world.append(id, 1, 600_000);
    world.append(id, 1, 100);
    world.settle();
    assert_eq!(world.visible(id), 3);
    assert_eq!(world.read_all(id, 0).len(), 3);
}

#[test]
fn batch_too_large_for_the_journal_waits_for_its_segment() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 4 << 20);
    world.append(id, 1, 10);
    world.settle();
    assert_eq!(world.visible(id), 2);
    assert_eq!(world.read_all(id, 0).len(), 2);
}

/// A minute of a log whose segments end after 20 s, and its ten records.
fn minute_of_segments() -> (World, LogId) {
    let mut world = World::new();
    let config = LogConfig {
        segment_ms: 20_000,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    for _ in 0..10 {
        world.append(id, 1, 10);
        world.pass_ms(6_000);
    }
    (world, id)
}

#[test]
fn segment_ends_at_its_age() {
    let (mut world, id) = minute_of_segments();
    assert!(paths(&world, ".idx").len() >= 2);
    assert_eq!(world.read_all(id, 0).len(), 10);
}

#[test]
fn a_sealed_segment_gives_back_the_zeros_behind_its_end() {
    let (mut world, id) = minute_of_segments();
    let mut sealed = paths(&world, ".seg");
    sealed.pop();
    assert!(sealed.len() >= 2);
    for path in sealed {
        let contents = world.disk.contents(&path).unwrap();
        let last = &contents[contents.len() - 4_096..];
        assert!(last.iter().any(|byte| *byte != 0), "{path}");
    }
    assert_eq!(world.read_all(id, 0).len(), 10);
    let (mut world, report) = world.restart(&mut Prng::new(1));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(world.read_all(id, 0).len(), 10);
}

#[test]
fn journal_files_are_used_again_and_stay_few() {
    let mut world = World::new();
    let ids: Vec<_> = (0..10).map(|number| world.log(number)).collect();
    for turn in 0..2_000 {
        world.append(ids[turn % 10], 1, 1_000);
        world.settle();
        if turn % 50 == 0 {
            world.advance_ms(10);
        }
    }
    // Half of them full, one in use, one for later.
    let files = paths(&world, ".j");
    assert!(files.len() <= FULL_MAX + 2, "{files:?}");
    for id in ids {
        assert_eq!(world.visible(id), 200);
        assert_eq!(world.read_all(id, 0).len(), 200);
    }
}

#[test]
fn open_segment_files_are_bounded() {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let ids: Vec<_> = (0..40).map(|number| world.log(number)).collect();
    for _ in 0..3 {
        ids.iter().for_each(|id| {
            world.append(*id, 1, 100);
        });
        world.pass_ms(6_000);
    }
    let open = world
        .paths
        .values()
        .filter(|path| path.ends_with(".seg"))
        .count();
    assert!(open <= 8, "{open} files are open");
    for id in ids {
        assert_eq!(world.read_all(id, 0).len(), 3);
    }
}

#[test]
fn index_of_a_sealed_segment_is_rebuilt_when_its_file_is_gone() {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log_with(0, small_segments());
    for _ in 0..60 {
        world.append(id, 1, 10_000);
        world.settle();
    }
    for segment in &mut world.store.logs.get_mut(&id).unwrap().segments {
        if segment.is_sealed() {
            segment.index = None;
        }
    }
    let indexes = paths(&world, ".idx");
    for (number, path) in indexes.iter().enumerate() {
        if number % 2 == 0 {
            world.disk.truncate(path, 30);
        }
    }
    assert_eq!(world.read_all(id, 0).len(), 60);
}

/// Segment files that are longer than what counts of them.
fn with_surplus(world: &World) -> usize {
    let segments = world.store.logs.values().flat_map(|log| &log.segments);
    let files = segments.map(|segment| {
        let uid: String = segment.uid.iter().map(|b| format!("{b:02x}")).collect();
        let path = paths(world, &format!("{uid}.seg")).pop().unwrap();
        (
            world.disk.contents(&path).unwrap().len() as u64,
            segment.end,
        )
    });
    files.filter(|(len, end)| len > end).count()
}

fn cuts_under_way(world: &World) -> Vec<usize> {
    let is_cut = |io: &Io| {
        matches!(
            io,
            Io::File {
                op: FileOp::Truncate { .. },
                ..
            }
        )
    };
    let pending = world.pending.iter().enumerate();
    pending
        .filter(|(_, io)| is_cut(io))
        .map(|(at, _)| at)
        .collect()
}

/// Twenty logs whose segments were open when power failed.
fn killed(prng: &mut Prng) -> World {
    let mut world = World::new();
    let ids: Vec<_> = (0..20).map(|number| world.log(number)).collect();
    for id in ids {
        world.append(id, 1, 100);
    }
    world.pass_ms(6_000);
    world.restart(prng).0
}

#[test]
fn zeros_that_a_killed_process_prepared_are_given_back_file_by_file_after_the_start() {
    let mut world = killed(&mut Prng::new(7));
    assert_eq!(with_surplus(&world), 20);
    let mut cut = 0;
    while let [at] = *cuts_under_way(&world) {
        world.complete(at);
        world.round();
        cut += 1;
        assert_eq!(with_surplus(&world), 20 - cut);
    }
    assert_eq!((cut, cuts_under_way(&world).len()), (20, 0));
}

#[test]
fn zeros_that_one_start_had_no_time_to_give_back_are_left_to_the_next() {
    let mut prng = Prng::new(8);
    let mut world = killed(&mut prng);
    for _ in 0..5 {
        let at = cuts_under_way(&world)[0];
        world.complete(at);
        world.round();
    }
    let (mut world, _) = world.restart(&mut prng);
    let left = with_surplus(&world);
    assert!((14..=15).contains(&left), "{left}");
    world.settle();
    assert_eq!(with_surplus(&world), 0);
    let (world, report) = world.restart(&mut prng);
    assert_eq!(
        (cuts_under_way(&world).len(), report.findings.len()),
        (0, 0)
    );
}

#[test]
fn a_stop_does_not_wait_for_zeros_of_an_earlier_start() {
    let mut world = killed(&mut Prng::new(9));
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    assert!(with_surplus(&world) >= 19);
}

fn group_writes(world: &World) -> Vec<usize> {
    let is_group = |io: &Io| match io {
        Io::Write { file, len, .. } => world.paths[file].ends_with(".seg") && *len > 8_192,
        Io::Read { .. } | Io::File { .. } => false,
    };
    let pending = world.pending.iter().enumerate();
    pending
        .filter(|(_, io)| is_group(io))
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn a_second_group_waits_behind_one_that_is_longer_than_all_before() {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 40_000);
    world.settle();
    for (len, together) in [
        (40_000, 2),
        (200_000, 1),
        (200_000, 2),
        (100_000, 2),
        (400_000, 1),
    ] {
        for _ in 0..2 {
            world.append(id, 1, len);
            world.round();
        }
        assert_eq!(group_writes(&world).len(), together, "{len}");
        world.settle();
    }
    assert_eq!(world.read_all(id, 0).len(), 11);
}

#[test]
fn a_start_after_a_kill_reads_what_is_new_in_an_open_segment_and_finds_the_rest_when_it_is_asked_for()
 {
    let mut prng = Prng::new(10);
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log(0);
    world.store.start_epoch(world.now, id, LeaderEpoch::new(1));
    for _ in 0..60 {
        world.append(id, 1, 40_000);
        world.settle();
    }
    world.pass_ms(20);
    let (mut world, report) = world.restart(&mut prng);
    assert_eq!(report.segments_scanned, 1);
    assert!(report.segment_bytes_scanned < 50_000, "{report:?}");
    assert_eq!(world.read_all(id, 57).len(), 3);
    assert_eq!(world.read_all(id, 0).len(), 60);
    assert_eq!(world.append(id, 1, 100).base_offset.get(), 60);
}

fn is_extension(io: &Io) -> bool {
    matches!(
        io,
        Io::File {
            op: FileOp::Extend { .. },
            ..
        }
    )
}

/// Completes everything but extensions, until only those are left.
fn complete_all_but_extensions(world: &mut World) {
    while let Some(at) = world.pending.iter().position(|io| !is_extension(io)) {
        world.complete(at);
        world.round();
    }
}

/// A log whose segment waits for an extension, with nothing else on its way.
fn world_with_late_extension() -> (World, LogId) {
    let mut world = World::new();
    let id = world.log(0);
    world.append(id, 1, 40_000);
    world.settle();
    while !world.pending.iter().any(is_extension) {
        world.append(id, 1, 40_000);
        world.round();
        complete_all_but_extensions(&mut world);
    }
    (world, id)
}

#[test]
fn a_late_extension_does_not_cut_before_the_manifest_knows_the_end() {
    let (mut world, id) = world_with_late_extension();
    let end = world.visible(id);
    world.store.begin_shutdown(world.now);
    world.round();
    let at = world.pending.iter().position(is_extension).unwrap();
    world.complete(at);
    world.round();
    for at in cuts_under_way(&world) {
        world.complete(at);
    }
    // kill -9: the manifest group with the seal was not written.
    let mut disk = world.disk;
    let recovered = recover(&mut disk, world.config.shard, EPOCH_MS).unwrap();
    assert_eq!(recovered.logs[0].log_end.get(), end);
    assert_eq!(recovered.logs[0].holes, []);
}

#[test]
fn a_late_extension_is_cut_off_once_the_manifest_knows_the_end() {
    let (mut world, _) = world_with_late_extension();
    world.store.begin_shutdown(world.now);
    world.round();
    complete_all_but_extensions(&mut world);
    assert_eq!(world.pending.len(), 1, "nothing but the extension");
    world.settle();
    assert_eq!(with_surplus(&world), 0);
}

#[test]
fn indexes_of_many_segments_are_rebuilt_a_few_at_a_time() {
    let mut world = World::new();
    let ids: Vec<_> = (0..60).map(|number| world.log(number)).collect();
    for id in &ids {
        world.store.start_epoch(world.now, *id, LeaderEpoch::new(1));
    }
    for _ in 0..3 {
        for id in &ids {
            world.append(*id, 1, 40_000);
        }
        world.settle();
    }
    world.pass_ms(20);
    let (mut world, _) = world.restart(&mut Prng::new(3));
    world.settle();
    for id in &ids {
        assert_eq!(world.read(*id, 0, 1_000), ReadOutcome::Pending);
    }
    let is_read = |io: &Io| matches!(io, Io::Read { .. });
    let mut most = 0;
    for _ in 0..3_000 {
        world.round();
        most = most.max(world.pending.iter().filter(|io| is_read(io)).count());
        let Some(at) = world.pending.iter().position(|io| !is_read(io)) else {
            break;
        };
        world.complete(at);
    }
    assert_eq!(most, 16);
    for id in ids {
        assert_eq!(world.read_all(id, 0).len(), 3);
    }
}

#[test]
fn the_second_start_after_a_kill_reads_no_segment_again() {
    let mut prng = Prng::new(12);
    let mut world = World::new();
    let id = world.log(0);
    world.store.start_epoch(world.now, id, LeaderEpoch::new(1));
    for _ in 0..20 {
        world.append(id, 1, 40_000);
        world.settle();
    }
    world.pass_ms(20);
    let (mut world, first) = world.restart(&mut prng);
    assert_eq!(first.segments_scanned, 1);
    world.settle();
    let (mut world, second) = world.restart(&mut prng);
    assert_eq!(second.segments_scanned, 0);
    assert_eq!(world.read_all(id, 0).len(), 20);
}

/// Bytes that are read until the index of an old segment is there; its groups have `len` bytes.
fn scanned(len: usize) -> u64 {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let id = world.log(0);
    world.store.start_epoch(world.now, id, LeaderEpoch::new(1));
    for _ in 0..4_000_000 / len {
        world.append(id, 1, len);
        world.settle();
    }
    world.pass_ms(20);
    let (mut world, _) = world.restart(&mut Prng::new(11));
    let mut read = 0;
    let upto = world.store.bounds(id).unwrap().high_watermark;
    let budget = ReadBudget {
        bytes_max: 1,
        at_least_one: true,
    };
    world.settle();
    while world.store.read(world.now, id, Offset::ZERO, upto, budget) == ReadOutcome::Pending {
        world.round();
        while !world.pending.is_empty() {
            if let Io::Read { len, .. } = &world.pending[0] {
                read += u64::from(*len);
            }
            world.complete(0);
            world.round();
        }
        world.advance_ms(1);
    }
    assert_eq!(world.read_all(id, 0).len(), 4_000_000 / len);
    read
}

#[test]
fn an_index_is_rebuilt_from_headers_where_groups_are_long() {
    assert!(scanned(40_000) > 3_900_000);
    let long = scanned(400_000);
    assert!(long < 2_500_000, "{long}");
}

#[test]
fn manifest_moves_to_new_generations() {
    let mut world = World::with(StoreConfig {
        manifest_bytes: 32 * 1024,
        ..small_config()
    });
    let id = world.log_with(
        0,
        LogConfig {
            segment_bytes: 64 * 1024,
            ..LogConfig::default()
        },
    );
    for _ in 0..100 {
        world.append(id, 1, 40_000);
        world.settle();
    }
    let manifests: Vec<_> = world
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let manifests: Vec<_> = manifests
        .iter()
        .filter(|path| path.contains("manifest."))
        .collect();
    assert_eq!(manifests.len(), 2, "the present one and the next");
    assert!(!manifests[0].ends_with("00001"), "{manifests:?}");
    assert_eq!(world.read_all(id, 0).len(), 100);
}

#[test]
fn the_first_records_of_a_segment_are_no_rate_to_prepare_a_minute_for() {
    let mut world = World::new();
    let id = world.log(0);
    for _ in 0..8 {
        world.append(id, 1, 3_000);
        world.pass_ms(6_000);
        world.append(id, 1, 3_000);
        world.settle();
    }
    for path in paths(&world, ".seg") {
        let len = world.disk.contents(&path).unwrap().len();
        assert!(len <= 160 << 10, "{path} has {len} bytes");
    }
}
