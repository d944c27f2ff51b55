//! Memory that is used again: where small batches are kept, where answers are gathered from them, where headers lie until
//! they are written.
//!
//! Owns: the chunks that small batches are copied to when they arrive and when they leave, and those of drafts.
//! Never: copies large batches; those keep their own buffer.
//! Invariants: what was cut from a chunk is never written again while somebody holds it; chunks that nobody holds are
//! used again, and at most a fixed number of them is remembered.
//! Source: architecture.md A3.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes of one chunk of batches.
const CHUNK_BYTES: usize = 256 * 1024;

/// Full chunks of batches that are remembered.
const CHUNKS_MAX: usize = 16;

/// Batches below this are copied: a 100 byte batch must not keep a 64 KiB receive buffer alive.
pub(crate) const COPY_BELOW_BYTES: usize = 16 * 1024;

/// Bytes of one chunk of answers: whoever reads one answer slowly keeps this much.
const ANSWERS_BYTES: usize = 64 * 1024;

/// Full chunks of answers that are remembered.
const ANSWERS_MAX: usize = 8;

/// Answers above this get memory of their own: the copy costs more than the allocation, and a chunk would hold few.
const GATHER_UPTO_BYTES: usize = 16 * 1024;

/// Bytes of one chunk of drafts: some headers of files, many of groups.
const DRAFTS_BYTES: usize = 32 * 1024;

/// Full chunks of drafts that are remembered.
const DRAFTS_MAX: usize = 4;

/// Chunks of one size, of which one is being filled.
#[derive(Debug)]
struct Chunks {
    bytes: usize,
    count_max: usize,
    present: BytesMut,
    /// Full ones, oldest first: it is the likeliest to be held by nobody any more.
    full: VecDeque<BytesMut>,
}

impl Chunks {
    fn new(bytes: usize, count_max: usize) -> Self {
        Self {
            bytes,
            count_max,
            present: BytesMut::with_capacity(bytes),
            full: VecDeque::with_capacity(count_max),
        }
    }

    /// A chunk with room for `len` more bytes; at most the size of one.
    fn with_room(&mut self, len: usize) -> &mut BytesMut {
        assert!(len <= self.bytes, "a piece fits a chunk");
        if self.present.capacity() - self.present.len() < len {
            self.change();
        }
        &mut self.present
    }

    fn change(&mut self) {
        let bytes = self.bytes;
        let free = self.full.iter_mut().position(|old| old.try_reclaim(bytes));
        let next = free.and_then(|at| self.full.remove(at));
        let next = next.unwrap_or_else(|| BytesMut::with_capacity(bytes));
        let old = std::mem::replace(&mut self.present, next);
        // A list that is full keeps the oldest: they come back first.
        if self.full.len() < self.count_max {
            self.full.push_back(old);
        }
    }
}

/// Where small batches are kept.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Chunks,
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            chunks: Chunks::new(CHUNK_BYTES, CHUNKS_MAX),
        }
    }
}

impl Arena {
    /// Keeps a stamped batch.
    pub(crate) fn keep(&mut self, batch: BytesMut) -> Bytes {
        if batch.len() >= COPY_BELOW_BYTES {
            return batch.freeze();
        }
        let chunk = self.chunks.with_room(batch.len());
        chunk.extend_from_slice(&batch);
        chunk.split().freeze()
    }
}

/// Where answers are gathered.
#[derive(Debug)]
pub(crate) struct Gather {
    chunks: Chunks,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            chunks: Chunks::new(ANSWERS_BYTES, ANSWERS_MAX),
        }
    }
}

impl Gather {
    /// Copies pieces of `len` bytes in all together.
    pub(crate) fn copy<'a>(
        &mut self,
        len: usize,
        pieces: impl Iterator<Item = &'a Bytes>,
    ) -> Bytes {
        if len > GATHER_UPTO_BYTES {
            let mut own = BytesMut::with_capacity(len);
            pieces.for_each(|piece| own.extend_from_slice(piece));
            return own.freeze();
        }
        let chunk = self.chunks.with_room(len);
        pieces.for_each(|piece| chunk.extend_from_slice(piece));
        chunk.split().freeze()
    }
}

/// Where what is written once and read by nobody lies until then: headers, and groups of the manifest.
#[derive(Debug)]
pub(crate) struct Drafts {
    chunks: Chunks,
}

impl Default for Drafts {
    fn default() -> Self {
        Self {
            chunks: Chunks::new(DRAFTS_BYTES, DRAFTS_MAX),
        }
    }
}

impl Drafts {
    /// Copies parts together. What is longer than a chunk gets memory of its own.
    pub(crate) fn copy(&mut self, parts: &[&[u8]]) -> Bytes {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > DRAFTS_BYTES {
            return Bytes::from(parts.concat());
        }
        let chunk = self.chunks.with_room(len);
        parts.iter().for_each(|part| chunk.extend_from_slice(part));
        chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests;
