//! From an append command to its answer.
//!
//! Owns: admission into the log, stamping of append time, parking until durable.
//! Never: answers a waiting append before its last offset is below the high watermark (A8).
//! Invariants: a refused batch is not in the log, except when the answer is `TimedOut`.
//! Source: architecture.md section 6; kafka.md 3.2, 4.3, 4.9.

use api::command::{Acks, Append};
use api::error::{AppendError, PartitionError};
use api::metadata::TopicKey;
use api::reply::Appended;
use api::{Origin, Reply};
use bytes::BytesMut;
use model::batch::{BatchInfo, stamp_log_append_time, stamp_max_timestamp};
use model::ids::{PartitionId, TopicPartition};
use model::offset::Offset;
use model::time::{Instant, Now};
use storage::{Admit, IoError, LogId};

use super::{Due, Shard};
use crate::partition::{AppendTarget, AppendWaiter, Examined, TimeRule};

/// A batch that is in the log, durable or not.
#[derive(Clone, Copy, Debug)]
struct Placed {
    base_offset: Offset,
    last_offset: Offset,
    log_append_time: Option<i64>,
}

/// A batch on its way into a log.
struct Candidate {
    log: LogId,
    acks: Acks,
    batch: BytesMut,
    info: BatchInfo,
    inspect_bytes_max: usize,
}

impl Shard {
    pub(super) fn append(&mut self, now: Now, origin: Origin, append: Append) {
        let Append {
            topic,
            partition,
            acks,
            deadline,
            batch,
            info,
            inspect_bytes_max,
        } = append;
        let placed = self
            .locate(&topic, partition)
            .map_err(AppendError::from)
            .and_then(|log| {
                let placed = self.place(
                    now,
                    Candidate {
                        log,
                        acks,
                        batch,
                        info,
                        inspect_bytes_max,
                    },
                )?;
                Ok((log, placed))
            });
        match placed {
            Err(error) => self.reply(origin, Reply::Appended(Err(error))),
            Ok((log, placed)) => self.answer_or_park(log, placed, (origin, acks, deadline)),
        }
    }

    /// Appends a batch that the shard itself made; `handle_internal_append` is called when it is durable.
    pub(super) fn append_internal(
        &mut self,
        now: Now,
        log: LogId,
        batch: BytesMut,
        serial: u64,
    ) -> Result<(), AppendError> {
        let info = BatchInfo::parse_header(&batch)?;
        let partition = self
            .directory
            .get_mut(log)
            .ok_or(PartitionError::NotLeader)?;
        if !partition.waiters.has_room_for_append() {
            return Err(PartitionError::Busy.into());
        }
        let appended = self.store.append(now, log, batch, &info).map_err(refused)?;
        let last_offset = appended.last_offset;
        let target = AppendTarget::Internal(serial);
        partition.waiters.park_append(AppendWaiter {
            last_offset,
            timer: None,
            target,
        });
        // With memory durability it is answered at once.
        self.handle_advanced(now, log);
        Ok(())
    }

    /// Finds the log of a partition that this shard leads.
    pub(super) fn locate(
        &self,
        key: &TopicKey,
        partition: PartitionId,
    ) -> Result<LogId, PartitionError> {
        let Some(topic) = self.image.resolve(key) else {
            return Err(match key {
                TopicKey::Name(_) => PartitionError::UnknownTopicOrPartition,
                TopicKey::Id(_) => PartitionError::UnknownTopicId,
            });
        };
        let state = usize::try_from(partition.get())
            .ok()
            .and_then(|at| topic.partitions.get(at));
        let state = state.ok_or(PartitionError::UnknownTopicOrPartition)?;
        if state.leader != Some(self.config.broker.broker) {
            return Err(PartitionError::NotLeader);
        }
        let tp = TopicPartition {
            topic: topic.id,
            partition,
        };
        self.directory.log_of(tp).ok_or(PartitionError::NotLeader)
    }

    fn place(&mut self, now: Now, mut candidate: Candidate) -> Result<Placed, AppendError> {
        let log = candidate.log;
        let partition = self.directory.get(log).ok_or(PartitionError::NotLeader)?;
        if partition.is_internal {
            return Err(AppendError::InternalTopic);
        }
        let examined = Examined {
            batch: &candidate.batch,
            info: &candidate.info,
            bytes_max: candidate.inspect_bytes_max,
        };
        let latest = partition.rules.check(examined, now.wall)?;
        if self.store.is_overfull() {
            return Err(PartitionError::Busy.into());
        }
        if candidate.acks != Acks::None && !partition.waiters.has_room_for_append() {
            return Err(PartitionError::Busy.into());
        }
        match self.store.admit(now, log, &candidate.info) {
            Admit::Fresh => {}
            Admit::Duplicate {
                first,
                last,
                log_append_time,
            } => {
                return Ok(Placed {
                    base_offset: first,
                    last_offset: last,
                    log_append_time,
                });
            }
            Admit::OutOfOrder { expected, got } => {
                return Err(AppendError::OutOfOrder { expected, got });
            }
            Admit::Fenced => return Err(AppendError::ProducerFenced),
        }
        let mut log_append_time = None;
        if partition.rules.time == TimeRule::LogAppendTime {
            let stamp = now.wall.as_millis();
            stamp_log_append_time(&mut candidate.batch, stamp);
            candidate.info = BatchInfo::parse_header(&candidate.batch)?;
            log_append_time = Some(stamp);
        } else if let Some(latest) = latest.filter(|at| *at != candidate.info.max_timestamp) {
            // Retention and lookups go by the header.
            stamp_max_timestamp(&mut candidate.batch, latest);
            candidate.info = BatchInfo::parse_header(&candidate.batch)?;
        }
        let Candidate { batch, info, .. } = candidate;
        let appended = self.store.append(now, log, batch, &info).map_err(refused)?;
        let (base_offset, last_offset) = (appended.base_offset, appended.last_offset);
        Ok(Placed {
            base_offset,
            last_offset,
            log_append_time,
        })
    }

    fn answer_or_park(
        &mut self,
        log: LogId,
        placed: Placed,
        (origin, acks, deadline): (Origin, Acks, Instant),
    ) {
        let bounds = self.store.bounds(log);
        let is_durable = bounds.is_some_and(|bounds| placed.last_offset < bounds.high_watermark);
        if acks != Acks::None && !is_durable {
            return self.park_append(log, placed, (origin, deadline));
        }
        let appended = Appended {
            base_offset: placed.base_offset,
            log_append_time: placed.log_append_time,
            log_start: bounds.map_or(Offset::ZERO, |bounds| bounds.log_start),
        };
        self.reply(origin, Reply::Appended(Ok(appended)));
    }

    fn park_append(&mut self, log: LogId, placed: Placed, (origin, deadline): (Origin, Instant)) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let Placed {
            base_offset,
            last_offset,
            log_append_time,
        } = placed;
        let timer = self
            .deadlines
            .insert(deadline, Due::Append(log, last_offset, origin));
        let target = AppendTarget::Client {
            origin,
            base_offset,
            log_append_time,
        };
        partition.waiters.park_append(AppendWaiter {
            last_offset,
            timer: Some(timer),
            target,
        });
    }

    /// Answers the appends that became durable and wakes readers.
    pub(super) fn handle_advanced(&mut self, now: Now, log: LogId) {
        let Some(bounds) = self.store.bounds(log) else {
            return;
        };
        while let Some(waiter) = self
            .directory
            .get_mut(log)
            .and_then(|partition| partition.waiters.pop_append(bounds.high_watermark))
        {
            if let Some(timer) = waiter.timer {
                self.deadlines.cancel(timer);
            }
            match waiter.target {
                AppendTarget::Client {
                    origin,
                    base_offset,
                    log_append_time,
                } => {
                    let appended = Appended {
                        base_offset,
                        log_append_time,
                        log_start: bounds.log_start,
                    };
                    self.reply(origin, Reply::Appended(Ok(appended)));
                }
                AppendTarget::Internal(serial) => self.handle_internal_append(now, serial),
            }
        }
        self.wake_readers(log);
    }

    pub(super) fn expire_append(&mut self, log: LogId, last_offset: Offset, origin: Origin) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let waiter = partition.waiters.take_append(last_offset, origin);
        assert!(
            waiter.is_some(),
            "a timer of an append belongs to a parked append"
        );
        self.reply(origin, Reply::Appended(Err(AppendError::TimedOut)));
    }
}

/// How a refusal of the store looks to a client.
fn refused(error: IoError) -> AppendError {
    match error {
        IoError::NoSpace => AppendError::DiskFull,
        IoError::Device(_) | IoError::Short | IoError::NotFound => {
            PartitionError::Storage(error.to_string()).into()
        }
    }
}
