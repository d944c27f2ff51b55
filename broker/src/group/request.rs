//! Requests that name a group.
//!
//! Owns: [`GroupRequest`], how each is refused, and finding or making the group it names.
//! Never: applies a group's own rules.
//! Invariants: every request is answered once, here or by what it started.
//! Source: kafka.md 4.8.

use api::error::GroupError;
use api::group::{Commit, CommittedQuery, Join, JoinRefused, Leave, MemberKey, Sync};
use api::metadata::TopicKey;
use api::{Command, Origin, Reply};
use model::ids::PartitionId;
use model::time::Now;

use super::config::TEXT_BYTES_MAX;
use super::join::check_join;
use super::offsets::CommitPlan;
use super::state::{Group, refuse_join};
use super::{Coordinator, Topics};

/// When, from where and for which partition a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Both clocks.
    pub now: Now,
    /// Where the reply goes.
    pub origin: Origin,
    /// The group's partition of the offsets topic.
    pub partition: PartitionId,
}

/// The commands that are about groups.
#[derive(Debug)]
pub(super) enum GroupRequest {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(MemberKey),
    /// LeaveGroup.
    Leave(Leave),
    /// OffsetCommit.
    Commit(Commit),
    /// OffsetFetch.
    FetchCommitted(CommittedQuery),
    /// DescribeGroups, one group.
    Describe(String),
    /// DeleteGroups, one group.
    Delete(String),
    /// OffsetDelete.
    DeleteOffsets(String, Vec<(TopicKey, PartitionId)>),
    /// ListGroups.
    List,
}

impl GroupRequest {
    /// `None` if the command is not about groups.
    pub(super) fn of(command: Command) -> Option<Self> {
        match command {
            Command::JoinGroup(join) => Some(Self::Join(join)),
            Command::SyncGroup(sync) => Some(Self::Sync(sync)),
            Command::Heartbeat(key) => Some(Self::Heartbeat(key)),
            Command::LeaveGroup(leave) => Some(Self::Leave(leave)),
            Command::CommitOffsets(commit) => Some(Self::Commit(commit)),
            Command::FetchCommitted(query) => Some(Self::FetchCommitted(query)),
            Command::DescribeGroup { group } => Some(Self::Describe(group)),
            Command::DeleteGroup { group } => Some(Self::Delete(group)),
            Command::DeleteOffsets { group, partitions } => {
                Some(Self::DeleteOffsets(group, partitions))
            }
            Command::ListGroups { .. } => Some(Self::List),
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
            | Command::FindCoordinator { .. } => None,
        }
    }

    /// The reply that refuses this request as a whole.
    pub(super) fn refused(self, error: GroupError) -> Reply {
        match self {
            Self::Join(join) => Reply::Joined(Err(JoinRefused {
                error,
                member: join.member,
            })),
            Self::Sync(_) => Reply::Synced(Err(error)),
            Self::Heartbeat(_) => Reply::Heartbeat(Err(error)),
            Self::Leave(_) => Reply::Left(Err(error)),
            Self::Commit(commit) => {
                Reply::OffsetsCommitted(CommitPlan::refused(commit.offsets, error))
            }
            Self::FetchCommitted(_) => Reply::CommittedOffsets(Err(error)),
            Self::Describe(_) => Reply::Group(Err(error)),
            Self::Delete(_) => Reply::GroupDeleted(Err(error)),
            Self::DeleteOffsets(..) => Reply::CommitsDeleted(Err(error)),
            Self::List => Reply::Groups(Err(error)),
        }
    }
}

impl Coordinator {
    pub(super) fn join(&mut self, place: Place, mut join: Join) {
        let may_create = join.member.is_empty();
        let found = check_join(&self.effects.config, &mut join).and_then(|()| {
            if may_create {
                self.ensure(place, &join.group)
            } else {
                Ok(())
            }
        });
        if let Err(error) = found {
            refuse_join(&mut self.effects, place.origin, error, &join.member);
            return;
        }
        match self.groups.get_mut(&join.group) {
            Some(group) => {
                group.join(&mut self.effects, place.now, place.origin, join);
                group.settle(&mut self.effects);
            }
            None => {
                let error = GroupError::UnknownMember;
                refuse_join(&mut self.effects, place.origin, error, &join.member);
            }
        }
    }

    /// Makes the group if it is unknown.
    fn ensure(&mut self, place: Place, name: &str) -> Result<(), GroupError> {
        if self.groups.contains_key(name) {
            return Ok(());
        }
        if name.len() > TEXT_BYTES_MAX {
            return Err(GroupError::InvalidGroupId);
        }
        let effects = &mut self.effects;
        let is_full = self.groups.len() >= effects.config.groups_max
            || effects.held >= effects.config.held_bytes_max;
        if is_full {
            return Err(GroupError::Full);
        }
        let mut group = Group::new(name.to_owned(), place.partition, place.now.wall);
        group.set_expiry_timer(effects, place.now.instant);
        group.settle(effects);
        self.groups.insert(name.to_owned(), group);
        Ok(())
    }

    pub(super) fn sync(&mut self, now: Now, origin: Origin, sync: Sync) {
        match self.groups.get_mut(&sync.key.group) {
            Some(group) => group.sync(&mut self.effects, now, origin, sync),
            None => self
                .effects
                .reply(origin, Reply::Synced(Err(GroupError::UnknownMember))),
        }
    }

    pub(super) fn heartbeat(&mut self, now: Now, origin: Origin, key: &MemberKey) {
        let result = match self.groups.get_mut(&key.group) {
            Some(group) => group.heartbeat(&mut self.effects, now, key),
            None => Err(GroupError::UnknownMember),
        };
        self.effects.reply(origin, Reply::Heartbeat(result));
    }

    pub(super) fn leave(&mut self, now: Now, origin: Origin, leave: &Leave) {
        let result = match self.groups.get_mut(&leave.group) {
            Some(group) => {
                let result = group.leave(&mut self.effects, now, &leave.members);
                group.settle(&mut self.effects);
                result
            }
            None => Ok(leave
                .members
                .iter()
                .map(|_| Err(GroupError::UnknownMember))
                .collect()),
        };
        self.effects.reply(origin, Reply::Left(result));
    }

    pub(super) fn commit(&mut self, place: Place, commit: Commit, topics: &dyn Topics) {
        let Place { now, origin, .. } = place;
        let Commit { key, offsets } = commit;
        let admitted = match self.groups.get_mut(&key.group) {
            Some(group) => group.admit_commit(&mut self.effects, now, &key),
            None if key.generation.is_none() => Ok(()),
            None => Err(GroupError::NotFound),
        };
        if let Err(error) = admitted {
            let results = CommitPlan::refused(offsets, error);
            self.effects.reply(origin, Reply::OffsetsCommitted(results));
            return;
        }
        let plan = CommitPlan::new(offsets, now.wall, topics);
        if plan.offsets.is_empty() {
            self.effects
                .reply(origin, Reply::OffsetsCommitted(plan.results));
            return;
        }
        if let Err(error) = self.ensure(place, &key.group) {
            let results = super::offsets::fail_results(plan.results, error);
            self.effects.reply(origin, Reply::OffsetsCommitted(results));
            return;
        }
        if let Some(group) = self.groups.get_mut(&key.group) {
            group.write_commit(&mut self.effects, origin, plan);
        }
    }

    pub(super) fn delete(&mut self, now: Now, origin: Origin, name: &str) {
        let result = match self.groups.get_mut(name) {
            Some(group) => group.delete(&mut self.effects, now, origin),
            None => Err(GroupError::NotFound),
        };
        if let Err(error) = result {
            self.effects.reply(origin, Reply::GroupDeleted(Err(error)));
        }
    }

    pub(super) fn delete_offsets(
        &mut self,
        origin: Origin,
        name: &str,
        partitions: Vec<(TopicKey, PartitionId)>,
        topics: &dyn Topics,
    ) {
        let result = match self.groups.get_mut(name) {
            Some(group) => group.delete_offsets(&mut self.effects, origin, partitions, topics),
            None => Err(GroupError::NotFound),
        };
        if let Err(error) = result {
            self.effects
                .reply(origin, Reply::CommitsDeleted(Err(error)));
        }
    }
}
