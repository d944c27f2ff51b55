//! Conversations with the coordinator.
//!
//! Owns: [`Bench`], a coordinator with a clock, a log and the replies it gave.
//! Never: looks into the coordinator, except to check bounds.
//! Invariants: every ticket is answered at most once.
//! Source: kafka.md 4.8.

mod admin;
mod expiry;
mod join;
mod leave;
mod load;
mod offsets;
mod random;
mod room;
mod statics;
mod sync;
mod timers;

use std::collections::BTreeMap;
use std::time::Duration;

use api::Ticket;
use api::group::{
    Commit, Committed, CommittedQuery, GroupState, GroupView, Join, JoinRefused, Joined, Leave,
    MemberKey, OffsetToCommit, Sync, Synced,
};
use model::ids::{ConnectionId, Generation, ShardId};
use model::offset::{LeaderEpoch, Offset};

use super::*;
use crate::config::BrokerConfig;

pub(super) const PARTITION: PartitionId = PartitionId::new(7);
pub(super) const GROUP: &str = "billing";
pub(super) const SESSION_MS: u64 = 10_000;
pub(super) const REBALANCE_MS: u64 = 60_000;

/// What becomes of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// Durable at once.
    Works,
    /// Refused at once.
    Fails,
    /// Kept until `release`.
    Stalls,
}

/// Topics `orders` (id 1, four partitions) and `bills` (id 2, one partition).
#[derive(Clone, Debug)]
pub(super) struct Catalog(pub(super) BTreeMap<String, (TopicId, u32)>);

impl Default for Catalog {
    fn default() -> Self {
        let id = |byte| TopicId::from_bytes([byte; 16]);
        Self(BTreeMap::from([
            ("orders".into(), (id(1), 4)),
            ("bills".into(), (id(2), 1)),
        ]))
    }
}

impl Topics for Catalog {
    fn resolve(&self, key: &TopicKey) -> Option<(String, TopicId, u32)> {
        let is_it = |name: &String, id: &TopicId| match key {
            TopicKey::Name(asked) => asked == name,
            TopicKey::Id(asked) => asked == id,
        };
        let found = self.0.iter().find(|(name, (id, _))| is_it(name, id));
        found.map(|(name, (id, partitions))| (name.clone(), *id, *partitions))
    }
}

/// A coordinator with everything around it.
pub(super) struct Bench {
    pub(super) coordinator: Coordinator,
    pub(super) config: GroupConfig,
    pub(super) topics: Catalog,
    pub(super) now: Now,
    pub(super) disk: Disk,
    pub(super) log: Vec<GroupRecord>,
    held: Vec<(WriteId, Vec<GroupRecord>)>,
    replies: BTreeMap<u64, Reply>,
    answered: u64,
    sent: u64,
}

impl Bench {
    /// Without initial rebalance delay.
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With some other configuration.
    pub(super) fn with(change: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut config = GroupConfig::from(&BrokerConfig::default());
        config.initial_rebalance_delay = Duration::ZERO;
        change(&mut config);
        let now = Now {
            instant: Instant::from_nanos(1_000_000_000),
            wall: Timestamp::from_millis(1_700_000_000_000),
        };
        let mut bench = Self {
            coordinator: Coordinator::new(config.clone(), 1),
            config,
            topics: Catalog::default(),
            now,
            disk: Disk::Works,
            log: Vec::new(),
            held: Vec::new(),
            replies: BTreeMap::new(),
            answered: 0,
            sent: 0,
        };
        bench.load();
        bench
    }

    fn load(&mut self) {
        self.coordinator.begin_load(PARTITION);
        for record in &self.log {
            self.coordinator.replay(
                PARTITION,
                &record.key,
                record.value.as_deref(),
                self.now.wall,
            );
        }
        self.coordinator
            .finish_load(self.now, PARTITION, &self.topics);
        self.pump();
    }

    /// A new process reads the log; whatever was not durable is gone.
    pub(super) fn restart(&mut self) {
        self.held.clear();
        self.coordinator = Coordinator::new(self.config.clone(), 2 + self.sent);
        self.load();
    }

    /// Where the next command comes from.
    pub(super) fn origin(&mut self) -> Origin {
        self.sent += 1;
        Origin {
            shard: ShardId::new(0),
            connection: ConnectionId::new(1),
            ticket: Ticket(self.sent),
        }
    }

    /// Sends a command; its ticket.
    pub(super) fn send(&mut self, command: Command) -> u64 {
        let origin = self.origin();
        self.coordinator
            .handle(self.now, origin, PARTITION, command, &self.topics);
        self.pump();
        origin.ticket.0
    }

    /// Sends a command that is answered at once.
    pub(super) fn ask(&mut self, command: Command) -> Reply {
        let ticket = self.send(command);
        self.take(ticket).expect("answered at once")
    }

    /// The reply, if there is one.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Reply> {
        self.replies.remove(&ticket)
    }

    /// Commands that were sent and not answered.
    pub(super) const fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }

    /// Carries outputs out.
    pub(super) fn pump(&mut self) {
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                GroupOutput::Reply { origin, reply } => {
                    let old = self.replies.insert(origin.ticket.0, reply);
                    assert!(old.is_none(), "answered twice");
                    self.answered += 1;
                }
                GroupOutput::Persist {
                    write,
                    partition,
                    records,
                } => {
                    assert_eq!(partition, PARTITION);
                    self.persist(write, records);
                }
            }
        }
    }

    fn persist(&mut self, write: WriteId, records: Vec<GroupRecord>) {
        match self.disk {
            Disk::Works => {
                self.log.extend(records);
                self.coordinator.handle_persisted(self.now, write, true);
            }
            Disk::Fails => self.coordinator.handle_persisted(self.now, write, false),
            Disk::Stalls => self.held.push((write, records)),
        }
    }

    /// Everything held becomes durable, in order.
    pub(super) fn release(&mut self) {
        for (write, records) in std::mem::take(&mut self.held) {
            self.log.extend(records);
            self.coordinator.handle_persisted(self.now, write, true);
        }
        self.pump();
    }

    /// Everything held fails.
    pub(super) fn reject(&mut self) {
        for (write, _) in std::mem::take(&mut self.held) {
            self.coordinator.handle_persisted(self.now, write, false);
        }
        self.pump();
    }

    /// What the shard believes its groups hold, and what they hold.
    pub(super) fn held(&self) -> (usize, usize) {
        let weighed = self.coordinator.groups.values().map(Group::holds).sum();
        (self.coordinator.effects.held, weighed)
    }

    /// A topic is deleted; its tombstones are not written before the next `pump`.
    pub(super) fn delete_topic(&mut self, name: &str) {
        let names = BTreeSet::from([name.to_owned()]);
        self.coordinator.topics_deleted(self.now, &names);
    }

    /// Lets time pass, stopping at every timeout.
    pub(super) fn advance(&mut self, millis: u64) {
        let end = self.now.instant.after(Duration::from_millis(millis));
        while let Some(at) = self.coordinator.poll_timeout().filter(|at| *at <= end) {
            self.set_clock(at);
            self.coordinator.handle_timeout(self.now);
            self.pump();
            assert!(
                self.coordinator.poll_timeout().is_none_or(|next| next > at),
                "time moves on"
            );
        }
        self.set_clock(end);
    }

    fn set_clock(&mut self, at: Instant) {
        let passed = at.since(self.now.instant);
        self.now.wall = self
            .now
            .wall
            .plus_millis(i64::try_from(passed.as_millis()).unwrap());
        self.now.instant = at;
    }

    // Conversations.

    /// Sends a join; its ticket.
    pub(super) fn join(&mut self, join: Join) -> u64 {
        self.send(Command::JoinGroup(join))
    }

    /// The answer to a join that succeeded.
    pub(super) fn joined(&mut self, ticket: u64) -> Joined {
        match self.take(ticket) {
            Some(Reply::Joined(Ok(joined))) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    /// The answer to a join that was refused.
    pub(super) fn refused(&mut self, ticket: u64) -> JoinRefused {
        match self.take(ticket) {
            Some(Reply::Joined(Err(refused))) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Sends a sync; its ticket.
    pub(super) fn sync(&mut self, joined: &Joined, assignments: &[(&str, &'static str)]) -> u64 {
        let own = |(id, bytes): &(&str, &'static str)| {
            ((*id).to_owned(), Bytes::from_static(bytes.as_bytes()))
        };
        self.send(Command::SyncGroup(Sync {
            key: key(&joined.member, joined.generation),
            protocol_type: None,
            protocol: None,
            assignments: assignments.iter().map(own).collect(),
        }))
    }

    /// The answer to a sync.
    pub(super) fn synced(&mut self, ticket: u64) -> Result<Synced, GroupError> {
        match self.take(ticket) {
            Some(Reply::Synced(result)) => result,
            other => panic!("not synced: {other:?}"),
        }
    }

    /// One heartbeat.
    pub(super) fn beat(&mut self, joined: &Joined) -> Result<(), GroupError> {
        self.beat_key(key(&joined.member, joined.generation))
    }

    /// One heartbeat of anyone.
    pub(super) fn beat_key(&mut self, key: MemberKey) -> Result<(), GroupError> {
        match self.ask(Command::Heartbeat(key)) {
            Reply::Heartbeat(result) => result,
            other => panic!("not a heartbeat: {other:?}"),
        }
    }

    /// Removes members.
    pub(super) fn leave(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Vec<Result<(), GroupError>> {
        let own =
            |(id, instance): &(&str, Option<&str>)| ((*id).to_owned(), instance.map(str::to_owned));
        let members = members.iter().map(own).collect();
        match self.ask(Command::LeaveGroup(Leave {
            group: GROUP.into(),
            members,
        })) {
            Reply::Left(Ok(results)) => results,
            other => panic!("not left: {other:?}"),
        }
    }

    /// Sends a commit of `orders` partitions; its ticket.
    pub(super) fn commit(&mut self, key: MemberKey, offsets: &[(u32, u64)]) -> u64 {
        let element = |(partition, offset): &(u32, u64)| element("orders", *partition, *offset);
        let offsets = offsets.iter().map(element).collect();
        self.send(Command::CommitOffsets(Commit { key, offsets }))
    }

    /// The results of a commit.
    pub(super) fn committed(&mut self, ticket: u64) -> Vec<Result<(), GroupError>> {
        match self.take(ticket) {
            Some(Reply::OffsetsCommitted(results)) => {
                results.into_iter().map(|(_, _, result)| result).collect()
            }
            other => panic!("not committed: {other:?}"),
        }
    }

    /// What is committed for a partition of `orders`.
    pub(super) fn fetch(&mut self, partition: u32) -> Option<u64> {
        let key = TopicKey::Name("orders".into());
        let fetched = self.fetch_all(Some(vec![(key, PartitionId::new(partition))]));
        let (_, _, committed) = fetched.into_iter().next().unwrap();
        committed.unwrap().offset.map(Offset::get)
    }

    /// Any offset fetch.
    pub(super) fn fetch_all(
        &mut self,
        partitions: Option<Vec<(TopicKey, PartitionId)>>,
    ) -> Vec<(TopicKey, PartitionId, Result<Committed, GroupError>)> {
        let query = CommittedQuery {
            group: GROUP.into(),
            partitions,
        };
        match self.ask(Command::FetchCommitted(query)) {
            Reply::CommittedOffsets(Ok(offsets)) => offsets,
            other => panic!("not fetched: {other:?}"),
        }
    }

    /// The group as tools see it.
    pub(super) fn view(&mut self) -> GroupView {
        match self.ask(Command::DescribeGroup {
            group: GROUP.into(),
        }) {
            Reply::Group(Ok(view)) => view,
            other => panic!("not described: {other:?}"),
        }
    }

    /// The group's state as tools see it.
    pub(super) fn state(&mut self) -> GroupState {
        self.view().state
    }

    /// A stable group of dynamic members, the leader first; each has the assignment `part`.
    pub(super) fn stable(&mut self, count: usize) -> Vec<Joined> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let ticket = self.join(dynamic(""));
            ids.push(self.refused(ticket).member);
        }
        let tickets: Vec<u64> = ids.iter().map(|id| self.join(dynamic(id))).collect();
        // Without initial delay the first join makes a generation of its own.
        let tickets: Vec<u64> = match self.take(tickets[0]) {
            Some(Reply::Joined(Ok(_))) if count > 1 => {
                let again = self.join(dynamic(&ids[0]));
                std::iter::once(again)
                    .chain(tickets.into_iter().skip(1))
                    .collect()
            }
            Some(reply) => {
                self.replies.insert(tickets[0], reply);
                tickets
            }
            None => tickets,
        };
        let joined: Vec<Joined> = tickets.iter().map(|ticket| self.joined(*ticket)).collect();
        let assignments: Vec<(&str, &'static str)> =
            ids.iter().map(|id| (id.as_str(), "part")).collect();
        let leader = joined
            .iter()
            .find(|joined| joined.member == joined.leader)
            .unwrap()
            .clone();
        let mut syncs = Vec::new();
        for joined in &joined {
            let is_leader = joined.member == leader.member;
            syncs.push(self.sync(joined, if is_leader { &assignments } else { &[] }));
        }
        for sync in syncs {
            assert_eq!(self.synced(sync).unwrap().assignment, "part");
        }
        assert_eq!(self.state(), GroupState::Stable);
        joined
    }
}

/// A dynamic member that knows the member-id round trip.
pub(super) fn dynamic(member: &str) -> Join {
    Join {
        group: GROUP.into(),
        member: member.into(),
        instance: None,
        client_id: "app".into(),
        client_host: "/10.0.0.9".into(),
        session_timeout_ms: u32::try_from(SESSION_MS).unwrap(),
        rebalance_timeout_ms: u32::try_from(REBALANCE_MS).unwrap(),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["orders"], b""))],
        requires_known_member: true,
        can_skip_assignment: false,
    }
}

/// A dynamic member of an old client.
pub(super) fn old_client(member: &str) -> Join {
    Join {
        requires_known_member: false,
        ..dynamic(member)
    }
}

/// A static member.
pub(super) fn fixed(instance: &str, member: &str) -> Join {
    Join {
        instance: Some(instance.into()),
        ..dynamic(member)
    }
}

/// Consumer protocol subscription, version 1.
pub(super) fn subscription(topics: &[&str], user_data: &[u8]) -> Bytes {
    let mut out = vec![0, 1];
    out.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        out.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend(i32::try_from(user_data.len()).unwrap().to_be_bytes());
    out.extend(user_data);
    out.extend([0; 4]);
    out.into()
}

/// Names a dynamic member.
pub(super) fn key(member: &str, generation: Generation) -> MemberKey {
    MemberKey {
        group: GROUP.into(),
        generation: Some(generation),
        member: member.into(),
        instance: None,
    }
}

/// A simple consumer.
pub(super) fn simple() -> MemberKey {
    MemberKey {
        group: GROUP.into(),
        generation: None,
        member: String::new(),
        instance: None,
    }
}

/// One element of a commit.
pub(super) fn element(topic: &str, partition: u32, offset: u64) -> OffsetToCommit {
    OffsetToCommit {
        topic: TopicKey::Name(topic.into()),
        partition: PartitionId::new(partition),
        offset: Offset::new(offset),
        leader_epoch: Some(LeaderEpoch::new(3)),
        metadata: format!("at {offset}"),
    }
}
