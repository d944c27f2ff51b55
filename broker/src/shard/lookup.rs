//! Offset lookups, ends of epochs, deletion of records.
//!
//! Owns: parking of lookups until the device answered, of deletions until they are durable.
//! Never: decides what the answer is; `partition::lookup` does.
//! Invariants: a deletion is answered only after `LogStartMoved`.
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
use crate::partition::lookup;

impl Shard {
    pub(super) fn list_offset(&mut self, now: Now, origin: Origin, query: ListOffset) {
        match self.locate(&query.topic, query.partition) {
            Ok(log) => self.advance_lookup(now, log, LookupWaiter { origin, query }),
            Err(error) => self.reply(origin, Reply::Offset(Err(error.into()))),
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
        if let Some(result) = result {
            self.reply(waiter.origin, Reply::Offset(result));
        } else if !partition.waiters.has_room_for_lookup() {
            let busy = ReadError::Partition(PartitionError::Busy);
            self.reply(waiter.origin, Reply::Offset(Err(busy)));
        } else {
            partition.waiters.park_lookup(waiter);
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
