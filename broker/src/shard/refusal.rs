//! Answers to commands that cannot be carried out at all.
//!
//! Owns: which reply belongs to which command.
//! Never: decides that a command is refused.
//! Invariants: every command that has a reply gets one of its own kind.
//! Source: architecture.md section 5; kafka.md 4.16 (retriable codes for transient states).

use api::error::{AppendError, GroupError, MetadataError, PartitionError, ReadError};
use api::group::JoinRefused;
use api::metadata::TopicKey;
use api::reply::{DeleteRecordsError, DeletedTopic};
use api::{Command, Reply};

/// The answer to a command that came while the shard stops: clients look for another broker.
/// `None` for what has no reply, and for metadata, which is answered from the image.
pub(super) fn stopping(command: &Command) -> Option<Reply> {
    let partition = || PartitionError::NotLeader;
    let read = || ReadError::Partition(partition());
    let late = || MetadataError::TimedOut;
    let reply = match command {
        Command::Append(_) => Reply::Appended(Err(AppendError::Partition(partition()))),
        Command::Fetch(_) => Reply::Fetched(Err(read())),
        Command::CancelFetch { .. } | Command::Metadata { .. } => return None,
        Command::ListOffset(_) => Reply::Offset(Err(read())),
        Command::EpochEnd(_) => Reply::EpochEnd(Err(read())),
        Command::DeleteRecords(_) => Reply::RecordsDeleted(Err(DeleteRecordsError::Read(read()))),
        Command::CreateTopics { topics, .. } => Reply::TopicsCreated(
            topics
                .iter()
                .map(|topic| (topic.name.clone(), Err(late())))
                .collect(),
        ),
        Command::DeleteTopics { topics, .. } => {
            Reply::TopicsDeleted(topics.iter().map(|key| not_deleted(key, late())).collect())
        }
        Command::CreatePartitions { topics, .. } => Reply::PartitionsCreated(
            topics
                .iter()
                .map(|(name, ..)| (name.clone(), Err(late())))
                .collect(),
        ),
        Command::DescribeConfigs { resources } => {
            Reply::Configs(resources.iter().map(|_| Err(late())).collect())
        }
        Command::AlterConfigs { changes, .. } => {
            Reply::ConfigsAltered(changes.iter().map(|_| Err(late())).collect())
        }
        Command::InitProducerId { .. } => Reply::ProducerId(Err(late())),
        Command::FindCoordinator { .. } => Reply::Coordinator(Err(GroupError::NotAvailable)),
        Command::ListGroups { .. } => Reply::Groups(Err(GroupError::NotAvailable)),
        Command::JoinGroup(_)
        | Command::SyncGroup(_)
        | Command::Heartbeat(_)
        | Command::LeaveGroup(_)
        | Command::CommitOffsets(_)
        | Command::FetchCommitted(_)
        | Command::DescribeGroup { .. }
        | Command::DeleteGroup { .. }
        | Command::DeleteOffsets { .. } => return group(command, GroupError::NotAvailable),
    };
    Some(reply)
}

/// The answer to a group command that cannot be carried out; `None` for other commands.
pub(super) fn group(command: &Command, error: GroupError) -> Option<Reply> {
    let reply = match command {
        Command::JoinGroup(join) => Reply::Joined(Err(JoinRefused {
            error,
            member: join.member.clone(),
        })),
        Command::SyncGroup(_) => Reply::Synced(Err(error)),
        Command::Heartbeat(_) => Reply::Heartbeat(Err(error)),
        Command::LeaveGroup(_) => Reply::Left(Err(error)),
        Command::CommitOffsets(commit) => Reply::OffsetsCommitted(
            commit
                .offsets
                .iter()
                .map(|one| (one.topic.clone(), one.partition, Err(error)))
                .collect(),
        ),
        Command::FetchCommitted(_) => Reply::CommittedOffsets(Err(error)),
        Command::DescribeGroup { .. } => Reply::Group(Err(error)),
        Command::DeleteGroup { .. } => Reply::GroupDeleted(Err(error)),
        Command::DeleteOffsets { .. } => Reply::CommitsDeleted(Err(error)),
        Command::Append(_)
        | Command::Fetch(_)
        | Command::CancelFetch { .. }
        | Command::ListOffset(_)
        | Command::EpochEnd(_)
        | Command::DeleteRecords(_)
        | Command::Metadata { .. }
        | Command::CreateTopics { .. }
        | Command::DeleteTopics { .. }
        | Command::CreatePartitions { .. }
        | Command::DescribeConfigs { .. }
        | Command::AlterConfigs { .. }
        | Command::InitProducerId { .. }
        | Command::FindCoordinator { .. }
        | Command::ListGroups { .. } => return None,
    };
    Some(reply)
}

fn not_deleted(key: &TopicKey, error: MetadataError) -> DeletedTopic {
    let (name, id) = match key {
        TopicKey::Name(name) => (Some(name.clone()), None),
        TopicKey::Id(id) => (None, Some(*id)),
    };
    DeletedTopic {
        key: key.clone(),
        name,
        id,
        result: Err(error),
    }
}
