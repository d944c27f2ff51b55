//! What the rules of a group may do to the world.
//!
//! Owns: outputs, timers, random ids, writes in flight.
//! Never: holds a group.
//! Invariants: every write has an entry here until it is reported or its partition is unloaded.
//! Source: architecture.md section 5.

use std::collections::{BTreeMap, VecDeque};

use api::error::GroupError;
use api::group::Joined;
use api::metadata::TopicKey;
use api::{Origin, Reply};
use bytes::Bytes;
use model::ids::{Generation, PartitionId};
use model::prng::Prng;

use super::config::GroupConfig;
use super::owed::Owed;
use super::records::OffsetValue;
use super::timers::Timers;
use super::{GroupOutput, GroupRecord, WriteId};

/// Outcome of one element of a commit or an offset deletion.
pub(super) type ElementResult = (TopicKey, PartitionId, Result<(), GroupError>);

/// Names one committed offset of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OffsetKey {
    /// Topic name.
    pub topic: String,
    /// Partition.
    pub partition: PartitionId,
}

/// What follows when a write is reported.
#[derive(Debug)]
pub(super) enum Write {
    /// The leader's assignment: members get it.
    Assignment {
        /// Group.
        group: String,
        /// Generation it is for.
        generation: Generation,
        /// Member id to assignment.
        assignments: BTreeMap<String, Bytes>,
    },
    /// A static member got a new id in a stable group: it gets its answer.
    Replacement {
        /// Group.
        group: String,
        /// Parked join.
        origin: Origin,
        /// New member id.
        member: String,
        /// The answer.
        joined: Box<Joined>,
    },
    /// The group became empty; nobody waits.
    Emptied,
    /// Offsets were committed.
    Commit {
        /// Group.
        group: String,
        /// Who waits.
        origin: Origin,
        /// The answer, if the write is durable.
        results: Vec<ElementResult>,
        /// What becomes visible.
        offsets: Vec<(OffsetKey, OffsetValue)>,
    },
    /// Offsets were given tombstones.
    Forget {
        /// (group, offset).
        offsets: Vec<(String, OffsetKey)>,
        /// Who waits, and the answer if the write is durable.
        answer: Option<(Origin, Vec<ElementResult>)>,
    },
    /// Offsets of topics that are gone were given tombstones; nobody waits.
    ForgetTopics {
        /// Partition of the offsets topic.
        partition: PartitionId,
        /// (group, offset).
        offsets: Vec<(String, OffsetKey)>,
    },
    /// The group got its tombstone.
    Retire {
        /// Group.
        group: String,
        /// Who waits.
        origin: Option<Origin>,
    },
}

/// Everything around the groups.
#[derive(Debug)]
pub(super) struct Effects {
    /// Limits and times.
    pub config: GroupConfig,
    /// Deadlines.
    pub timers: Timers,
    /// Not yet taken by the shard.
    pub outputs: VecDeque<GroupOutput>,
    /// Not yet reported, with the partition they went to.
    pub writes: BTreeMap<WriteId, (PartitionId, Write)>,
    /// Tombstones that could not be written.
    pub owed: Owed,
    /// Bytes that all groups hold, as of their last [`super::state::Group::settle`].
    pub held: usize,
    prng: Prng,
    last_write: u64,
}

impl Effects {
    pub(super) fn new(config: GroupConfig, seed: u64) -> Self {
        Self {
            config,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            writes: BTreeMap::new(),
            owed: Owed::default(),
            held: 0,
            prng: Prng::new(seed),
            last_write: 0,
        }
    }

    pub(super) fn reply(&mut self, origin: Origin, reply: Reply) {
        self.outputs.push_back(GroupOutput::Reply { origin, reply });
    }

    pub(super) fn persist(
        &mut self,
        partition: PartitionId,
        records: Vec<GroupRecord>,
        then: Write,
    ) -> WriteId {
        assert!(!records.is_empty(), "a batch has at least one record");
        self.last_write += 1;
        let write = WriteId(self.last_write);
        self.writes.insert(write, (partition, then));
        self.outputs.push_back(GroupOutput::Persist {
            write,
            partition,
            records,
        });
        write
    }

    /// `prefix` and a random identifier in the usual form of 36 characters.
    pub(super) fn member_id(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 37);
        id.push_str(prefix);
        for (index, byte) in self.prng.bytes16().into_iter().enumerate() {
            if matches!(index, 0 | 4 | 6 | 8 | 10) {
                id.push('-');
            }
            for nibble in [byte >> 4, byte & 0xf] {
                id.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        id
    }
}
