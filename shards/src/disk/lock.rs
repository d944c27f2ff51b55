//! One process per data directory.
//!
//! Owns: the `LOCK` file and its advisory lock.
//! Never: removes the file; a stale one does no harm, the lock dies with the process.
//! Invariants: while the value lives, no other process gets one for the same directory; the name of the directory
//! is durable before anything is put into it.
//! Source: reliability.md 2.2.

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{create_directories, sync_foreign};

/// Name of the lock file inside the data directory.
const LOCK_FILE: &str = "LOCK";

/// Why a data directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("data directory {} is in use by another process; stop it or choose another --data-dir", .0.display())]
    InUse(PathBuf),
    /// The directory or the lock file cannot be made.
    #[error("data directory {} cannot be used: {source}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The lock on a data directory; released when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory if it is missing, makes its name durable and locks it.
    ///
    /// # Errors
    /// Another process has the lock, or the directory cannot be used.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            path: directory.to_owned(),
            source,
        };
        make_durable(directory).map_err(io)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join(LOCK_FILE))
            .map_err(io)?;
        Self::lock(file, directory)
    }

    /// Locks an existing directory; `None` if no broker ever used it. Changes nothing.
    ///
    /// # Errors
    /// Another process has the lock, or the directory cannot be read.
    pub fn acquire_existing(directory: &Path) -> Result<Option<Self>, LockError> {
        let io = |source| LockError::Io {
            path: directory.to_owned(),
            source,
        };
        std::fs::read_dir(directory).map_err(io)?;
        match File::open(directory.join(LOCK_FILE)) {
            Ok(file) => Self::lock(file, directory).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    fn lock(file: File, directory: &Path) -> Result<Self, LockError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(LockError::Io {
                path: directory.to_owned(),
                source,
            }),
        }
    }
}

/// Creates the directory if it is missing. Its name is synced also if it was there: whoever made it a moment
/// ago may not have done that, and everything in it would go with the name.
fn make_durable(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    create_directories(&directory.join(LOCK_FILE))?;
    sync_foreign(&directory)
}
