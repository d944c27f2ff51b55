//! What a start costs with many partitions.
//!
//! Owns: the number of calls to the disk per partition.
//! Never: measures time.
//! Invariants: calls grow with the number of partitions and not faster.
//! Source: reliability.md 2.5 (ten thousand partitions per core).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;

use model::batch::{BatchBuilder, BatchInfo, NewRecord};
use model::ids::{PartitionId, TopicId, TopicPartition};
use model::limits::BLOCK_BYTES;
use model::prng::Prng;
use storage::exec::{DirEntry, Disk, MemoryDisk, open_or_format, recover};
use storage::{IoError, LogConfig};

use crate::kit::scene::REQUEST;
use crate::kit::world::{EPOCH_MS, SHARD, World, start};

/// A disk that counts what is asked of it.
#[derive(Debug, Default)]
struct Counting {
    disk: MemoryDisk,
    calls: Cell<u64>,
    /// What it was told to expect and was not asked for yet.
    expected: RefCell<BTreeSet<String>>,
    /// Segments that were read without a word before.
    surprises: Cell<u64>,
}

impl Counting {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl Disk for Counting {
    fn flush(&mut self) -> Result<(), IoError> {
        self.count();
        self.disk.flush()
    }
    fn list(&self, dir: &str) -> Result<Vec<DirEntry>, IoError> {
        self.count();
        self.disk.list(dir)
    }
    fn read(&self, path: &str, position: u64, len: usize) -> Result<Vec<u8>, IoError> {
        self.count();
        let is_first_piece = position == 0 && path.ends_with(".seg");
        if is_first_piece && len > BLOCK_BYTES && !self.expected.borrow_mut().remove(path) {
            self.surprises.set(self.surprises.get() + 1);
        }
        self.disk.read(path, position, len)
    }
    fn expect(&self, path: &str, parts: &[Range<u64>]) {
        assert!(parts.iter().any(|part| !part.is_empty()), "{path}");
        let mut expected = self.expected.borrow_mut();
        assert!(expected.insert(path.to_owned()), "{path} is expected twice");
        assert!(
            expected.len() <= 17,
            "more is asked for ahead than memory is meant for"
        );
    }
    fn len(&self, path: &str) -> Result<u64, IoError> {
        self.count();
        self.disk.len(path)
    }
    fn create(&mut self, path: &str, len: u64) -> Result<(), IoError> {
        self.count();
        self.disk.create(path, len)
    }
    fn write(&mut self, path: &str, position: u64, bytes: &[u8]) -> Result<(), IoError> {
        self.count();
        self.disk.write(path, position, bytes)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        self.count();
        self.disk.rename(from, to)
    }
    fn remove(&mut self, path: &str) -> Result<(), IoError> {
        self.count();
        self.disk.remove(path)
    }
}

/// How the process ended that wrote the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    /// Every partition has an open segment.
    Killed,
}

/// A directory with this many partitions of one batch each.
fn directory(partitions: u32, end: End) -> MemoryDisk {
    let mut disk = MemoryDisk::new();
    open_or_format(&mut disk, REQUEST).unwrap();
    let recovered = recover(&mut disk, SHARD, EPOCH_MS).unwrap();
    let mut world = World::open(disk, recovered, (1, start()));
    let mut builder = BatchBuilder::new(EPOCH_MS);
    builder.push(&NewRecord::value(EPOCH_MS, b"small")).unwrap();
    let bytes = builder.build();
    let info = BatchInfo::parse(&bytes).unwrap();
    for number in 0..partitions {
        let tp = TopicPartition {
            topic: TopicId::from_bytes([7; 16]),
            partition: PartitionId::new(number),
        };
        let id = world.store.create_log(world.now, tp, LogConfig::default());
        let appended = world.store.append(world.now, id, bytes.clone(), &info);
        assert!(appended.is_ok());
        if number % 50 == 0 {
            world.settle();
        }
    }
    world.settle();
    world.advance_ms(6_000);
    world.settle();
    if end == End::Clean {
        world.store.begin_shutdown(world.now);
        world.settle();
        assert!(world.store.is_shut_down());
    }
    world.lose_power(&mut Prng::new(1))
}

/// Calls of a start.
fn calls(partitions: u32, end: End) -> u64 {
    let mut disk = Counting {
        disk: directory(partitions, end),
        ..Counting::default()
    };
    let recovered = recover(&mut disk, SHARD, EPOCH_MS + 10_000).unwrap();
    assert_eq!(recovered.logs.len(), partitions as usize);
    assert_eq!(recovered.is_clean, end == End::Clean);
    disk.calls.get()
}

#[test]
fn a_start_makes_a_few_calls_for_each_partition() {
    for (end, each_max) in [(End::Clean, 3), (End::Killed, 8)] {
        let (few, many) = (calls(100, end), calls(1_000, end));
        let each = (many - few).div_ceil(900);
        assert!(each <= each_max, "{end:?}: {few} and {many} calls");
    }
}

#[test]
fn open_segments_are_asked_for_a_few_ahead_and_all_of_them_are_read() {
    let mut disk = Counting {
        disk: directory(100, End::Killed),
        ..Counting::default()
    };
    let recovered = recover(&mut disk, SHARD, EPOCH_MS + 10_000).unwrap();
    assert_eq!(recovered.report.segments_scanned, 100);
    assert_eq!(disk.surprises.get(), 0);
    assert_eq!(disk.expected.borrow().len(), 0);
}
