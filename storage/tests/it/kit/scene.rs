//! Data directories that real stores left behind, with what is true about them.
//!
//! Owns: random histories over several process starts, and the list of everything appended.
//! Never: damages anything: a scene is what crashes and clean stops alone leave.
//! Invariants: the same seed gives the same directory; every batch has bytes of its own.
//! Source: reliability.md 3.2, 3.3.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::batch::{BatchBuilder, BatchInfo, NewRecord, stamp_offset_epoch};
use model::ids::{BrokerId, PartitionId, TopicId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;
use storage::exec::{FormatRequest, MemoryDisk, Severity, open_or_format, recover};
use storage::{LogConfig, LogId};

use super::world::{EPOCH_MS, SHARD, World, start};

/// One batch as it was appended.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) base: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Bytes,
}

/// What is true about one log.
#[derive(Clone, Debug)]
pub(crate) struct LogTruth {
    pub(crate) id: LogId,
    pub(crate) batches: Vec<Written>,
    pub(crate) end: u64,
    /// Offsets below it were acknowledged as durable.
    pub(crate) acked: u64,
    /// Largest log start asked for.
    pub(crate) start_asked: u64,
    epoch: LeaderEpoch,
}

/// How the last process of a scene ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// In order.
    Clean,
    /// Power was cut when nothing had happened for a moment.
    Idle,
    /// Power was cut when nothing had happened for a while.
    Rested,
    /// Power was cut in the middle of writes.
    Busy,
}

/// A directory and what is true about it.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) disk: MemoryDisk,
    /// The directory at earlier moments, oldest first.
    pub(crate) older: Vec<MemoryDisk>,
    /// What another core of the same broker left: logs with the same numbers, topics and offsets, other bytes.
    pub(crate) neighbor: MemoryDisk,
    pub(crate) logs: BTreeMap<TopicPartition, LogTruth>,
    /// Logs whose deletion was durable.
    pub(crate) deleted: Vec<LogId>,
    pub(crate) stop: Stop,
}

/// The request every directory here is formatted with.
pub(crate) const REQUEST: FormatRequest = FormatRequest {
    disk_id: [1; 16],
    cluster_id: [2; 16],
    broker: BrokerId::new(1),
    shards: 1,
    created_ms: EPOCH_MS,
};

fn partition(number: u32) -> TopicPartition {
    let topic = u8::try_from(number % 2).unwrap() + 7;
    TopicPartition {
        topic: TopicId::from_bytes([topic; 16]),
        partition: PartitionId::new(number),
    }
}

/// Makes the seeds of a neighbor's stores differ from ours.
const NEIGHBOR: u64 = 1 << 40;

/// A history while it is written.
struct Author {
    prng: Prng,
    /// Changes what is random about stores and bytes, and nothing else.
    salt: u64,
    scene: Scene,
    serial: u64,
    epoch: u32,
    logs_max: u64,
    size: u64,
}

impl Scene {
    /// The directory of a seed.
    pub(crate) fn build(seed: u64) -> Self {
        let neighbor = Self::written(seed, NEIGHBOR).disk;
        Self {
            neighbor,
            ..Self::written(seed, 0)
        }
    }

    fn written(seed: u64, salt: u64) -> Self {
        let mut prng = Prng::new(seed.wrapping_mul(0x9e37_79b9) ^ 0xd15c);
        let mut disk = MemoryDisk::new();
        open_or_format(&mut disk, REQUEST).unwrap();
        let recovered = recover(&mut disk, SHARD, EPOCH_MS).unwrap();
        let world = World::open(disk, recovered, (seed ^ salt, start()));
        let (logs_max, size) = (1 + prng.below(4), 1 + prng.below(3));
        let stop = [Stop::Idle, Stop::Busy, Stop::Clean, Stop::Rested];
        let mut author = Author {
            prng,
            salt,
            scene: Self {
                seed,
                disk: MemoryDisk::new(),
                older: Vec::new(),
                neighbor: MemoryDisk::new(),
                logs: BTreeMap::new(),
                deleted: Vec::new(),
                stop: stop[usize::try_from(seed % 4).unwrap()],
            },
            serial: 0,
            epoch: 0,
            logs_max,
            size,
        };
        let starts = 1 + author.prng.below(3);
        let mut world = world;
        for number in 0..starts {
            author.life(&mut world);
            if number + 1 < starts {
                world = author.restart(world);
            }
        }
        author.end(world)
    }
}

impl Author {
    fn life(&mut self, world: &mut World) {
        self.epoch += 1;
        for log in self.scene.logs.values_mut() {
            log.epoch = LeaderEpoch::new(self.epoch);
            world.store.start_epoch(world.now, log.id, log.epoch);
        }
        let steps = 4 + self.prng.below(12 * self.size);
        for step in 0..steps {
            self.step(world);
            self.observe(world);
            if self.prng.chance(1, 8) || step == 2 {
                self.scene.older.push(world.disk.clone());
            }
        }
    }

    fn step(&mut self, world: &mut World) {
        match self.prng.below(40) {
            0..18 => self.append(world),
            18..22 => world.round(),
            22..27 => world.complete(&mut self.prng),
            27..33 => world.settle(),
            33..35 => world.advance_ms(6),
            35 => world.come_to_rest(),
            36 => {
                world.advance_ms(5_100);
                world.settle();
            }
            37 => self.delete_records(world),
            38 => self.delete_log(world),
            _ => {
                for _ in 0..8 {
                    self.append(world);
                }
                world.settle();
            }
        }
    }

    fn pick(&mut self, world: &mut World) -> TopicPartition {
        let tp = partition(u32::try_from(self.prng.below(self.logs_max)).unwrap());
        if !self.scene.logs.contains_key(&tp) {
            let id = world.store.create_log(world.now, tp, log_config());
            let epoch = LeaderEpoch::new(self.epoch);
            world.store.start_epoch(world.now, id, epoch);
            let truth = LogTruth {
                id,
                batches: Vec::new(),
                end: 0,
                acked: 0,
                start_asked: 0,
                epoch,
            };
            self.scene.logs.insert(tp, truth);
        }
        tp
    }

    fn append(&mut self, world: &mut World) {
        let tp = self.pick(world);
        let len = match self.prng.below(12) {
            0 => 34_000 + self.prng.below(6_000),
            1..4 => self.prng.below(9_000),
            _ => self.prng.below(300),
        };
        let len = usize::try_from(len).unwrap();
        let records = 1 + self.prng.below(3);
        self.serial += 1;
        let mut builder = BatchBuilder::new(world.now.wall.as_millis());
        for number in 0..records {
            let name = self.scene.seed ^ self.salt;
            let mut value = format!("{name}/{}/{number}/", self.serial).into_bytes();
            value.resize(
                value.len() + len,
                b'a' + u8::try_from(self.serial % 26).unwrap(),
            );
            let record = NewRecord::value(world.now.wall.as_millis(), &value);
            builder.push(&record).unwrap();
        }
        let bytes = builder.build();
        let info = BatchInfo::parse(&bytes).unwrap();
        let log = self.scene.logs.get_mut(&tp).unwrap();
        let mut expected = bytes.clone();
        let Ok(appended) = world.store.append(world.now, log.id, bytes, &info) else {
            return;
        };
        assert_eq!(appended.base_offset.get(), log.end);
        stamp_offset_epoch(&mut expected, appended.base_offset, log.epoch);
        let end = appended.last_offset.get() + 1;
        log.batches.push(Written {
            base: log.end,
            end,
            bytes: expected.freeze(),
        });
        log.end = end;
    }

    fn delete_records(&mut self, world: &mut World) {
        let tp = self.pick(world);
        let log = self.scene.logs.get_mut(&tp).unwrap();
        let visible = world.store.bounds(log.id).unwrap().high_watermark.get();
        let before = self.prng.below(visible + 1);
        log.start_asked = log.start_asked.max(before);
        world
            .store
            .delete_records(world.now, log.id, Offset::new(before));
    }

    fn delete_log(&mut self, world: &mut World) {
        let tp = self.pick(world);
        if let Some(log) = self.scene.logs.remove(&tp) {
            world.store.delete_log(world.now, log.id);
            world.settle();
            self.scene.deleted.push(log.id);
        }
    }

    fn observe(&mut self, world: &World) {
        for log in self.scene.logs.values_mut() {
            let bounds = world.store.bounds(log.id).unwrap();
            assert_eq!(bounds.log_end.get(), log.end);
            log.acked = log.acked.max(bounds.flushed_upto.get());
        }
    }

    fn restart(&mut self, world: World) -> World {
        let now = world.now;
        let world = match self.prng.below(4) {
            0 => stop(world),
            _ => world,
        };
        self.observe(&world);
        let mut disk = world.lose_power(&mut self.prng);
        self.scene.older.push(disk.clone());
        let recovered = recover(&mut disk, SHARD, now.wall.as_millis()).unwrap();
        let worst = recovered.report.findings.iter().map(|f| f.severity).max();
        assert!(worst < Some(Severity::Damage), "a crash is no damage");
        let seed = self.prng.next_u64() ^ self.salt;
        let mut world = World::open(disk, recovered, (seed, now));
        let known: BTreeMap<_, _> = world.store.logs().iter().map(|l| (l.1, l.0)).collect();
        self.scene.logs.retain(|tp, _| known.contains_key(tp));
        for (tp, log) in &mut self.scene.logs {
            let bounds = world.store.bounds(known[tp]).unwrap();
            log.end = bounds.log_end.get();
            assert!(log.end >= log.acked, "a crash loses nothing acknowledged");
            log.batches.retain(|batch| batch.end <= log.end);
            world.store.configure(log.id, log_config());
        }
        if self.prng.chance(3, 4) {
            world.settle();
        }
        world
    }

    fn end(mut self, world: World) -> Scene {
        let world = match self.scene.stop {
            Stop::Clean => stop(world),
            Stop::Idle => {
                let mut world = world;
                world.come_to_rest();
                world
            }
            Stop::Rested => {
                let mut world = world;
                world.come_to_rest();
                world.advance_ms(1_100);
                world.come_to_rest();
                world.advance_ms(1_100);
                world.come_to_rest();
                world
            }
            Stop::Busy => world,
        };
        self.observe(&world);
        self.scene.disk = world.lose_power(&mut self.prng);
        self.scene
    }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 48 * 1024,
        retention_ms: None,
        ..LogConfig::default()
    }
}

fn stop(mut world: World) -> World {
    world.settle();
    world.store.begin_shutdown(world.now);
    world.settle();
    assert!(world.store.is_shut_down());
    world
}
