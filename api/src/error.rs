//! Errors per operation, each with a class that tells a front end what to do.
//!
//! Owns: the error enums of every command.
//! Never: holds wire codes; each front end maps once.
//! Invariants: an expected situation has its own variant, never a catch-all.
//! Source: style.md rule 15, kafka.md section 4.

use model::batch::BatchError;
use model::offset::{LeaderEpoch, Offset};

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again later, as it is.
    Retry,
    /// Refresh metadata and try again.
    Refresh,
    /// The request itself is wrong.
    Invalid,
    /// The thing does not exist.
    NotFound,
    /// The caller was replaced by a newer one.
    Fenced,
    /// The broker's storage failed.
    Storage,
}

/// Why a partition-level command could not reach its partition; shared by several operations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// No topic of that name, or no such partition of it.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// No topic with that id.
    #[error("unknown topic id")]
    UnknownTopicId,
    /// This broker does not lead the partition (yet).
    #[error("not the leader of the partition")]
    NotLeader,
    /// The request's leader epoch is older.
    #[error("leader epoch {got} is older than {current}")]
    FencedLeaderEpoch {
        /// In the request.
        got: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The request's leader epoch is newer.
    #[error("leader epoch {got} is newer than {current}")]
    UnknownLeaderEpoch {
        /// In the request.
        got: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The log is damaged there or its disk is fenced.
    #[error("storage error: {0}")]
    Storage(String),
    /// A bound on waiting requests, or on data that waits to be written, was reached.
    #[error(
        "too many requests wait on this partition, or too much data of this core waits to be written"
    )]
    Busy,
}

impl PartitionError {
    /// What the caller should do.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::UnknownTopicOrPartition | Self::UnknownTopicId => Class::NotFound,
            Self::NotLeader | Self::UnknownLeaderEpoch { .. } => Class::Refresh,
            Self::FencedLeaderEpoch { .. } => Class::Fenced,
            Self::Storage(_) => Class::Storage,
            Self::Busy => Class::Retry,
        }
    }
}

/// Faulty records of one batch that are named at most; a client needs the first few to see its mistake.
pub const FAULTY_RECORDS_MAX: usize = 1_000;

/// Why an append was refused. Nothing was written unless the variant says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The partition could not be reached.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Batch larger than the topic's `max.message.bytes`.
    #[error("batch of {bytes} bytes is over max.message.bytes {limit}")]
    TooLarge {
        /// The batch.
        bytes: u32,
        /// The topic's limit.
        limit: u32,
    },
    /// Batch larger than the topic's `segment.bytes`.
    #[error("batch of {bytes} bytes does not fit a segment")]
    LargerThanSegment {
        /// The batch.
        bytes: u32,
    },
    /// The bytes are not an acceptable batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A rule of the topic forbids the batch as a whole.
    #[error("{0}")]
    InvalidRecord(String),
    /// The topic is compacted and these records have no key; the first [`FAULTY_RECORDS_MAX`] are named.
    #[error("the topic is compacted: every record needs a key")]
    KeylessRecords(Vec<u32>),
    /// Timestamp outside `message.timestamp.before/after.max.ms`.
    #[error("timestamp {timestamp} is outside the range the topic accepts")]
    InvalidTimestamp {
        /// The one that is farthest off, ms.
        timestamp: i64,
        /// Records outside the range, the first [`FAULTY_RECORDS_MAX`]; empty if only the header was judged.
        records: Vec<u32>,
    },
    /// Producer sequence is neither next nor a known duplicate.  spec: kafka.md 4.9
    #[error("producer sequence {got} does not follow {expected}")]
    OutOfOrder {
        /// Expected next sequence.
        expected: u32,
        /// In the batch.
        got: u32,
    },
    /// A newer epoch of this producer id exists.
    #[error("producer epoch is fenced")]
    ProducerFenced,
    /// A transactional batch: transactions are not available.
    #[error("the batch belongs to no open transaction")]
    NoTransaction,
    /// Clients may not write to internal topics.
    #[error("clients may not write to an internal topic")]
    InternalTopic,
    /// The deadline passed; the data is in the log and may still become durable.
    #[error("not durable before the deadline; the data stays in the log")]
    TimedOut,
    /// The disk refuses new data until space is freed (reliability.md 2.7).
    #[error("the disk is nearly full: nothing is taken until space is freed")]
    DiskFull,
}

/// Why a fetch, offset or epoch lookup failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The partition could not be reached.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Below log start or above log end.
    #[error("offset {offset} is outside {log_start}..={log_end}")]
    OutOfRange {
        /// Asked for.
        offset: Offset,
        /// First readable.
        log_start: Offset,
        /// Next to be assigned.
        log_end: Offset,
    },
    /// Data at this offset is damaged; see `rapidmq check`.
    #[error("data at offset {offset} is damaged")]
    Damaged {
        /// First unreadable offset.
        offset: Offset,
    },
}

/// Why a metadata change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The name breaks the rules of kafka.md 4.6 or collides with another.
    #[error("invalid topic name: {0}")]
    InvalidTopic(String),
    /// It exists.
    #[error("topic {0} already exists")]
    TopicExists(String),
    /// It does not.
    #[error("topic does not exist")]
    UnknownTopic,
    /// No topic with that id.
    #[error("unknown topic id")]
    UnknownTopicId,
    /// Count is zero, too large or not above the present one.
    #[error("invalid partition count: {0}")]
    InvalidPartitions(String),
    /// Zero, or more than there are brokers.
    #[error("invalid replication factor: {0}")]
    InvalidReplicationFactor(String),
    /// Manual assignment is malformed or names unknown brokers.
    #[error("invalid replica assignment: {0}")]
    InvalidAssignment(String),
    /// Unknown key or bad value.
    #[error("{0}")]
    InvalidConfig(String),
    /// Contradiction inside the request.
    #[error("{0}")]
    InvalidRequest(String),
    /// Internal topics cannot be deleted or truncated by clients.
    #[error("{0}")]
    Policy(String),
    /// `delete.topic.enable` is false.
    #[error("deleting topics is disabled")]
    DeletionDisabled,
    /// The metadata quorum did not commit in time; the outcome is unknown.
    #[error("metadata change was not committed in time")]
    TimedOut,
    /// A bound of `model::limits` was reached.
    #[error("{0}")]
    LimitReached(String),
    /// The metadata log finds no room on its device; nothing was changed.
    #[error("the disk is full: metadata cannot be changed until space is freed")]
    NoRoom,
}

/// Why a consumer-group command failed.  spec: kafka.md 4.8
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The coordinator still reads its log.
    #[error("coordinator is loading")]
    Loading,
    /// Another shard or broker coordinates this group.
    #[error("not the coordinator")]
    NotCoordinator,
    /// The coordinator's partition is not available.
    #[error("coordinator not available")]
    NotAvailable,
    /// Empty or malformed group id.
    #[error("invalid group id")]
    InvalidGroupId,
    /// Group unknown.
    #[error("group not found")]
    NotFound,
    /// Member unknown to the group.
    #[error("unknown member")]
    UnknownMember,
    /// Join again with the member id in the reply.
    #[error("member id required")]
    MemberIdRequired,
    /// Generation is not the group's.
    #[error("illegal generation")]
    IllegalGeneration,
    /// The group rebalances.
    #[error("rebalance in progress")]
    RebalanceInProgress,
    /// No protocol in common.
    #[error("inconsistent group protocol")]
    InconsistentProtocol,
    /// Session timeout outside bounds.
    #[error("invalid session timeout")]
    InvalidSessionTimeout,
    /// Group is full.
    #[error("group is full")]
    Full,
    /// The static member's instance id is used by another member id.
    #[error("fenced instance id")]
    FencedInstance,
    /// Group has members.
    #[error("group is not empty")]
    NonEmpty,
    /// Commit metadata is too long.
    #[error("offset metadata too large")]
    MetadataTooLarge,
    /// There is no room for more committed offsets.
    #[error("committed offsets take too much room")]
    TooMuchCommitted,
    /// Topic or partition unknown.
    #[error("unknown topic or partition")]
    UnknownTopicOrPartition,
    /// No topic with that id.
    #[error("unknown topic id")]
    UnknownTopicId,
    /// A live member subscribes to the topic.
    #[error("group is subscribed to the topic")]
    Subscribed,
    /// The commit could not be made durable.
    #[error("storage error")]
    Storage,
}
