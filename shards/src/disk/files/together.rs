//! What waits for the helper, and how much of it is made durable at once.
//!
//! Owns: taking requests, answering them; files that grow together.
//! Never: answers before what was done is durable.
//! Invariants: requests take effect in order of arrival; a batch of new or growing files is written in waves and costs one
//! flush of the file system where that is known to flush everything, else each file is written and flushed by itself.
//! Source: reliability.md 2.1; syncfs(2); performance.md P15 (10,000 partitions).

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use storage::{FileOp, IoError, IoOutcome};

use super::growth::Growth;
use super::waves::Waves;
use super::{Done, FileDone, FileRequest, Target, begin_create, carry_out};
use crate::disk::io_error_of;
use crate::mailbox::Letter;

/// Requests taken at once: what comes after them waits for all of them.
const TAKEN_MAX: usize = 128;
/// From so many files on, one flush of the whole file system is cheaper than four flushes for each.
const TOGETHER_MIN: usize = 8;
/// Types of file systems whose `syncfs` makes everything durable, the device's cache included: ext2 to ext4, XFS, Btrfs.
/// Others (FUSE, network file systems) may do nothing.
const WHOLE: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

/// The thread's state.
pub(super) struct Helper {
    root: PathBuf,
    /// The data directory, if its file system can be made durable at once.
    whole: Option<File>,
    filler: Filler,
}

impl Helper {
    /// For the data directory `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        let whole = File::open(&root).ok().filter(is_flushed_whole);
        Self {
            root,
            whole,
            filler: Filler::default(),
        }
    }

    /// Works until every sender is gone.
    pub(super) fn run(&mut self, requests: &Receiver<FileRequest>) {
        while let Ok(first) = requests.recv() {
            let rest = requests.try_iter().take(TAKEN_MAX - 1);
            let taken = std::iter::once(first).chain(rest).collect();
            self.carry_out_all(taken);
        }
    }

    fn carry_out_all(&mut self, taken: Vec<FileRequest>) {
        let mut growing = Vec::new();
        for request in taken {
            match request.op {
                FileOp::Create { .. } | FileOp::Extend { .. } => growing.push(request),
                FileOp::Open { .. }
                | FileOp::Replace { .. }
                | FileOp::Load { .. }
                | FileOp::Close { .. }
                | FileOp::Remove { .. }
                | FileOp::Truncate { .. }
                | FileOp::Space => {
                    self.grow(std::mem::take(&mut growing));
                    self.carry_out_one(request);
                }
            }
        }
        self.grow(growing);
    }

    fn grow(&mut self, requests: Vec<FileRequest>) {
        let Self {
            root,
            whole,
            filler,
        } = self;
        match whole {
            Some(directory) if requests.len() >= TOGETHER_MIN => {
                grow_together((root, directory), filler, requests);
            }
            _ => requests
                .into_iter()
                .for_each(|request| self.carry_out_one(request)),
        }
    }

    fn carry_out_one(&self, request: FileRequest) {
        let done = carry_out(&self.root, &request);
        answer(request, done);
    }
}

/// How files are laid out that grow together.
#[derive(Debug, Default)]
enum Filler {
    /// Nobody asked yet.
    #[default]
    Unmade,
    /// Many at once.
    Waves(Box<Waves>),
    /// One after the other, because there is no ring.
    Singly,
}

impl Filler {
    /// Writes what is left of each file, or notes why not.
    fn lay_out(&mut self, growths: &mut [&mut Growth]) {
        if matches!(self, Self::Unmade) {
            *self = Self::made();
        }
        let Self::Waves(waves) = self else {
            growths.iter_mut().for_each(|growth| growth.lay_out());
            return;
        };
        if let Err(fatal) = waves.lay_out(growths) {
            tracing::error!(%fatal, "files are laid out one after the other from now on");
            *self = Self::Singly;
            // A write that is still on its way would come after what is written to the file next.
            let unfinished = growths.iter_mut().filter(|growth| growth.is_unfinished());
            unfinished.for_each(|growth| growth.fail(io::Error::from_raw_os_error(libc::EIO)));
        }
    }

    fn made() -> Self {
        match Waves::new() {
            Ok(waves) => Self::Waves(Box::new(waves)),
            Err(error) => {
                tracing::warn!(%error, "no ring for files: they are laid out one after the other");
                Self::Singly
            }
        }
    }
}

/// Has all files made and written, and then flushes the file system that has `directory`.
fn grow_together(
    (root, directory): (&Path, &File),
    filler: &mut Filler,
    requests: Vec<FileRequest>,
) {
    let mut begun: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let growth = begin(root, &request);
            (request, growth)
        })
        .collect();
    let growths = begun.iter_mut();
    let growths = growths.filter_map(|(_, growth)| growth.as_mut().ok());
    filler.lay_out(&mut growths.collect::<Vec<_>>());
    let flushed = rustix::fs::syncfs(directory);
    for (request, growth) in begun {
        let done = growth.and_then(|growth| {
            let len = growth.len();
            let file = growth.finish(|_| flushed.map_err(io::Error::from))?;
            Ok(grown(&request.op, len, file))
        });
        answer(request, done.map_err(|error| io_error_of(&error)));
    }
}

fn is_flushed_whole(directory: &File) -> bool {
    let kind = rustix::fs::fstatfs(directory).map(|stat| u64::try_from(stat.f_type));
    kind.is_ok_and(|kind| kind.is_ok_and(|kind| WHOLE.contains(&kind)))
}

/// Makes the file, or takes the one that is to grow.
fn begin(root: &Path, request: &FileRequest) -> io::Result<Growth> {
    match (&request.op, &request.target) {
        (
            FileOp::Create {
                path, len, head, ..
            },
            _,
        ) => begin_create(root, path, *len, head.clone()),
        (FileOp::Extend { len, .. }, Target::Open(file)) => Growth::of_open(file, *len),
        (op, _) => {
            let message = format!("{op:?} does not make a file grow");
            Err(io::Error::other(message))
        }
    }
}

/// What is said of a file that was laid out and is durable.
fn grown(op: &FileOp, len: u64, file: Arc<File>) -> Done {
    let opened = if let FileOp::Create { file: key, .. } = op {
        Some((*key, file))
    } else {
        None
    };
    (IoOutcome::Done { len }, opened)
}

fn answer(request: FileRequest, done: Result<Done, IoError>) {
    let (outcome, opened) = match done {
        Ok(done) => done,
        Err(error) => (IoOutcome::Failed(error), None),
    };
    let FileRequest { id, reply, .. } = request;
    reply.send(Letter::File(Box::new(FileDone {
        id,
        outcome,
        opened,
    })));
}
