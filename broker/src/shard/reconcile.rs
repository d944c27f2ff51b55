//! Making the store agree with the metadata image.
//!
//! Owns: which logs exist, their configuration and leader epochs; what a recovered store is matched against.
//! Never: deletes a log unless the image says that its topic was deleted (reliability.md 1.11).
//! Invariants: after a delta every partition that this shard leads has a log with the image's settings.
//! Source: reliability.md 1.11, 2.4; kafka.md 4.5.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::error::{AppendError, PartitionError, ReadError};
use api::metadata::TopicKey;
use api::reply::DeleteRecordsError;
use api::{Origin, Reply};
use model::batch::KeyRule;
use model::ids::{PartitionId, TopicId, TopicPartition};
use model::offset::LeaderEpoch;
use model::time::Now;
use storage::{Durability, LogConfig, LogId};

use super::Shard;
use crate::metadata::{
    Change, Image, OFFSETS_TOPIC, TimestampType, TopicSettings, TopicState, shard_of,
};
use crate::partition::{AppendRules, AppendTarget, Depth, Partition, TimeRule, Waiters};

/// What follows for a partition from the configs of its topic.
#[derive(Clone, Debug)]
struct Policies {
    rules: AppendRules,
    is_delete_policy: bool,
    log: LogConfig,
}

impl Shard {
    /// Matches a recovered store against the image.
    pub(super) fn reconcile(&mut self, now: Now) {
        for (log, tp) in self.store.logs() {
            if self.image.is_deleted(tp.topic) {
                self.store.delete_log(now, log);
            } else if !self.is_served_here(tp) {
                self.directory.insert_stray(tp, log);
            }
        }
        let image = Arc::clone(&self.image);
        for topic in image.topics() {
            self.sync_topic(now, topic);
        }
    }

    /// Does what the store must do because the image changed.
    pub(super) fn apply_changes(&mut self, now: Now, image: Arc<Image>, changes: &[Change]) {
        let old = std::mem::replace(&mut self.image, Arc::clone(&image));
        let mut deleted = BTreeSet::new();
        for change in changes {
            match change {
                Change::TopicCreated(id)
                | Change::PartitionsAdded(id, _)
                | Change::TopicConfigChanged(id)
                | Change::EpochsChanged(id) => {
                    // Missing if it was deleted later in the same delta.
                    if let Some(topic) = image.topic(*id) {
                        self.sync_topic(now, topic);
                    }
                }
                Change::TopicDeleted(id) => {
                    self.drop_topic(now, *id);
                    deleted.extend(old.topic(*id).map(|topic| topic.name.clone()));
                }
                Change::BrokersChanged => {
                    for topic in image.topics() {
                        self.sync_topic(now, topic);
                    }
                }
            }
        }
        self.groups.coordinator.topics_deleted(now, &deleted);
    }

    fn is_served_here(&self, tp: TopicPartition) -> bool {
        let Some(topic) = self.image.topic(tp.topic) else {
            return false;
        };
        let at = usize::try_from(tp.partition.get()).unwrap_or(usize::MAX);
        let own = self.config.broker.broker;
        let is_led = topic
            .partitions
            .get(at)
            .is_some_and(|state| state.leader == Some(own));
        is_led && shard_of(tp.topic, tp.partition, self.config.shards) == self.config.shard
    }

    /// Creates what is missing and brings the rest up to date; nothing happens the second time.
    fn sync_topic(&mut self, now: Now, topic: &TopicState) {
        let policies = self.policies(topic);
        for (index, state) in (0_u32..).zip(&topic.partitions) {
            let tp = TopicPartition {
                topic: topic.id,
                partition: PartitionId::new(index),
            };
            if self.is_served_here(tp) {
                let log = self.sync_partition(now, tp, &policies);
                self.sync_epoch(now, log, state.leader_epoch);
                if topic.name == OFFSETS_TOPIC {
                    self.start_group_load(log, tp.partition);
                }
            }
        }
    }

    fn sync_partition(&mut self, now: Now, tp: TopicPartition, policies: &Policies) -> LogId {
        if let Some(log) = self.directory.log_of(tp) {
            if let Some(partition) = self.directory.get_mut(log) {
                partition.rules = policies.rules;
                partition.is_delete_policy = policies.is_delete_policy;
            }
            self.store.configure(log, policies.log.clone());
            return log;
        }
        let log = self.store.create_log(now, tp, policies.log.clone());
        // A recovered log was opened with whatever configuration it had.
        self.store.configure(log, policies.log.clone());
        let is_internal = self
            .image
            .topic(tp.topic)
            .is_some_and(|topic| topic.is_internal);
        let leader_epoch = LeaderEpoch::ZERO;
        self.directory.insert(Partition {
            tp,
            log,
            rules: policies.rules,
            is_delete_policy: policies.is_delete_policy,
            is_internal,
            leader_epoch,
            waiters: Waiters::default(),
        });
        self.store.start_epoch(now, log, leader_epoch);
        log
    }

    /// Starts the image's epoch; readers that believe in an older one are fenced.
    fn sync_epoch(&mut self, now: Now, log: LogId, epoch: LeaderEpoch) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        if partition.leader_epoch < epoch {
            partition.leader_epoch = epoch;
            self.store.start_epoch(now, log, epoch);
            self.wake_all_readers(log);
        }
    }

    fn policies(&self, topic: &TopicState) -> Policies {
        let broker = &self.config.broker;
        let settings = TopicSettings::from(topic, &self.image, broker);
        let time = match settings.timestamp_type {
            TimestampType::LogAppendTime => TimeRule::LogAppendTime,
            TimestampType::CreateTime => TimeRule::CreateTime {
                before_max_ms: clamped(settings.timestamp_before_max_ms),
                after_max_ms: clamped(settings.timestamp_after_max_ms),
            },
        };
        let rules = AppendRules {
            batch_bytes_max: settings.max_message_bytes,
            segment_bytes: settings.log.segment_bytes,
            time,
            keys: if settings.is_compacted {
                KeyRule::Required
            } else {
                KeyRule::Optional
            },
            depth: if broker.validate_compressed {
                Depth::All
            } else {
                Depth::Uncompressed
            },
        };
        let mut log = settings.log;
        let mut is_delete_policy = settings.is_deleting;
        if topic.name == OFFSETS_TOPIC {
            // Commits expire by tombstones, never by age, and are answered when they are on the device,
            // whatever the topic's configs or the defaults of all topics say.
            is_delete_policy = false;
            log.durability = Durability::Disk;
            log.is_delete_policy = false;
            log.retention_ms = None;
            log.retention_bytes = None;
        }
        Policies {
            rules,
            is_delete_policy,
            log,
        }
    }

    fn drop_topic(&mut self, now: Now, id: TopicId) {
        for log in self.directory.logs_of_topic(id) {
            self.drop_partition(now, log);
        }
        for log in self.directory.take_strays_of_topic(id) {
            self.store.delete_log(now, log);
        }
    }

    fn drop_partition(&mut self, now: Now, log: LogId) {
        let Some(mut partition) = self.directory.remove(log) else {
            return;
        };
        self.fail_waiters(now, &mut partition.waiters);
        self.store.delete_log(now, log);
    }

    fn fail_waiters(&mut self, now: Now, waiters: &mut Waiters) {
        let unknown = PartitionError::UnknownTopicOrPartition;
        while let Some(waiter) = waiters.pop_any_append() {
            if let Some(timer) = waiter.timer {
                self.deadlines.cancel(timer);
            }
            match waiter.target {
                AppendTarget::Client { origin, .. } => {
                    let error = AppendError::Partition(unknown.clone());
                    self.reply(origin, Reply::Appended(Err(error)));
                }
                AppendTarget::Internal(serial) => self.fail_internal_append(now, serial),
            }
        }
        while let Some((origin, waiter)) = waiters.pop_any_fetch() {
            if let Some(timer) = waiter.timer {
                self.deadlines.cancel(timer);
            }
            let error = unknown_topic(&waiter.fetch.topic);
            self.reply_fetched(origin, Err(ReadError::Partition(error)));
        }
        while let Some(waiter) = waiters.pop_lookup() {
            let error = unknown_topic(&waiter.query.topic);
            self.reply(
                waiter.origin,
                Reply::Offset(Err(ReadError::Partition(error))),
            );
        }
        while let Some(origin) = waiters.pop_any_deletion() {
            self.reply_deletion_failed(origin, unknown.clone());
        }
    }

    fn reply_deletion_failed(&mut self, origin: Origin, error: PartitionError) {
        let error = DeleteRecordsError::Read(ReadError::Partition(error));
        self.reply(origin, Reply::RecordsDeleted(Err(error)));
    }
}

/// What a reader of a topic that just went away is told.
fn unknown_topic(key: &TopicKey) -> PartitionError {
    match key {
        TopicKey::Name(_) => PartitionError::UnknownTopicOrPartition,
        TopicKey::Id(_) => PartitionError::UnknownTopicId,
    }
}

/// A distance in time; what is too large for an `i64` means "any".
fn clamped(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
