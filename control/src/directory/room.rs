//! New files, and the room they need.
//!
//! Owns: telling lack of room from failure.
//! Never: takes a failed flush for lack of room: what the device holds is unknown then (A10).
//! Invariants: a file that found no room is gone again.
//! Source: reliability.md 2.3 (I10), 2.7.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Why a write did not become durable.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// There is no room for a new file. Nothing changed; it may be tried again.
    NoRoom(io::Error),
    /// Anything else; what the device holds is unknown.
    Failed(io::Error),
}

impl Unwritten {
    pub(super) fn into_source(self) -> io::Error {
        match self {
            Self::NoRoom(source) | Self::Failed(source) => source,
        }
    }
}

impl From<io::Error> for Unwritten {
    fn from(source: io::Error) -> Self {
        Self::Failed(source)
    }
}

/// Makes a file and its contents; nothing is flushed yet.
pub(super) fn made(
    path: &Path,
    options: &OpenOptions,
    contents: impl FnOnce(&File) -> io::Result<()>,
) -> Result<File, Unwritten> {
    let judge = |source: io::Error| match is_no_room(&source) {
        true => Unwritten::NoRoom(source),
        false => Unwritten::Failed(source),
    };
    let file = options.open(path).map_err(judge)?;
    #[cfg(test)]
    let contents = |file: &File| super::tests::room_at(path).and_then(|()| contents(file));
    match contents(&file).map_err(judge) {
        Ok(()) => Ok(file),
        Err(unwritten) => {
            // Nobody knows of it yet: were it still there after a crash, it would be a file whose making a crash
            // cut short.
            drop(fs::remove_file(path));
            Err(unwritten)
        }
    }
}

/// Reserves the space of a new file, so that filling it cannot fail half-way for lack of it.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, len.max(1)) {
        // Filling it finds out as well.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
