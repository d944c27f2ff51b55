//! Memory that lies in one piece.
//!
//! Owns: [`HugeBlock`], 2 MiB of memory that the kernel is asked to back with one huge page.
//! Never: hands out uninitialised memory.
//! Invariants: the mapping lives as long as the block and belongs to it alone; a kernel without huge pages gives
//! ordinary ones, which only costs time.
//! Source: madvise(2), `MADV_HUGEPAGE`; docs/investigations (pieces of a large write).
#![expect(unsafe_code, reason = "maps memory")]

use std::io;
use std::ptr::NonNull;

/// Bytes of a block: one huge page of x86-64 and of arm64 with pages of 4 KiB.
pub(super) const HUGE_BYTES: usize = 2 << 20;

/// One huge page, or as many bytes of ordinary ones. Always initialised.
pub(super) struct HugeBlock {
    start: NonNull<u8>,
}

// SAFETY: the block owns its mapping alone, and memory is not bound to a thread.
unsafe impl Send for HugeBlock {}
// SAFETY: a shared block can only be read.
unsafe impl Sync for HugeBlock {}

impl HugeBlock {
    /// A zeroed block.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub(super) fn zeroed() -> io::Result<Self> {
        // Twice as much, because a huge page begins at a multiple of its own size.
        let start = map(2 * HUGE_BYTES)?;
        let before = start.as_ptr().align_offset(HUGE_BYTES);
        assert!(before < HUGE_BYTES, "the next multiple is inside");
        // SAFETY: `before` is less than half of what was mapped at `start`.
        let aligned = unsafe { start.add(before) };
        unmap(start, before);
        // SAFETY: `before + HUGE_BYTES` is at most what was mapped.
        unmap(unsafe { aligned.add(HUGE_BYTES) }, HUGE_BYTES - before);
        // SAFETY: the range is mapped and ours. Refused where huge pages are not compiled in: then they are ordinary.
        let _ = unsafe { libc::madvise(aligned.as_ptr().cast(), HUGE_BYTES, libc::MADV_HUGEPAGE) };
        Ok(Self { start: aligned })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped zeroed, private, readable, and borrowed for as long as `self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), HUGE_BYTES) }
    }

    /// The bytes, to be changed.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; writable, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), HUGE_BYTES) }
    }
}

impl Drop for HugeBlock {
    fn drop(&mut self) {
        unmap(self.start, HUGE_BYTES);
    }
}

fn map(len: usize) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping wherever the kernel likes touches no memory that is in use.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

fn unmap(start: NonNull<u8>, len: usize) {
    if len > 0 {
        // SAFETY: only called with whole pages of a mapping of this file that nothing refers to any more. It can
        // fail only for want of memory to split a mapping; then the pages stay mapped, unused.
        let _ = unsafe { libc::munmap(start.as_ptr().cast(), len) };
    }
}
