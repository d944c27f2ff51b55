//! A data directory through the ordinary file system, for start-up recovery and offline check.
//!
//! Owns: [`FsDisk`].
//! Never: is used while a core serves.
//! Invariants: the file system is flushed before anything is read, so that no decision rests on bytes a
//! crashed predecessor never made durable; every change is durable when the call returns.
//! Source: reliability.md 2.1, 2.5.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::Advice;
use storage::IoError;
use storage::exec::{DirEntry, Disk};

use super::files::{create, remove, resolve, sync_parent};
use super::io_error_of;
use super::lock::{DirectoryLock, LockError};

/// Files kept open because they are read soon.
const EXPECTED_MAX: usize = 64;

/// A data directory on a file system.
#[derive(Debug)]
pub struct FsDisk {
    root: PathBuf,
    // The file read last: recovery and check read one file front to back.
    open: RefCell<Option<(String, File)>>,
    // Whether what a predecessor left was made durable.
    is_flushed: Cell<bool>,
    // Files of which parts were asked for ahead and that were not read since.
    expected: RefCell<BTreeMap<String, File>>,
    access: Access,
    // Held while the directory is checked.
    _lock: Option<DirectoryLock>,
}

/// Opens the directory of a stopped broker for `check`: read-only, and locked against a start meanwhile.
///
/// # Errors
/// A broker uses the directory, or it cannot be read.
pub fn open_for_check(root: &Path) -> Result<FsDisk, LockError> {
    let lock = DirectoryLock::acquire_existing(root)?;
    Ok(FsDisk {
        _lock: lock,
        ..FsDisk::read_only(root)
    })
}

/// What may be done to the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Change,
    ReadOnly,
}

impl FsDisk {
    /// The directory `root`, which exists, to be read and changed.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with(root.into(), Access::Change)
    }

    /// The directory `root`, which exists; every change is refused, and nothing is flushed.
    #[must_use]
    pub fn read_only(root: impl Into<PathBuf>) -> Self {
        Self::with(root.into(), Access::ReadOnly)
    }

    fn with(root: PathBuf, access: Access) -> Self {
        Self {
            root,
            open: RefCell::new(None),
            is_flushed: Cell::new(false),
            expected: RefCell::default(),
            access,
            _lock: None,
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn check_access(&self) -> Result<(), IoError> {
        match self.access {
            Access::Change => Ok(()),
            Access::ReadOnly => Err(IoError::Device(libc::EROFS)),
        }
    }

    fn forget(&self, path: &str) {
        self.expected.borrow_mut().remove(path);
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_some_and(|(name, _)| name == path) {
            *open = None;
        }
    }

    fn with_file<T>(
        &self,
        path: &str,
        work: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, IoError> {
        self.ensure_flushed()?;
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_none_or(|(name, _)| name != path) {
            let expected = self.expected.borrow_mut().remove(path);
            let file = match expected {
                Some(file) => Ok(file),
                None => resolve(&self.root, path).and_then(File::open),
            };
            let file = file.map_err(|error| io_error_of(&error))?;
            *open = Some((path.to_owned(), file));
        }
        let Some((_, file)) = open.as_ref() else {
            return Err(IoError::NotFound);
        };
        work(file).map_err(|error| io_error_of(&error))
    }

    /// Once, before the first look at the directory: one call for all files, names and lengths, instead of
    /// one for each file, and it flushes the device.
    fn ensure_flushed(&self) -> Result<(), IoError> {
        if self.access == Access::ReadOnly || self.is_flushed.get() {
            return Ok(());
        }
        let root = File::open(&self.root).map_err(|error| io_error_of(&error))?;
        rustix::fs::syncfs(&root).map_err(|errno| io_error_of(&errno.into()))?;
        self.is_flushed.set(true);
        Ok(())
    }
}

impl Disk for FsDisk {
    fn flush(&mut self) -> Result<(), IoError> {
        self.check_access()?;
        self.is_flushed.set(false);
        self.ensure_flushed()
    }

    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        self.ensure_flushed()?;
        let path = if dir.is_empty() {
            self.root.clone()
        } else {
            resolve(&self.root, dir).map_err(|error| io_error_of(&error))?
        };
        match list(&path) {
            Ok(entries) => Ok(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(io_error_of(&error)),
        }
    }

    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError> {
        self.with_file(path, |file| {
            let rest = file.metadata()?.len().saturating_sub(position);
            let len = len.min(usize::try_from(rest).unwrap_or(usize::MAX));
            let mut bytes = vec![0; len];
            let mut filled = 0;
            while filled < len {
                let (_, space) = bytes.split_at_mut(filled);
                match file.read_at(space, position + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
    }

    fn expect(&self, path: &str, parts: &[Range<u64>]) {
        // What cannot be read is told by the read.
        if self.ensure_flushed().is_err() {
            return;
        }
        let Ok(file) = resolve(&self.root, path).and_then(File::open) else {
            return;
        };
        if parts.len() > 1 {
            // Reading ahead beyond the parts that are wanted would fetch the file whole.
            advise(&file, path, (0, None), Advice::Random);
        }
        for part in parts {
            let len = NonZeroU64::new(part.end.saturating_sub(part.start));
            if len.is_some() {
                advise(&file, path, (part.start, len), Advice::WillNeed);
            }
        }
        let mut expected = self.expected.borrow_mut();
        if expected.len() < EXPECTED_MAX {
            expected.insert(path.to_owned(), file);
        }
    }

    fn len(&self, path: &str) -> Result<u64, IoError> {
        self.ensure_flushed()?;
        let path = resolve(&self.root, path).map_err(|error| io_error_of(&error))?;
        let metadata = std::fs::metadata(path).map_err(|error| io_error_of(&error))?;
        Ok(metadata.len())
    }

    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        self.check_access()?;
        self.forget(path);
        create(&self.root, path, len, Bytes::new())
            .map(drop)
            .map_err(|error| io_error_of(&error))
    }

    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.check_access()?;
        let path = resolve(&self.root, path).map_err(|error| io_error_of(&error))?;
        let file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| io_error_of(&error))?;
        file.write_all_at(bytes, position)
            .and_then(|()| file.sync_all())
            .map_err(|error| io_error_of(&error))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        self.check_access()?;
        self.forget(from);
        self.forget(to);
        let source = resolve(&self.root, from).map_err(|error| io_error_of(&error))?;
        let target = resolve(&self.root, to).map_err(|error| io_error_of(&error))?;
        let moved = std::fs::rename(&source, &target)
            .and_then(|()| sync_parent(&target))
            .and_then(|()| sync_parent(&source));
        moved.map_err(|error| io_error_of(&error))
    }

    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.check_access()?;
        self.forget(path);
        remove(&self.root, path).map_err(|error| io_error_of(&error))
    }
}

/// Tells the kernel how a file is read; without it reading only takes longer.
fn advise(file: &File, path: &str, (from, len): (u64, Option<NonZeroU64>), advice: Advice) {
    if let Err(errno) = rustix::fs::fadvise(file, from, len, advice) {
        tracing::debug!(path, %errno, "the kernel takes no advice on this file");
    }
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = metadata.is_dir();
        entries.push(DirEntry {
            name,
            len: if is_dir { 0 } else { metadata.len() },
            is_dir,
            changed_ms: metadata
                .ctime()
                .checked_mul(1_000)
                .map(|ms| ms + metadata.ctime_nsec() / 1_000_000),
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
