//! Memory of small batches, gathered so that they do not pin the buffer they were received in.
//!
//! Owns: the chunk that small batches are copied to.
//! Never: copies large batches; those keep their own buffer.
//! Invariants: a chunk is freed when the last batch in it is.
//! Source: architecture.md A3.

use bytes::{Bytes, BytesMut};

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 256 * 1024;

/// Batches below this are copied: a 100 byte batch must not keep a 64 KiB receive buffer alive.
pub(crate) const COPY_BELOW_BYTES: usize = 16 * 1024;

/// The present chunk.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunk: BytesMut,
}

impl Arena {
    /// Keeps a stamped batch.
    pub(crate) fn keep(&mut self, batch: BytesMut) -> Bytes {
        if batch.len() >= COPY_BELOW_BYTES {
            return batch.freeze();
        }
        if self.chunk.capacity() - self.chunk.len() < batch.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES);
        }
        self.chunk.extend_from_slice(&batch);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests;
