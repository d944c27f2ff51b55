//! Tests of the block cache.

use model::prng::Prng;

use super::places::LIST_KEPT;
use super::*;

const LOG: LogId = LogId(1);

fn block(base: u64, batches: u64, batch_bytes: usize) -> CachedBlock {
    let mut block = CachedBlock::default();
    let count = usize::try_from(batches).unwrap();
    let piece = block.push_piece(Bytes::from(vec![7; batch_bytes * count]));
    for number in 0..count {
        let offset = Offset::new(base + number as u64);
        block.push_batch(CachedBatch {
            base: offset,
            last: offset,
            max_timestamp: -1,
            piece,
            start: number * batch_bytes,
            end: (number + 1) * batch_bytes,
        });
    }
    block
}

fn read(cache: &mut BlockCache, from: u64, bytes_max: usize) -> Option<Vec<usize>> {
    let mut out = Records::new();
    let budget = ReadBudget {
        bytes_max,
        at_least_one: true,
    };
    let found = cache.find(LOG, Offset::new(from))?;
    found.read((Offset::new(from), Offset::new(1_000)), budget, 0, &mut out);
    Some(out.iter().map(Bytes::len).collect())
}

#[test]
fn neighbouring_batches_are_one_slice() {
    let mut cache = BlockCache::new(1 << 20);
    cache.insert(Instant::ZERO, LOG, block(0, 10, 100), None);
    assert_eq!(read(&mut cache, 3, 10_000), Some(vec![700]));
    assert_eq!(read(&mut cache, 3, 250), Some(vec![200]));
    assert_eq!(read(&mut cache, 3, 1), Some(vec![100]));
    assert_eq!(read(&mut cache, 10, 1), None);
}

#[test]
fn bytes_stay_below_the_bound() {
    let mut cache = BlockCache::new(20_000);
    for base in 0..100 {
        cache.insert(Instant::ZERO, LOG, block(base * 10, 10, 100), None);
        assert!(cache.bytes() <= 20_000);
    }
    assert!(cache.contains(LOG, Offset::new(990)));
    assert!(!cache.contains(LOG, Offset::ZERO));
}

#[test]
fn used_blocks_outlive_unused_ones() {
    let mut cache = BlockCache::new(20_000);
    cache.insert(Instant::ZERO, LOG, block(0, 10, 100), None);
    for base in 1..100 {
        assert!(read(&mut cache, 0, 1).is_some());
        cache.insert(Instant::ZERO, LOG, block(base * 10, 10, 100), None);
    }
    assert!(cache.contains(LOG, Offset::ZERO));
}

#[test]
fn block_that_somebody_waits_for_survives_a_cache_that_is_too_small() {
    let mut cache = BlockCache::new(10);
    let until = Instant::from_nanos(100);
    cache.insert(Instant::ZERO, LOG, block(0, 10, 100), Some(until));
    assert!(!cache.has_room(Instant::ZERO));
    cache.insert(Instant::ZERO, LOG, block(10, 10, 100), None);
    assert!(read(&mut cache, 0, 1).is_some());
    assert!(cache.has_room(Instant::ZERO));
    cache.insert(Instant::ZERO, LOG, block(20, 10, 100), None);
    assert!(!cache.contains(LOG, Offset::ZERO));
}

#[test]
fn waiting_ends_with_its_deadline() {
    let mut cache = BlockCache::new(10);
    cache.insert(
        Instant::ZERO,
        LOG,
        block(0, 10, 100),
        Some(Instant::from_nanos(100)),
    );
    cache.insert(Instant::from_nanos(101), LOG, block(10, 10, 100), None);
    assert!(!cache.contains(LOG, Offset::ZERO));
    assert!(cache.has_room(Instant::from_nanos(101)));
}

#[test]
fn larger_block_replaces_those_that_start_inside_it() {
    let mut cache = BlockCache::new(1 << 20);
    cache.insert(Instant::ZERO, LOG, block(5, 2, 100), None);
    cache.insert(Instant::ZERO, LOG, block(0, 10, 100), None);
    assert_eq!(read(&mut cache, 8, 100), Some(vec![100]));
    assert_eq!(read(&mut cache, 5, 10_000), Some(vec![500]));
}

#[test]
fn blocks_of_many_logs_are_told_apart() {
    let mut cache = BlockCache::new(1 << 20);
    for log in 0..50 {
        cache.insert(Instant::ZERO, LogId(log), block(log * 10, 10, 10), None);
    }
    for log in 0..50 {
        assert!(cache.contains(LogId(log), Offset::new(log * 10 + 9)));
        assert!(!cache.contains(LogId(log), Offset::new(log * 10 + 10)));
        cache.remove_range(LogId(log), Offset::ZERO, Offset::MAX);
    }
    let (_, _, logs) = cache.places.memory(LOG);
    assert_eq!((cache.bytes(), cache.places.len(), logs), (0, 0, 0));
}

#[test]
fn list_of_a_log_that_held_many_blocks_gives_memory_back() {
    let mut cache = BlockCache::new(1 << 30);
    for base in 0..10_000 {
        cache.insert(Instant::ZERO, LOG, block(base, 1, 1), None);
    }
    cache.remove_range(LOG, Offset::ZERO, Offset::new(9_999));
    assert!(cache.contains(LOG, Offset::new(9_999)));
    let (places, slots, _) = cache.places.memory(LOG);
    assert!(places <= 2 * LIST_KEPT, "{places} places");
    assert!(slots <= 2 * LIST_KEPT, "{slots} slots");
}

#[test]
fn blocks_are_found_whatever_came_and_went_before() {
    let mut cache = BlockCache::new(1 << 30);
    let mut model = std::collections::BTreeMap::new();
    let mut prng = Prng::new(7);
    for turn in 0..20_000_u64 {
        // Grows for a while, shrinks for a while, so that memory is given back in between.
        let (log, base) = (LogId(prng.next_u64() % 3), prng.next_u64() % 500 * 10);
        if prng.next_u64() % 8 < 1 + 6 * (turn / 2_500 % 2) {
            cache.insert(Instant::ZERO, log, block(base, 10, 1), None);
            model.insert((log, base), ());
        } else {
            cache.remove_range(log, Offset::new(base), Offset::new(base + 10));
            model.remove(&(log, base));
        }
        let (log, base) = (LogId(prng.next_u64() % 3), prng.next_u64() % 500 * 10);
        let found = cache
            .find(log, Offset::new(base + 9))
            .map(|block| block.base());
        let held = model
            .contains_key(&(log, base))
            .then_some(Some(Offset::new(base)));
        assert_eq!(found, held, "turn {turn}");
        assert_eq!(cache.places.len(), model.len());
    }
}

#[test]
fn memory_that_a_block_lies_in_counts_whole() {
    let mut cache = BlockCache::new(1 << 20);
    let mut memory = cache.memory(10_000);
    let held = memory.capacity();
    memory.extend_from_slice(&[7; 100]);
    let mut one = cache.block(1);
    let piece = one.push_gathered(Gathered {
        bytes: memory.split().freeze(),
        memory: held,
    });
    one.push_batch(CachedBatch {
        base: Offset::ZERO,
        last: Offset::ZERO,
        max_timestamp: -1,
        piece,
        start: 0,
        end: 100,
    });
    cache.insert(Instant::ZERO, LOG, one, None);
    assert!(cache.bytes() >= held + ENTRY_BYTES, "{}", cache.bytes());
}
