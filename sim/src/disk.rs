//! A disk in virtual time that forgets and tears what was not flushed.
//!
//! Owns: the durable contents, operations on their way, what a crash makes of them.
//! Never: loses a write that was reported done.
//! Invariants: an operation takes effect when it completes; a crash lets each operation on its way happen,
//! not happen, or (a write, or the creation of a file) happen in part, sector by sector.
//! Source: reliability.md 2.1, 3.2.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::ids::ShardId;
use model::prng::Prng;
use storage::exec::{Disk, MemoryDisk};
use storage::{FileKey, FileOp, Io, IoError, IoId, IoOutcome};

/// The unit that is written whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Bytes free and in all that the simulated file system reports.
const SPACE_BYTES: u64 = 1 << 40;

/// One operation on its way.
#[derive(Debug)]
enum Pending {
    Write {
        path: String,
        position: u64,
        bytes: Vec<u8>,
    },
    Read {
        path: String,
        position: u64,
        len: usize,
    },
    File(FileOp),
    /// The file is not open: a bug of the store, answered as the shell would.
    Lost,
}

/// The disk of one broker, shared by its cores.
#[derive(Debug, Default)]
pub struct SimDisk {
    durable: MemoryDisk,
    open: BTreeMap<(ShardId, FileKey), String>,
    pending: BTreeMap<(ShardId, IoId), Pending>,
    writes: u64,
    /// What the newest completed writes replaced, oldest first, if this disk lies.
    undo: Option<VecDeque<(String, u64, Vec<u8>)>>,
}

/// Completed writes that a lying disk loses in a crash.
const LIES: usize = 12;

impl SimDisk {
    /// What survives a crash right now, for recovery and for looking at.
    pub fn durable_mut(&mut self) -> &mut MemoryDisk {
        &mut self.durable
    }

    /// From now on reports writes as done that a crash takes back: to see that the checks notice.
    pub fn lie(&mut self) {
        self.undo = Some(VecDeque::new());
    }

    fn remember(&mut self, path: &str, position: u64, len: usize) {
        if let Some(undo) = &mut self.undo {
            let before = self.durable.read(path, position, len).unwrap_or_default();
            undo.push_back((path.to_owned(), position, before));
            if undo.len() > LIES {
                undo.pop_front();
            }
        }
    }

    /// Durable writes carried out so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Takes an operation; gives the id to be completed later.
    pub fn submit(&mut self, shard: ShardId, io: Io) -> IoId {
        let (id, pending) = match io {
            Io::Write {
                id,
                file,
                position,
                pieces,
                len,
            } => {
                let mut bytes = pieces.concat();
                assert!(bytes.len() <= len as usize, "pieces fit their length");
                bytes.resize(len as usize, 0);
                (
                    id,
                    self.on_file(shard, file, |path| Pending::Write {
                        path,
                        position,
                        bytes,
                    }),
                )
            }
            Io::Read {
                id,
                file,
                position,
                len,
            } => {
                let read = |path| Pending::Read {
                    path,
                    position,
                    len: len as usize,
                };
                (id, self.on_file(shard, file, read))
            }
            Io::File { id, op } => (id, Pending::File(op)),
        };
        let previous = self.pending.insert((shard, id), pending);
        assert!(previous.is_none(), "an id is used once");
        id
    }

    fn on_file(
        &self,
        shard: ShardId,
        file: FileKey,
        make: impl FnOnce(String) -> Pending,
    ) -> Pending {
        self.open
            .get(&(shard, file))
            .cloned()
            .map_or(Pending::Lost, make)
    }

    /// Lets an operation take effect.
    pub fn complete(&mut self, shard: ShardId, id: IoId) -> Option<IoOutcome> {
        let pending = self.pending.remove(&(shard, id))?;
        Some(match pending {
            Pending::Write {
                path,
                position,
                bytes,
            } => {
                self.writes += 1;
                self.remember(&path, position, bytes.len());
                outcome(
                    self.durable
                        .write(&path, position, &bytes)
                        .map(|()| IoOutcome::Written),
                )
            }
            Pending::Read {
                path,
                position,
                len,
            } => {
                let read = self.durable.read(&path, position, len);
                outcome(read.map(|bytes| IoOutcome::Bytes(Bytes::from(bytes))))
            }
            Pending::File(op) => outcome(self.perform(shard, op)),
            Pending::Lost => IoOutcome::Failed(IoError::NotFound),
        })
    }

    fn perform(&mut self, shard: ShardId, op: FileOp) -> Result<IoOutcome, IoError> {
        match op {
            FileOp::Create {
                file,
                path,
                len,
                head,
            } => {
                self.durable.lay_out(&path, len, &head)?;
                self.open.insert((shard, file), path);
                Ok(IoOutcome::Done { len })
            }
            FileOp::Open { file, path } => {
                let len = self.durable.len(&path)?;
                self.open.insert((shard, file), path);
                Ok(IoOutcome::Done { len })
            }
            FileOp::Extend { file, len } => {
                let path = self
                    .open
                    .get(&(shard, file))
                    .cloned()
                    .ok_or(IoError::NotFound)?;
                self.extend(&path, len)
            }
            FileOp::Replace { path, contents } => {
                let len = contents.len() as u64;
                self.durable.put(&path, contents.to_vec());
                Ok(IoOutcome::Done { len })
            }
            FileOp::Load { path, len_max } => {
                let len = self.durable.len(&path)?.min(len_max);
                let bytes =
                    self.durable
                        .read(&path, 0, usize::try_from(len).unwrap_or(usize::MAX))?;
                Ok(IoOutcome::Bytes(Bytes::from(bytes)))
            }
            FileOp::Close { file } => {
                self.open.remove(&(shard, file));
                Ok(IoOutcome::Done { len: 0 })
            }
            FileOp::Remove { path } => {
                self.durable.remove(&path)?;
                Ok(IoOutcome::Done { len: 0 })
            }
            FileOp::Truncate { path, len } => {
                self.durable.truncate(&path, len);
                Ok(IoOutcome::Done { len })
            }
            FileOp::Space => Ok(IoOutcome::Space {
                free: SPACE_BYTES,
                total: SPACE_BYTES,
            }),
        }
    }

    fn extend(&mut self, path: &str, len: u64) -> Result<IoOutcome, IoError> {
        let mut contents = self
            .durable
            .contents(path)
            .ok_or(IoError::NotFound)?
            .to_vec();
        contents.resize(
            usize::try_from(len)
                .unwrap_or(usize::MAX)
                .max(contents.len()),
            0,
        );
        self.durable.put(path, contents);
        Ok(IoOutcome::Done { len })
    }

    /// Power fails: decides the fate of everything on its way.
    pub fn crash(&mut self, prng: &mut Prng) {
        let pending = std::mem::take(&mut self.pending);
        for ((shard, _), operation) in pending {
            match operation {
                Pending::Write {
                    path,
                    position,
                    bytes,
                } => self.tear(prng, &path, (position, &bytes)),
                Pending::File(FileOp::Create {
                    path, len, head, ..
                }) if prng.chance(1, 3) => {
                    let whole = (len, &head[..]);
                    // It would have failed: the path exists.
                    if self.durable.lay_out_in_part(&path, whole, prng).is_err() {
                        continue;
                    }
                }
                Pending::File(op) if prng.chance(1, 2) => drop(self.perform(shard, op)),
                Pending::File(_) | Pending::Read { .. } | Pending::Lost => {}
            }
        }
        while let Some((path, position, before)) = self.undo.as_mut().and_then(VecDeque::pop_back) {
            if self.durable.write(&path, position, &before).is_err() {
                continue;
            }
        }
        self.open.clear();
    }

    fn tear(&mut self, prng: &mut Prng, path: &str, (position, bytes): (u64, &[u8])) {
        let fate = prng.below(3);
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let survives = match fate {
                0 => false,
                1 => true,
                _ => prng.chance(1, 2),
            };
            let at = position + (index * SECTOR_BYTES) as u64;
            // A file that vanished with its directory entry takes its sectors along.
            if survives && self.durable.write(path, at, sector).is_err() {
                return;
            }
        }
    }
}

fn outcome(result: Result<IoOutcome, IoError>) -> IoOutcome {
    result.unwrap_or_else(IoOutcome::Failed)
}
