//! What the store wants done to files, as plain descriptions.
//!
//! Owns: the I/O alphabet between [`crate::Store`] and a shell.
//! Never: performs it.
//! Invariants: writes are whole 4 KiB blocks at 4 KiB positions and durable when reported done; a path
//! is relative to the data directory.
//! Source: architecture.md A3, reliability.md 2.1.

pub(crate) mod pieces;

use bytes::Bytes;
use model::limits::BLOCK_BYTES;

pub use pieces::Pieces;

/// Correlates an [`Io`] with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoId(pub u64);

/// A file as the store names it; the shell maps it to a descriptor after `Create` or `Open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey(pub u64);

/// Bytes that a file gets at its start with its creation, at most: both copies of a segment's header.
pub const HEAD_BYTES_MAX: usize = 2 * BLOCK_BYTES;

/// One thing to carry out.
#[derive(Debug)]
pub enum Io {
    /// Write these pieces back to back at `position`, zero-padded to `len`, with O_DIRECT and RWF_DSYNC.
    /// Done means durable.
    Write {
        /// Correlation.
        id: IoId,
        /// Target; open.
        file: FileKey,
        /// Multiple of 4096.
        position: u64,
        /// Bytes, in order; their sum is at most `len`.
        pieces: Pieces,
        /// Multiple of 4096.
        len: u32,
    },
    /// Read `len` bytes at `position` (both multiples of 4096) with O_DIRECT. Short only at end of file.
    Read {
        /// Correlation.
        id: IoId,
        /// Source; open.
        file: FileKey,
        /// Multiple of 4096.
        position: u64,
        /// Multiple of 4096.
        len: u32,
    },
    /// A file-system operation, carried out by a helper thread, never on a data core.
    File {
        /// Correlation.
        id: IoId,
        /// What.
        op: FileOp,
    },
}

/// Operations on names and sizes; all durable (including directory entries) when reported done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOp {
    /// Create missing parent directories, create the file exclusively, fill it with `head` and then zeros up to `len`,
    /// flush it and its directory, open it as `file`. If power fails before that is reported done, any part of it may
    /// be there: no file, one that is too short, one with its length and any sectors of `head`.
    Create {
        /// Key from now on.
        file: FileKey,
        /// Relative path.
        path: String,
        /// Multiple of 4096.
        len: u64,
        /// First bytes, at most [`HEAD_BYTES_MAX`] and at most `len`; what is known of them now.
        head: Bytes,
    },
    /// Open an existing file as `file` (read and write, O_DIRECT). `IoOutcome::Done { len }` carries its length.
    Open {
        /// Key from now on.
        file: FileKey,
        /// Relative path.
        path: String,
    },
    /// Append zero bytes until the file has `len` bytes; flush.
    Extend {
        /// Open file.
        file: FileKey,
        /// Multiple of 4096.
        len: u64,
    },
    /// Write a small derived file whole: temporary name, flush, rename, flush directory.
    Replace {
        /// Relative path.
        path: String,
        /// Contents.
        contents: Bytes,
    },
    /// Read a derived file whole; at most `len_max` bytes.
    Load {
        /// Relative path.
        path: String,
        /// Bound.
        len_max: u64,
    },
    /// Forget the key and close the descriptor.
    Close {
        /// Key.
        file: FileKey,
    },
    /// Remove a file (not an error if missing), then its directory if that is empty.
    Remove {
        /// Relative path.
        path: String,
    },
    /// Cut a file that will not be written again to `len` bytes, to give room back. Nothing depends on it: it need not
    /// be durable.
    Truncate {
        /// Relative path.
        path: String,
        /// Multiple of 4096, at most the present length.
        len: u64,
    },
    /// Report free and total bytes of the file system.
    Space,
}

/// How an [`Io`] ended.
#[derive(Debug)]
pub enum IoOutcome {
    /// `Write`: all `len` bytes are durable.
    Written,
    /// `Read` or `Load`: the bytes.
    Bytes(Bytes),
    /// A `FileOp` was carried out; `len` is the file's length where that makes sense.
    Done {
        /// Length of the file.
        len: u64,
    },
    /// `Space`.
    Space {
        /// Bytes free for this process.
        free: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It failed; never retried (A10).
    Failed(IoError),
}

/// Why an [`Io`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// EIO and everything unexpected; carries errno.
    #[error("device error (errno {0})")]
    Device(i32),
    /// ENOSPC or EDQUOT.
    #[error("no space left")]
    NoSpace,
    /// Fewer bytes written than asked for.
    #[error("short write")]
    Short,
    /// ENOENT.
    #[error("file not found")]
    NotFound,
}
