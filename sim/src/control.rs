//! The control core of the simulation: a log of metadata commands with one voter.
//!
//! Owns: committed commands (they survive a crash), the image, proposals that wait for every core.
//! Never: applies a command by other means than the product's state machine and codec.
//! Invariants: deltas reach each core in index order; a proposal is answered after all cores applied it.
//! Source: reliability.md 1.11.

use std::sync::Arc;

use broker::metadata::codec::{decode_command, encode_command};
use broker::metadata::{Image, MetadataCommand, MetadataResult, StateMachine};
use broker::{CoreMessage, Proposal};
use bytes::Bytes;
use model::ids::{MetaIndex, ShardId};

/// A proposal that waits until every core applied its index.
#[derive(Debug)]
struct Waiting {
    shard: ShardId,
    id: u64,
    index: MetaIndex,
    result: MetadataResult,
}

/// The simulated control core.
#[derive(Debug, Default)]
pub struct SimControl {
    log: Vec<Bytes>,
    image: Arc<Image>,
    applied: Vec<MetaIndex>,
    waiting: Vec<Waiting>,
}

impl SimControl {
    /// The present image.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image)
    }

    /// A start: forgets what was volatile, replays the log, registers nothing by itself.
    ///
    /// # Panics
    /// If a committed command does not decode: that is what the simulation looks for.
    pub fn restart(&mut self, shards: u16) {
        self.waiting.clear();
        self.image = Arc::default();
        for index in 0..self.log.len() {
            let bytes = self.log.get(index).cloned().unwrap_or_default();
            let command = decode_command(&bytes).ok().flatten();
            assert!(
                command.is_some(),
                "committed command {index} does not decode"
            );
            if let Some(command) = command {
                self.apply(index as u64 + 1, &command);
            }
        }
        self.applied = vec![self.image.index(); usize::from(shards)];
    }

    /// Commits a command at start, before the cores live.
    ///
    /// # Panics
    /// If it does not encode.
    pub fn bootstrap(&mut self, command: &MetadataCommand) -> MetadataResult {
        let (result, _) = self.commit(command);
        let index = self.image.index();
        self.applied.iter_mut().for_each(|applied| *applied = index);
        result
    }

    /// Commits a proposal; gives the delta for every core.
    pub fn handle_proposal(&mut self, proposal: Proposal) -> CoreMessage {
        let (result, delta) = self.commit(&proposal.command);
        let index = self.image.index();
        self.waiting.push(Waiting {
            shard: proposal.shard,
            id: proposal.id,
            index,
            result,
        });
        delta
    }

    fn commit(&mut self, command: &MetadataCommand) -> (MetadataResult, CoreMessage) {
        let bytes = encode_command(command);
        assert!(bytes.is_ok(), "a proposed command encodes");
        self.log.push(bytes.unwrap_or_default());
        self.apply(self.log.len() as u64, command)
    }

    fn apply(&mut self, index: u64, command: &MetadataCommand) -> (MetadataResult, CoreMessage) {
        let index = MetaIndex::new(index);
        let (image, result, changes) = StateMachine::apply(&self.image, index, command);
        self.image = Arc::new(image);
        let delta = CoreMessage::Delta {
            index,
            image: Arc::clone(&self.image),
            changes: Arc::new(changes),
        };
        (result, delta)
    }

    /// A core applied everything up to `index`; gives the answers that became due.
    pub fn handle_applied(
        &mut self,
        shard: ShardId,
        index: MetaIndex,
    ) -> Vec<(ShardId, CoreMessage)> {
        if let Some(applied) = self.applied.get_mut(usize::from(shard.get())) {
            *applied = (*applied).max(index);
        }
        let reached = self.applied.iter().copied().min().unwrap_or_default();
        let (due, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.index <= reached);
        self.waiting = waiting;
        due.into_iter()
            .map(|waiting| {
                let message = CoreMessage::Proposed {
                    id: waiting.id,
                    result: Ok(waiting.result),
                };
                (waiting.shard, message)
            })
            .collect()
    }
}
