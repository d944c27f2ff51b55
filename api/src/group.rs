//! Consumer-group commands and what they return (classic protocol).
//!
//! Owns: the structs of join, sync, heartbeat, leave, commit, fetch and the describing commands.
//! Never: interprets subscription or assignment bytes.
//! Invariants: protocol metadata and assignments travel verbatim.
//! Source: kafka.md 4.8.

use bytes::Bytes;
use model::ids::{Generation, PartitionId};
use model::offset::{LeaderEpoch, Offset};
use model::time::Timestamp;

use crate::error::GroupError;
use crate::metadata::TopicKey;

/// JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Group.
    pub group: String,
    /// Empty on the first join.
    pub member: String,
    /// Static membership (KIP-345).
    pub instance: Option<String>,
    /// Client id, the prefix of generated member ids.
    pub client_id: String,
    /// Client address, shown by describe.
    pub client_host: String,
    /// Session timeout, ms.
    pub session_timeout_ms: u32,
    /// Rebalance timeout, ms; the session timeout for version 0.
    pub rebalance_timeout_ms: u32,
    /// For example `consumer`.
    pub protocol_type: String,
    /// (name, metadata), most wanted first.
    pub protocols: Vec<(String, Bytes)>,
    /// v4+: a dynamic member must come back with a generated id.
    pub requires_known_member: bool,
    /// v9+: a static leader that was replaced may be told to skip assignment.
    pub can_skip_assignment: bool,
}

/// Answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// New generation.
    pub generation: Generation,
    /// Group's protocol type.
    pub protocol_type: String,
    /// Chosen protocol.
    pub protocol: String,
    /// Leader's member id.
    pub leader: String,
    /// This member's id.
    pub member: String,
    /// v9: the leader keeps the present assignment.
    pub skip_assignment: bool,
    /// For the leader only: (member, instance, metadata).
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// A join that failed; carries the member id for `MemberIdRequired`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The id to join with, or what the request had.
    pub member: String,
}

/// Names one member of one generation; used by sync, heartbeat and commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberKey {
    /// Group.
    pub group: String,
    /// Generation; `None` for a simple consumer's commit (-1 on the wire).
    pub generation: Option<Generation>,
    /// Member id; empty for a simple consumer.
    pub member: String,
    /// Static instance id.
    pub instance: Option<String>,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Who.
    pub key: MemberKey,
    /// v5: expected protocol type.
    pub protocol_type: Option<String>,
    /// v5: expected protocol.
    pub protocol: Option<String>,
    /// From the leader: (member, assignment).
    pub assignments: Vec<(String, Bytes)>,
}

/// Answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Group's protocol type.
    pub protocol_type: String,
    /// Chosen protocol.
    pub protocol: String,
    /// This member's assignment; empty if the leader left it out.
    pub assignment: Bytes,
}

/// LeaveGroup, one or several members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Group.
    pub group: String,
    /// (member id, instance id).
    pub members: Vec<(String, Option<String>)>,
}

/// One partition's commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// Topic by name or (v10) id.
    pub topic: TopicKey,
    /// Partition.
    pub partition: PartitionId,
    /// Next offset to read.
    pub offset: Offset,
    /// Epoch of the last read record.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Free text; round-trips.
    pub metadata: String,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Who.
    pub key: MemberKey,
    /// What; an element with a negative offset never gets here.
    pub offsets: Vec<OffsetToCommit>,
}

/// OffsetFetch of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedQuery {
    /// Group.
    pub group: String,
    /// Which; `None` for everything committed.
    pub partitions: Option<Vec<(TopicKey, PartitionId)>>,
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Next offset to read; `None` if nothing is committed.
    pub offset: Option<Offset>,
    /// Epoch of the last read record.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Free text.
    pub metadata: String,
}

/// Answer to an offset fetch: one element per partition asked for (or committed).
pub type CommittedOffsets = Vec<(TopicKey, PartitionId, Result<Committed, GroupError>)>;

/// State of a group as tools show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Working.
    Stable,
    /// Gone or never there.
    Dead,
}

impl GroupState {
    /// Name as in Kafka's tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// One member as describe shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Member id.
    pub member: String,
    /// Static instance id.
    pub instance: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Client address.
    pub client_host: String,
    /// Metadata of the chosen protocol.
    pub metadata: Bytes,
    /// Assignment.
    pub assignment: Bytes,
}

/// One group as describe shows it; state `Dead` with no members if unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Group id.
    pub group: String,
    /// State.
    pub state: GroupState,
    /// Protocol type.
    pub protocol_type: String,
    /// Chosen protocol.
    pub protocol: String,
    /// Members.
    pub members: Vec<MemberView>,
}

/// One line of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Group id.
    pub group: String,
    /// Protocol type.
    pub protocol_type: String,
    /// State.
    pub state: GroupState,
}

/// When an offset was committed, for expiry.
pub type CommittedAt = Timestamp;
