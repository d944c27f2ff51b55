//! What can be asked of the broker.
//!
//! Owns: [`Command`] and where each must be carried out ([`Route`]).
//! Never: borrows from a connection's buffer: commands cross cores.
//! Invariants: each command names at most one partition or one group; front ends split and gather.
//! Source: architecture.md sections 5 and 6.

use bytes::BytesMut;
use model::batch::BatchInfo;
use model::ids::{BrokerId, PartitionId, ProducerEpoch, ProducerId, ShardId};
use model::offset::{LeaderEpoch, Offset};
use model::time::Instant;

use crate::Ticket;
use crate::group;
use crate::metadata::{ConfigChange, ConfigResource, NewTopic, TopicFilter, TopicKey};

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never; the reply only reports an error.
    None,
    /// By the leader's rule (the topic's `rapidmq.durability`).
    Leader,
    /// By every in-sync replica's rule; on one broker the same as `Leader`.
    All,
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Below the high watermark.
    ReadUncommitted,
    /// Below the last stable offset.
    ReadCommitted,
}

/// Appends one validated batch to one partition.
#[derive(Debug)]
pub struct Append {
    /// Topic.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// When to answer.
    pub acks: Acks,
    /// Answer `TimedOut` if not durable by then.
    pub deadline: Instant,
    /// Exactly one record batch v2, owned, so that it can be stamped in place.
    pub batch: BytesMut,
    /// What its header says; checked against the bytes by the front end.
    pub info: BatchInfo,
    /// Bytes its records may decompress to where they must be looked at: the front end's share of a bound per
    /// request.
    pub inspect_bytes_max: usize,
}

/// Reads records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Topic.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// First offset wanted.
    pub offset: Offset,
    /// Fencing check, if given.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Epoch of the last record the reader has, for the divergence check (v12).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Visibility.
    pub isolation: Isolation,
    /// Bytes wanted at most; the first batch is returned whole even if larger, if `at_least_one`.
    pub bytes_max: u32,
    /// Return one whole batch even if it is larger than `bytes_max`.
    pub at_least_one: bool,
    /// Park until there is at least one byte, an error, or this instant. `None`: answer at once.
    pub wait_until: Option<Instant>,
}

/// Which offset is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// High watermark or last stable offset.
    Latest,
    /// Log start.
    Earliest,
    /// Record with the largest timestamp.
    MaxTimestamp,
    /// First record with at least this timestamp, ms.
    AtTimestamp(i64),
}

/// Looks up one offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffset {
    /// Topic.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// Fencing check, if given.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Visibility.
    pub isolation: Isolation,
    /// What is asked.
    pub query: OffsetQuery,
}

/// Asks for the end of a leader epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// Topic.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// Fencing check, if given.
    pub current_epoch: Option<LeaderEpoch>,
    /// The epoch asked about.
    pub epoch: LeaderEpoch,
}

/// Moves the log start up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRecords {
    /// Topic.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// New first offset; `None` for the high watermark.
    pub before: Option<Offset>,
}

/// Everything that can be asked.
#[derive(Debug)]
pub enum Command {
    /// Append one batch.  Reply: [`crate::Reply::Appended`].
    Append(Append),
    /// Read.  Reply: [`crate::Reply::Fetched`].
    Fetch(Fetch),
    /// Answer the parked fetch with this ticket of the same connection now. Has no reply of its own.
    CancelFetch {
        /// Topic, for routing.
        topic: TopicKey,
        /// Partition, for routing.
        partition: PartitionId,
        /// The parked fetch.
        ticket: Ticket,
    },
    /// Look up an offset.  Reply: [`crate::Reply::Offset`].
    ListOffset(ListOffset),
    /// End of an epoch.  Reply: [`crate::Reply::EpochEnd`].
    EpochEnd(EpochEnd),
    /// Truncate at the front.  Reply: [`crate::Reply::RecordsDeleted`].
    DeleteRecords(DeleteRecords),
    /// Describe topics and brokers.  Reply: [`crate::Reply::Metadata`].
    Metadata {
        /// Which topics.
        topics: TopicFilter,
        /// Create missing ones with defaults, if the broker is so configured.
        auto_create: bool,
    },
    /// Reply: [`crate::Reply::TopicsCreated`].
    CreateTopics {
        /// What.
        topics: Vec<NewTopic>,
        /// Only check.
        validate_only: bool,
        /// Give up then.
        deadline: Instant,
    },
    /// Reply: [`crate::Reply::TopicsDeleted`].
    DeleteTopics {
        /// Which.
        topics: Vec<TopicKey>,
        /// Give up then.
        deadline: Instant,
    },
    /// Reply: [`crate::Reply::PartitionsCreated`].
    CreatePartitions {
        /// (topic, new total, assignment of the new ones).
        topics: Vec<(String, u32, Vec<Vec<BrokerId>>)>,
        /// Only check.
        validate_only: bool,
        /// Give up then.
        deadline: Instant,
    },
    /// Reply: [`crate::Reply::Configs`].
    DescribeConfigs {
        /// (resource, keys; `None` for all).
        resources: Vec<(ConfigResource, Option<Vec<String>>)>,
    },
    /// Reply: [`crate::Reply::ConfigsAltered`].
    AlterConfigs {
        /// Changes, one per resource.
        changes: Vec<ConfigChange>,
        /// Only check.
        validate_only: bool,
        /// Give up then.
        deadline: Instant,
    },
    /// A new producer id, or the next epoch of an existing one (KIP-360).  Reply: [`crate::Reply::ProducerId`].
    InitProducerId {
        /// Present identity, if the client asks for a bump.
        current: Option<(ProducerId, ProducerEpoch)>,
    },
    /// Where a group's coordinator is.  Reply: [`crate::Reply::Coordinator`].
    FindCoordinator {
        /// Group id.
        group: String,
    },
    /// Reply: [`crate::Reply::Joined`], possibly minutes later.
    JoinGroup(group::Join),
    /// Reply: [`crate::Reply::Synced`], possibly minutes later.
    SyncGroup(group::Sync),
    /// Reply: [`crate::Reply::Heartbeat`].
    Heartbeat(group::MemberKey),
    /// Reply: [`crate::Reply::Left`].
    LeaveGroup(group::Leave),
    /// Reply: [`crate::Reply::OffsetsCommitted`].
    CommitOffsets(group::Commit),
    /// Reply: [`crate::Reply::CommittedOffsets`].
    FetchCommitted(group::CommittedQuery),
    /// Reply: [`crate::Reply::Group`].
    DescribeGroup {
        /// Group id.
        group: String,
    },
    /// Groups of one shard; front ends ask every shard.  Reply: [`crate::Reply::Groups`].
    ListGroups {
        /// The shard asked.
        shard: ShardId,
    },
    /// Reply: [`crate::Reply::GroupDeleted`].
    DeleteGroup {
        /// Group id.
        group: String,
    },
    /// Forget committed offsets.  Reply: [`crate::Reply::CommitsDeleted`].
    DeleteOffsets {
        /// Group id.
        group: String,
        /// Which.
        partitions: Vec<(TopicKey, PartitionId)>,
    },
}

/// Where a command must be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Any shard: the one that has it.
    Here,
    /// The owner of this partition.
    Partition(&'a TopicKey, PartitionId),
    /// The owner of the group's partition of `__consumer_offsets`.
    Group(&'a str),
    /// This shard.
    Shard(ShardId),
}

impl Command {
    /// Where this command must be carried out.
    #[must_use]
    pub fn route(&self) -> Route<'_> {
        match self {
            Self::Append(Append {
                topic, partition, ..
            })
            | Self::Fetch(Fetch {
                topic, partition, ..
            })
            | Self::CancelFetch {
                topic, partition, ..
            }
            | Self::ListOffset(ListOffset {
                topic, partition, ..
            })
            | Self::EpochEnd(EpochEnd {
                topic, partition, ..
            })
            | Self::DeleteRecords(DeleteRecords {
                topic, partition, ..
            }) => Route::Partition(topic, *partition),
            Self::Metadata { .. }
            | Self::CreateTopics { .. }
            | Self::DeleteTopics { .. }
            | Self::CreatePartitions { .. }
            | Self::DescribeConfigs { .. }
            | Self::AlterConfigs { .. }
            | Self::InitProducerId { .. }
            | Self::FindCoordinator { .. } => Route::Here,
            Self::JoinGroup(join) => Route::Group(&join.group),
            Self::SyncGroup(sync) => Route::Group(&sync.key.group),
            Self::Heartbeat(key) => Route::Group(&key.group),
            Self::LeaveGroup(leave) => Route::Group(&leave.group),
            Self::CommitOffsets(commit) => Route::Group(&commit.key.group),
            Self::FetchCommitted(query) => Route::Group(&query.group),
            Self::DescribeGroup { group }
            | Self::DeleteGroup { group }
            | Self::DeleteOffsets { group, .. } => Route::Group(group),
            Self::ListGroups { shard } => Route::Shard(*shard),
        }
    }
}
