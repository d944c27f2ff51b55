//! Buffers for direct I/O.
//!
//! Owns: 4 KiB-aligned memory in size classes, reused within one core; huge pages for large writes.
//! Never: hands out uninitialised memory or memory that the kernel still has.
//! Invariants: what is kept for reuse is bounded; a buffer dropped on another core comes home through a
//! bounded channel or is freed.
//! Source: runtime.md section 6.5, performance.md section 2.
#![expect(unsafe_code, reason = "views aligned blocks as bytes")]

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use model::limits::BLOCK_BYTES;

mod huge;
#[cfg(test)]
mod tests;

use huge::{HUGE_BYTES, HugeBlock};

/// Sizes of pooled buffers, bytes. Larger ones are allocated and freed.
/// Powers of two, so that a lent buffer wastes less than its own length.
const CLASSES: [usize; 9] = [
    4 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
    128 << 10,
    256 << 10,
    512 << 10,
    1 << 20,
];
/// Bytes kept for reuse per class.
const KEPT_BYTES_PER_CLASS: usize = 2 << 20;
/// Writes above this use a huge page: the kernel and the device are told of one piece of memory instead of one for
/// every 4 KiB.
const ORDINARY_BYTES_MAX: usize = 64 << 10;
/// Huge pages of one core at most, in use and kept. Writes beyond them use ordinary memory.
const HUGE_MAX: usize = 16;
/// Read buffers that may wait in the channel on their way home.
const RETURNS_MAX: usize = 256;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK_BYTES]);

const _: () = assert!(align_of::<Block>() == BLOCK_BYTES);
const _: () = assert!(size_of::<Block>() == BLOCK_BYTES);

/// Whole aligned blocks. Always initialised.
pub(crate) struct AlignedBuffer {
    memory: Memory,
}

/// Where a buffer lies.
enum Memory {
    /// On the heap.
    Ordinary(Box<[Block]>),
    /// In a mapping of its own.
    Huge(HugeBlock),
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len())
            .finish()
    }
}

impl AlignedBuffer {
    /// A zeroed buffer of at least `len` bytes, rounded up to whole blocks.
    pub(crate) fn zeroed(len: usize) -> Self {
        let count = len.div_ceil(BLOCK_BYTES).max(1);
        let blocks = vec![Block([0; BLOCK_BYTES]); count].into_boxed_slice();
        Self {
            memory: Memory::Ordinary(blocks),
        }
    }

    /// A zeroed buffer of one huge page, if the kernel has memory for it.
    pub(crate) fn huge() -> Option<Self> {
        let block = HugeBlock::zeroed().ok()?;
        Some(Self {
            memory: Memory::Huge(block),
        })
    }

    fn is_huge(&self) -> bool {
        match self.memory {
            Memory::Ordinary(_) => false,
            Memory::Huge(_) => true,
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.memory {
            Memory::Ordinary(blocks) => blocks.len() * BLOCK_BYTES,
            Memory::Huge(_) => HUGE_BYTES,
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        let blocks = match &self.memory {
            Memory::Ordinary(blocks) => blocks,
            Memory::Huge(block) => return block.bytes(),
        };
        // SAFETY: `Block` is `repr(C)` around one byte array of its own size (asserted above), so the
        // blocks are `len()` contiguous initialised bytes, borrowed for as long as `self` is.
        unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), self.len()) }
    }

    /// The bytes, to be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        let blocks = match &mut self.memory {
            Memory::Ordinary(blocks) => blocks,
            Memory::Huge(block) => return block.bytes_mut(),
        };
        // SAFETY: as in `bytes`; every bit pattern is a valid block, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), len) }
    }

    /// Fills the front with `pieces`, back to back, and the rest up to `len` with zeros.
    ///
    /// # Panics
    /// If the pieces are longer than `len`, or `len` than the buffer.
    pub(crate) fn gather(&mut self, pieces: &[Bytes], len: usize) {
        assert!(
            len <= self.len(),
            "{len} bytes into a buffer of {}",
            self.len()
        );
        let (mut rest, _) = self.bytes_mut().split_at_mut(len);
        for piece in pieces {
            assert!(
                piece.len() <= rest.len(),
                "pieces are longer than the write"
            );
            let (front, back) = rest.split_at_mut(piece.len());
            front.copy_from_slice(piece);
            rest = back;
        }
        rest.fill(0);
    }
}

/// The buffers of one core.
#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Vec<AlignedBuffer>; CLASSES.len()],
    huge: Vec<AlignedBuffer>,
    /// Those in use and those kept.
    huge_count: usize,
    returns: Receiver<AlignedBuffer>,
    home: Sender<AlignedBuffer>,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new() -> Self {
        let (home, returns) = crossbeam_channel::bounded(RETURNS_MAX);
        Self {
            classes: Default::default(),
            huge: Vec::new(),
            huge_count: 0,
            returns,
            home,
        }
    }

    /// A buffer of at least `len` bytes with arbitrary initialised contents.
    pub(crate) fn take(&mut self, len: usize) -> AlignedBuffer {
        let Some(class) = CLASSES.iter().position(|size| *size >= len) else {
            return AlignedBuffer::zeroed(len);
        };
        if self.classes[class].is_empty() {
            self.collect();
        }
        self.classes[class]
            .pop()
            .unwrap_or_else(|| AlignedBuffer::zeroed(CLASSES[class]))
    }

    /// As [`Self::take`], for a write: a large one gets memory in one piece while there is some.
    pub(crate) fn take_for_write(&mut self, len: usize) -> AlignedBuffer {
        if len <= ORDINARY_BYTES_MAX || len > HUGE_BYTES {
            return self.take(len);
        }
        if let Some(buffer) = self.huge.pop() {
            return buffer;
        }
        if self.huge_count < HUGE_MAX
            && let Some(buffer) = AlignedBuffer::huge()
        {
            self.huge_count += 1;
            return buffer;
        }
        self.take(len)
    }

    /// Gives a buffer back.
    pub(crate) fn put(&mut self, buffer: AlignedBuffer) {
        if buffer.is_huge() {
            self.huge.push(buffer);
            return;
        }
        let Some(class) = CLASSES.iter().position(|size| *size == buffer.len()) else {
            return;
        };
        if self.classes[class].len() < KEPT_BYTES_PER_CLASS / CLASSES[class] {
            self.classes[class].push(buffer);
        }
    }

    fn collect(&mut self) {
        while let Ok(buffer) = self.returns.try_recv() {
            self.put(buffer);
        }
    }

    /// The first `len` bytes as `Bytes` that give the buffer back when the last handle is dropped, on
    /// whatever core that happens.
    pub(crate) fn lend(&self, buffer: AlignedBuffer, len: usize) -> Bytes {
        assert!(
            len <= buffer.len(),
            "{len} bytes of a buffer of {}",
            buffer.len()
        );
        Bytes::from_owner(Lent {
            buffer: Some(buffer),
            len,
            home: self.home.clone(),
        })
    }
}

/// A buffer inside a `Bytes`.
struct Lent {
    buffer: Option<AlignedBuffer>,
    len: usize,
    home: Sender<AlignedBuffer>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .and_then(|buffer| buffer.bytes().get(..self.len))
            .unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            // Full, or the core is gone: the buffer comes back inside the error and is freed here.
            drop(self.home.try_send(buffer));
        }
    }
}
