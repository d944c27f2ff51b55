//! A disk that notices a reader or writer without bounds.
//!
//! Owns: [`Watched`], budgets around a disk in memory.
//! Never: changes what the disk does.
//! Invariants: a run that exceeds its budget panics, so a loop without end becomes a failure.
//! Source: reliability.md I11.

use std::cell::Cell;

use storage::IoError;
use storage::exec::{DirEntry, Disk, MemoryDisk};

/// Calls of one run.
const CALLS_MAX: u64 = 20_000;
/// Bytes of one run, per byte of the directory.
const PASSES_MAX: u64 = 40;
/// Bytes of one request.
const REQUEST_MAX: u64 = 4 << 20;

/// A disk with a budget.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) disk: MemoryDisk,
    calls: Cell<u64>,
    bytes: Cell<u64>,
    bytes_max: u64,
}

impl Watched {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        let held: u64 = disk.files().iter().map(|(_, len)| len).sum();
        Self {
            disk,
            calls: Cell::new(0),
            bytes: Cell::new(0),
            bytes_max: (held + (1 << 20)) * PASSES_MAX,
        }
    }

    fn spend(&self, bytes: u64) {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        assert!(self.calls.get() < CALLS_MAX, "too many calls");
        assert!(self.bytes.get() < self.bytes_max, "too many bytes");
    }
}

impl Disk for Watched {
    fn flush(&mut self) -> Result<(), IoError> {
        self.spend(0);
        self.disk.flush()
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        self.spend(0);
        self.disk.list(dir)
    }

    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError> {
        assert!(len as u64 <= REQUEST_MAX, "{len} bytes at once of {path}");
        let bytes = self.disk.read(path, position, len)?;
        self.spend(bytes.len() as u64);
        Ok(bytes)
    }

    fn len(&self, path: &str) -> Result<u64, IoError> {
        self.spend(0);
        self.disk.len(path)
    }

    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        self.spend(len);
        self.disk.create(path, len)
    }

    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.spend(bytes.len() as u64);
        self.disk.write(path, position, bytes)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        self.spend(0);
        self.disk.rename(from, to)
    }

    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.spend(0);
        self.disk.remove(path)
    }
}
