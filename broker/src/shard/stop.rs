//! The orderly stop.
//!
//! Owns: its phases, and what becomes of requests that still wait.
//! Never: reports before the store says that everything is durable.
//! Invariants: every command got its answer before `Stopped`.
//! Source: reliability.md 2.4 (clean marker).

use api::error::{AppendError, MetadataError, PartitionError, ReadError};
use api::reply::DeleteRecordsError;
use api::{Command, Origin, Reply};
use model::time::Now;
use storage::LogId;

use super::{Output, Shard};
use crate::partition::AppendTarget;
use crate::partition::fetch::empty;

model::transitions! {
    /// How far the stop is.
    pub enum Phase {
        /// Serving.
        Running => [Stopping],
        /// Only what is in flight is finished.
        Stopping => [Stopped],
        /// Everything is durable.
        Stopped => [],
    }
}

impl Shard {
    /// Appends that are in the log may still become durable; everything else is answered now.
    pub(super) fn begin_stop(&mut self, now: Now) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase.become_next(Phase::Stopping);
        for log in self.directory.logs() {
            self.finish_readers(log);
        }
        self.expire_all_proposals();
        self.refuse_producer_ids(&MetadataError::TimedOut);
        self.store.begin_shutdown(now);
    }

    /// Reports the stop once the store is done.
    pub(super) fn settle_stop(&mut self, now: Now) {
        if self.phase == Phase::Stopping && self.store.is_shut_down() {
            for log in self.directory.logs() {
                self.abandon_writers(log);
            }
            // After the writes: commits on their way were answered by what became of them.
            self.abandon_groups(now);
            self.phase.become_next(Phase::Stopped);
            self.outputs.push_back(Output::Stopped);
        }
    }

    /// Answers a command that came too late.
    pub(super) fn refuse_stopping(&mut self, origin: Origin, command: &Command) {
        // Clients take an empty list of brokers for a failed cluster; what is known is still true.
        if let Command::Metadata { topics, .. } = command {
            return self.reply_metadata(origin, topics);
        }
        if let Some(reply) = super::refusal::stopping(command) {
            self.reply(origin, reply);
        }
    }

    fn finish_readers(&mut self, log: LogId) {
        let bounds = self.store.bounds(log);
        let gone = || ReadError::Partition(PartitionError::NotLeader);
        let fetched = || bounds.as_ref().map(empty).ok_or_else(gone);
        while let Some((origin, waiter)) = self
            .directory
            .get_mut(log)
            .and_then(|one| one.waiters.pop_any_fetch())
        {
            if let Some(timer) = waiter.timer {
                self.deadlines.cancel(timer);
            }
            self.reply_fetched(origin, fetched());
        }
        while let Some(waiter) = self
            .directory
            .get_mut(log)
            .and_then(|one| one.waiters.pop_lookup())
        {
            self.reply(waiter.origin, Reply::Offset(Err(gone())));
        }
    }

    fn abandon_writers(&mut self, log: LogId) {
        while let Some(waiter) = self
            .directory
            .get_mut(log)
            .and_then(|one| one.waiters.pop_any_append())
        {
            if let Some(timer) = waiter.timer {
                self.deadlines.cancel(timer);
            }
            match waiter.target {
                AppendTarget::Client { origin, .. } => {
                    self.reply(origin, Reply::Appended(Err(AppendError::TimedOut)));
                }
                // Its client is answered when its connection ends with the process.
                AppendTarget::Internal(_) => {}
            }
        }
        while let Some(origin) = self
            .directory
            .get_mut(log)
            .and_then(|one| one.waiters.pop_any_deletion())
        {
            let error = DeleteRecordsError::Read(PartitionError::NotLeader.into());
            self.reply(origin, Reply::RecordsDeleted(Err(error)));
        }
    }
}
