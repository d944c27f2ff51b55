//! Memory of blocks that were forgotten, for the next ones.
//!
//! Owns: what is kept of them, and how much.
//! Never: gives memory away that somebody holds a part of.
//! Invariants: at most [`COUNT_MAX`] of each kind are kept, all together within the kind's bound; what is given is empty and
//! at most about a quarter, lists of batches twice, larger than asked for.
//! Source: architecture.md A3.

use std::ops::RangeInclusive;

use bytes::BytesMut;

use super::CachedBlock;
use super::places::{LIST_KEPT, List};

/// Things of each kind that are kept. While the cache is full about as many blocks go as come; where partitions are many,
/// of many sizes.
const COUNT_MAX: usize = 16;

/// Bytes of gathered batches that are kept, all together.
const GATHERED_BYTES_MAX: usize = 2 << 20;

/// Bytes of lists of batches that are kept, all together.
const LISTS_BYTES_MAX: usize = 512 << 10;

/// What is left of blocks that were forgotten.
#[derive(Debug, Default)]
pub(super) struct Spares {
    gathered: Vec<BytesMut>,
    blocks: Vec<CachedBlock>,
    lists: Vec<List>,
}

impl Spares {
    /// Empty memory for `len` bytes.
    pub(super) fn memory(&mut self, len: usize) -> BytesMut {
        let sizes = self.gathered.iter().map(BytesMut::capacity);
        match best_fit(sizes, len..=len + len / 4) {
            Some(at) => self.gathered.remove(at),
            None => BytesMut::with_capacity(roomy(len)),
        }
    }

    /// An empty block for so many batches.
    pub(super) fn block(&mut self, batches: usize) -> CachedBlock {
        let sizes = self.blocks.iter().map(|spare| spare.batches.capacity());
        match best_fit(sizes, batches..=2 * batches) {
            Some(at) => self.blocks.remove(at),
            None => CachedBlock {
                batches: Vec::with_capacity(roomy(batches)),
                ..CachedBlock::default()
            },
        }
    }

    /// An empty list of blocks.
    pub(super) fn list(&mut self) -> List {
        self.lists.pop().unwrap_or_default()
    }

    /// Keeps what can be used again of a block.
    pub(super) fn keep(&mut self, mut block: CachedBlock) {
        let piece = block.pieces.pop();
        if let (Some(memory), Some(piece)) = (block.gathered.take(), piece)
            && let Ok(piece) = piece.try_into_mut()
        {
            self.keep_gathered(memory, piece);
        }
        block.pieces.clear();
        block.batches.clear();
        block.bytes = 0;
        self.blocks.push(block);
        trim(&mut self.blocks, LISTS_BYTES_MAX, CachedBlock::lists_memory);
    }

    fn keep_gathered(&mut self, memory: usize, mut piece: BytesMut) {
        piece.clear();
        // What lay before the batches is had back as well.
        if piece.try_reclaim(memory) {
            self.gathered.push(piece);
        }
        trim(&mut self.gathered, GATHERED_BYTES_MAX, BytesMut::capacity);
    }

    /// Keeps an empty list of blocks.
    pub(super) fn keep_list(&mut self, list: List) {
        if self.lists.len() < COUNT_MAX && list.capacity() <= LIST_KEPT {
            self.lists.push(list);
        }
    }
}

/// Forgets the oldest: the newest are likely to have the size that is asked for next. One that is too large by itself goes
/// alone.
fn trim<T>(kept: &mut Vec<T>, bytes_max: usize, bytes: fn(&T) -> usize) {
    kept.pop_if(|newest| bytes(newest) > bytes_max);
    while kept.len() > COUNT_MAX || kept.iter().map(bytes).sum::<usize>() > bytes_max {
        kept.remove(0);
    }
}

/// Place of the smallest that is large enough and not too large.
fn best_fit(sizes: impl Iterator<Item = usize>, wanted: RangeInclusive<usize>) -> Option<usize> {
    let fitting = sizes.enumerate().filter(|(_, size)| wanted.contains(size));
    fitting.min_by_key(|(_, size)| *size).map(|(at, _)| at)
}

/// Somewhat more than `len`, so that what comes next and is a little longer fits as well.
fn roomy(len: usize) -> usize {
    len.next_multiple_of((len / 16).next_power_of_two())
}

#[cfg(test)]
mod tests;
