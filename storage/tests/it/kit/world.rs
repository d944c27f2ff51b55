//! A store over a disk in memory, driven by hand.
//!
//! Owns: carrying out what the store asks for.
//! Never: decides what is right.
//! Invariants: an I/O that is pending at a power cut is lost, done, or torn at any sector.
//! Source: reliability.md 2.1, 3.2.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::ids::ShardId;
use model::offset::Offset;
use model::prng::Prng;
use model::time::{Instant, Now, Timestamp};
use storage::exec::{Disk, MemoryDisk, Recovered};
use storage::io::{FileKey, FileOp, Io, IoId, IoOutcome};
use storage::store::ReadBudget;
use storage::{LogId, ReadOutcome, Store, StoreConfig};

/// Wall clock at the start of every test, ms.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;
/// The only core.
pub(crate) const SHARD: ShardId = ShardId::new(0);
/// Bytes that a device writes at once.
pub(crate) const SECTOR: usize = 512;

/// Sizes so small that a few appends make several files.
pub(crate) fn config(seed: u64) -> StoreConfig {
    StoreConfig {
        shard: SHARD,
        journal_bytes: 96 * 1024,
        journal_first_bytes: 64 * 1024,
        tail_bytes_max: 96 * 1024,
        tail_age_ms: 5_000,
        cache_bytes_max: 0,
        open_files_max: 8,
        manifest_bytes: 32 * 1024,
        extent_bytes: (32 * 1024, 256 * 1024),
        seed,
        ..StoreConfig::default()
    }
}

/// The start of every test.
pub(crate) fn start() -> Now {
    Now {
        instant: Instant::from_nanos(1_000_000_000),
        wall: Timestamp::from_millis(EPOCH_MS),
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) disk: MemoryDisk,
    pub(crate) now: Now,
    pending: VecDeque<Io>,
    paths: BTreeMap<FileKey, String>,
}

impl World {
    pub(crate) fn open(disk: MemoryDisk, recovered: Recovered, (seed, now): (u64, Now)) -> Self {
        let mut world = Self {
            store: Store::open(config(seed), recovered, now),
            disk,
            now,
            pending: VecDeque::new(),
            paths: BTreeMap::new(),
        };
        world.round();
        world
    }

    /// Takes what the store wants done.
    pub(crate) fn round(&mut self) {
        self.store.seal_round(self.now);
        while let Some(io) = self.store.poll_io() {
            self.pending.push_back(io);
        }
        while self.store.poll_event().is_some() {}
    }

    /// Carries out one of the pending operations.
    pub(crate) fn complete(&mut self, prng: &mut Prng) {
        let at = usize::try_from(prng.below(self.pending.len().max(1) as u64)).unwrap();
        if let Some(io) = self.pending.remove(at) {
            let (id, outcome) = self.perform(io);
            self.store.handle_io(self.now, id, outcome).unwrap();
        }
    }

    /// Runs until nothing is pending.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.round();
            let Some(io) = self.pending.pop_front() else {
                return;
            };
            let (id, outcome) = self.perform(io);
            self.store.handle_io(self.now, id, outcome).unwrap();
        }
        panic!("the store does not come to rest");
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now.instant = Instant::from_nanos(self.now.instant.as_nanos() + ms * 1_000_000);
        self.now.wall = self.now.wall.plus_millis(i64::try_from(ms).unwrap());
        self.store.handle_timeout(self.now).unwrap();
    }

    /// Lets timers run until everything acknowledged has its witness.
    pub(crate) fn come_to_rest(&mut self) {
        for _ in 0..4 {
            self.settle();
            self.advance_ms(6);
        }
        self.settle();
    }

    /// Reads at an offset, waiting for the device as often as needed.
    pub(crate) fn read(&mut self, id: LogId, from: u64) -> ReadOutcome {
        let upto = self.store.bounds(id).unwrap().high_watermark;
        let budget = ReadBudget {
            bytes_max: 32 * 1024,
            at_least_one: true,
        };
        for _ in 0..1_000 {
            let outcome = self
                .store
                .read(self.now, id, Offset::new(from), upto, budget);
            if outcome != ReadOutcome::Pending {
                return outcome;
            }
            self.settle();
            self.advance_ms(1);
        }
        panic!("a read never ends");
    }

    /// Loses power.
    pub(crate) fn lose_power(mut self, prng: &mut Prng) -> MemoryDisk {
        while let Some(io) = self.pending.pop_front() {
            match (io, prng.below(3)) {
                (_, 0) => {}
                (
                    Io::Write {
                        file,
                        position,
                        pieces,
                        len,
                        ..
                    },
                    1,
                ) => self.tear((file, position), &padded(&pieces, len), prng),
                (
                    Io::File {
                        op:
                            FileOp::Create {
                                path, len, head, ..
                            },
                        ..
                    },
                    1,
                ) => {
                    let whole = (len, &head[..]);
                    self.disk.lay_out_in_part(&path, whole, prng).unwrap();
                }
                (io, _) => {
                    self.perform(io);
                }
            }
        }
        self.disk
    }

    fn tear(&mut self, (file, position): (FileKey, u64), bytes: &[u8], prng: &mut Prng) {
        let path = self.paths.get(&file).unwrap().clone();
        for (sector, part) in bytes.chunks(SECTOR).enumerate() {
            let at = position + (SECTOR * sector) as u64;
            if self.disk.contents(&path).is_some() && prng.chance(1, 2) {
                self.disk.write(&path, at, part).unwrap();
            }
        }
    }

    fn perform(&mut self, io: Io) -> (IoId, IoOutcome) {
        match io {
            Io::Write {
                id,
                file,
                position,
                pieces,
                len,
            } => {
                let path = &self.paths[&file];
                // A removed file may still be open.
                if self.disk.contents(path).is_some() {
                    let bytes = padded(&pieces, len);
                    self.disk.write(path, position, &bytes).unwrap();
                }
                (id, IoOutcome::Written)
            }
            Io::Read {
                id,
                file,
                position,
                len,
            } => {
                let read = self.disk.read(&self.paths[&file], position, len as usize);
                (
                    id,
                    read.map_or_else(IoOutcome::Failed, |b| IoOutcome::Bytes(b.into())),
                )
            }
            Io::File { id, op } => (id, self.perform_file(op)),
        }
    }

    fn perform_file(&mut self, op: FileOp) -> IoOutcome {
        match op {
            FileOp::Create {
                file,
                path,
                len,
                head,
            } => {
                self.disk.lay_out(&path, len, &head).unwrap();
                self.paths.insert(file, path);
                IoOutcome::Done { len }
            }
            FileOp::Open { file, path } => match self.disk.len(&path) {
                Ok(len) => {
                    self.paths.insert(file, path);
                    IoOutcome::Done { len }
                }
                Err(error) => IoOutcome::Failed(error),
            },
            FileOp::Extend { file, len } => {
                let path = &self.paths[&file];
                let mut contents = self.disk.contents(path).unwrap().to_vec();
                contents.resize(usize::try_from(len).unwrap(), 0);
                self.disk.put(path, contents);
                IoOutcome::Done { len }
            }
            FileOp::Replace { path, contents } => {
                self.disk.put(&path, contents.to_vec());
                let len = contents.len() as u64;
                IoOutcome::Done { len }
            }
            FileOp::Load { path, len_max } => {
                let read = self.disk.read(&path, 0, usize::try_from(len_max).unwrap());
                read.map_or_else(IoOutcome::Failed, |bytes| IoOutcome::Bytes(bytes.into()))
            }
            FileOp::Close { file } => {
                self.paths.remove(&file);
                IoOutcome::Done { len: 0 }
            }
            FileOp::Remove { path } => {
                self.disk.remove(&path).unwrap();
                IoOutcome::Done { len: 0 }
            }
            FileOp::Truncate { path, len } => {
                self.disk.truncate(&path, len);
                IoOutcome::Done { len }
            }
            FileOp::Space => IoOutcome::Space {
                free: 1 << 40,
                total: 1 << 40,
            },
        }
    }
}

fn padded(pieces: &[Bytes], len: u32) -> Vec<u8> {
    let mut bytes = pieces.concat();
    bytes.resize(len as usize, 0);
    bytes
}
