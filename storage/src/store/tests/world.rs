//! A store over a disk in memory whose completions a test controls.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use model::batch::{BatchBuilder, BatchInfo, NewRecord};
use model::fatal::Fatal;
use model::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use model::offset::Offset;
use model::prng::Prng;
use model::time::{Instant, Now, Timestamp};

use crate::exec::{Disk, MemoryDisk, Recovered, RecoveryReport, recover};
use crate::io::{FileKey, FileOp, Io, IoError, IoId, IoOutcome};
use crate::log::{LogConfig, ReadOutcome};
use crate::store::{Appended, LogId, ReadBudget, Store, StoreConfig, StoreEvent};

/// Wall clock at the start of every test, ms.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;

/// Where files that were removed while open live on.
const UNLINKED: &str = "unlinked/";

pub(super) struct World {
    pub(super) store: Store,
    pub(super) disk: MemoryDisk,
    pub(super) config: StoreConfig,
    pub(super) now: Now,
    pub(super) pending: VecDeque<Io>,
    pub(super) paths: BTreeMap<FileKey, String>,
    pub(super) events: Vec<StoreEvent>,
    /// Bytes the device has in all.
    pub(super) capacity: u64,
    /// Whether it was ever full.
    pub(super) was_full: bool,
    /// Device writes so far.
    pub(super) writes: usize,
    /// Writes to each file.
    writes_to: BTreeMap<String, usize>,
}

pub(super) fn small_config() -> StoreConfig {
    StoreConfig {
        shard: ShardId::new(0),
        journal_bytes: 256 * 1024,
        journal_first_bytes: 128 * 1024,
        tail_bytes_max: 1 << 20,
        tail_age_ms: 5_000,
        cache_bytes_max: 1 << 20,
        open_files_max: 8,
        manifest_bytes: 64 * 1024,
        extent_bytes: (64 * 1024, 1 << 20),
        ..StoreConfig::default()
    }
}

pub(super) fn partition(number: u32) -> TopicPartition {
    TopicPartition {
        topic: TopicId::from_bytes([7; 16]),
        partition: PartitionId::new(number),
    }
}

/// One batch of `count` records whose values have `len` bytes.
pub(super) fn batch(count: usize, len: usize, timestamp_ms: i64) -> (BytesMut, BatchInfo) {
    let value = vec![b'v'; len];
    let mut builder = BatchBuilder::new(timestamp_ms);
    for number in 0..count {
        builder
            .push(&NewRecord::value(timestamp_ms + number as i64, &value))
            .unwrap();
    }
    let bytes = builder.build();
    let info = BatchInfo::parse(&bytes).unwrap();
    (bytes, info)
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(small_config())
    }

    pub(super) fn with(config: StoreConfig) -> Self {
        let mut disk = MemoryDisk::new();
        let recovered = recover(&mut disk, config.shard, EPOCH_MS).unwrap();
        Self::over(disk, config, recovered, start())
    }

    pub(super) fn over(
        disk: MemoryDisk,
        config: StoreConfig,
        recovered: Recovered,
        now: Now,
    ) -> Self {
        let store = Store::open(config.clone(), recovered, now);
        let mut world = Self {
            store,
            disk,
            config,
            now,
            pending: VecDeque::new(),
            paths: BTreeMap::new(),
            events: Vec::new(),
            capacity: u64::MAX,
            was_full: false,
            writes: 0,
            writes_to: BTreeMap::new(),
        };
        world.round();
        world
    }

    pub(super) fn log(&mut self, number: u32) -> LogId {
        self.log_with(number, LogConfig::default())
    }

    pub(super) fn log_with(&mut self, number: u32, config: LogConfig) -> LogId {
        self.store.create_log(self.now, partition(number), config)
    }

    pub(super) fn append(&mut self, id: LogId, count: usize, len: usize) -> Appended {
        self.try_append(id, count, len).unwrap()
    }

    pub(super) fn try_append(
        &mut self,
        id: LogId,
        count: usize,
        len: usize,
    ) -> Result<Appended, IoError> {
        let (bytes, info) = batch(count, len, self.now.wall.as_millis());
        self.store.append(self.now, id, bytes, &info)
    }

    /// Ends a round and takes what the store wants done, without doing it.
    pub(super) fn round(&mut self) {
        self.store.seal_round(self.now);
        while let Some(io) = self.store.poll_io() {
            self.pending.push_back(io);
        }
        while let Some(event) = self.store.poll_event() {
            self.events.push(event);
        }
    }

    /// Carries out the pending I/O at `index` and reports it.
    pub(super) fn complete(&mut self, index: usize) {
        self.try_complete(index).unwrap();
    }

    pub(super) fn try_complete(&mut self, index: usize) -> Result<(), Fatal> {
        let io = self.pending.remove(index).unwrap();
        let (id, outcome) = self.perform(io);
        self.store.handle_io(self.now, id, outcome)
    }

    /// Runs until nothing is pending.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            self.round();
            if self.pending.is_empty() {
                return;
            }
            self.complete(0);
        }
        panic!("the store does not come to rest");
    }

    /// Runs until nothing is pending but new files of segments, as if the file system did not answer.
    pub(super) fn settle_but_segments(&mut self) {
        for _ in 0..1_000_000 {
            self.round();
            let mut pending = self.pending.iter();
            let Some(index) = pending.position(|io| !is_new_segment(io)) else {
                return;
            };
            self.complete(index);
        }
        panic!("the store does not come to rest");
    }

    /// New files of segments that were asked for and are not made yet.
    pub(super) fn segments_asked_for(&self) -> usize {
        let pending = self.pending.iter();
        pending.filter(|io| is_new_segment(io)).count()
    }

    pub(super) fn advance_ms(&mut self, ms: u64) {
        self.now.instant = Instant::from_nanos(self.now.instant.as_nanos() + ms * 1_000_000);
        self.now.wall = self.now.wall.plus_millis(i64::try_from(ms).unwrap());
        self.store.handle_timeout(self.now).unwrap();
    }

    /// Lets time pass in steps and settles after each.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(1_000);
            self.advance_ms(step);
            self.settle();
            while self
                .store
                .poll_timeout()
                .is_some_and(|due| due <= self.now.instant)
            {
                self.advance_ms(0);
                self.settle();
            }
            left -= step;
        }
    }

    /// Device writes so far to files whose path has this in it.
    pub(super) fn writes_to(&self, part: &str) -> usize {
        let files = self.writes_to.iter();
        files
            .filter(|(path, _)| path.contains(part))
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn flushed(&self, id: LogId) -> u64 {
        self.store.bounds(id).unwrap().flushed_upto.get()
    }

    pub(super) fn visible(&self, id: LogId) -> u64 {
        self.store.bounds(id).unwrap().high_watermark.get()
    }

    /// Reads once.
    pub(super) fn read(&mut self, id: LogId, from: u64, bytes_max: usize) -> ReadOutcome {
        let upto = self.store.bounds(id).unwrap().high_watermark;
        let budget = ReadBudget {
            bytes_max,
            at_least_one: true,
        };
        self.store
            .read(self.now, id, Offset::new(from), upto, budget)
    }

    /// Reads, waiting for the device as often as needed.
    pub(super) fn read_wait(&mut self, id: LogId, from: u64, bytes_max: usize) -> ReadOutcome {
        for _ in 0..1_000 {
            let outcome = self.read(id, from, bytes_max);
            if outcome != ReadOutcome::Pending {
                return outcome;
            }
            self.settle();
            self.advance_ms(1);
        }
        panic!("a read never ends");
    }

    /// Every batch from `from` to the high watermark; panics at damage or a gap.
    pub(super) fn read_all(&mut self, id: LogId, from: u64) -> Vec<Bytes> {
        let end = self.visible(id);
        let (mut next, mut found) = (from, Vec::new());
        while next < end {
            let outcome = self.read_wait(id, next, 64 * 1024);
            let ReadOutcome::Ready { records, bytes } = outcome else {
                panic!("{outcome:?} at {next}")
            };
            assert_eq!(bytes, records.iter().map(Bytes::len).sum::<usize>());
            assert!(bytes > 0, "nothing at {next} below {end}");
            for batch in split(&records) {
                let info = BatchInfo::parse(&batch).unwrap();
                assert!(
                    info.base_offset.get() <= next || found.is_empty(),
                    "gap before {next}"
                );
                assert!(info.last_offset().get() >= next, "batch below {next}");
                next = info.last_offset().get() + 1;
                found.push(batch);
            }
        }
        found
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
                self.writes += 1;
                let path = self.paths.get(&file).expect("written files are open");
                *self.writes_to.entry(path.clone()).or_default() += 1;
                let mut bytes = pieces.concat();
                assert!(bytes.len() <= len as usize);
                bytes.resize(len as usize, 0);
                self.disk.write(path, position, &bytes).unwrap();
                (id, IoOutcome::Written)
            }
            Io::Read {
                id,
                file,
                position,
                len,
            } => {
                let path = self.paths.get(&file).expect("read files are open");
                let bytes = self.disk.read(path, position, len as usize).unwrap();
                (id, IoOutcome::Bytes(Bytes::from(bytes)))
            }
            Io::File { id, op } => (id, self.perform_file(op)),
        }
    }

    /// Removes a path; whoever has the file open still reads and writes it.
    fn unlink(&mut self, path: &str) {
        let open = self.paths.iter_mut().filter(|(_, open)| *open == path);
        let hidden = format!("{UNLINKED}{path}");
        let is_open = open.map(|(_, open)| open.clone_from(&hidden)).count() > 0;
        if is_open && self.disk.contents(path).is_some() {
            self.disk.rename(path, &hidden).unwrap();
        } else {
            self.disk.remove(path).unwrap();
        }
    }

    fn has_room_for(&self, len: u64) -> bool {
        self.capacity == u64::MAX || self.used().saturating_add(len) <= self.capacity
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.disk.files().iter().map(|(_, len)| len).sum()
    }

    fn perform_file(&mut self, op: FileOp) -> IoOutcome {
        match op {
            FileOp::Create {
                file,
                path,
                len,
                head,
            } => {
                if !self.has_room_for(len) {
                    return IoOutcome::Failed(IoError::NoSpace);
                }
                self.disk.lay_out(&path, len, &head).unwrap();
                assert!(self.paths.insert(file, path).is_none());
                IoOutcome::Done { len }
            }
            FileOp::Open { file, path } => match self.disk.len(&path) {
                Ok(len) => {
                    assert!(self.paths.insert(file, path).is_none());
                    IoOutcome::Done { len }
                }
                Err(error) => IoOutcome::Failed(error),
            },
            FileOp::Extend { file, len } => {
                let path = self
                    .paths
                    .get(&file)
                    .expect("extended files are open")
                    .clone();
                let mut contents = self.disk.contents(&path).unwrap().to_vec();
                if !self.has_room_for(len - contents.len() as u64) {
                    return IoOutcome::Failed(IoError::NoSpace);
                }
                contents.resize(usize::try_from(len).unwrap(), 0);
                self.disk.put(&path, contents);
                IoOutcome::Done { len }
            }
            FileOp::Replace { path, contents } => {
                self.disk.put(&path, contents.to_vec());
                IoOutcome::Done {
                    len: contents.len() as u64,
                }
            }
            FileOp::Load { path, len_max } => {
                match self.disk.read(&path, 0, usize::try_from(len_max).unwrap()) {
                    Ok(bytes) => IoOutcome::Bytes(Bytes::from(bytes)),
                    Err(error) => IoOutcome::Failed(error),
                }
            }
            FileOp::Close { file } => {
                let path = self.paths.remove(&file);
                let path = path.expect("only open files are closed");
                let is_open = self.paths.values().any(|open| *open == path);
                if path.starts_with(UNLINKED) && !is_open {
                    self.disk.remove(&path).unwrap();
                }
                IoOutcome::Done { len: 0 }
            }
            FileOp::Remove { path } => {
                self.unlink(&path);
                IoOutcome::Done { len: 0 }
            }
            FileOp::Truncate { path, len } => {
                // Removed meanwhile: both were on their way at once.
                if !self.disk.truncate(&path, len) {
                    return IoOutcome::Failed(IoError::NotFound);
                }
                IoOutcome::Done { len }
            }
            FileOp::Space => self.space(),
        }
    }

    fn space(&self) -> IoOutcome {
        let total = match self.capacity {
            u64::MAX => 1 << 40,
            capacity => capacity,
        };
        IoOutcome::Space {
            free: total.saturating_sub(self.used()),
            total,
        }
    }

    /// Loses power and starts again; gives what recovery reported.
    pub(super) fn restart(self, prng: &mut Prng) -> (Self, RecoveryReport) {
        let config = StoreConfig {
            seed: prng.next_u64(),
            ..self.config.clone()
        };
        let (now, capacity) = (self.now, self.capacity);
        let mut disk = self.lose_power(prng);
        let mut recovered = recover(&mut disk, config.shard, now.wall.as_millis()).unwrap();
        let report = std::mem::take(&mut recovered.report);
        let mut world = Self::over(disk, config, recovered, now);
        world.capacity = capacity;
        world.was_full = capacity < u64::MAX;
        (world, report)
    }

    /// Loses power: each write and each creation under way is lost, done, or torn; other file operations are lost or done.
    pub(super) fn lose_power(mut self, prng: &mut Prng) -> MemoryDisk {
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
                ) => {
                    let path = self.paths.get(&file).unwrap().clone();
                    let mut bytes = pieces.concat();
                    bytes.resize(len as usize, 0);
                    let sectors = bytes.chunks(512).enumerate();
                    for (sector, part) in sectors.filter(|_| prng.chance(1, 2)) {
                        let at = position + 512 * sector as u64;
                        self.disk.write(&path, at, part).unwrap();
                    }
                }
                (
                    Io::File {
                        op:
                            FileOp::Create {
                                path, len, head, ..
                            },
                        ..
                    },
                    1,
                ) if self.has_room_for(len) => {
                    let whole = (len, &head[..]);
                    self.disk.lay_out_in_part(&path, whole, prng).unwrap();
                }
                (io, _) => {
                    self.perform(io);
                }
            }
        }
        for path in self.paths.values().filter(|p| p.starts_with(UNLINKED)) {
            self.disk.remove(path).unwrap();
        }
        self.disk
    }
}

/// The start of every test.
fn is_new_segment(io: &Io) -> bool {
    matches!(io, Io::File { op: FileOp::Create { path, .. }, .. } if path.ends_with(".seg"))
}

pub(super) fn start() -> Now {
    Now {
        instant: Instant::from_nanos(1_000_000_000),
        wall: Timestamp::from_millis(EPOCH_MS),
    }
}

/// The batches in slices that may hold several.
pub(super) fn split(records: &[Bytes]) -> Vec<Bytes> {
    let mut batches = Vec::new();
    for slice in records {
        let mut rest = slice.clone();
        while !rest.is_empty() {
            let info = BatchInfo::parse(&rest).unwrap();
            batches.push(rest.split_to(info.len()));
        }
    }
    batches
}
