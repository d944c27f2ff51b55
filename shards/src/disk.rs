//! Files of one data core: direct I/O through the ring, names and sizes through the helper thread.
//!
//! Owns: the mapping from [`FileKey`] to descriptors, and I/O between the store and the ring.
//! Never: retries a write, or calls the file system on a data core.
//! Invariants: every [`Io`] gets exactly one outcome; a write shorter than asked for is a failure.
//! Source: reliability.md 2.1 and 2.7, A10; runtime.md section 6.5.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::fatal::Fatal;
use model::limits::BLOCK_BYTES;
use model::map::FastMap;
use model::time::Instant;
use storage::{FileKey, FileOp, Io, IoError, IoId, IoOutcome};

pub mod ballast;
pub(crate) mod faults;
pub(crate) mod files;
pub mod fs;
pub mod lock;
pub(crate) mod pool;
#[cfg(test)]
mod tests;

pub use fs::FsDisk;
pub use lock::{DirectoryLock, LockError};

use crate::mailbox::MailSlot;
use crate::ring::operation::PartialRead;
use crate::ring::{Operation, Ring};
use files::{FileDone, FileRequest, FileThread, Target};
use pool::{AlignedBuffer, Pool};

/// Weight of a new sample in the usual write time: one in eight, as TCP does for its round trips.
const SAMPLE_SHIFT: u32 = 3;

/// An outcome for the store.
pub(crate) type Ended = (IoId, IoOutcome);

/// The errno as the store sees it.
pub(crate) fn io_error(errno: i32) -> IoError {
    match errno {
        libc::ENOSPC | libc::EDQUOT => IoError::NoSpace,
        libc::ENOENT => IoError::NotFound,
        other => IoError::Device(other),
    }
}

/// The error of a system call as the store sees it.
pub(crate) fn io_error_of(error: &std::io::Error) -> IoError {
    match error.raw_os_error() {
        Some(errno) => io_error(errno),
        None if error.kind() == std::io::ErrorKind::NotFound => IoError::NotFound,
        None => IoError::Device(libc::EIO),
    }
}

/// The files of one core.
#[derive(Debug)]
pub(crate) struct DirectDisk {
    files: FastMap<FileKey, Arc<std::fs::File>>,
    pool: Pool,
    helper: FileThread,
    mail: MailSlot,
    ready: VecDeque<Ended>,
    writes_out: usize,
    reads_out: usize,
    write_time: Duration,
}

impl DirectDisk {
    /// No open file. The helper answers through `mail`.
    pub(crate) fn new(helper: FileThread, mail: MailSlot) -> Self {
        Self {
            files: FastMap::default(),
            pool: Pool::new(),
            helper,
            mail,
            ready: VecDeque::new(),
            writes_out: 0,
            reads_out: 0,
            write_time: Duration::ZERO,
        }
    }

    /// Starts one I/O.
    ///
    /// # Errors
    /// The ring refuses submissions altogether.
    pub(crate) fn start(&mut self, io: Io, now: Instant, ring: &mut Ring) -> Result<(), Fatal> {
        match io {
            Io::Write {
                id,
                file,
                position,
                pieces,
                len,
            } => {
                assert!(
                    position.is_multiple_of(BLOCK_BYTES as u64),
                    "unaligned write position"
                );
                assert!(
                    (len as usize).is_multiple_of(BLOCK_BYTES),
                    "unaligned write length"
                );
                let Some(file) = self.file(id, file) else {
                    return Ok(());
                };
                let mut buffer = self.pool.take_for_write(len as usize);
                buffer.gather(&pieces, len as usize);
                self.writes_out += 1;
                ring.start(Operation::Write {
                    id,
                    file,
                    buffer,
                    len,
                    position,
                    started: now,
                })
            }
            Io::Read {
                id,
                file,
                position,
                len,
            } => {
                assert!(
                    position.is_multiple_of(BLOCK_BYTES as u64),
                    "unaligned read position"
                );
                assert!(
                    (len as usize).is_multiple_of(BLOCK_BYTES),
                    "unaligned read length"
                );
                let Some(file) = self.file(id, file) else {
                    return Ok(());
                };
                let buffer = self.pool.take(len as usize);
                self.reads_out += 1;
                ring.start(Operation::Read {
                    id,
                    file,
                    buffer,
                    filled: 0,
                    len,
                    position,
                })
            }
            Io::File { id, op } => {
                self.start_file_op(id, op);
                Ok(())
            }
        }
    }

    fn file(&mut self, id: IoId, key: FileKey) -> Option<Arc<std::fs::File>> {
        let file = self.files.get(&key).cloned();
        if file.is_none() {
            self.ready
                .push_back((id, IoOutcome::Failed(IoError::NotFound)));
        }
        file
    }

    fn start_file_op(&mut self, id: IoId, op: FileOp) {
        let target = match &op {
            FileOp::Close { file } => {
                // The descriptor closes when its last operation ends.
                self.files.remove(file);
                self.ready.push_back((id, IoOutcome::Done { len: 0 }));
                return;
            }
            FileOp::Extend { file, .. } => match self.file(id, *file) {
                Some(file) => Target::Open(file),
                None => return,
            },
            FileOp::Create { .. }
            | FileOp::Open { .. }
            | FileOp::Replace { .. }
            | FileOp::Load { .. }
            | FileOp::Remove { .. }
            | FileOp::Truncate { .. }
            | FileOp::Space => Target::Path,
        };
        let request = FileRequest {
            id,
            op,
            target,
            reply: self.mail.clone(),
        };
        if self.helper.send(request).is_err() {
            self.ready
                .push_back((id, IoOutcome::Failed(IoError::Device(libc::EIO))));
        }
    }

    /// Takes what the helper did.
    pub(crate) fn file_done(&mut self, done: FileDone) -> Ended {
        if let Some((key, file)) = done.opened {
            let previous = self.files.insert(key, file);
            assert!(previous.is_none(), "file key {key:?} is open already");
        }
        (done.id, done.outcome)
    }

    /// Takes the completion of a write.
    pub(crate) fn written(
        &mut self,
        write: Written,
        result: Result<usize, i32>,
        now: Instant,
    ) -> Ended {
        self.writes_out -= 1;
        self.pool.put(write.buffer);
        let outcome = match result {
            Ok(count) if count == write.len as usize => {
                self.sample(now.since(write.started));
                IoOutcome::Written
            }
            Ok(_) => IoOutcome::Failed(IoError::Short),
            Err(errno) => IoOutcome::Failed(io_error(errno)),
        };
        (write.id, outcome)
    }

    /// Takes the completion of a read; a short one inside the file is continued.
    ///
    /// # Errors
    /// The ring refuses submissions altogether.
    pub(crate) fn read(
        &mut self,
        read: PartialRead,
        result: Result<usize, i32>,
        ring: &mut Ring,
    ) -> Result<Option<Ended>, Fatal> {
        let added = match result {
            Ok(added) => u32::try_from(added).unwrap_or(u32::MAX),
            Err(errno) => {
                self.reads_out -= 1;
                self.pool.put(read.buffer);
                return Ok(Some((read.id, IoOutcome::Failed(io_error(errno)))));
            }
        };
        let filled = read.filled.saturating_add(added);
        assert!(filled <= read.len, "read more than asked for");
        let is_end = added == 0 || !(filled as usize).is_multiple_of(BLOCK_BYTES);
        if filled == read.len || is_end {
            self.reads_out -= 1;
            let bytes = self.pool.lend(read.buffer, filled as usize);
            return Ok(Some((read.id, IoOutcome::Bytes(bytes))));
        }
        let PartialRead {
            id,
            file,
            buffer,
            len,
            position,
            ..
        } = read;
        ring.start(Operation::Read {
            id,
            file,
            buffer,
            filled,
            len,
            position,
        })?;
        Ok(None)
    }

    /// Outcomes that needed neither the ring nor the helper.
    pub(crate) fn poll_ready(&mut self) -> Option<Ended> {
        self.ready.pop_front()
    }

    /// Whether [`Self::poll_ready`] has something.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a read is on its way; writes are watched by the store.
    pub(crate) fn has_reads_out(&self) -> bool {
        self.reads_out > 0
    }

    /// How long the pump may poll for completions: without bound if no write is out, else about the time
    /// a write usually takes, because polling longer starves the kernel worker that completes it.
    pub(crate) fn poll_bound(&self) -> Option<Duration> {
        (self.writes_out > 0).then_some(self.write_time)
    }

    fn sample(&mut self, took: Duration) {
        let old = self.write_time;
        self.write_time = if old.is_zero() {
            took
        } else {
            old - (old / (1 << SAMPLE_SHIFT)) + (took / (1 << SAMPLE_SHIFT))
        };
    }
}

/// A write the ring gave back.
#[derive(Debug)]
pub(crate) struct Written {
    /// Correlation.
    pub(crate) id: IoId,
    /// To be reused.
    pub(crate) buffer: AlignedBuffer,
    /// Bytes asked for.
    pub(crate) len: u32,
    /// When it was started.
    pub(crate) started: Instant,
}
