//! Consumer-group coordinator of one shard, pure (classic protocol).
//!
//! Owns: groups, members, generations, committed offsets, and their records in `__consumer_offsets`.
//! Never: appends or reads the log itself; asks for it with [`GroupOutput::Persist`] and is replayed at start.
//! Invariants: a commit or an assignment is answered only after its record is durable; one owner per
//! (group, generation, partition).
//! Source: kafka.md 4.8; architecture.md decision 9.

mod admin;
mod config;
mod effects;
mod expiry;
mod join;
mod leave;
mod load;
mod offsets;
mod owed;
mod rebalance;
mod records;
mod request;
mod state;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use api::error::GroupError;
use api::metadata::TopicKey;
use api::{Command, Origin, Reply};
use bytes::Bytes;
use model::ids::{PartitionId, TopicId};
use model::time::{Instant, Now, Timestamp};

use effects::{Effects, Write};
use expiry::Remains;
use load::Loading;
use request::{GroupRequest, Place};
use state::Group;
use timers::TimerKey;

pub use config::GroupConfig;

/// Correlates a [`GroupOutput::Persist`] with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// A key and value of `__consumer_offsets`; a `None` value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Versioned key, as in Kafka.
    pub key: Bytes,
    /// Versioned value, as in Kafka.
    pub value: Option<Bytes>,
}

/// What the coordinator wants done.
#[derive(Debug)]
pub enum GroupOutput {
    /// Answer a command.
    Reply {
        /// Where to.
        origin: Origin,
        /// What.
        reply: Reply,
    },
    /// Append these records, in one batch, to this partition of `__consumer_offsets`; report with `handle_persisted`.
    Persist {
        /// Correlation.
        write: WriteId,
        /// Partition of the offsets topic.
        partition: PartitionId,
        /// At least one.
        records: Vec<GroupRecord>,
    },
}

/// How the coordinator looks topics up.
pub trait Topics {
    /// (name, id, partition count) of a topic, if it exists.
    fn resolve(&self, key: &TopicKey) -> Option<(String, TopicId, u32)>;
}

/// Whether a partition's groups can be used.
#[derive(Debug)]
enum Slot {
    /// Its records are being replayed.
    Loading(Box<Loading>),
    /// Its groups are in memory.
    Loaded,
    /// Its records cannot all be read: what was committed there is not known, so nothing is served.
    Closed,
}

/// The coordinator of every group whose offsets partition this shard owns.
///
/// The shard loads a partition with `begin_load`, `replay`, `finish_load`, then feeds commands, and appends
/// what [`GroupOutput::Persist`] asks for in the order of the outputs.
#[derive(Debug)]
pub struct Coordinator {
    slots: BTreeMap<PartitionId, Slot>,
    groups: BTreeMap<String, Group>,
    effects: Effects,
    skipped_records: u64,
}

impl Coordinator {
    /// A coordinator without partitions; `seed` is for member ids.
    #[must_use]
    pub fn new(config: GroupConfig, seed: u64) -> Self {
        Self {
            slots: BTreeMap::new(),
            groups: BTreeMap::new(),
            effects: Effects::new(config, seed),
            skipped_records: 0,
        }
    }

    /// Starts loading a partition of the offsets topic; its groups answer `Loading` until `finish_load`.
    pub fn begin_load(&mut self, partition: PartitionId) {
        self.unload(partition);
        self.slots.insert(partition, Slot::Loading(Box::default()));
    }

    /// Takes one record of a partition that loads, in log order. `timestamp` is the record's.
    ///
    /// Records of unknown versions and malformed ones are counted and skipped.
    pub fn replay(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) {
        let Some(Slot::Loading(loading)) = self.slots.get_mut(&partition) else {
            return;
        };
        if loading.replay(key, value, timestamp).is_err() {
            self.skipped_records += 1;
        }
    }

    /// Every record was replayed: the partition's groups are ready. Commits that name another id than the present
    /// topic of their name has are left out.
    pub fn finish_load(&mut self, now: Now, partition: PartitionId, topics: &dyn Topics) {
        let Some(slot @ Slot::Loading(_)) = self.slots.get_mut(&partition) else {
            return;
        };
        let Slot::Loading(mut loading) = std::mem::replace(slot, Slot::Loaded) else {
            return;
        };
        loading.drop_stale(topics);
        let deleted_topics = loading.deleted_topics.clone();
        for group in loading.into_groups(&mut self.effects, now, partition) {
            self.groups.insert(group.name.clone(), group);
        }
        if !deleted_topics.is_empty() {
            self.forget_topics(Some(partition), |name| deleted_topics.contains(name));
        }
    }

    /// Not every record of the partition can be read: its groups answer `NotAvailable`, so that clients wait
    /// instead of looking the coordinator up at once and coming back.
    pub fn close(&mut self, partition: PartitionId) {
        self.unload(partition);
        self.slots.insert(partition, Slot::Closed);
    }

    /// Gives a partition up: whatever waits there is answered `NotCoordinator`.
    pub fn unload(&mut self, partition: PartitionId) {
        self.slots.remove(&partition);
        self.effects.owed.forget_partition(partition);
        for group in self
            .groups
            .extract_if(.., |_, group| group.partition == partition)
        {
            group.1.abandon(&mut self.effects);
        }
        let writes = &mut self.effects.writes;
        let orphans: Vec<Write> = writes
            .extract_if(.., |_, (at, _)| *at == partition)
            .map(|(_, (_, write))| write)
            .collect();
        for write in orphans {
            self.answer_failed(write, GroupError::NotCoordinator);
        }
    }

    /// Whether the partition's groups are ready.
    #[must_use]
    pub fn is_loaded(&self, partition: PartitionId) -> bool {
        matches!(self.slots.get(&partition), Some(Slot::Loaded))
    }

    /// Records that were skipped because they could not be understood.
    #[must_use]
    pub const fn skipped_records(&self) -> u64 {
        self.skipped_records
    }

    /// Carries out a group command; `partition` is the group's partition of the offsets topic.
    ///
    /// # Panics
    /// If the command is not about groups.
    #[expect(
        clippy::too_many_arguments,
        reason = "the five facts of a command; a struct would be built to be taken apart"
    )]
    pub fn handle(
        &mut self,
        now: Now,
        origin: Origin,
        partition: PartitionId,
        command: Command,
        topics: &dyn Topics,
    ) {
        let usable = match self.slots.get(&partition) {
            Some(Slot::Loaded) => Ok(()),
            Some(Slot::Loading(_)) => Err(GroupError::Loading),
            Some(Slot::Closed) => Err(GroupError::NotAvailable),
            None => Err(GroupError::NotCoordinator),
        };
        let request = GroupRequest::of(command);
        assert!(request.is_some(), "only group commands come here");
        let Some(request) = request else { return };
        if let Err(error) = usable {
            self.effects.reply(origin, request.refused(error));
            return;
        }
        let place = Place {
            now,
            origin,
            partition,
        };
        self.dispatch(place, request, topics);
    }

    fn dispatch(&mut self, place: Place, request: GroupRequest, topics: &dyn Topics) {
        let Place { now, origin, .. } = place;
        match request {
            GroupRequest::Join(join) => self.join(place, join),
            GroupRequest::Sync(sync) => self.sync(now, origin, sync),
            GroupRequest::Heartbeat(key) => self.heartbeat(now, origin, &key),
            GroupRequest::Leave(leave) => self.leave(now, origin, &leave),
            GroupRequest::Commit(commit) => self.commit(place, commit, topics),
            GroupRequest::FetchCommitted(query) => {
                let group = self.groups.get(&query.group);
                let offsets = offsets::fetch_committed(group, query, topics);
                self.effects
                    .reply(origin, Reply::CommittedOffsets(Ok(offsets)));
            }
            GroupRequest::Describe(name) => {
                let view = match self.groups.get(&name) {
                    Some(group) => group.view(),
                    None => admin::unknown_view(name),
                };
                self.effects.reply(origin, Reply::Group(Ok(view)));
            }
            GroupRequest::Delete(name) => self.delete(now, origin, &name),
            GroupRequest::DeleteOffsets(name, partitions) => {
                self.delete_offsets(origin, &name, partitions, topics);
            }
            GroupRequest::List => self.list(now, origin),
        }
    }

    /// Lists the groups of all partitions; `Loading` while any partition loads, `NotAvailable` if one is
    /// closed: a list without its groups would be a lie.
    pub fn list(&mut self, _now: Now, origin: Origin) {
        let obstacle = self.slots.values().find_map(|slot| match slot {
            Slot::Loading(_) => Some(GroupError::Loading),
            Slot::Closed => Some(GroupError::NotAvailable),
            Slot::Loaded => None,
        });
        let groups = match obstacle {
            Some(error) => Err(error),
            None => Ok(self.groups.values().map(Group::listing).collect()),
        };
        self.effects.reply(origin, Reply::Groups(groups));
    }

    /// A write was made durable, or failed. Unknown writes (of partitions given up) are ignored.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "the shard reports with one word"
    )]
    pub fn handle_persisted(&mut self, now: Now, write: WriteId, is_durable: bool) {
        let Some((_, then)) = self.effects.writes.remove(&write) else {
            return;
        };
        if is_durable {
            self.written(now, write, then);
        } else {
            self.not_written(now, write, then);
        }
    }

    /// Topics were deleted: their commits get tombstones. Every group is looked at once, however many topics.
    pub fn topics_deleted(&mut self, _now: Now, names: &BTreeSet<String>) {
        if names.is_empty() {
            return;
        }
        for slot in self.slots.values_mut() {
            if let Slot::Loading(loading) = slot {
                loading.deleted_topics.extend(names.iter().cloned());
            }
        }
        self.forget_topics(None, |topic| names.contains(topic));
    }

    /// Gives commits to topics that do not exist their tombstones: a stop may have come between the deletion of
    /// a topic and the tombstones. Called once after the shard's partitions are loaded.
    pub fn retain_topics(&mut self, _now: Now, topics: &dyn Topics) {
        self.forget_topics(None, |name| {
            topics.resolve(&TopicKey::Name(name.to_owned())).is_none()
        });
    }

    /// Lets every deadline that has passed take effect.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(wake_up) = self.effects.timers.pop(now.instant) {
            self.wake(now, wake_up);
        }
    }

    /// When `handle_timeout` is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.effects.timers.next()
    }

    /// Next thing to carry out, oldest first.
    pub fn poll_output(&mut self) -> Option<GroupOutput> {
        self.effects.outputs.pop_front()
    }

    fn wake(&mut self, now: Now, wake_up: (Instant, TimerKey)) {
        let name = match &wake_up.1 {
            TimerKey::Session { group, .. }
            | TimerKey::Rebalance { group }
            | TimerKey::PendingSync { group }
            | TimerKey::Expiry { group } => group,
            TimerKey::Owed => return self.owed_due(now, wake_up),
        };
        let effects = &mut self.effects;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        match &wake_up.1 {
            TimerKey::Session { member, .. } => {
                let member = member.clone();
                group.session_due(effects, now, wake_up, &member);
                group.settle(effects);
            }
            TimerKey::Rebalance { .. } => {
                group.rebalance_due(effects, now, wake_up);
                group.settle(effects);
            }
            TimerKey::PendingSync { .. } => {
                group.sync_phase_due(effects, now, wake_up);
                group.settle(effects);
            }
            TimerKey::Expiry { .. } => {
                if group.expiry_due(effects, now, wake_up) == Remains::Nothing {
                    let name = group.name.clone();
                    self.remove_group(&name);
                }
            }
            TimerKey::Owed => {}
        }
    }
}
