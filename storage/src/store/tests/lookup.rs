//! Lookups by timestamp, against a plain walk over all records.

use bytes::Bytes;
use model::batch::{BatchBuilder, BatchInfo, Compression, NewRecord, Records, stamp_max_timestamp};
use model::offset::Offset;
use model::prng::Prng;

use super::world::{World, small_config, split};
use crate::log::{LogConfig, ReadOutcome, TimeLookup};
use crate::store::{LogId, StoreConfig};

fn append_at(world: &mut World, id: LogId, compression: Compression, timestamps: &[i64]) {
    let mut builder = BatchBuilder::new(timestamps[0]).compression(compression);
    let value = vec![b'x'; 3_000];
    for timestamp in timestamps {
        builder.push(&NewRecord::value(*timestamp, &value)).unwrap();
    }
    let bytes = builder.build();
    let info = BatchInfo::parse(&bytes).unwrap();
    world.store.append(world.now, id, bytes, &info).unwrap();
    world.settle();
}

fn wait(world: &mut World, mut ask: impl FnMut(&mut World) -> TimeLookup) -> TimeLookup {
    for _ in 0..1_000 {
        let found = ask(world);
        if found != TimeLookup::Pending {
            return found;
        }
        world.settle();
        world.advance_ms(1);
    }
    panic!("a lookup never ends");
}

/// A log in a cache-less store: four records per batch, timestamps rising with jumps back.
fn filled() -> (World, LogId, Vec<i64>) {
    let mut world = World::with(StoreConfig {
        cache_bytes_max: 0,
        ..small_config()
    });
    let config = LogConfig {
        segment_bytes: 256 * 1024,
        retention_ms: None,
        ..LogConfig::default()
    };
    let id = world.log_with(0, config);
    let (mut prng, mut all) = (Prng::new(5), Vec::new());
    for turn in 0..150_i64 {
        let stamps: Vec<i64> = (0..4)
            .map(|_| turn * 100 + i64::try_from(prng.below(150)).unwrap())
            .collect();
        let compression = if turn % 3 == 0 {
            Compression::Lz4
        } else {
            Compression::None
        };
        append_at(&mut world, id, compression, &stamps);
        all.extend(stamps);
    }
    (world, id, all)
}

#[test]
fn first_record_with_the_timestamp_is_found() {
    let (mut world, id, all) = filled();
    for wanted in (0..15_200).step_by(37) {
        for upto in [600, 333, 1] {
            let expected = all[..upto].iter().position(|stamp| *stamp >= wanted);
            let upto = Offset::new(upto as u64);
            let found = wait(&mut world, |w| {
                w.store.find_timestamp(w.now, id, wanted, upto)
            });
            match expected {
                Some(at) => assert_eq!(found, TimeLookup::Found(Offset::new(at as u64), all[at])),
                None => assert_eq!(found, TimeLookup::NotFound),
            }
        }
    }
}

#[test]
fn record_with_the_largest_timestamp_is_found() {
    let (mut world, id, all) = filled();
    for upto in [600, 599, 333, 20, 4] {
        let largest = *all[..upto].iter().max().unwrap();
        let at = all.iter().position(|stamp| *stamp == largest).unwrap() as u64;
        let upto = Offset::new(upto as u64);
        let found = wait(&mut world, |w| w.store.find_max_timestamp(w.now, id, upto));
        assert_eq!(found, TimeLookup::Found(Offset::new(at), largest));
    }
}

#[test]
fn headers_that_lie_cost_a_bounded_time_per_call_and_do_not_hide_what_is_behind_them() {
    const BATCHES: u64 = 40;
    let mut world = World::new();
    let id = world.log(0);
    let value = vec![0; 512 << 10];
    let append = |world: &mut World, claimed: i64, timestamp: i64| {
        let mut builder = BatchBuilder::new(timestamp).compression(Compression::Zstd);
        builder.push(&NewRecord::value(timestamp, &value)).unwrap();
        let mut bytes = builder.build();
        stamp_max_timestamp(&mut bytes, claimed);
        let info = BatchInfo::parse(&bytes).unwrap();
        world.store.append(world.now, id, bytes, &info).unwrap();
        world.settle();
    };
    for _ in 0..BATCHES {
        append(&mut world, 9_000, 10);
    }
    append(&mut world, 500, 500);
    let mut yields = 0;
    let found = wait(&mut world, |w| {
        match w.store.find_timestamp(w.now, id, 400, Offset::MAX) {
            TimeLookup::Yielded => {
                yields += 1;
                TimeLookup::Pending
            }
            other => other,
        }
    });
    assert_eq!(found, TimeLookup::Found(Offset::new(BATCHES), 500));
    // Eight batches, each a little over half a mebibyte, are more than the bound.
    assert_eq!(yields, BATCHES / 8);
}

#[test]
fn empty_log_has_no_timestamps() {
    let mut world = World::new();
    let id = world.log(0);
    assert_eq!(
        world.store.find_timestamp(world.now, id, 0, Offset::MAX),
        TimeLookup::NotFound
    );
    assert_eq!(
        world.store.find_max_timestamp(world.now, id, Offset::MAX),
        TimeLookup::NotFound
    );
}

#[test]
fn records_are_what_was_appended() {
    let (mut world, id, all) = filled();
    let batches: Vec<Bytes> = world.read_all(id, 0);
    let mut stamps = Vec::new();
    for batch in &batches {
        let info = BatchInfo::parse(batch).unwrap();
        let mut scratch = Vec::new();
        let records = Records::open(batch, &info, &mut scratch).unwrap();
        stamps.extend(records.map(|record| record.unwrap().timestamp(&info)));
    }
    assert_eq!(stamps, all);
    let ReadOutcome::Ready { records, .. } = world.read_wait(id, 17, 1) else {
        panic!()
    };
    assert_eq!(
        BatchInfo::parse(&split(&records)[0]).unwrap().base_offset,
        Offset::new(16)
    );
}
