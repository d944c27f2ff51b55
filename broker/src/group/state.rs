//! State of one group: phase, members, protocols.
//!
//! Owns: [`Group`], its phases and the bookkeeping that keeps its indexes consistent.
//! Never: decides when to rebalance; `join`, `rebalance`, `sync` and `leave` do.
//! Invariants: `statics` and `supported` mirror `members`; the leader is a member; an `Empty` group has none.
//! Source: kafka.md 4.8.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Origin;
use api::Reply;
use api::error::GroupError;
use api::group::{GroupState, Join, JoinRefused, Joined};
use bytes::Bytes;
use model::ids::{Generation, PartitionId};
use model::time::{Instant, Timestamp};

use super::GroupRecord;
use super::effects::Effects;
use super::offsets::OffsetTable;
use super::records::{self, GroupValue, MemberValue};
use super::subscription::{CONSUMER_PROTOCOL_TYPE, subscribed_topics};
use super::timers::{Deadline, TimerKey};

/// Bytes of a group besides its name, members and commits.
const GROUP_BYTES: usize = 512;

/// Bytes of a member besides its protocols and its assignment: ids, texts, timers.
const MEMBER_BYTES: usize = 1_024;

model::transitions! {
    /// Life of a group.  spec: kafka.md 4.8
    pub enum Phase {
        /// No members.
        Empty => [PreparingRebalance, Dead],
        /// Members are joining.
        PreparingRebalance => [CompletingRebalance, Empty],
        /// Members wait for the leader's assignment.
        CompletingRebalance => [Stable, PreparingRebalance],
        /// Every member may have its assignment.
        Stable => [PreparingRebalance],
        /// Its tombstones are being written; back to `Empty` if that fails.
        Dead => [Empty],
    }
}

impl Phase {
    /// As tools show it.
    pub(super) const fn view(self) -> GroupState {
        match self {
            Self::Empty => GroupState::Empty,
            Self::PreparingRebalance => GroupState::PreparingRebalance,
            Self::CompletingRebalance => GroupState::CompletingRebalance,
            Self::Stable => GroupState::Stable,
            Self::Dead => GroupState::Dead,
        }
    }
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Static instance id.
    pub instance: Option<String>,
    /// Client id.
    pub client_id: String,
    /// Client address.
    pub client_host: String,
    /// Session timeout, ms.
    pub session_timeout_ms: u32,
    /// Rebalance timeout, ms.
    pub rebalance_timeout_ms: u32,
    /// (name, metadata), most wanted first.
    pub protocols: Vec<(String, Bytes)>,
    /// Assignment of the last synced generation.
    pub assignment: Bytes,
    /// Parked join.
    pub join: Option<Origin>,
    /// Parked sync.
    pub sync: Option<Origin>,
    /// Its first join was not answered yet.
    pub is_new: bool,
    /// Not due while a join or sync is parked, except for a new member.
    pub session: Deadline,
    /// What it counts in its group's sum.
    pub weight: usize,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn new(join: Join) -> Self {
        Self {
            instance: join.instance,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: true,
            session: Deadline::default(),
            weight: 0,
        }
    }

    fn weigh(&self) -> usize {
        MEMBER_BYTES + protocol_bytes(&self.protocols) + self.assignment.len()
    }

    /// Metadata for a protocol; empty if it does not offer it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// Whether nothing of this member is parked.
    pub(super) const fn is_idle(&self) -> bool {
        self.join.is_none() && self.sync.is_none()
    }
}

/// First rebalance of an empty group: more members may be starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// How much longer it may be extended.
    pub remaining: Duration,
    /// Somebody joined since the last extension.
    pub has_grown: bool,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    /// Group id.
    pub name: String,
    /// Its partition of the offsets topic.
    pub partition: PartitionId,
    /// Phase.
    pub phase: Phase,
    /// When it got there.
    pub since: Timestamp,
    /// Generation; zero before the first.
    pub generation: Generation,
    /// Protocol type of the last members; empty for simple consumers.
    pub protocol_type: String,
    /// Chosen protocol; empty before the first generation.
    pub protocol: String,
    /// Leader's member id.
    pub leader: Option<String>,
    /// By member id.
    pub members: BTreeMap<String, Member>,
    /// Instance id to member id.
    pub statics: BTreeMap<String, String>,
    /// How many members offer each protocol.
    pub supported: BTreeMap<String, usize>,
    /// Ids that were given out and did not join yet.
    pub pending: BTreeMap<String, Deadline>,
    /// Members that got their join answer and did not sync yet.
    pub pending_sync: BTreeSet<String>,
    /// Set in the first rebalance of an empty group.
    pub initial: Option<InitialDelay>,
    /// The leader's assignment is being written.
    pub is_assigning: bool,
    /// A record of this group is, or may be, in the log.
    pub has_records: bool,
    /// End of the join phase.
    pub rebalance: Deadline,
    /// End of the sync phase.
    pub sync_phase: Deadline,
    /// Next look at the offsets.
    pub expiry: Deadline,
    /// Committed offsets.
    pub offsets: OffsetTable,
    /// Sum of the members' weights.
    members_bytes: usize,
    /// What it counts in the shard's sum.
    counted: usize,
}

impl Group {
    /// An empty group.
    pub(super) fn new(name: String, partition: PartitionId, since: Timestamp) -> Self {
        Self {
            name,
            partition,
            phase: Phase::Empty,
            since,
            generation: Generation::new(0),
            protocol_type: String::new(),
            protocol: String::new(),
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            supported: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            initial: None,
            is_assigning: false,
            has_records: false,
            rebalance: Deadline::default(),
            sync_phase: Deadline::default(),
            expiry: Deadline::default(),
            offsets: OffsetTable::default(),
            members_bytes: 0,
            counted: 0,
        }
    }

    /// Brings the shard's sum up to what this group holds now.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        let held = self.holds();
        effects.held = effects.held - self.counted + held;
        self.counted = held;
    }

    /// Bytes this group holds.
    pub(super) fn holds(&self) -> usize {
        let given_out = MEMBER_BYTES * self.pending.len();
        GROUP_BYTES + self.name.len() + self.members_bytes + given_out + self.offsets.bytes()
    }

    /// The group leaves memory: it holds nothing any more.
    pub(super) fn let_go(&mut self, effects: &mut Effects) {
        effects.held -= std::mem::take(&mut self.counted);
    }

    /// A member holds more or less than before.
    pub(super) fn reweigh(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            let weight = member.weigh();
            self.members_bytes = self.members_bytes - member.weight + weight;
            member.weight = weight;
        }
    }

    /// Moves to another phase.
    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase.become_next(phase);
        self.since = now;
    }

    /// Puts a member in; the first one sets the protocol type and leads.
    pub(super) fn insert(&mut self, id: String, member: Member) {
        assert!(!self.members.contains_key(&id), "a member is inserted once");
        for (name, _) in &member.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        self.reweigh(&id);
    }

    /// Takes a member out. The caller answers what it has parked.
    pub(super) fn remove(&mut self, effects: &mut Effects, id: &str) -> Option<Member> {
        let mut member = self.members.remove(id)?;
        effects
            .timers
            .disarm(&mut member.session, self.session_key(id));
        self.members_bytes -= std::mem::take(&mut member.weight);
        self.withdraw_support(&member.protocols);
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        self.pending_sync.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Takes over what a rejoining member brought.
    pub(super) fn update(&mut self, id: &str, join: Join) {
        if self.members.len() == 1 {
            self.protocol_type = join.protocol_type;
        }
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut member.protocols, join.protocols);
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.client_id = join.client_id;
        member.client_host = join.client_host;
        for (name, _) in &member.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
        self.withdraw_support(&old);
        self.reweigh(id);
    }

    fn withdraw_support(&mut self, protocols: &[(String, Bytes)]) {
        for (name, _) in protocols {
            let Some(count) = self.supported.get_mut(name) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// Key of a member's session timer.
    pub(super) fn session_key(&self, member: &str) -> TimerKey {
        TimerKey::Session {
            group: self.name.clone(),
            member: member.to_owned(),
        }
    }

    /// Starts a member's session anew, unless something of it is parked.
    pub(super) fn refresh(&mut self, effects: &mut Effects, now: Instant, id: &str) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if !member.is_idle() {
            return;
        }
        let due = now.after(Duration::from_millis(u64::from(member.session_timeout_ms)));
        let group = &self.name;
        effects
            .timers
            .set(&mut member.session, due, || TimerKey::Session {
                group: group.clone(),
                member: id.to_owned(),
            });
    }

    /// The member exists and owns the instance id it claims.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub(super) fn validate_member(
        &self,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(owner) if owner != id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// Largest rebalance timeout of all members.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let millis = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        Duration::from_millis(u64::from(millis.unwrap_or(0)))
    }

    /// The protocol most members want among those that all offer; ties go to the leader's order.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let is_candidate = |name: &str| self.supported.get(name) == Some(&self.members.len());
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_candidate(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id))?;
        let mut chosen: Option<(&str, usize)> = None;
        for (name, _) in &leader.protocols {
            let count = votes.get(name.as_str()).copied().unwrap_or(0);
            if is_candidate(name) && chosen.is_none_or(|(_, most)| count > most) {
                chosen = Some((name, count));
            }
        }
        chosen.map(|(name, _)| name.to_owned())
    }

    /// Topics the members subscribe to; `None` if that cannot be known.
    pub(super) fn subscribed(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type != CONSUMER_PROTOCOL_TYPE {
            return None;
        }
        let mut topics = BTreeSet::new();
        for (_, metadata) in self.members.values().flat_map(|member| &member.protocols) {
            topics.extend(subscribed_topics(metadata)?.into_iter().map(str::to_owned));
        }
        Some(topics)
    }

    /// Bytes of everyone's protocol metadata, without one member's.
    pub(super) fn metadata_bytes_without(&self, id: Option<&str>) -> usize {
        let others = self
            .members
            .iter()
            .filter(|(other, _)| Some(other.as_str()) != id);
        others
            .map(|(_, member)| protocol_bytes(&member.protocols))
            .sum()
    }

    /// Answer to a join in the present generation. Only the leader gets the members.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let is_leader = self.leader.as_deref() == Some(id);
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.to_owned(),
            skip_assignment: false,
            members: if is_leader { self.roster() } else { Vec::new() },
        }
    }

    /// Every member with its metadata for the chosen protocol.
    pub(super) fn roster(&self) -> Vec<(String, Option<String>, Bytes)> {
        let view = |(id, member): (&String, &Member)| {
            (
                id.clone(),
                member.instance.clone(),
                member.metadata(&self.protocol),
            )
        };
        self.members.iter().map(view).collect()
    }

    /// The record that stores this group; `assignments` replace the members' present ones.
    pub(super) fn record(&self, assignments: Option<&BTreeMap<String, Bytes>>) -> GroupRecord {
        let member = |(id, member): (&String, &Member)| MemberValue {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(&self.protocol),
            assignment: match assignments {
                Some(assignments) => assignments.get(id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            },
        };
        let value = GroupValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: (!self.members.is_empty()).then(|| self.protocol.clone()),
            leader: self.leader.clone(),
            since: Some(self.since),
            members: self.members.iter().map(member).collect(),
        };
        records::group_record(&self.name, &value)
    }
}

/// Bytes one member's protocols take.
pub(super) fn protocol_bytes(protocols: &[(String, Bytes)]) -> usize {
    protocols
        .iter()
        .map(|(name, metadata)| name.len() + metadata.len())
        .sum()
}

/// Refuses a join.
pub(super) fn refuse_join(effects: &mut Effects, origin: Origin, error: GroupError, member: &str) {
    let refused = JoinRefused {
        error,
        member: member.to_owned(),
    };
    effects.reply(origin, Reply::Joined(Err(refused)));
}
