//! Tests of the memory of forgotten blocks.

use bytes::Bytes;
use model::offset::Offset;

use super::*;
use crate::store::cache::{CachedBatch, Gathered};

/// Bytes of one batch.
const BATCH: usize = 100;

/// Memory for so many batches with two bytes of something before them, and a block of them.
fn filled(spares: &mut Spares, batches: usize) -> (CachedBlock, Bytes) {
    let mut memory = spares.memory(2 + batches * BATCH);
    let capacity = memory.capacity();
    memory.resize(2 + batches * BATCH, 7);
    let whole = memory.split().freeze();
    let mut block = spares.block(batches);
    let piece = block.push_gathered(Gathered {
        bytes: whole.slice(2..),
        memory: capacity,
    });
    for number in 0..batches {
        block.push_batch(CachedBatch {
            base: Offset::new(number as u64),
            last: Offset::new(number as u64),
            max_timestamp: -1,
            piece,
            start: number * BATCH,
            end: (number + 1) * BATCH,
        });
    }
    (block, whole)
}

#[test]
fn memory_of_a_forgotten_block_serves_the_next_one_whole() {
    let mut spares = Spares::default();
    let (block, whole) = filled(&mut spares, 50);
    let (at, batches) = (whole.as_ptr(), block.batches.as_ptr());
    drop(whole);
    spares.keep(block);
    for _ in 0..10 {
        let (block, whole) = filled(&mut spares, 51);
        assert_eq!((whole.as_ptr(), block.batches.as_ptr()), (at, batches));
        assert_eq!((block.pieces.len(), block.batches.len()), (1, 51));
        drop(whole);
        spares.keep(block);
    }
}

#[test]
fn memory_that_somebody_reads_is_not_given_again() {
    let mut spares = Spares::default();
    let (block, read) = filled(&mut spares, 50);
    spares.keep(block);
    let (_, other) = filled(&mut spares, 50);
    assert_ne!(other.as_ptr(), read.as_ptr());
    assert!(read.iter().all(|byte| *byte == 7));
}

#[test]
fn little_is_not_put_into_memory_for_much() {
    let mut spares = Spares::default();
    let (block, whole) = filled(&mut spares, 1_000);
    drop(whole);
    spares.keep(block);
    assert!(spares.memory(1_000).capacity() <= 1_250);
    assert!(spares.block(10).batches.capacity() <= 20);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut spares = Spares::default();
    let blocks: Vec<_> = (0..50).map(|n| filled(&mut spares, 6_000 + n).0).collect();
    blocks.into_iter().for_each(|block| spares.keep(block));
    let lists: usize = spares.blocks.iter().map(CachedBlock::lists_memory).sum();
    assert!((1..=LISTS_BYTES_MAX).contains(&lists), "{lists} bytes");
    let kept: usize = spares.gathered.iter().map(BytesMut::capacity).sum();
    assert!((1..=GATHERED_BYTES_MAX).contains(&kept), "{kept} bytes");
    let blocks: Vec<_> = (0..50).map(|n| filled(&mut spares, 1 + n).0).collect();
    blocks.into_iter().for_each(|block| spares.keep(block));
    assert_eq!(
        (spares.blocks.len(), spares.gathered.len()),
        (COUNT_MAX, COUNT_MAX)
    );
}

#[test]
fn sizes_that_nobody_asks_for_any_more_make_room() {
    let mut spares = Spares::default();
    let large: Vec<_> = (0..COUNT_MAX).map(|_| filled(&mut spares, 900).0).collect();
    large.into_iter().for_each(|block| spares.keep(block));
    let (block, whole) = filled(&mut spares, 10);
    let at = whole.as_ptr();
    drop(whole);
    spares.keep(block);
    assert_eq!(filled(&mut spares, 10).1.as_ptr(), at);
}

#[test]
fn one_block_that_is_too_large_to_keep_does_not_cost_the_others() {
    let mut spares = Spares::default();
    for batches in [10, 50_000] {
        let (block, _) = filled(&mut spares, batches);
        spares.keep(block);
    }
    let kept = |spares: &Spares| (spares.blocks.len(), spares.gathered.len());
    assert_eq!(kept(&spares), (1, 1));
}
