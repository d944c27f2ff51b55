//! `powercut strict`: a file system in memory that keeps nothing that was not synced.
//!
//! Owns: the FUSE operations of a broker's data directory, their recording, and refusing those without room.
//! Never: makes a name durable because its file was synced, as journaling file systems happen to do.
//! Invariants: an operation is recorded before it is answered, in the order in which it took effect.
//! Source: reliability.md 2.3 (I5) and 3.7.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};

use crate::recording::{Recorder, What};
use crate::room::{self, Need, Room};
use crate::tree::{Entry, Node, Op, Tree};

const TTL: Duration = Duration::from_secs(3600);
const BLOCK: u32 = 4096;
/// Blocks that the file system says it has: 4 GiB.
const BLOCKS: u64 = 1 << 20;
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// Serves the file system until it is unmounted.
///
/// # Errors
/// It cannot be mounted or recorded.
pub(crate) fn run(
    recording: &Path,
    position: &Path,
    mount: &Path,
    socket: &Path,
) -> io::Result<()> {
    let room = Arc::new(Mutex::new(Room::default()));
    let state = State {
        tree: Tree::default(),
        recorder: Recorder::create(recording, position)?,
        last: crate::tree::ROOT,
        room: Arc::clone(&room),
    };
    room::listen(socket, room)?;
    let door = Strict(Mutex::new(state));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("powercut".to_owned())];
    fuser::mount(door, mount, &config)
}

#[derive(Debug)]
struct State {
    tree: Tree,
    recorder: Recorder,
    /// Newest inode.
    last: u64,
    room: Arc<Mutex<Room>>,
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether there is room for a new name.
    fn room_for_name(&self, entry: &Entry) -> Result<(), Errno> {
        let above = self.tree.path(entry.parent).unwrap_or_default();
        self.room_for(Need::Name, &format!("{above}/{}", entry.name))
    }

    /// Whether there is room for a file to end at `end`; a file that is longer needs none.
    fn room_for_bytes(&self, inode: u64, end: u64) -> Result<(), Errno> {
        let len = match self.tree.node(inode) {
            Some(Node::File(contents)) => contents.len() as u64,
            Some(Node::Directory(_)) | None => return Ok(()),
        };
        match (end > len).then(|| self.tree.path(inode)).flatten() {
            Some(path) => self.room_for(Need::Bytes, &path),
            None => Ok(()),
        }
    }

    fn room_for(&self, need: Need, path: &str) -> Result<(), Errno> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        match room.refuses(need, path.trim_start_matches('/')) {
            true => Err(Errno::ENOSPC),
            false => Ok(()),
        }
    }

    /// Records an operation and applies it.
    fn take(&mut self, op: &Op) -> Result<(), Errno> {
        self.recorder
            .record(What::Change, &op.encode())
            .map_err(|_| Errno::EIO)?;
        self.tree.apply(op);
        Ok(())
    }

    fn attributes(&self, inode: u64) -> Option<FileAttr> {
        let (kind, perm, size) = match self.tree.node(inode)? {
            Node::Directory(_) => (FileType::Directory, 0o755, 0),
            Node::File(contents) => (FileType::RegularFile, 0o644, contents.len() as u64),
        };
        Some(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
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
            blksize: BLOCK,
        })
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let entry = entry(parent, name)?;
        let inode = self.tree.find(&entry).ok_or(Errno::ENOENT)?;
        if self
            .tree
            .names(inode)
            .is_some_and(|names| !names.is_empty())
        {
            return Err(Errno::ENOTEMPTY);
        }
        self.take(&Op::Remove(entry))
    }
}

fn entry(parent: INodeNo, name: &OsStr) -> Result<Entry, Errno> {
    Ok(Entry {
        parent: parent.0,
        name: name.to_str().ok_or(Errno::EINVAL)?.to_owned(),
    })
}

#[derive(Debug)]
struct Strict(Mutex<State>);

impl Strict {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, op: &Op, reply: ReplyEmpty) {
        answer(self.state().take(op), reply);
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Strict {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        config
            .set_max_write(REQUEST_BYTES_MAX)
            .map(drop)
            .or_else(|nearest| config.set_max_write(nearest).map(drop))
            .map_err(|_| io::Error::other("the kernel takes no size of writes"))
    }

    fn destroy(&mut self) {
        // A recording that could not be written is short, and its reader notices.
        drop(self.state().recorder.publish());
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let found = entry(parent, name)
            .ok()
            .and_then(|entry| state.tree.find(&entry));
        match found.and_then(|inode| state.attributes(inode)) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().attributes(inode.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let done = match size {
            Some(len) => state
                .room_for_bytes(inode.0, len)
                .and_then(|()| state.take(&Op::Resize(inode.0, len))),
            None => Ok(()),
        };
        match (done, state.attributes(inode.0)) {
            (Ok(()), Some(attributes)) => reply.attr(&TTL, &attributes),
            (Err(errno), _) => reply.error(errno),
            (_, None) => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut state = self.state();
        let inode = state.next();
        let made = entry(parent, name).and_then(|entry| {
            state.room_for_name(&entry)?;
            state.take(&Op::MakeDirectory(entry, inode))
        });
        match made.map(|()| state.attributes(inode)) {
            Ok(Some(attributes)) => reply.entry(&TTL, &attributes, Generation(0)),
            Ok(None) => reply.error(Errno::ENOENT),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        let inode = state.next();
        let made = entry(parent, name).and_then(|entry| {
            state.room_for_name(&entry)?;
            state.take(&Op::Create(entry, inode))
        });
        match made.map(|()| state.attributes(inode)) {
            Ok(Some(attributes)) => {
                let handle = FileHandle(0);
                reply.created(
                    &TTL,
                    &attributes,
                    Generation(0),
                    handle,
                    FopenFlags::empty(),
                );
            }
            Ok(None) => reply.error(Errno::ENOENT),
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.state().remove(parent, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.state().remove(parent, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let from = entry(parent, name);
        let to = entry(to_parent, to_name);
        let done = from.and_then(|from| self.state().take(&Op::Rename(from, to?)));
        answer(done, reply);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state();
        let Some(Node::File(contents)) = state.tree.node(inode.0) else {
            return reply.error(Errno::EISDIR);
        };
        let begin = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(contents.len());
        let end = begin
            .saturating_add(usize::try_from(size).unwrap_or(usize::MAX))
            .min(contents.len());
        reply.data(contents.get(begin..end).unwrap_or_default());
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let end = offset.saturating_add(data.len() as u64);
        let mut done = state
            .room_for_bytes(inode.0, end)
            .and_then(|()| state.take(&Op::Write(inode.0, offset, data.to_vec())));
        // The kernel passes on that the writer waits for the medium.
        if flags.0 & libc::O_DSYNC != 0 {
            done = done.and_then(|()| state.take(&Op::SyncFile(inode.0)));
        }
        match done {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(0)),
            Err(errno) => reply.error(errno),
        }
    }

    /// Reserving is only asking: what was reserved is not remembered.
    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != libc::FALLOC_FL_KEEP_SIZE {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let end = offset.saturating_add(length);
        answer(self.state().room_for_bytes(inode.0, end), reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(&Op::SyncFile(inode.0), reply);
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(&Op::SyncDirectory(inode.0), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.state();
        let Some(names) = state.tree.names(inode.0) else {
            return reply.error(Errno::ENOTDIR);
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (number, (name, inode)) in names.iter().enumerate().skip(skipped) {
            let kind = match state.tree.node(*inode) {
                Some(Node::Directory(_)) => FileType::Directory,
                Some(Node::File(_)) | None => FileType::RegularFile,
            };
            if reply.add(INodeNo(*inode), number as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }
}
