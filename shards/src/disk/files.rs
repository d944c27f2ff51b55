//! The helper thread for names and sizes.
//!
//! Owns: every call that may wait inside the file system: create, lay out, open, rename, unlink.
//! Never: is waited for by a data core.
//! Invariants: what is reported done is durable, directory entries included, but for a cut; requests take effect in order of arrival.
//! Source: reliability.md 2.1; runtime.md section 6.5; performance.md section 2 (unlink in steps).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Sender;
use storage::{FileKey, FileOp, IoError, IoId, IoOutcome};

mod growth;
mod together;
mod waves;

use super::io_error_of;
use crate::mailbox::MailSlot;
use growth::Growth;
use together::Helper;

/// Requests that may wait; cores have few out at a time, so a full queue means a stuck file system.
const REQUESTS_MAX: usize = 65_536;
/// Bytes cut off a large file per step before it is unlinked: unlinking 2 GiB at once holds up a
/// neighbour's commits for tens of milliseconds (performance.md section 2).
const CUT_BYTES: u64 = 64 << 20;
/// Suffix of a file that is not yet what its name says.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// What an operation works on.
#[derive(Debug)]
pub(crate) enum Target {
    /// The path inside the operation.
    Path,
    /// An open file.
    Open(Arc<File>),
}

/// One request of one core.
#[derive(Debug)]
pub(crate) struct FileRequest {
    /// Correlation.
    pub(crate) id: IoId,
    /// What.
    pub(crate) op: FileOp,
    /// On what.
    pub(crate) target: Target,
    /// Where the answer goes.
    pub(crate) reply: MailSlot,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct FileDone {
    /// Correlation.
    pub(crate) id: IoId,
    /// For the store.
    pub(crate) outcome: IoOutcome,
    /// A file that is open from now on.
    pub(crate) opened: Option<(FileKey, Arc<File>)>,
}

/// The way to the helper thread. It ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(crate) struct FileThread {
    requests: Sender<FileRequest>,
}

impl FileThread {
    /// Starts the thread for the data directory `root`.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub(crate) fn start(root: PathBuf) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = crossbeam_channel::bounded::<FileRequest>(REQUESTS_MAX);
        let thread = std::thread::Builder::new()
            .name("rapidmq-files".into())
            .spawn(move || Helper::new(root).run(&receiver))?;
        Ok((Self { requests: sender }, thread))
    }

    /// Hands a request over without waiting.
    ///
    /// # Errors
    /// The queue is full or the thread is gone; the request comes back.
    pub(crate) fn send(&self, request: FileRequest) -> Result<(), Box<FileRequest>> {
        self.requests
            .try_send(request)
            .map_err(|error| Box::new(error.into_inner()))
    }
}

/// What was done, and a file that is open from now on.
type Done = (IoOutcome, Option<(FileKey, Arc<File>)>);

fn carry_out(root: &Path, request: &FileRequest) -> Result<Done, IoError> {
    attempt(root, &request.op, &request.target).map_err(|error| io_error_of(&error))
}

fn attempt(root: &Path, op: &FileOp, target: &Target) -> io::Result<Done> {
    let done = |len| Ok((IoOutcome::Done { len }, None));
    match op {
        FileOp::Create {
            file,
            path,
            len,
            head,
        } => {
            let opened = create(root, path, *len, head.clone())?;
            Ok((IoOutcome::Done { len: *len }, Some((*file, opened))))
        }
        FileOp::Open { file, path } => {
            let opened = open(root, path)?;
            let len = opened.metadata()?.len();
            Ok((IoOutcome::Done { len }, Some((*file, Arc::new(opened)))))
        }
        FileOp::Extend { len, .. } => {
            let Target::Open(file) = target else {
                return Err(io::ErrorKind::NotFound.into());
            };
            extend(file, *len)?;
            done(*len)
        }
        FileOp::Replace { path, contents } => {
            replace(root, path, contents)?;
            done(contents.len() as u64)
        }
        FileOp::Load { path, len_max } => {
            let contents = load(root, path, *len_max)?;
            Ok((IoOutcome::Bytes(contents.into()), None))
        }
        FileOp::Close { .. } => done(0),
        FileOp::Remove { path } => {
            remove(root, path)?;
            done(0)
        }
        FileOp::Truncate { path, len } => {
            truncate(root, path, *len)?;
            done(*len)
        }
        FileOp::Space => {
            let (free, total) = space(root)?;
            Ok((IoOutcome::Space { free, total }, None))
        }
    }
}

/// The absolute path of a path the store named.
///
/// # Errors
/// It is empty, absolute or leaves the directory.
pub(super) fn resolve(root: &Path, path: &str) -> io::Result<PathBuf> {
    let relative = Path::new(path);
    let is_inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !is_inside {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(root.join(relative))
}

/// Opens for direct reading and writing; a file system without O_DIRECT gets O_DSYNC instead.
fn open_direct(path: &Path, options: &mut std::fs::OpenOptions) -> io::Result<File> {
    match options
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
    {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            tracing::warn!(path = %path.display(), "no direct I/O on this file system");
            // The failed attempt may have created the file.
            options
                .create_new(false)
                .custom_flags(libc::O_DSYNC)
                .open(path)
        }
        other => other,
    }
}

/// Creates a file exclusively, with its directories, durably: `head`, and zeros up to `len`.
pub(super) fn create(root: &Path, path: &str, len: u64, head: Bytes) -> io::Result<Arc<File>> {
    let path = resolve(root, path)?;
    create_directories(&path)?;
    let mut growth = Growth::of_new(&path, len, head)?;
    growth.lay_out();
    growth.finish(|file| {
        file.sync_all()?;
        sync_parent(&path)
    })
}

/// Creates a file exclusively, with its directories. It is to be laid out, and all of it made durable.
fn begin_create(root: &Path, path: &str, len: u64, head: Bytes) -> io::Result<Growth> {
    let path = resolve(root, path)?;
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    Growth::of_new(&path, len, head)
}

/// Creates the missing directories above `path`, durably.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    if parent.is_dir() {
        return Ok(());
    }
    create_directories(parent)?;
    match std::fs::create_dir(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => sync_parent(parent)?,
    }
    // Another core may have made the directory above a moment ago and not have synced its name yet.
    match parent.parent() {
        Some(above) => sync_foreign(above),
        None => Ok(()),
    }
}

/// Makes the name of a directory durable that someone else may have made.
pub(super) fn sync_foreign(directory: &Path) -> io::Result<()> {
    match sync_parent(directory) {
        // Not ours to read, so it was there before this process.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome,
    }
}

fn open(root: &Path, path: &str) -> io::Result<File> {
    open_direct(&resolve(root, path)?, &mut File::options())
}

/// Writes zeros from the present end to `len`, then flushes.
fn extend(file: &Arc<File>, len: u64) -> io::Result<()> {
    let mut growth = Growth::of_open(file, len)?;
    growth.lay_out();
    growth.finish(File::sync_all).map(drop)
}

/// Writes a file whole under a temporary name, then renames it.
pub(super) fn replace(root: &Path, path: &str, contents: &[u8]) -> io::Result<()> {
    let path = resolve(root, path)?;
    create_directories(&path)?;
    let mut temporary = path.clone().into_os_string();
    temporary.push(TEMPORARY_SUFFIX);
    let mut file = File::create(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    sync_parent(&path)
}

fn load(root: &Path, path: &str, len_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(resolve(root, path)?)?;
    if file.metadata()?.len() > len_max {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut contents = Vec::new();
    file.take(len_max).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Cuts a file to `len` bytes if it is longer, to give room back. A loss of power may undo it: nothing depends on it,
/// and a flush would commit the file system's journal under everybody's writes.
fn truncate(root: &Path, path: &str, len: u64) -> io::Result<()> {
    let file = File::options().write(true).open(resolve(root, path)?)?;
    if file.metadata()?.len() > len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Removes a file in small steps, then its directory if that is empty.
pub(super) fn remove(root: &Path, path: &str) -> io::Result<()> {
    let path = resolve(root, path)?;
    match cut_down(&path).and_then(|()| std::fs::remove_file(&path)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    sync_parent(&path)?;
    let Some(parent) = path.parent().filter(|parent| *parent != root) else {
        return Ok(());
    };
    match std::fs::remove_dir(parent) {
        Ok(()) => sync_parent(parent),
        // Not empty, or gone already: both are fine.
        Err(_) => Ok(()),
    }
}

fn cut_down(path: &Path) -> io::Result<()> {
    let mut len = std::fs::symlink_metadata(path)?.len();
    if len <= CUT_BYTES {
        return Ok(());
    }
    let file = File::options().write(true).open(path)?;
    while len > CUT_BYTES {
        len -= CUT_BYTES;
        file.set_len(len)?;
    }
    Ok(())
}

/// Makes the directory entry of `path` durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    if super::faults::skips_directory_sync() {
        return Ok(());
    }
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Free bytes for this process and total bytes of the file system.
pub(super) fn space(root: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(root)?;
    Ok((
        stat.f_bavail.saturating_mul(stat.f_frsize),
        stat.f_blocks.saturating_mul(stat.f_frsize),
    ))
}
