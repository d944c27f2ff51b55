//! What the broker answers.
//!
//! Owns: [`Reply`], one variant per command.
//! Never: borrows; replies cross cores.
//! Invariants: lists are in the order asked for, one element per element asked for.
//! Source: architecture.md section 5, kafka.md section 4.

use bytes::Bytes;
use model::ids::{PartitionId, ProducerEpoch, ProducerId};
use model::offset::{LeaderEpoch, Offset};
use smallvec::SmallVec;

use crate::error::{AppendError, GroupError, MetadataError, ReadError};
use crate::group;
use crate::metadata::{BrokerEndpoint, ConfigEntry, CreatedTopic, MetadataView, TopicKey};

/// A batch that is in the log as durably as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record (of the original, for a duplicate).
    pub base_offset: Offset,
    /// Broker time stamped into it, ms; `None` with create-time topics.
    pub log_append_time: Option<i64>,
    /// First readable offset.
    pub log_start: Offset,
}

/// Memory that records lie in, in order. Most answers are one piece and need no memory of their own for the list.
pub type Records = SmallVec<[Bytes; 1]>;

/// Result of reading one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whole batches, in order; possibly empty.
    pub records: Records,
    /// Sum of their lengths.
    pub bytes: usize,
    /// High watermark.
    pub high_watermark: Offset,
    /// Last stable offset.
    pub last_stable: Offset,
    /// First readable offset.
    pub log_start: Offset,
    /// The reader's log diverged: (epoch, its end offset here). No records then.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// Result of an offset lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` if no record qualifies.
    pub offset: Option<Offset>,
    /// Timestamp of the record found, ms.
    pub timestamp: Option<i64>,
    /// Epoch of the record or of the log end.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One outcome per partition of a group command, in the order asked for.
pub type PerPartition = Vec<(TopicKey, PartitionId, Result<(), GroupError>)>;

/// Everything that can be answered.
#[derive(Debug)]
pub enum Reply {
    /// To `Append`.
    Appended(Result<Appended, AppendError>),
    /// To `Fetch`.
    Fetched(Result<Fetched, ReadError>),
    /// To `ListOffset`.
    Offset(Result<ListedOffset, ReadError>),
    /// To `EpochEnd`: the largest known epoch not above the one asked for, and its end; `None` if unknown.
    EpochEnd(Result<Option<(LeaderEpoch, Offset)>, ReadError>),
    /// To `DeleteRecords`: the new log start.
    RecordsDeleted(Result<Offset, DeleteRecordsError>),
    /// To `Metadata`.
    Metadata(MetadataView),
    /// To `CreateTopics`.
    TopicsCreated(Vec<(String, Result<CreatedTopic, MetadataError>)>),
    /// To `DeleteTopics`: with the name and id if known.
    TopicsDeleted(Vec<DeletedTopic>),
    /// To `CreatePartitions`.
    PartitionsCreated(Vec<(String, Result<(), MetadataError>)>),
    /// To `DescribeConfigs`.
    Configs(Vec<Result<Vec<ConfigEntry>, MetadataError>>),
    /// To `AlterConfigs`.
    ConfigsAltered(Vec<Result<(), MetadataError>>),
    /// To `InitProducerId`.
    ProducerId(Result<(ProducerId, ProducerEpoch), MetadataError>),
    /// To `FindCoordinator`.
    Coordinator(Result<BrokerEndpoint, GroupError>),
    /// To `JoinGroup`.
    Joined(Result<group::Joined, group::JoinRefused>),
    /// To `SyncGroup`.
    Synced(Result<group::Synced, GroupError>),
    /// To `Heartbeat`.
    Heartbeat(Result<(), GroupError>),
    /// To `LeaveGroup`: group error, or one result per member.
    Left(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To `CommitOffsets`: one result per element.
    OffsetsCommitted(PerPartition),
    /// To `FetchCommitted`.
    CommittedOffsets(Result<group::CommittedOffsets, GroupError>),
    /// To `DescribeGroup`.
    Group(Result<group::GroupView, GroupError>),
    /// To `ListGroups`.
    Groups(Result<Vec<group::GroupListing>, GroupError>),
    /// To `DeleteGroup`.
    GroupDeleted(Result<(), GroupError>),
    /// To `DeleteOffsets`: group error, or one result per element.
    CommitsDeleted(Result<PerPartition, GroupError>),
}

/// One element of `TopicsDeleted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// As asked for.
    pub key: TopicKey,
    /// Name, if it was known.
    pub name: Option<String>,
    /// Id, if it was known.
    pub id: Option<model::ids::TopicId>,
    /// Outcome.
    pub result: Result<(), MetadataError>,
}

/// Why records were not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteRecordsError {
    /// As for reads.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The topic's cleanup policy has no `delete`.
    #[error("topic does not have the delete cleanup policy")]
    Policy,
}
