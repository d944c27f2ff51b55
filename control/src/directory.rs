//! The directory of the metadata log on a real disk.
//!
//! Owns: carrying out planned writes durably, loading everything at start.
//! Never: retries a failed write or flush (A10); reads what might not be durable.
//! Invariants: a write is durable, its directory entry included, when `exec` returns; the directory of a new
//! node appears as a whole or not at all; what found no room left nothing behind, so that it may be tried again.
//! Source: reliability.md 1.12, 2.1, 2.7.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use raft_host::files::{FileKind, TEMPORARY_SUFFIX, classify};
use raft_host::limits::{LOG_FILE_BYTES, SNAPSHOT_BYTES_MAX};
use raft_host::{Files, Write};

use crate::settings::ControlError;

mod room;

use room::{Unwritten, reserve};

/// Name of the directory below the data directory.
pub(crate) const NAME: &str = "raft";

/// Name under which the directory of a new node is prepared.
const NAME_NEW: &str = "raft.new";

/// Bytes a file of the directory may have: a snapshot with its checksums.
const FILE_BYTES_MAX: u64 = SNAPSHOT_BYTES_MAX as u64 + LOG_FILE_BYTES as u64;

/// Files the directory may have; more is not ours.
const FILES_MAX: usize = 10_000;

/// Zeros that fill a new file are written in pieces of this size, bytes.
const FILL_BYTES: usize = 256 * 1024;

/// The directory, open for writing.
#[derive(Debug)]
pub(crate) struct RaftDirectory {
    path: PathBuf,
    /// Files that are written in place.
    open: BTreeMap<String, File>,
}

impl RaftDirectory {
    /// Opens the directory; a new node's is made with the files of `first`.
    ///
    /// # Errors
    /// The file system failed.
    pub(crate) fn open(data_dir: &Path, first: &[Write]) -> Result<Self, ControlError> {
        let path = data_dir.join(NAME);
        let exists = path
            .try_exists()
            .map_err(|source| io_error("look for", &path, source))?;
        if !exists {
            prepare(data_dir, first).map_err(|source| io_error("make directory", &path, source))?;
        }
        Ok(Self {
            path,
            open: BTreeMap::new(),
        })
    }

    /// The directory if it is there.
    pub(crate) fn existing(data_dir: &Path) -> Option<Self> {
        let path = data_dir.join(NAME);
        path.is_dir().then(|| Self {
            path,
            open: BTreeMap::new(),
        })
    }

    /// Reads everything. Files are flushed first: what a process that died had written without flushing would
    /// otherwise be believed now and be gone after a power cut.
    ///
    /// # Errors
    /// The file system failed, or a file is not ours.
    pub(crate) fn load(&self) -> Result<Files, ControlError> {
        let files = self.load_with(Access::Change)?;
        sync_directory(&self.path)
            .map_err(|source| io_error("flush directory", &self.path, source))?;
        Ok(files)
    }

    /// Reads everything and changes nothing.
    ///
    /// # Errors
    /// The file system failed, or a file is not ours.
    pub(crate) fn load_unchanged(&self) -> Result<Files, ControlError> {
        self.load_with(Access::ReadOnly)
    }

    fn load_with(&self, access: Access) -> Result<Files, ControlError> {
        let failed = |source| io_error("read directory", &self.path, source);
        let mut files = Files::default();
        let mut count = 0;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            count += 1;
            if count > FILES_MAX {
                return Err(ControlError::UnknownFile(path));
            }
            load_file(&path, access, &mut files)?;
        }
        files.logs.sort_by_key(|(number, _)| *number);
        files.snapshots.sort_by_key(|(index, _)| *index);
        Ok(files)
    }

    /// Carries out writes in order, each durable before the next, up to one that finds no room.
    ///
    /// # Errors
    /// The device failed; what it holds of this write is unknown.
    pub(crate) fn exec_all(&mut self, writes: &[Write]) -> Result<Carried, ControlError> {
        for (done, write) in writes.iter().enumerate() {
            let (what, name) = describe(write);
            let path = self.path.join(name);
            let failed = |source| io_error(what, &path, source);
            match self.exec(write) {
                Ok(()) => {}
                Err(Unwritten::NoRoom(source)) => {
                    let cause = failed(source);
                    return Ok(Carried::UpTo { done, cause });
                }
                Err(Unwritten::Failed(source)) => return Err(failed(source)),
            }
        }
        Ok(Carried::All)
    }

    fn exec(&mut self, write: &Write) -> Result<(), Unwritten> {
        match write {
            Write::Create { name, head, len } => self.create(name, head, *len),
            Write::WriteAt {
                name,
                position,
                bytes,
            } => {
                // The space was filled when the file was made: lack of room is as bad as any failure here.
                let file = self.file(name)?;
                file.write_all_at(bytes, *position)?;
                Ok(file.sync_data()?)
            }
            Write::Replace { name, bytes } => {
                self.open.remove(name);
                replace(&self.path, name, bytes)
            }
            Write::Remove { name } => {
                self.open.remove(name);
                match fs::remove_file(self.path.join(name)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    outcome => Ok(outcome?),
                }
            }
        }
    }

    fn create(&mut self, name: &str, head: &[u8], len: u64) -> Result<(), Unwritten> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = room::made(&path, &options, |file| {
            reserve(file, len)?;
            file.write_all_at(head, 0)?;
            fill(file, head.len() as u64, len)
        })?;
        file.sync_all()?;
        sync_directory(&self.path)?;
        // Only the newest log file is written to.
        self.open
            .retain(|other, _| !matches!(classify(other), Some(FileKind::Log(_))));
        self.open.insert(name.to_owned(), file);
        Ok(())
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if !self.open.contains_key(name) {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(self.path.join(name))?;
            self.open.insert(name.to_owned(), file);
        }
        self.open
            .get(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// How far a list of writes came.
#[derive(Debug)]
pub(crate) enum Carried {
    /// Every one is durable.
    All,
    /// So many are; the next one found no room.
    UpTo {
        /// Durable ones.
        done: usize,
        /// What was tried, and the answer.
        cause: ControlError,
    },
}

/// What reading may do to the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Flush what is read, remove what a crash left behind.
    Change,
    /// Nothing.
    ReadOnly,
}

fn load_file(path: &Path, access: Access, files: &mut Files) -> Result<(), ControlError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let unknown = || ControlError::UnknownFile(path.to_owned());
    let kind = name.and_then(classify).ok_or_else(unknown)?;
    let read = || read_whole(path, access).map_err(|source| io_error("read", path, source));
    match kind {
        FileKind::Temporary if access == Access::ReadOnly => {}
        FileKind::Temporary => {
            fs::remove_file(path).map_err(|source| io_error("remove", path, source))?;
        }
        FileKind::HardState(slot) => {
            let found = files.hard_state.get_mut(slot).ok_or_else(unknown)?;
            *found = Some(read()?);
        }
        FileKind::Log(number) => files.logs.push((number, read()?)),
        FileKind::Snapshot(index) => files.snapshots.push((index, read()?)),
    }
    Ok(())
}

fn prepare(data_dir: &Path, first: &[Write]) -> io::Result<()> {
    let new = data_dir.join(NAME_NEW);
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&new)?;
    let mut directory = RaftDirectory {
        path: new.clone(),
        open: BTreeMap::new(),
    };
    let made = first.iter().try_for_each(|write| directory.exec(write));
    made.map_err(Unwritten::into_source)?;
    sync_directory(&new)?;
    fs::rename(&new, data_dir.join(NAME))?;
    sync_directory(data_dir)
}

fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), Unwritten> {
    let temporary = directory.join(format!("{name}{TEMPORARY_SUFFIX}"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file = room::made(&temporary, &options, |file| {
        reserve(file, bytes.len() as u64)?;
        file.write_all_at(bytes, 0)
    })?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    Ok(sync_directory(directory)?)
}

/// Writes zeros, not a hole: later writes must not need space or change the file's extents.
fn fill(file: &File, mut position: u64, len: u64) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES];
    while position < len {
        let piece = usize::try_from(len - position)
            .unwrap_or(FILL_BYTES)
            .min(FILL_BYTES);
        file.write_all_at(zeros.get(..piece).unwrap_or_default(), position)?;
        position += piece as u64;
    }
    Ok(())
}

fn read_whole(path: &Path, access: Access) -> io::Result<Vec<u8>> {
    let may_change = access == Access::Change;
    let file = OpenOptions::new().read(true).write(may_change).open(path)?;
    if may_change {
        file.sync_all()?;
    }
    let len = file.metadata()?.len();
    if len > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{len} bytes"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn describe(write: &Write) -> (&'static str, &str) {
    match write {
        Write::Create { name, .. } => ("create", name),
        Write::WriteAt { name, .. } => ("write", name),
        Write::Replace { name, .. } => ("replace", name),
        Write::Remove { name } => ("remove", name),
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> ControlError {
    ControlError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
