//! `powercut serve`: the disk as one file of a FUSE file system, and the control socket.
//!
//! Owns: the threads; the file's name and attributes.
//! Never: decides anything about data.
//! Invariants: a request reaches the disk in the order in which the kernel queued it.
//! Source: reliability.md 3.7, tool 1.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use crate::answered::Answered;
use crate::disk::{Disk, Job};
use crate::faults::Command;
use crate::recording::Recorder;

/// Name of the file.
const NAME: &str = "disk.img";
const INODE: INodeNo = INodeNo(2);
const TTL: Duration = Duration::from_secs(3600);
/// Largest request of the kernel, bytes.
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Serve {
    /// File that holds the contents; made with `size` bytes if missing.
    pub(crate) contents: PathBuf,
    /// Bytes of the disk.
    pub(crate) size: u64,
    /// The recording.
    pub(crate) recording: PathBuf,
    /// File with the number of events.
    pub(crate) position: PathBuf,
    /// Where to mount.
    pub(crate) mount: PathBuf,
    /// Control socket.
    pub(crate) socket: PathBuf,
}

/// Serves until the file system is unmounted.
///
/// # Errors
/// Something cannot be opened or mounted.
pub(crate) fn run(serve: &Serve) -> io::Result<()> {
    let contents = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&serve.contents)?;
    contents.set_len(serve.size)?;
    let recorder = Recorder::create(&serve.recording, &serve.position)?;
    let answered = Arc::new(Answered::default());
    let disk = Disk::new(contents, serve.size, recorder, Arc::clone(&answered));
    let (jobs, inbox) = channel();
    let listener = UnixListener::bind(&serve.socket)?;
    let control = jobs.clone();
    let thread = Builder::new()
        .name("disk".to_owned())
        .spawn(move || disk.run(&inbox))?;
    Builder::new()
        .name("control".to_owned())
        .spawn(move || listen(&listener, &control))?;
    let door = Door {
        jobs: jobs.clone(),
        answered,
        size: serve.size,
    };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("powercut".to_owned())];
    fuser::mount(door, &serve.mount, &config)?;
    // Unmounted. The control thread still holds a sender, so the disk is asked to publish.
    let (answer, published) = channel();
    let command = Command::Publish;
    if jobs.send(Job::Command { command, answer }).is_ok() {
        drop(published.recv());
    }
    if thread.is_finished() {
        return thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the disk thread failed")));
    }
    Ok(())
}

fn listen(listener: &UnixListener, jobs: &Sender<Job>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        // One driver at a time; a connection that breaks is its own affair.
        drop(converse(stream, jobs));
    }
}

fn converse(stream: UnixStream, jobs: &Sender<Job>) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let Some(command) = Command::parse(&line?) else {
            out.write_all(b"error\n")?;
            continue;
        };
        let (answer, done) = channel();
        jobs.send(Job::Command { command, answer })
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        let text = done.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// Takes requests from the kernel and hands them to the disk.
#[derive(Debug)]
struct Door {
    jobs: Sender<Job>,
    answered: Arc<Answered>,
    size: u64,
}

impl Door {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o755, 0),
            INODE => (FileType::RegularFile, 0o600, self.size),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        })
    }
}

impl Filesystem for Door {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A kernel that wants smaller requests says how large they may be.
        config
            .set_max_write(REQUEST_BYTES_MAX)
            .map(drop)
            .or_else(|nearest| config.set_max_write(nearest).map(drop))
            .map_err(|_| io::Error::other("the kernel takes no size of writes"))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = (parent == INodeNo::ROOT && name == NAME)
            .then(|| self.attributes(INODE))
            .flatten();
        match found {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(1), flags);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        // The disk ends only with this process; a request it does not take is never answered.
        drop(self.jobs.send(Job::Read { offset, len, reply }));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        drop(self.jobs.send(Job::Write {
            offset,
            data,
            reply,
        }));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let covered = self.answered.count();
        drop(self.jobs.send(Job::Flush { covered, reply }));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A descriptor was closed; not a barrier.
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if offset == 0 {
            let _full = reply.add(INODE, 1, FileType::RegularFile, NAME);
        }
        reply.ok();
    }
}
