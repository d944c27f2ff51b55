//! Verified batches of segments, kept in memory up to a byte bound.
//!
//! Owns: blocks read back from segments or just written to them, which to forget, and the memory of those for others.
//! Never: holds bytes that were not verified; decides what to read.
//! Invariants: blocks of one log that start inside another do not exist; a block that somebody waits for
//! stays until it was read once or its waiting time is over, so a small cache still makes progress.
//! Source: performance.md P9, architecture.md A3.

mod places;
pub(super) mod spares;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use model::offset::Offset;
use model::time::Instant;
use smallvec::SmallVec;

use crate::log::Records;
use crate::store::{LogId, ReadBudget};
use places::Places;
use spares::Spares;

/// Memory of an entry besides its batches, estimated.
const ENTRY_BYTES: usize = 256;

/// Where one batch lies in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachedBatch {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) max_timestamp: i64,
    /// Index into the block's pieces.
    pub(crate) piece: usize,
    /// Range in that piece.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Batches that were copied together into memory of [`BlockCache::memory`].
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    /// The batches.
    pub(crate) bytes: Bytes,
    /// Bytes of the memory that they lie in.
    pub(crate) memory: usize,
}

/// Consecutive batches of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct CachedBlock {
    pieces: SmallVec<[Bytes; 1]>,
    batches: Vec<CachedBatch>,
    bytes: usize,
    /// Bytes of the memory that its only piece lies in, if it is used again.
    gathered: Option<usize>,
}

impl CachedBlock {
    /// Adds the only piece of this block; returns its index.
    pub(crate) fn push_gathered(&mut self, gathered: Gathered) -> usize {
        assert!(self.pieces.is_empty(), "what is gathered is one piece");
        self.pieces.push(gathered.bytes);
        self.bytes = gathered.memory;
        self.gathered = Some(gathered.memory);
        0
    }

    /// Adds a piece of memory that batches lie in; returns its index.
    pub(crate) fn push_piece(&mut self, piece: Bytes) -> usize {
        self.bytes += piece.len();
        self.pieces.push(piece);
        self.pieces.len() - 1
    }

    /// Adds the next batch.
    pub(crate) fn push_batch(&mut self, batch: CachedBatch) {
        assert!(batch.start < batch.end, "a batch has bytes");
        self.batches.push(batch);
    }

    /// First offset held.
    pub(crate) fn base(&self) -> Option<Offset> {
        self.batches.first().map(|batch| batch.base)
    }

    /// Last offset held.
    pub(crate) fn last(&self) -> Option<Offset> {
        self.batches.last().map(|batch| batch.last)
    }

    /// Batches from the one that contains `from`.
    pub(crate) fn batches_from(&self, from: Offset) -> &[CachedBatch] {
        let start = self.batches.partition_point(|batch| batch.last < from);
        self.batches.get(start..).unwrap_or(&[])
    }

    /// The bytes of one batch.
    pub(crate) fn batch_bytes(&self, batch: &CachedBatch) -> Bytes {
        self.slice(batch.piece, batch.start, batch.end)
    }

    /// Adds whole batches from the one that contains `from`, all below `upto`, to `out`; neighbours in one
    /// piece become one slice. Returns the bytes added and the offset after the last batch added.
    pub(crate) fn read(
        &self,
        (from, upto): (Offset, Offset),
        budget: ReadBudget,
        have: usize,
        out: &mut Records,
    ) -> (usize, Offset) {
        let (mut added, mut next) = (0, from);
        let mut open: Option<(usize, usize, usize)> = None;
        for batch in self
            .batches_from(from)
            .iter()
            .take_while(|batch| batch.last < upto)
        {
            let len = batch.end - batch.start;
            let is_forced = have + added == 0 && budget.at_least_one;
            if have + added + len > budget.bytes_max && !is_forced {
                break;
            }
            added += len;
            next = batch.last.next();
            open = match open {
                Some((piece, start, end)) if piece == batch.piece && end == batch.start => {
                    Some((piece, start, batch.end))
                }
                Some((piece, start, end)) => {
                    out.push(self.slice(piece, start, end));
                    Some((batch.piece, batch.start, batch.end))
                }
                None => Some((batch.piece, batch.start, batch.end)),
            };
        }
        if let Some((piece, start, end)) = open {
            out.push(self.slice(piece, start, end));
        }
        (added, next)
    }

    fn slice(&self, piece: usize, start: usize, end: usize) -> Bytes {
        self.pieces
            .get(piece)
            .map_or_else(Bytes::new, |piece| piece.slice(start..end))
    }

    fn memory(&self) -> usize {
        self.bytes + self.lists_memory() + ENTRY_BYTES
    }

    fn lists_memory(&self) -> usize {
        self.pieces.capacity() * size_of::<Bytes>()
            + self.batches.capacity() * size_of::<CachedBatch>()
    }
}

#[derive(Debug)]
struct Entry {
    base: Offset,
    block: CachedBlock,
    memory: usize,
    is_referenced: bool,
    /// Somebody waits for it; not evicted before this.
    wanted_until: Option<Instant>,
    /// Tells its place in the queue from those of earlier blocks with the same key.
    ticket: u64,
}

/// All cached blocks of one store.
#[derive(Debug)]
pub(crate) struct BlockCache {
    places: Places,
    // Second-chance order: cheaper on a hit than a linked list and nearly as good.
    queue: VecDeque<(LogId, Offset, u64)>,
    next_ticket: u64,
    bytes: usize,
    wanted_bytes: usize,
    bytes_max: usize,
    spares: Spares,
}

impl BlockCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            places: Places::default(),
            queue: VecDeque::new(),
            next_ticket: 0,
            bytes: 0,
            wanted_bytes: 0,
            bytes_max,
            spares: Spares::default(),
        }
    }

    /// Empty memory for `len` bytes, if there is some of a block that was forgotten.
    pub(crate) fn memory(&mut self, len: usize) -> BytesMut {
        self.spares.memory(len)
    }

    /// An empty block for so many batches.
    pub(crate) fn block(&mut self, batches: usize) -> CachedBlock {
        self.spares.block(batches)
    }

    /// Whether another block may be loaded: those that are waited for leave room, or there are none.
    pub(crate) fn has_room(&mut self, now: Instant) -> bool {
        if self.wanted_bytes >= self.bytes_max && self.wanted_bytes > 0 {
            self.end_waits(now);
        }
        self.wanted_bytes == 0 || self.wanted_bytes < self.bytes_max
    }

    /// Adds a block; `wanted_until` protects it until it was read or that instant.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        log: LogId,
        block: CachedBlock,
        wanted_until: Option<Instant>,
    ) {
        let (Some(base), Some(last)) = (block.base(), block.last()) else {
            return;
        };
        self.remove_range(log, base, last.next());
        let memory = block.memory();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.bytes += memory;
        if wanted_until.is_some() {
            self.wanted_bytes += memory;
        }
        let entry = Entry {
            base,
            block,
            memory,
            is_referenced: false,
            wanted_until,
            ticket,
        };
        let spares = &mut self.spares;
        self.places.insert(log, entry, || spares.list());
        self.queue.push_back((log, base, ticket));
        self.evict(now);
    }

    /// The block that contains `offset`.
    pub(crate) fn find(&mut self, log: LogId, offset: Offset) -> Option<&CachedBlock> {
        let entry = self.places.last_upto_mut(log, offset)?;
        if entry.block.last().is_none_or(|last| last < offset) {
            return None;
        }
        entry.is_referenced = true;
        if entry.wanted_until.take().is_some() {
            self.wanted_bytes -= entry.memory;
        }
        Some(&entry.block)
    }

    /// Whether a block contains `offset`; does not count as a use.
    pub(crate) fn contains(&self, log: LogId, offset: Offset) -> bool {
        let found = self.places.last_upto(log, offset);
        found.is_some_and(|entry| entry.block.last().is_some_and(|last| last >= offset))
    }

    /// Forgets every block of a log that starts in `[from, upto)`.
    pub(crate) fn remove_range(&mut self, log: LogId, from: Offset, upto: Offset) {
        while let Some(base) = self.places.first_from(log, from)
            && base < upto
        {
            self.remove(log, base);
        }
    }

    /// Bytes held, with the bookkeeping.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Blocks whose readers never came are protected no longer.
    fn end_waits(&mut self, now: Instant) {
        let is_over = |entry: &&mut Entry| entry.wanted_until.is_some_and(|until| until <= now);
        for entry in self.places.iter_mut().filter(is_over) {
            entry.wanted_until = None;
            self.wanted_bytes -= entry.memory;
        }
    }

    /// Forgets the block of a log that starts at `base`.
    fn remove(&mut self, log: LogId, base: Offset) {
        let Some((entry, list)) = self.places.remove(log, base) else {
            return;
        };
        if let Some(list) = list {
            self.spares.keep_list(list);
        }
        self.bytes -= entry.memory;
        if entry.wanted_until.is_some() {
            self.wanted_bytes -= entry.memory;
        }
        self.spares.keep(entry.block);
    }

    fn evict(&mut self, now: Instant) {
        // Every entry gets at most one second chance per call, so the loop ends.
        let mut turns = self.queue.len() * 2;
        while self.bytes > self.bytes_max && turns > 0 && self.places.len() > 1 {
            turns -= 1;
            let Some((log, base, ticket)) = self.queue.pop_front() else {
                return;
            };
            let entry = self.places.last_upto_mut(log, base);
            let Some(entry) = entry.filter(|entry| entry.ticket == ticket) else {
                continue;
            };
            let is_wanted = entry.wanted_until.is_some_and(|until| until > now);
            let is_newest = ticket + 1 == self.next_ticket;
            if entry.is_referenced || is_wanted || is_newest {
                entry.is_referenced = false;
                self.queue.push_back((log, base, ticket));
            } else {
                self.remove(log, base);
            }
        }
        self.forget_stale_places();
    }

    /// Removed blocks leave their place in the queue; it is swept when most of it is stale.
    fn forget_stale_places(&mut self) {
        if self.queue.len() > 64 + self.places.len() * 2 {
            let places = &self.places;
            self.queue.retain(|(log, base, ticket)| {
                let entry = places.last_upto(*log, *base);
                entry.is_some_and(|entry| entry.ticket == *ticket)
            });
        }
    }
}

#[cfg(test)]
mod tests;
