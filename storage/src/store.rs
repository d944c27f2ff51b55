//! The store of one core: every log, the journal and the manifest behind one machine.
//!
//! Owns: the partitions of one core on disk.
//! Never: performs I/O; emits [`Io`] and takes completions.
//! Invariants: I1 to I9.
//! Source: reliability.md section 2.

mod ahead;
mod alarm;
mod append;
pub(crate) mod arena;
pub(crate) mod cache;
mod commit;
mod completion;
mod derived;
mod flush;
mod index_load;
mod journal;
mod journal_ends;
mod lifecycle;
mod lookup;
mod manifest;
mod open;
mod open_files;
pub(crate) mod outbox;
mod pressing;
mod read;
mod retention;
mod segments;
mod space;
mod stall;
mod stop;
mod timers;
mod wall;

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use model::batch::BatchInfo;
use model::fatal::{Fatal, Reason};
use model::ids::{ShardId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};
use model::prng::Prng;
use model::table::{Number, Table};
use model::time::Now;

use crate::format::cursor::Writer;
use crate::io::{Io, IoId, IoOutcome};
use crate::log::state::Log;
use crate::log::{Admit, LogBounds, ReadOutcome, TimeLookup};

pub use alarm::{Alarm, SpaceLevel, SpaceLimit, SpaceLimits, StallLimits};
use arena::{Arena, Gather};
use cache::BlockCache;
use derived::Desk;
use index_load::IndexLoads;
use journal::Journal;
use manifest::Manifest;
use open_files::OpenFiles;
use outbox::{Outbox, SegmentAt};
use read::Reads;
use retention::RetentionCursor;
use segments::Opening;
use space::SpaceWatch;
use stall::StallWatch;
use stop::StopPhase;
use timers::Timers;

/// The journal takes no more batches while so many times the tail memory waits for segments: durable appends then
/// wait for their segments, at the speed of which data can be put away at all.
const HOLD_TAILS: usize = 2;

/// Appends are refused from so many times the tail memory on, also those that wait for nothing.
const REFUSE_TAILS: usize = 4;

/// A log inside one store. Never reused, also not after a delete (I13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

impl Number for LogId {
    #[inline]
    fn number(self) -> u64 {
        self.0
    }
}

/// Sizes of one store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Which core.
    pub shard: ShardId,
    /// Bytes of one journal file, multiple of 4096.
    pub journal_bytes: u64,
    /// Bytes of the first journal file of a start: small, so that a start is fast. Multiple of 4096.
    pub journal_first_bytes: u64,
    /// Bytes of batch data that may wait in memory for its segment, all partitions together. From twice as much on
    /// the journal takes no more, from four times as much on nothing is appended.
    pub tail_bytes_max: usize,
    /// Milliseconds after which waiting data is written to its segment, if nothing else asked for it: they keep the files
    /// of the journal that hold it.
    pub tail_age_ms: u64,
    /// Bytes of the read cache.
    pub cache_bytes_max: usize,
    /// Segment files open at once.
    pub open_files_max: usize,
    /// Bytes of a fresh manifest file, multiple of 4096.
    pub manifest_bytes: u64,
    /// Smallest and largest zeroed extent of a segment, multiples of 4096.
    pub extent_bytes: (u64, u64),
    /// Levels of free space.
    pub space: SpaceLimits,
    /// How long a write may be on its way.
    pub stall: StallLimits,
    /// Seed for file uids; differs per start.
    pub seed: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            shard: ShardId::new(0),
            journal_bytes: 128 << 20,
            journal_first_bytes: 8 << 20,
            tail_bytes_max: 64 << 20,
            tail_age_ms: 60_000,
            cache_bytes_max: 64 << 20,
            open_files_max: 2_000,
            manifest_bytes: 1 << 20,
            extent_bytes: (64 << 10, 128 << 20),
            space: SpaceLimits::default(),
            stall: StallLimits::default(),
            seed: 1,
        }
    }
}

/// What an append was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// First offset.
    pub base_offset: Offset,
    /// Last offset.
    pub last_offset: Offset,
}

/// What happened inside the store that the broker must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// The log's high watermark rose (see [`LogBounds`]).
    Advanced(LogId),
    /// Data that a read waited for is in the cache; ask again.
    Readable(LogId),
    /// Retention or DeleteRecords moved the log start.
    LogStartMoved(LogId),
    /// An operator must hear of this.
    Alarm(Alarm),
}

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Bytes at most.
    pub bytes_max: usize,
    /// Return the first batch whole even if it is larger.
    pub at_least_one: bool,
}

/// All logs of one core.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    prng: Prng,
    logs: Table<LogId, Box<Log>>,
    by_partition: BTreeMap<TopicPartition, LogId>,
    next_log: u64,
    next_segment: u64,
    outbox: Outbox,
    events: VecDeque<StoreEvent>,
    arena: Arena,
    gather: Gather,
    journal: Journal,
    manifest: Manifest,
    cache: BlockCache,
    open_files: OpenFiles,
    /// Segment files being created or opened.
    opening: BTreeMap<SegmentAt, Opening>,
    /// Segment files being created.
    creates_under_way: usize,
    /// Logs that want one and wait for their turn.
    create_queue: VecDeque<LogId>,
    /// Sealed segments of earlier starts with prepared zeros behind their end.
    surplus: VecDeque<SegmentAt>,
    reads: Reads,
    index_loads: IndexLoads,
    /// Logs with batches that were handed to nobody yet.
    dirty: VecDeque<LogId>,
    /// Logs whose tail goes to a segment now.
    flush_list: VecDeque<LogId>,
    /// Logs whose acknowledgements wait for the manifest.
    gated: Vec<LogId>,
    /// Durable manifest record when those logs were last looked at.
    gated_at: u64,
    /// Logs with batches of an earlier start that are not durable in this one's files, and their ends.
    carried: BTreeMap<LogId, Offset>,
    age_timers: Timers,
    memory_timers: Timers,
    /// Bytes in all tails that are not on their way to a segment.
    unflushed_bytes: usize,
    /// Logs with such bytes.
    unflushed_logs: usize,
    retention: RetentionCursor,
    space: SpaceWatch,
    stall: StallWatch,
    stop: StopPhase,
    /// Lookups that wait for the device.
    resumes: VecDeque<lookup::Resume>,
    /// Where headers are encoded.
    header: Writer,
    /// Where indexes and snapshots are.
    desk: Desk,
    scratch: Vec<u8>,
    /// Bytes of records that the present lookup looked through.
    searched: usize,
}

impl Store {
    /// Every log with its partition, in id order.
    #[must_use]
    pub fn logs(&self) -> Vec<(LogId, TopicPartition)> {
        let mut logs: Vec<_> = self
            .by_partition
            .iter()
            .map(|(tp, id)| (*id, *tp))
            .collect();
        logs.sort_unstable();
        logs
    }

    /// Offsets and epoch of a log.
    #[must_use]
    pub fn bounds(&self, id: LogId) -> Option<LogBounds> {
        self.logs.get(&id).map(|log| log.bounds())
    }

    /// (largest known epoch not above `epoch`, its end offset); kafka.md 4.5.
    #[must_use]
    pub fn epoch_end(&self, id: LogId, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let log = self.logs.get(&id)?;
        log.epochs.end_of(epoch, log.log_end)
    }

    /// Epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_at(&self, id: LogId, offset: Offset) -> Option<LeaderEpoch> {
        self.logs.get(&id)?.epochs.at(offset)
    }

    /// Checks a producer's batch against the log's producer table. Changes nothing. A duplicate may not be
    /// durable yet: the broker waits for the high watermark as for the original.
    #[must_use]
    pub fn admit(&self, now: Now, id: LogId, info: &BatchInfo) -> Admit {
        match self.logs.get(&id) {
            Some(log) => log.producers.admit(self.retention.wall_ms(now), info),
            None => Admit::Fresh,
        }
    }

    /// Appends one validated, admitted batch: stamps base offset and leader epoch in place.
    ///
    /// # Errors
    /// `NoSpace` when the disk is nearly full, `NotFound` for an unknown or deleted log, `Device` once the
    /// store is stopping.
    pub fn append(
        &mut self,
        now: Now,
        id: LogId,
        batch: BytesMut,
        info: &BatchInfo,
    ) -> Result<Appended, crate::IoError> {
        self.append_batch(now, id, batch, info)
    }

    /// Reads whole batches in `[from, upto)`; `from` may lie inside the first one.
    #[expect(
        clippy::too_many_arguments,
        reason = "time, log, range and budget; a struct says no more"
    )]
    pub fn read(
        &mut self,
        now: Now,
        id: LogId,
        from: Offset,
        upto: Offset,
        budget: ReadBudget,
    ) -> ReadOutcome {
        self.read_range(now, id, (from, upto), budget)
    }

    /// First record below `upto` with at least this timestamp.
    pub fn find_timestamp(
        &mut self,
        now: Now,
        id: LogId,
        timestamp: i64,
        upto: Offset,
    ) -> TimeLookup {
        self.look_up_timestamp(now, id, timestamp, upto)
    }

    /// Record with the largest timestamp below `upto`; the first of several.
    pub fn find_max_timestamp(&mut self, now: Now, id: LogId, upto: Offset) -> TimeLookup {
        self.look_up_max_timestamp(now, id, upto)
    }

    /// Feeds a completion.
    ///
    /// # Errors
    /// A failed write or flush (A10): the process must end.
    pub fn handle_io(&mut self, now: Now, id: IoId, outcome: IoOutcome) -> Result<(), Fatal> {
        match self.outbox.complete(id) {
            Some(purpose) => self.complete(now, purpose, outcome),
            None => Err(Fatal::new(
                Reason::InvariantBroken,
                format!("unknown completion {}", id.0),
            )),
        }
    }

    /// Closes the present group, if writes may be started. The shell calls it once per round, after all inputs.
    pub fn seal_round(&mut self, now: Now) {
        self.proceed_stop(now);
        self.flush_listed(now);
        self.seal_journal(now);
        self.seal_manifest(now);
        self.stall.arm(now.instant, self.outbox.oldest_write());
    }

    /// Whether so much waits for its segment that appends are better refused: segments do not keep up.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.unflushed_bytes > self.config.tail_bytes_max.saturating_mul(REFUSE_TAILS)
    }

    /// Whether so much waits that the journal takes no more, because segments can be written and something ends soon.
    fn is_pressed(&self) -> bool {
        let held = self.config.tail_bytes_max.saturating_mul(HOLD_TAILS);
        let is_moving = self.space.may_allocate() && self.outbox.under_way() > 0;
        self.unflushed_bytes > held && is_moving
    }

    /// Next thing to carry out.
    pub fn poll_io(&mut self) -> Option<Io> {
        self.outbox.poll()
    }

    /// Next event.
    pub fn poll_event(&mut self) -> Option<StoreEvent> {
        let event = self.events.pop_front()?;
        match event {
            StoreEvent::Advanced(id) => {
                if let Some(log) = self.logs.get_mut(&id) {
                    log.listed.is_advanced = false;
                }
            }
            StoreEvent::Readable(id) => {
                if let Some(log) = self.logs.get_mut(&id) {
                    log.listed.is_readable = false;
                }
            }
            StoreEvent::LogStartMoved(_) | StoreEvent::Alarm(_) => {}
        }
        Some(event)
    }

    /// Whether the orderly stop is complete.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.stop == StopPhase::Done
    }

    fn emit_advanced(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(&id) {
            log.emit_advanced(&mut self.events);
        }
    }

    fn emit_readable(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(&id)
            && !log.listed.is_readable
        {
            log.listed.is_readable = true;
            self.events.push_back(StoreEvent::Readable(id));
        }
    }
}

#[cfg(test)]
mod tests;
