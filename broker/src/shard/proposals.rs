//! Metadata changes that wait for the control core.
//!
//! Owns: which client waits for which proposal, and what its answer will be.
//! Never: applies a change; the delta does.
//! Invariants: every proposal is answered or expires, once; an answer after expiry is ignored; bounded.
//! Source: reliability.md 1.11.

use std::collections::BTreeMap;
use std::time::Duration;

use api::error::MetadataError;
use api::metadata::{NewTopic, TopicFilter, TopicKey};
use api::reply::DeletedTopic;
use api::{Origin, Reply};
use model::ids::TopicId;
use model::time::{Instant, Now};

use super::{Due, Output, Shard};
use crate::deadlines::TimerId;
use crate::metadata::{
    MetadataCommand, MetadataResult, TopicSpec, describe_created, metadata_view,
};
use crate::ports::Proposal;

/// Proposals of one shard that may be unanswered: bounds memory while the control core is slow.
const PROPOSALS_MAX: usize = 1_024;

/// How long a proposal that no client gave a deadline may take.
pub(super) const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What one element of a request became: proposed, or refused before.
pub(super) type Planned<T> = Result<T, MetadataError>;

/// Who waits for a proposal. Elements are in the order asked for; proposed are those that are `Ok`.
#[derive(Debug)]
pub(super) enum Pending {
    /// Metadata with auto-creation: answered with whatever exists then.
    AutoCreate(Origin, TopicFilter),
    Create(Origin, Vec<(NewTopic, Planned<TopicSpec>)>),
    Delete(Origin, Vec<(TopicKey, Option<String>, Planned<TopicId>)>),
    Partitions(Origin, Vec<(String, Planned<()>)>),
    Configs(Origin, Vec<Planned<()>>),
    /// The shard itself wants a block.
    ProducerIds,
}

/// Proposals without an answer.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    pending: BTreeMap<u64, (Pending, TimerId)>,
    next: u64,
}

impl Shard {
    /// Proposes a change; false (and the client is answered) if too many wait already.
    pub(super) fn propose(
        &mut self,
        command: MetadataCommand,
        pending: Pending,
        deadline: Instant,
    ) -> bool {
        if self.proposals.pending.len() >= PROPOSALS_MAX {
            let what = "too many metadata changes wait for their commit".to_owned();
            self.answer_failed(pending, &MetadataError::LimitReached(what));
            return false;
        }
        let id = self.proposals.next;
        self.proposals.next += 1;
        let timer = self.deadlines.insert(deadline, Due::Proposal(id));
        self.proposals.pending.insert(id, (pending, timer));
        let shard = self.config.shard;
        self.outputs
            .push_back(Output::Propose(Proposal { shard, id, command }));
        true
    }

    pub(super) fn handle_proposed(
        &mut self,
        now: Now,
        id: u64,
        result: Result<MetadataResult, MetadataError>,
    ) {
        // Gone if it expired before.
        let Some((pending, timer)) = self.proposals.pending.remove(&id) else {
            return;
        };
        self.deadlines.cancel(timer);
        match (result, pending) {
            (Ok(MetadataResult::ProducerIds(first)), Pending::ProducerIds) => {
                self.handle_producer_ids(now, first);
            }
            (Ok(MetadataResult::Each(each)), pending) => self.answer(pending, each),
            (Ok(MetadataResult::ProducerIds(_) | MetadataResult::Registered), pending) => {
                let what = "the metadata log answered another kind of change".to_owned();
                self.answer_failed(pending, &MetadataError::InvalidRequest(what));
            }
            (Err(error), pending) => self.answer_failed(pending, &error),
        }
    }

    pub(super) fn expire_proposal(&mut self, id: u64) {
        if let Some((pending, _)) = self.proposals.pending.remove(&id) {
            self.answer_failed(pending, &MetadataError::TimedOut);
        }
    }

    pub(super) fn expire_all_proposals(&mut self) {
        while let Some((_, (pending, timer))) = self.proposals.pending.pop_first() {
            self.deadlines.cancel(timer);
            self.answer_failed(pending, &MetadataError::TimedOut);
        }
    }

    fn answer_failed(&mut self, pending: Pending, error: &MetadataError) {
        let count = match &pending {
            Pending::AutoCreate(..) | Pending::ProducerIds => 0,
            Pending::Create(_, topics) => topics.len(),
            Pending::Delete(_, topics) => topics.len(),
            Pending::Partitions(_, topics) => topics.len(),
            Pending::Configs(_, changes) => changes.len(),
        };
        if matches!(pending, Pending::ProducerIds) {
            return self.fail_producer_ids(error);
        }
        self.answer(pending, vec![Err(error.clone()); count]);
    }

    /// Answers with one outcome per proposed element; an element without one did not happen.
    fn answer(&mut self, pending: Pending, each: Vec<Result<(), MetadataError>>) {
        let mut each = each.into_iter();
        let mut outcome = || each.next().unwrap_or(Err(MetadataError::TimedOut));
        match pending {
            Pending::AutoCreate(origin, filter) => self.reply_metadata(origin, &filter),
            Pending::Create(origin, topics) => {
                let (image, config) = (&self.image, &self.config.broker);
                let answer = topics.into_iter().map(|(topic, planned)| {
                    let created = planned.and_then(|spec| {
                        outcome().map(|()| describe_created(image, config, &spec))
                    });
                    (topic.name, created)
                });
                let answer = answer.collect();
                self.reply(origin, Reply::TopicsCreated(answer));
            }
            Pending::Delete(origin, topics) => {
                let answer = topics.into_iter().map(|(key, name, planned)| {
                    let id = planned.as_ref().ok().copied().or(match key {
                        TopicKey::Id(id) => Some(id),
                        TopicKey::Name(_) => None,
                    });
                    let result = planned.and_then(|_| outcome());
                    DeletedTopic {
                        key,
                        name,
                        id,
                        result,
                    }
                });
                let answer = answer.collect();
                self.reply(origin, Reply::TopicsDeleted(answer));
            }
            Pending::Partitions(origin, topics) => {
                let answer = topics.into_iter();
                let answer = answer.map(|(name, planned)| (name, planned.and_then(|()| outcome())));
                let answer = answer.collect();
                self.reply(origin, Reply::PartitionsCreated(answer));
            }
            Pending::Configs(origin, changes) => {
                let answer = changes
                    .into_iter()
                    .map(|planned| planned.and_then(|()| outcome()));
                let answer = answer.collect();
                self.reply(origin, Reply::ConfigsAltered(answer));
            }
            // Ids that are exhausted are refused as an element; whoever waits must learn of it.
            Pending::ProducerIds => {
                let error = outcome().err().unwrap_or(MetadataError::TimedOut);
                self.fail_producer_ids(&error);
            }
        }
    }

    pub(super) fn reply_metadata(&mut self, origin: Origin, filter: &TopicFilter) {
        let view = metadata_view(&self.image, &self.config.broker, filter);
        self.reply(origin, Reply::Metadata(view));
    }
}
