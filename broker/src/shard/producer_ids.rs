//! Producer ids: blocks from the metadata log, handed out one by one.
//!
//! Owns: the present and the next block, whoever waits for one.
//! Never: hands an id out twice; a block is used by one shard of one process only.
//! Invariants: at most one block is being asked for; waiters are bounded and have a deadline.
//! Source: KIP-98, KIP-360, KIP-730; kafka.md 4.9, 4.10.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use api::error::MetadataError;
use api::{Origin, Reply};
use model::ids::{ProducerEpoch, ProducerId};
use model::limits;
use model::time::Now;

use super::proposals::{PROPOSAL_TIMEOUT, Pending};
use super::{Due, Shard};
use crate::deadlines::TimerId;
use crate::metadata::MetadataCommand;

/// Clients that may wait for an id; each holds a connection.
const WAITERS_MAX: usize = 10_000;

/// Ids left at which the next block is asked for.
const PREFETCH_AT: u64 = limits::PRODUCER_ID_BLOCK / 4;

/// Highest epoch of a producer id; the next one needs a new id. Java's `Short.MAX_VALUE - 1`.
const EPOCH_MAX: u16 = 32_766;

/// How long a client waits for an id.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Where producer ids come from.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    present: Range<u64>,
    next: Option<Range<u64>>,
    is_asking: bool,
    waiters: VecDeque<(Origin, TimerId)>,
}

impl ProducerIds {
    fn take(&mut self) -> Option<ProducerId> {
        if self.present.is_empty() {
            self.present = self.next.take()?;
        }
        self.present.next().map(ProducerId::new)
    }

    fn wants_block(&self) -> bool {
        !self.is_asking
            && self.next.is_none()
            && self.present.end - self.present.start <= PREFETCH_AT
    }
}

impl Shard {
    /// A fresh id, or the next epoch of the one the client has (KIP-360).
    pub(super) fn init_producer_id(
        &mut self,
        now: Now,
        origin: Origin,
        current: Option<(ProducerId, ProducerEpoch)>,
    ) {
        let bumped = current.filter(|(_, epoch)| epoch.get() < EPOCH_MAX);
        if let Some((id, epoch)) = bumped {
            let next = ProducerEpoch::new(epoch.get() + 1);
            return self.reply(origin, Reply::ProducerId(Ok((id, next))));
        }
        if let Some(id) = self.producer_ids.take() {
            self.reply(origin, Reply::ProducerId(Ok((id, ProducerEpoch::new(0)))));
        } else if self.producer_ids.waiters.len() < WAITERS_MAX {
            let timer = self
                .deadlines
                .insert(now.instant.after(WAIT_MAX), Due::ProducerId(origin));
            self.producer_ids.waiters.push_back((origin, timer));
        } else {
            let what = "too many clients wait for a producer id".to_owned();
            self.reply(
                origin,
                Reply::ProducerId(Err(MetadataError::LimitReached(what))),
            );
        }
        self.ask_for_producer_ids(now);
    }

    fn ask_for_producer_ids(&mut self, now: Now) {
        if self.producer_ids.wants_block() {
            let command = MetadataCommand::AllocateProducerIds(self.config.broker.broker);
            let deadline = now.instant.after(PROPOSAL_TIMEOUT);
            self.producer_ids.is_asking = self.propose(command, Pending::ProducerIds, deadline);
        }
    }

    /// A block arrived: serves whoever waits.
    pub(super) fn handle_producer_ids(&mut self, now: Now, first: ProducerId) {
        self.producer_ids.is_asking = false;
        let block = first.get()..first.get().saturating_add(limits::PRODUCER_ID_BLOCK);
        if self.producer_ids.present.is_empty() {
            self.producer_ids.present = block;
        } else {
            self.producer_ids.next = Some(block);
        }
        while !self.producer_ids.waiters.is_empty() {
            let Some(id) = self.producer_ids.take() else {
                break;
            };
            let Some((origin, timer)) = self.producer_ids.waiters.pop_front() else {
                break;
            };
            self.deadlines.cancel(timer);
            self.reply(origin, Reply::ProducerId(Ok((id, ProducerEpoch::new(0)))));
        }
        if !self.producer_ids.waiters.is_empty() {
            self.ask_for_producer_ids(now);
        }
    }

    /// No block came: whoever waits learns it now, the next client asks again.
    pub(super) fn fail_producer_ids(&mut self, error: &MetadataError) {
        self.producer_ids.is_asking = false;
        self.refuse_producer_ids(error);
    }

    pub(super) fn expire_producer_id(&mut self, origin: Origin) {
        self.producer_ids
            .waiters
            .retain(|(waiting, _)| *waiting != origin);
        self.reply(origin, Reply::ProducerId(Err(MetadataError::TimedOut)));
    }

    /// Answers everybody who waits for an id with an error.
    pub(super) fn refuse_producer_ids(&mut self, error: &MetadataError) {
        while let Some((origin, timer)) = self.producer_ids.waiters.pop_front() {
            self.deadlines.cancel(timer);
            self.reply(origin, Reply::ProducerId(Err(error.clone())));
        }
    }
}
