//! The group coordinator inside a shard: its log, its records, its commands.
//!
//! Owns: loading of the local partitions of `__consumer_offsets`, appends of group records.
//! Never: knows the rules of a group; `group` does.
//! Invariants: a partition is replayed from log start to high watermark before it serves; one input causes
//! a bounded part of a load.
//! Source: kafka.md 4.8; architecture.md decision 9.

use std::collections::VecDeque;
use std::sync::Arc;

use api::error::GroupError;
use api::metadata::TopicKey;
use api::{Command, Origin, Reply, Route};
use bytes::{Bytes, BytesMut};
use model::batch::{BatchBuilder, BatchError, BatchInfo, Batches, NewRecord, Records};
use model::ids::{PartitionId, TopicId, TopicPartition};
use model::offset::Offset;
use model::time::{Now, Timestamp};
use storage::store::ReadBudget;
use storage::{LogId, ReadOutcome};

use super::Shard;
use super::refusal;
use crate::config::BrokerConfig;
use crate::group::{Coordinator, GroupConfig, GroupOutput, GroupRecord, Topics, WriteId};
use crate::metadata::{Image, OFFSETS_TOPIC, group_partition};

/// Bytes of group records replayed per step of a load.
const LOAD_BYTES: usize = 1 << 20;

/// Steps of loads per input; the rest follows with the next input.
const LOAD_STEPS_MAX: usize = 8;

/// A partition that is being replayed.
#[derive(Clone, Copy, Debug)]
struct Load {
    log: LogId,
    partition: PartitionId,
    next: Offset,
    /// A read of the device is on its way.
    is_waiting: bool,
}

/// The coordinator and the loads of its partitions.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) coordinator: Coordinator,
    loads: VecDeque<Load>,
    started: Vec<LogId>,
}

impl Groups {
    pub(super) fn new(broker: &BrokerConfig, seed: u64) -> Self {
        let coordinator = Coordinator::new(GroupConfig::from(broker), seed);
        Self {
            coordinator,
            loads: VecDeque::new(),
            started: Vec::new(),
        }
    }

    /// Whether a load can go on right now.
    pub(super) fn can_load(&self) -> bool {
        self.loads.iter().any(|load| !load.is_waiting)
    }

    pub(super) fn handle_readable(&mut self, log: LogId) {
        for load in self.loads.iter_mut().filter(|load| load.log == log) {
            load.is_waiting = false;
        }
    }
}

/// The image, as the coordinator looks topics up.
struct ImageTopics(Arc<Image>);

impl Topics for ImageTopics {
    fn resolve(&self, key: &TopicKey) -> Option<(String, TopicId, u32)> {
        let topic = self.0.resolve(key)?;
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        Some((topic.name.clone(), topic.id, count))
    }
}

impl Shard {
    /// Begins to replay a partition of the offsets topic; nothing happens the second time.
    pub(super) fn start_group_load(&mut self, log: LogId, partition: PartitionId) {
        if self.groups.started.contains(&log) {
            return;
        }
        self.groups.started.push(log);
        self.groups.coordinator.begin_load(partition);
        let next = self
            .store
            .bounds(log)
            .map_or(Offset::ZERO, |bounds| bounds.log_start);
        self.groups.loads.push_back(Load {
            log,
            partition,
            next,
            is_waiting: false,
        });
    }

    /// Replays a bounded part of what loads.
    pub(super) fn load_groups(&mut self, now: Now) {
        for _ in 0..LOAD_STEPS_MAX {
            let at = self.groups.loads.iter().position(|load| !load.is_waiting);
            let Some(load) = at.and_then(|at| self.groups.loads.remove(at)) else {
                return;
            };
            match self.load_step(now, load) {
                Some(load) => self.groups.loads.push_back(load),
                None => self.settle_loads(now),
            }
        }
    }

    /// After the last load: commits to topics that went away while nobody listened are forgotten. It looks
    /// at every group, so it is not done once per partition.
    fn settle_loads(&mut self, now: Now) {
        if self.groups.loads.is_empty() {
            let topics = ImageTopics(Arc::clone(&self.image));
            self.groups.coordinator.retain_topics(now, &topics);
        }
    }

    /// One read of one load; `None` once it is complete or cannot be. A step that reads nothing below the high
    /// watermark would be repeated for ever, so it ends the load.
    fn load_step(&mut self, now: Now, load: Load) -> Option<Load> {
        let Some(bounds) = self.store.bounds(load.log) else {
            return self.give_up_load(load);
        };
        let upto = bounds.high_watermark;
        if load.next >= upto {
            let topics = ImageTopics(Arc::clone(&self.image));
            let coordinator = &mut self.groups.coordinator;
            coordinator.finish_load(now, load.partition, &topics);
            return None;
        }
        let budget = ReadBudget {
            bytes_max: LOAD_BYTES,
            at_least_one: true,
        };
        match self.store.read(now, load.log, load.next, upto, budget) {
            ReadOutcome::Pending => Some(Load {
                is_waiting: true,
                ..load
            }),
            ReadOutcome::Ready { records, .. } => {
                let replayed = records.iter().try_fold(load.next, |next, chunk| {
                    Some(self.replay(load.partition, chunk).ok()??.next().max(next))
                });
                match replayed.filter(|next| *next > load.next) {
                    Some(next) => Some(Load { next, ..load }),
                    None => self.give_up_load(load),
                }
            }
            ReadOutcome::Damaged(_) => self.give_up_load(load),
        }
    }

    /// Commits that cannot be read must not be forgotten silently: the partition stays closed.
    fn give_up_load(&mut self, load: Load) -> Option<Load> {
        self.groups.coordinator.close(load.partition);
        None
    }

    /// Replays whole batches; gives the last offset in them, `None` if there is no batch.
    fn replay(
        &mut self,
        partition: PartitionId,
        chunk: &Bytes,
    ) -> Result<Option<Offset>, BatchError> {
        let mut last = None;
        let mut scratch = Vec::new();
        for batch in Batches::new(chunk) {
            let (info, batch) = batch?;
            for record in Records::open(batch, &info, &mut scratch)? {
                let record = record?;
                let timestamp = Timestamp::from_millis(record.timestamp(&info));
                let key = record.key.unwrap_or_default();
                self.groups
                    .coordinator
                    .replay(partition, key, record.value, timestamp);
            }
            last = Some(info.last_offset());
        }
        Ok(last)
    }

    /// A command of one group.
    pub(super) fn coordinate(&mut self, now: Now, origin: Origin, command: Command) {
        let partition = match command.route() {
            Route::Group(group) => self.partition_of_group(group),
            Route::Here | Route::Partition(..) | Route::Shard(_) => None,
        };
        match partition {
            Some(partition) => {
                let topics = ImageTopics(Arc::clone(&self.image));
                self.groups
                    .coordinator
                    .handle(now, origin, partition, command, &topics);
            }
            None => {
                if let Some(reply) = refusal::group(&command, GroupError::NotAvailable) {
                    self.reply(origin, reply);
                }
            }
        }
    }

    fn partition_of_group(&self, group: &str) -> Option<PartitionId> {
        let topic = self.image.topic_by_name(OFFSETS_TOPIC)?;
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| group_partition(group, count))
    }

    pub(super) fn find_coordinator(&mut self, _now: Now, origin: Origin, group: &str) {
        let own = self.config.broker.broker;
        let endpoint = self
            .image
            .brokers()
            .find(|endpoint| endpoint.id == own)
            .cloned();
        let endpoint = endpoint.filter(|_| self.partition_of_group(group).is_some());
        let found = endpoint.ok_or(GroupError::NotAvailable);
        self.reply(origin, Reply::Coordinator(found));
    }

    pub(super) fn handle_group_output(&mut self, now: Now, output: GroupOutput) {
        match output {
            GroupOutput::Reply { origin, reply } => self.reply(origin, reply),
            GroupOutput::Persist {
                write,
                partition,
                records,
            } => {
                let is_appended = self.persist(now, (write, partition), &records);
                if !is_appended {
                    self.groups.coordinator.handle_persisted(now, write, false);
                }
            }
        }
    }

    /// Appends group records; false if they are not in the log.
    fn persist(
        &mut self,
        now: Now,
        (write, partition): (WriteId, PartitionId),
        records: &[GroupRecord],
    ) -> bool {
        let topic = self
            .image
            .topic_by_name(OFFSETS_TOPIC)
            .map(|topic| topic.id);
        let log =
            topic.and_then(|topic| self.directory.log_of(TopicPartition { topic, partition }));
        let Some(log) = log else { return false };
        let Some(batch) = batch_of(now, records) else {
            return false;
        };
        self.append_internal(now, log, batch, write.0).is_ok()
    }

    /// Answers every member and every commit that still waits; the coordinator serves no longer.
    pub(super) fn abandon_groups(&mut self, now: Now) {
        let count = self
            .image
            .topic_by_name(OFFSETS_TOPIC)
            .map_or(0, |one| one.partitions.len());
        for partition in (0_u32..).take(count) {
            self.groups.coordinator.unload(PartitionId::new(partition));
        }
        while let Some(output) = self.groups.coordinator.poll_output() {
            self.handle_group_output(now, output);
        }
    }

    pub(super) fn handle_internal_append(&mut self, now: Now, serial: u64) {
        self.groups
            .coordinator
            .handle_persisted(now, WriteId(serial), true);
    }

    pub(super) fn fail_internal_append(&mut self, now: Now, serial: u64) {
        self.groups
            .coordinator
            .handle_persisted(now, WriteId(serial), false);
    }
}

/// One batch of group records; `None` if it would not fit one.
fn batch_of(now: Now, records: &[GroupRecord]) -> Option<BytesMut> {
    let timestamp_ms = now.wall.as_millis();
    let mut builder = BatchBuilder::new(timestamp_ms);
    for record in records {
        let value = record.value.as_deref();
        let record = NewRecord {
            timestamp_ms,
            key: Some(&record.key),
            value,
            headers: &[],
        };
        builder.push(&record).ok()?;
    }
    let batch = builder.build();
    BatchInfo::parse_header(&batch).is_ok().then_some(batch)
}
