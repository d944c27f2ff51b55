//! Errors of the alphabet as codes of the wire.
//!
//! Owns: the one mapping of every `api` error, and what old versions get instead.
//! Never: answers an expected situation with `UNKNOWN_SERVER_ERROR` (kafka.md 4.16.3).
//! Invariants: exhaustive: a new error does not compile until it has a code.
//! Source: kafka.md 3.2, section 4, appendix B.

#[cfg(test)]
mod tests;

use api::error::{AppendError, GroupError, MetadataError, PartitionError, ReadError};
use api::reply::DeleteRecordsError;
use model::batch::BatchError;

/// Error codes that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub(crate) enum Code {
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    LeaderNotAvailable = 5,
    NotLeaderOrFollower = 6,
    RequestTimedOut = 7,
    ReplicaNotAvailable = 9,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    CoordinatorLoadInProgress = 14,
    CoordinatorNotAvailable = 15,
    NotCoordinator = 16,
    InvalidTopicException = 17,
    RecordListTooLarge = 18,
    NotEnoughReplicas = 19,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    InvalidCommitOffsetSize = 28,
    InvalidTimestamp = 32,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    PolicyViolation = 44,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    TransactionalIdAuthorizationFailed = 53,
    KafkaStorageError = 56,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    TopicDeletionDisabled = 73,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    MemberIdRequired = 79,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    UnknownTopicId = 100,
    MismatchedEndpointType = 114,
    UnsupportedEndpointType = 115,
}

impl Code {
    /// The number on the wire.
    pub(crate) const fn to_wire(self) -> i16 {
        self as i16
    }

    /// For Fetch below version 6 and Produce below 4: clients of that age do not know error 56.
    pub(crate) const fn without_storage_error(self) -> Self {
        if matches!(self, Self::KafkaStorageError) {
            return Self::NotLeaderOrFollower;
        }
        self
    }
}

/// Of a partition that could not be reached for reading.
fn partition_read(error: &PartitionError) -> Code {
    if matches!(error, PartitionError::Busy) {
        // Retriable in every reader; producers have another code for it.
        return Code::ReplicaNotAvailable;
    }
    partition(error)
}

fn partition(error: &PartitionError) -> Code {
    match error {
        PartitionError::UnknownTopicOrPartition => Code::UnknownTopicOrPartition,
        PartitionError::UnknownTopicId => Code::UnknownTopicId,
        PartitionError::NotLeader => Code::NotLeaderOrFollower,
        PartitionError::FencedLeaderEpoch { .. } => Code::FencedLeaderEpoch,
        PartitionError::UnknownLeaderEpoch { .. } => Code::UnknownLeaderEpoch,
        PartitionError::Storage(_) => Code::KafkaStorageError,
        // Retriable in every producer, without a metadata refresh.
        PartitionError::Busy => Code::NotEnoughReplicas,
    }
}

/// Of a produced batch that is not acceptable.
pub(crate) fn batch(error: &BatchError) -> Code {
    match error {
        BatchError::Truncated { .. } | BatchError::BadLength(_) | BatchError::BadCrc { .. } => {
            Code::CorruptMessage
        }
        BatchError::BadMagic(_)
        | BatchError::BadCompression(_)
        | BatchError::Inconsistent(_)
        | BatchError::BadRecord { .. }
        | BatchError::BadPayload(_) => Code::InvalidRecord,
    }
}

/// Of an append.
pub(crate) fn append(error: &AppendError) -> Code {
    match error {
        AppendError::Partition(error) => partition(error),
        // Must be this code: clients split the batch and retry.
        AppendError::TooLarge { .. } => Code::MessageTooLarge,
        AppendError::LargerThanSegment { .. } => Code::RecordListTooLarge,
        AppendError::Batch(error) => batch(error),
        AppendError::InvalidRecord(_) | AppendError::KeylessRecords(_) => Code::InvalidRecord,
        AppendError::InvalidTimestamp { .. } => Code::InvalidTimestamp,
        AppendError::OutOfOrder { .. } => Code::OutOfOrderSequenceNumber,
        AppendError::ProducerFenced => Code::InvalidProducerEpoch,
        AppendError::NoTransaction => Code::InvalidTxnState,
        AppendError::InternalTopic => Code::InvalidTopicException,
        AppendError::TimedOut => Code::RequestTimedOut,
        // Retriable: space may be freed, and another broker may lead by then.
        AppendError::DiskFull => Code::KafkaStorageError,
    }
}

/// Of a fetch, an offset lookup or an epoch lookup.
pub(crate) fn read(error: &ReadError) -> Code {
    match error {
        ReadError::Partition(error) => partition_read(error),
        ReadError::OutOfRange { .. } => Code::OffsetOutOfRange,
        ReadError::Damaged { .. } => Code::KafkaStorageError,
    }
}

/// Of a truncation at the front.
pub(crate) fn delete_records(error: &DeleteRecordsError) -> Code {
    match error {
        DeleteRecordsError::Read(error) => read(error),
        DeleteRecordsError::Policy => Code::PolicyViolation,
    }
}

/// Of a metadata change or lookup.
pub(crate) fn metadata(error: &MetadataError) -> Code {
    match error {
        MetadataError::InvalidTopic(_) => Code::InvalidTopicException,
        MetadataError::TopicExists(_) => Code::TopicAlreadyExists,
        MetadataError::UnknownTopic => Code::UnknownTopicOrPartition,
        MetadataError::UnknownTopicId => Code::UnknownTopicId,
        MetadataError::InvalidPartitions(_) => Code::InvalidPartitions,
        MetadataError::InvalidReplicationFactor(_) => Code::InvalidReplicationFactor,
        MetadataError::InvalidAssignment(_) => Code::InvalidReplicaAssignment,
        MetadataError::InvalidConfig(_) => Code::InvalidConfig,
        MetadataError::InvalidRequest(_) => Code::InvalidRequest,
        MetadataError::Policy(_) | MetadataError::LimitReached(_) => Code::PolicyViolation,
        MetadataError::DeletionDisabled => Code::TopicDeletionDisabled,
        MetadataError::TimedOut => Code::RequestTimedOut,
        MetadataError::NoRoom => Code::KafkaStorageError,
    }
}

/// Of a consumer-group command.
pub(crate) fn group(error: GroupError) -> Code {
    match error {
        GroupError::Loading => Code::CoordinatorLoadInProgress,
        GroupError::NotCoordinator => Code::NotCoordinator,
        // A commit that could not be made durable is tried again after a new lookup.
        GroupError::NotAvailable | GroupError::Storage => Code::CoordinatorNotAvailable,
        GroupError::InvalidGroupId => Code::InvalidGroupId,
        GroupError::NotFound => Code::GroupIdNotFound,
        GroupError::UnknownMember => Code::UnknownMemberId,
        GroupError::MemberIdRequired => Code::MemberIdRequired,
        GroupError::IllegalGeneration => Code::IllegalGeneration,
        GroupError::RebalanceInProgress => Code::RebalanceInProgress,
        GroupError::InconsistentProtocol => Code::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => Code::InvalidSessionTimeout,
        GroupError::Full => Code::GroupMaxSizeReached,
        GroupError::FencedInstance => Code::FencedInstanceId,
        GroupError::NonEmpty => Code::NonEmptyGroup,
        GroupError::MetadataTooLarge => Code::OffsetMetadataTooLarge,
        GroupError::TooMuchCommitted => Code::InvalidCommitOffsetSize,
        GroupError::UnknownTopicOrPartition => Code::UnknownTopicOrPartition,
        GroupError::UnknownTopicId => Code::UnknownTopicId,
        GroupError::Subscribed => Code::GroupSubscribedToTopic,
    }
}
