//! Forming a journal group: what waits in the logs of a store becomes one write, and its end releases it.
//!
//! Owns: the functions `journal-group-*`.
//! Never: goes through the broker; `shard` does.
//! Invariants: every step forms one journal group and releases all of its logs; segments are written as often as ever.
//! Source: reliability.md 2.2, performance.md section 2.

use bytes::BytesMut;
use model::batch::BatchInfo;
use model::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use model::time::Now;
use storage::exec::{MemoryDisk, recover};
use storage::{Io, LogConfig, LogId, Store, StoreConfig, StoreEvent};

use super::sink::Sink;
use super::{Hot, HotError, STEP, batches, start};

/// Bytes of a journal file: no step reaches its end.
const JOURNAL_BYTES: u64 = 1 << 30;

/// Rounds that a store needs at most until it is idle.
const ROUNDS_MAX: usize = 64;

/// A store that nothing was written to, and its device.
pub(super) fn empty_store(now: Now) -> Result<(Store, Sink), HotError> {
    let config = StoreConfig {
        journal_bytes: JOURNAL_BYTES,
        journal_first_bytes: JOURNAL_BYTES,
        // The device opens nothing again.
        open_files_max: usize::MAX,
        ..StoreConfig::default()
    };
    let mut disk = MemoryDisk::new();
    let recovered = recover(&mut disk, ShardId::new(0), now.wall.as_millis())
        .map_err(|error| HotError::wrong("recovering an empty directory")(&error))?;
    let sink = Sink { recovered: disk };
    Ok((Store::open(config, recovered, now), sink))
}

struct Group {
    store: Store,
    sink: Sink,
    now: Now,
    logs: Vec<LogId>,
    batch: BytesMut,
    info: BatchInfo,
    ios: Vec<Io>,
}

/// One batch of so many records of 1 KiB for each of so many logs becomes one group.
pub(super) fn group(logs: u32, records: u32) -> Result<Box<dyn Hot>, HotError> {
    let now = start();
    let batch = batches::batch(records, now.wall.as_millis())?;
    let (store, sink) = empty_store(now)?;
    let mut group = Group {
        store,
        sink,
        now,
        logs: Vec::new(),
        info: batches::info(&batch)?,
        batch,
        ios: Vec::new(),
    };
    for number in 0..logs {
        let partition = TopicPartition {
            topic: TopicId::from_bytes([7; 16]),
            partition: PartitionId::new(number),
        };
        let log = group.store.create_log(now, partition, LogConfig::default());
        group.logs.push(log);
    }
    for _ in 0..ROUNDS_MAX {
        if group.round()? == 0 {
            return Ok(Box::new(group));
        }
    }
    Err(HotError::wrong("opening a store")(
        &"it never comes to rest",
    ))
}

impl Group {
    /// Ends a round and carries out what the store wants; how much that was.
    fn round(&mut self) -> Result<usize, HotError> {
        self.store.seal_round(self.now);
        while let Some(io) = self.store.poll_io() {
            self.ios.push(io);
        }
        let count = self.ios.len();
        for io in self.ios.drain(..) {
            let (id, outcome) = self.sink.swallow(&io);
            self.store
                .handle_io(self.now, id, outcome)
                .map_err(|fatal| HotError::wrong("completing a write")(&fatal))?;
        }
        Ok(count)
    }
}

impl Hot for Group {
    fn step(&mut self) -> Result<(), HotError> {
        self.now.instant = self.now.instant.after(STEP);
        for log in &self.logs {
            self.store
                .append(self.now, *log, self.batch.clone(), &self.info)
                .map_err(|error| HotError::wrong("appending")(&error))?;
        }
        self.round()?;
        let mut advanced = 0;
        while let Some(event) = self.store.poll_event() {
            advanced += usize::from(matches!(event, StoreEvent::Advanced(_)));
        }
        if advanced != self.logs.len() {
            return Err(HotError::wrong("releasing a group")(&format!(
                "{advanced} logs advanced"
            )));
        }
        Ok(())
    }
}
