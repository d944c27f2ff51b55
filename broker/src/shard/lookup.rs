//! Offset lookups, ends of epochs, deletion of records.
//!
//! Owns: parking of lookups until the device answered, of deletions until they are durable.
//! Never: decides what the answer is; `partition::lookup` does.
//! Invariants: a deletion is answered only after `LogStartMoved`; searches by time take turns with everything else.
//! Source: kafka.md 4.5, 4.7, 4.12.

use api::command::{DeleteRecords, EpochEnd, ListOffset};
use api::error::{PartitionError, ReadError};
use api::reply::DeleteRecordsError;
use api::{Origin, Reply};
use model::offset::Offset;
use model::time::Now;
use storage::LogId;

use super::Shard;
use crate::partition::LookupWaiter;
use crate::partition::lookup::{self, LookupStep};

impl Shard {
    pub(super) fn list_offset(&mut self, now: Now, origin: Origin, query: ListOffset) {
        match self.locate(&query.topic, query.partition) {
            Ok(log) if !lookup::is_search(query.query) || self.retries.may_search() => {
                self.advance_lookup(now, log, LookupWaiter { origin, query });
            }
            Ok(log) => {
                self.park_lookup(log, LookupWaiter { origin, query });
                self.queue_lookups(log);
            }
            Err(error) => self.reply(origin, Reply::Offset(Err(error.into()))),
        }
    }

    /// Queues the lookups of a log to be tried again.
    pub(super) fn queue_lookups(&mut self, log: LogId) {
        let partition = self.directory.get_mut(log);
        let lookups = partition.map_or(0, |one| one.waiters.queue_lookups());
        for _ in 0..lookups {
            self.retries.push_lookup(log);
        }
    }

    pub(super) fn retry_lookup(&mut self, now: Now, log: LogId) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        if let Some(waiter) = partition.waiters.pop_lookup() {
            self.advance_lookup(now, log, waiter);
        }
    }

    pub(super) fn epoch_end(&mut self, origin: Origin, query: &EpochEnd) {
        let located = self
            .locate(&query.topic, query.partition)
            .and_then(|log| self.directory.get(log).ok_or(PartitionError::NotLeader));
        let result = match located {
            Ok(partition) => lookup::epoch_end(partition, &self.store, query),
            Err(error) => Err(error.into()),
        };
        self.reply(origin, Reply::EpochEnd(result));
    }

    pub(super) fn delete_records(&mut self, now: Now, origin: Origin, wanted: &DeleteRecords) {
        let result = self.start_deletion(now, origin, wanted);
        if let Some(result) = result.transpose() {
            self.reply(origin, Reply::RecordsDeleted(result));
        }
    }

    /// Answers the deletions that became durable; readers below the new start learn of it.
    pub(super) fn handle_log_start_moved(&mut self, log: LogId) {
        let Some(bounds) = self.store.bounds(log) else {
            return;
        };
        while let Some(origin) = self
            .directory
            .get_mut(log)
            .and_then(|partition| partition.waiters.pop_deletion(bounds.log_start))
        {
            self.reply(origin, Reply::RecordsDeleted(Ok(bounds.log_start)));
        }
        self.wake_all_readers(log);
    }

    fn advance_lookup(&mut self, now: Now, log: LogId, waiter: LookupWaiter) {
        let Some(partition) = self.directory.get_mut(log) else {
            return;
        };
        let result = lookup::try_lookup(partition, &mut self.store, now, &waiter.query);
        match result {
            LookupStep::Done(result) => self.reply(waiter.origin, Reply::Offset(result)),
            LookupStep::Wait => self.park_lookup(log, waiter),
            LookupStep::Again => {
                self.park_lookup(log, waiter);
                self.queue_lookups(log);
            }
        }
    }

    fn park_lookup(&mut self, log: LogId, waiter: LookupWaiter) {
        match self.directory.get_mut(log) {
            Some(partition) if partition.waiters.has_room_for_lookup() => {
                partition.waiters.park_lookup(waiter);
            }
            Some(_) | None => {
                let busy = ReadError::Partition(PartitionError::Busy);
                self.reply(waiter.origin, Reply::Offset(Err(busy)));
            }
        }
    }

    /// The new log start if nothing needs to be written for it.
    fn start_deletion(
        &mut self,
        now: Now,
        origin: Origin,
        wanted: &DeleteRecords,
    ) -> Result<Option<Offset>, DeleteRecordsError> {
        let log = self
            .locate(&wanted.topic, wanted.partition)
            .map_err(ReadError::from)?;
        let gone = || DeleteRecordsError::Read(PartitionError::NotLeader.into());
        let partition = self.directory.get_mut(log).ok_or_else(gone)?;
        if partition.is_internal {
            return Err(DeleteRecordsError::Policy);
        }
        let (before, bounds) = lookup::deletion_target(partition, &self.store, wanted.before)?;
        if before <= bounds.log_start && !partition.waiters.has_deletion() {
            return Ok(Some(bounds.log_start));
        }
        if !partition.waiters.has_room_for_deletion() {
            return Err(DeleteRecordsError::Read(PartitionError::Busy.into()));
        }
        partition.waiters.park_deletion(origin, before);
        if before > bounds.log_start {
            self.store.delete_records(now, log, before);
        }
        Ok(None)
    }
}
