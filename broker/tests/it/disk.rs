//! Carrying out a store's I/O against a disk in memory, at once or when the test allows it.
//!
//! Owns: open files, I/O that is held back.
//! Never: loses or reorders what it carries out.
//! Invariants: what is held back has not touched the disk.
//! Source: architecture.md A3.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::prng::Prng;
use storage::exec::{Disk, MemoryDisk};
use storage::{FileKey, FileOp, Io, IoError, IoId, IoOutcome};

/// Which I/O waits for [`TestDisk::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Nothing,
    Writes,
    Reads,
}

/// A disk in memory behind the store's alphabet.
#[derive(Debug)]
pub(crate) struct TestDisk {
    pub(crate) files: MemoryDisk,
    open: BTreeMap<FileKey, String>,
    pub(crate) hold: Hold,
    held: VecDeque<Io>,
    pub(crate) free: u64,
    /// Every write fails from now on.
    pub(crate) is_broken: bool,
    /// Every read fails.
    pub(crate) is_unreadable: bool,
    /// I/Os so far that were not writes of a journal file.
    pub(crate) beside_journal: u64,
    /// Groups written to segments so far.
    pub(crate) segment_groups: u64,
    /// Files made or removed so far.
    pub(crate) files_changed: u64,
    /// Segment files made so far.
    pub(crate) segments_made: u64,
}

impl TestDisk {
    pub(crate) fn new() -> Self {
        Self {
            files: MemoryDisk::new(),
            open: BTreeMap::new(),
            hold: Hold::Nothing,
            held: VecDeque::new(),
            free: 1 << 40,
            is_broken: false,
            is_unreadable: false,
            beside_journal: 0,
            segment_groups: 0,
            files_changed: 0,
            segments_made: 0,
        }
    }

    /// The process ended: nothing is open, nothing is on its way.
    pub(crate) fn power_cycle(&mut self) {
        self.open.clear();
        self.held.clear();
        self.hold = Hold::Nothing;
    }

    /// Takes one I/O; gives its outcome unless it is held back.
    pub(crate) fn submit(&mut self, io: Io) -> Option<(IoId, IoOutcome)> {
        let is_held = match (self.hold, &io) {
            (Hold::Writes, Io::Write { .. }) | (Hold::Reads, Io::Read { .. }) => true,
            (Hold::Nothing | Hold::Writes | Hold::Reads, _) => false,
        };
        if is_held {
            self.held.push_back(io);
            return None;
        }
        Some(self.execute(io))
    }

    /// Carries out everything that was held back, and holds nothing from now on.
    pub(crate) fn release(&mut self) -> Vec<(IoId, IoOutcome)> {
        self.hold = Hold::Nothing;
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|io| self.execute(io)).collect()
    }

    /// Power fails: of each write that was held back none, some or all blocks reach the device.
    pub(crate) fn tear(&mut self, prng: &mut Prng) {
        for io in std::mem::take(&mut self.held) {
            let Io::Write {
                file,
                position,
                pieces,
                len,
                ..
            } = io
            else {
                continue;
            };
            let blocks = u64::from(len) / 4_096;
            let kept = match prng.next_u64() % 3 {
                0 => 0,
                1 => prng.next_u64() % blocks,
                _ => blocks,
            };
            let mut bytes = pieces.concat();
            bytes.resize(usize::try_from(kept * 4_096).unwrap(), 0);
            let path = self.open.get(&file).unwrap();
            self.files.write(path, position, &bytes).unwrap();
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Counts what tests ask for.
    fn note(&mut self, io: &Io) {
        let path = match io {
            Io::Write { file, .. } => self.open.get(file).map_or("", String::as_str),
            Io::Read { .. } | Io::File { .. } => "",
        };
        let is_head = matches!(io, Io::Write { position: 0, .. });
        let made = match io {
            Io::File {
                op: FileOp::Create { path, .. },
                ..
            } => Some(path),
            Io::Write { .. } | Io::Read { .. } | Io::File { .. } => None,
        };
        let is_removal = matches!(
            io,
            Io::File {
                op: FileOp::Remove { .. },
                ..
            }
        );
        self.beside_journal += u64::from(!path.ends_with(".j"));
        self.segment_groups += u64::from(path.ends_with(".seg") && !is_head);
        self.files_changed += u64::from(made.is_some() || is_removal);
        self.segments_made += u64::from(made.is_some_and(|path| path.ends_with(".seg")));
    }

    fn execute(&mut self, io: Io) -> (IoId, IoOutcome) {
        self.note(&io);
        match io {
            Io::Write {
                id,
                file,
                position,
                pieces,
                len,
            } => {
                let outcome = self.write(file, position, &pieces, len);
                (id, outcome.unwrap_or_else(IoOutcome::Failed))
            }
            Io::Read {
                id,
                file,
                position,
                len,
            } => {
                let path = self.open.get(&file).unwrap();
                let read = match self.is_unreadable {
                    true => Err(IoError::Device(5)),
                    false => self.files.read(path, position, len as usize),
                };
                (
                    id,
                    read.map_or_else(IoOutcome::Failed, |read| IoOutcome::Bytes(read.into())),
                )
            }
            Io::File { id, op } => (id, self.operate(op).unwrap_or_else(IoOutcome::Failed)),
        }
    }

    fn write(
        &mut self,
        file: FileKey,
        position: u64,
        pieces: &[Bytes],
        len: u32,
    ) -> Result<IoOutcome, IoError> {
        if self.is_broken {
            return Err(IoError::Device(5));
        }
        assert!(
            position.is_multiple_of(4_096) && len.is_multiple_of(4_096),
            "writes are aligned"
        );
        let mut bytes = pieces.concat();
        assert!(bytes.len() <= len as usize, "pieces fit the length");
        bytes.resize(len as usize, 0);
        let path = self.open.get(&file).unwrap();
        // A file that was removed while it is open takes writes as before; nobody will see them.
        if self.files.contents(path).is_some() {
            self.files.write(path, position, &bytes)?;
        }
        Ok(IoOutcome::Written)
    }

    fn operate(&mut self, op: FileOp) -> Result<IoOutcome, IoError> {
        let mut length = 0;
        match op {
            FileOp::Create {
                file,
                path,
                len,
                head,
            } => {
                self.files.lay_out(&path, len, &head)?;
                self.open.insert(file, path);
                length = len;
            }
            FileOp::Open { file, path } => {
                length = self.files.len(&path)?;
                self.open.insert(file, path);
            }
            FileOp::Extend { file, len } => {
                let path = self.open.get(&file).unwrap();
                let mut contents = self.files.contents(path).ok_or(IoError::NotFound)?.to_vec();
                contents.resize(usize::try_from(len).unwrap(), 0);
                self.files.put(path, contents);
                length = len;
            }
            FileOp::Replace { path, contents } => self.files.put(&path, contents.to_vec()),
            FileOp::Load { path, len_max } => {
                let contents = self.files.contents(&path).ok_or(IoError::NotFound)?;
                let upto = contents.len().min(usize::try_from(len_max).unwrap());
                return Ok(IoOutcome::Bytes(Bytes::copy_from_slice(&contents[..upto])));
            }
            FileOp::Close { file } => {
                self.open.remove(&file).unwrap();
            }
            FileOp::Remove { path } => self.files.remove(&path)?,
            FileOp::Truncate { path, len } => {
                assert!(self.files.truncate(&path, len), "cut files exist");
            }
            FileOp::Space => {
                return Ok(IoOutcome::Space {
                    free: self.free,
                    total: 1 << 41,
                });
            }
        }
        Ok(IoOutcome::Done { len: length })
    }
}
