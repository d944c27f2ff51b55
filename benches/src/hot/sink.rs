//! A device that is done with every write at once and keeps nothing.
//!
//! Owns: the outcome of each I/O.
//! Never: holds bytes: what a disk costs must not be counted. Reads are refused; no function here reads.
//! Invariants: outcomes are those of a device with room; only what recovery made can be opened.
//! Source: architecture.md A3.

use storage::exec::{Disk, MemoryDisk};
use storage::{FileOp, Io, IoError, IoId, IoOutcome};

/// Free bytes of the device.
const FREE: u64 = 1 << 40;

/// The device.
pub(super) struct Sink {
    /// As recovery left it; never changed.
    pub(super) recovered: MemoryDisk,
}

impl Sink {
    /// Carries out `io`.
    pub(super) fn swallow(&self, io: &Io) -> (IoId, IoOutcome) {
        match io {
            Io::Write { id, .. } => (*id, IoOutcome::Written),
            Io::Read { id, .. } => (*id, IoOutcome::Failed(IoError::NotFound)),
            Io::File { id, op } => (*id, self.operate(op)),
        }
    }

    fn operate(&self, op: &FileOp) -> IoOutcome {
        match op {
            FileOp::Create { len, .. }
            | FileOp::Extend { len, .. }
            | FileOp::Truncate { len, .. } => IoOutcome::Done { len: *len },
            FileOp::Replace { .. } | FileOp::Close { .. } | FileOp::Remove { .. } => {
                IoOutcome::Done { len: 0 }
            }
            FileOp::Open { path, .. } => match self.recovered.len(path) {
                Ok(len) => IoOutcome::Done { len },
                Err(error) => IoOutcome::Failed(error),
            },
            FileOp::Load { .. } => IoOutcome::Failed(IoError::NotFound),
            FileOp::Space => IoOutcome::Space {
                free: FREE,
                total: 2 * FREE,
            },
        }
    }
}
