//! The only generic code that performs I/O: start-up recovery and offline check, over one trait.
//!
//! Owns: [`Disk`], recovery, `check`.
//! Never: runs while a core serves.
//! Invariants: recovery changes the directory only after it classified everything it read.
//! Source: reliability.md 2.4 to 2.6.

pub mod check;
mod check_derived;
mod check_strays;
mod examine;
mod failure;
pub mod finding;
mod holes;
mod journal_replay;
mod journal_salvage;
mod journal_scan;
mod journal_strays;
mod journal_walk;
mod log_files;
mod log_finish;
mod log_scan;
mod lost_records;
mod manifest_open;
mod manifest_state;
mod manifest_walk;
pub mod memory;
mod orphans;
mod producer_rebuild;
pub mod recover;
pub mod recovered;
mod replay;
mod rescue;
mod segment_batches;
mod segment_walk;
mod stream;
pub mod superblock;

pub use check::{CheckReport, Verdict, check};
pub use failure::RecoverError;
pub use finding::{Finding, Severity};
pub use memory::MemoryDisk;
pub use orphans::{ORPHAN_AGE_MS, remove_orphans};
pub use recover::recover;
pub use recovered::{
    Recovered, RecoveredJournal, RecoveredLog, RecoveredManifest, RecoveredSegment, RecoveryReport,
};
pub use superblock::{FormatRequest, SuperblockError, open_or_format};

use std::ops::Range;

use crate::io::IoError;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name without path.
    pub name: String,
    /// Bytes; zero for directories.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// When its contents, length or name last changed according to the file system, wall clock ms; `None` if
    /// that is not known.
    pub changed_ms: Option<i64>,
}

/// A data directory. Paths are relative, separated by `/`. Every change is durable when the call returns.
pub trait Disk {
    /// Makes everything durable that was ever written, whoever wrote it. A process that was killed may have
    /// left writes that the device has not kept yet; nothing may be decided from them before.
    ///
    /// # Errors
    /// The device failed; what it holds is not known.
    fn flush(&mut self) -> Result<(), IoError>;
    /// Entries of a directory, sorted by name; empty if it does not exist.
    ///
    /// # Errors
    /// The device failed.
    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError>;
    /// Up to `len` bytes at `position`; shorter only at the end of the file.
    ///
    /// # Errors
    /// `NotFound`, or the device failed.
    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError>;
    /// These bytes of a file are read soon: a disk that can have them by then begins now. If there are several parts, perhaps
    /// no others; if it is one, what follows may be read too. A hint, no more.
    fn expect(&self, path: &str, parts: &[Range<u64>]) {
        let _: (&str, &[Range<u64>]) = (path, parts);
    }
    /// Length of a file.
    ///
    /// # Errors
    /// `NotFound`, or the device failed.
    fn len(&self, path: &str) -> Result<u64, IoError>;
    /// Creates a file of `len` zero bytes (and its directories); fails if it exists.
    ///
    /// # Errors
    /// The device failed or is full.
    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError>;
    /// Overwrites bytes inside the file's length.
    ///
    /// # Errors
    /// The device failed.
    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError>;
    /// Renames, replacing the target.
    ///
    /// # Errors
    /// The device failed.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError>;
    /// Removes a file; not an error if missing.
    ///
    /// # Errors
    /// The device failed.
    fn remove(&mut self, path: &str) -> Result<(), IoError>;
}

#[cfg(test)]
mod tests;
