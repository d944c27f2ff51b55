//! A file that is made or grows.
//!
//! Owns: its place on the device, its first bytes and its zeros, and what is undone if it cannot have them.
//! Never: makes anything durable, or makes directories.
//! Invariants: what could not be laid out whole goes: a new file is removed, another keeps the length it had.
//! Source: reliability.md 2.1 and 2.2 (preallocation by demand).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::limits::BLOCK_BYTES;
use storage::io::HEAD_BYTES_MAX;

use super::open_direct;
use crate::disk::pool::AlignedBuffer;

#[cfg(test)]
mod tests;

/// Bytes per write while a file is laid out. After each of them the next durable write to the same file commits
/// the file system's journal, so there should be few; a larger one delays the writes behind it for longer.
pub(super) const FILL_BYTES: usize = 2 << 20;

/// One file on its way to a length.
#[derive(Debug)]
pub(super) struct Growth {
    file: Arc<File>,
    /// Its length before.
    before: u64,
    /// Up to where it is laid out.
    position: u64,
    /// Where it ends when it is laid out.
    len: u64,
    /// Its first bytes, if it is new.
    head: Bytes,
    /// Its path, if it is new.
    made: Option<PathBuf>,
    /// Why it will not be laid out.
    failure: Option<io::Error>,
}

impl Growth {
    /// Makes a file exclusively; its directory exists.
    pub(super) fn of_new(path: &Path, len: u64, head: Bytes) -> io::Result<Self> {
        if head.len() > HEAD_BYTES_MAX || head.len() as u64 > len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = if len.is_multiple_of(BLOCK_BYTES as u64) {
            open_direct(path, File::options().create_new(true))?
        } else {
            // Small files of the control plane; direct I/O could not write their last bytes.
            File::options()
                .create_new(true)
                .read(true)
                .write(true)
                .open(path)?
        };
        let growth = Self {
            file: Arc::new(file),
            before: 0,
            position: 0,
            len,
            head,
            made: Some(path.to_owned()),
            failure: None,
        };
        growth.reserved()
    }

    /// Lets an open file grow; one that is long enough stays as it is.
    pub(super) fn of_open(file: &Arc<File>, len: u64) -> io::Result<Self> {
        let before = file.metadata()?.len();
        let growth = Self {
            file: Arc::clone(file),
            before,
            position: before,
            len,
            head: Bytes::new(),
            made: None,
            failure: None,
        };
        growth.reserved()
    }

    fn reserved(self) -> io::Result<Self> {
        match self.reserve() {
            Ok(()) => Ok(self),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Gives the file its length and, where the file system can, its place on the device, so that it lies in few
    /// extents. A write behind the end shuts every other writer of the file out until it is on the device; one inside
    /// does not.
    fn reserve(&self) -> io::Result<()> {
        if self.is_laid_out() {
            return Ok(());
        }
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        let wanted = self.len - self.position;
        match rustix::fs::fallocate(&*self.file, keep, self.position, wanted) {
            Ok(()) => self.file.set_len(self.len),
            // A file system without it fills as it goes: a length without a place could run out of space while it is
            // filled.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where it ends when it is laid out.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to where it is laid out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn is_laid_out(&self) -> bool {
        self.position >= self.len
    }

    /// Whether something is still to be written.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.is_laid_out() && self.failure.is_none()
    }

    /// Bytes of the next write, of at most `room`.
    pub(super) fn next_bytes(&self, room: usize) -> usize {
        let left = self.len.saturating_sub(self.position);
        usize::try_from(left).unwrap_or(usize::MAX).min(room)
    }

    /// Puts what the next write begins with into zeros; gives how much that is, to be zeroed when the write has ended.
    pub(super) fn put_head(&self, zeros: &mut [u8]) -> usize {
        let at = usize::try_from(self.position).unwrap_or(usize::MAX);
        let head = self.head.get(at..).unwrap_or_default();
        let count = head.len().min(zeros.len());
        for (to, from) in zeros.iter_mut().zip(head) {
            *to = *from;
        }
        count
    }

    /// A write of so many bytes at the present position ended. What it left is written here.
    pub(super) fn wrote(&mut self, wanted: usize, result: Result<usize, i32>) {
        match result {
            Ok(count) if count == wanted => self.position += wanted as u64,
            Ok(_) | Err(libc::EINTR | libc::EAGAIN) => self.lay_out(),
            Err(errno) => self.fail(io::Error::from_raw_os_error(errno)),
        }
    }

    /// It will not be laid out.
    pub(super) fn fail(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
    }

    /// Writes everything that is left, one write after the other.
    pub(super) fn lay_out(&mut self) {
        let laid_out = self.write_out();
        if let Err(error) = laid_out {
            self.fail(error);
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let mut zeros = zeros(self.next_bytes(usize::MAX));
        while self.is_unfinished() {
            let count = self.next_bytes(zeros.len());
            let part = zeros.bytes_mut().get_mut(..count).unwrap_or_default();
            let head = self.put_head(part);
            self.file.write_all_at(part, self.position)?;
            part.get_mut(..head).unwrap_or_default().fill(0);
            self.position += count as u64;
        }
        Ok(())
    }

    /// The file, if it was laid out and then `flush` went well.
    pub(super) fn finish(
        mut self,
        flush: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<Arc<File>> {
        let laid_out = self.failure.take().map_or(Ok(()), Err);
        match laid_out.and_then(|()| flush(&self.file)) {
            Ok(()) => Ok(self.file),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Leaves nothing behind that the next attempt would trip over, or take for laid out because it has the length.
    fn undo(&self) {
        drop(match &self.made {
            Some(path) => std::fs::remove_file(path),
            None => self.file.set_len(self.before),
        });
    }
}

/// Zeros for writes of as many bytes as are wanted, or of as many as one should have.
pub(super) fn zeros(wanted: usize) -> AlignedBuffer {
    let huge = (wanted >= FILL_BYTES).then(AlignedBuffer::huge);
    huge.flatten()
        .unwrap_or_else(|| AlignedBuffer::zeroed(wanted.min(FILL_BYTES)))
}
