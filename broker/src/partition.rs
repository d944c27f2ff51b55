//! One partition as its leader serves it: rules, epoch, and whoever waits on it.
//!
//! Owns: what an append must obey, what a fetch may see, the waiters.
//! Never: knows topics, groups or the metadata image; the shard hands in what follows from them.
//! Invariants: every waiter is answered exactly once; waiters of each kind are bounded by
//! `limits::WAITERS_PER_PARTITION_MAX`.
//! Source: architecture.md section 6; kafka.md 4.3 to 4.5.

pub mod append;
pub mod fetch;
pub mod lookup;
pub mod waiters;

use api::error::PartitionError;
use model::ids::TopicPartition;
use model::offset::LeaderEpoch;
use storage::LogId;

pub use append::{AppendRules, Depth, Examined, TimeRule};
pub use waiters::{AppendTarget, AppendWaiter, FetchNeed, FetchWaiter, LookupWaiter, Waiters};

/// A partition that this shard leads.
#[derive(Debug)]
pub struct Partition {
    /// Which.
    pub tp: TopicPartition,
    /// Its log in the shard's store.
    pub log: LogId,
    /// What an append must obey.
    pub rules: AppendRules,
    /// Whether `cleanup.policy` has `delete`, so that records may be deleted on request.
    pub is_delete_policy: bool,
    /// Whether clients may not write to it.
    pub is_internal: bool,
    /// Present generation of leadership.
    pub leader_epoch: LeaderEpoch,
    /// Whoever waits.
    pub waiters: Waiters,
}

impl Partition {
    /// Reads a field of every part of this that an append or a fetch uses.
    pub(crate) fn touch(&self) -> u64 {
        self.log.0 ^ self.rules.segment_bytes ^ self.waiters.len() as u64
    }

    /// Compares the leader epoch a client believes in with ours.  spec: KIP-320
    ///
    /// # Errors
    /// `FencedLeaderEpoch` if the client's is older, `UnknownLeaderEpoch` if it is newer.
    pub fn check_epoch(&self, got: Option<LeaderEpoch>) -> Result<(), PartitionError> {
        let current = self.leader_epoch;
        match got {
            Some(got) if got < current => Err(PartitionError::FencedLeaderEpoch { got, current }),
            Some(got) if got > current => Err(PartitionError::UnknownLeaderEpoch { got, current }),
            Some(_) | None => Ok(()),
        }
    }
}
