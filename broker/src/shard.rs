//! One core's broker: composes partitions, groups, metadata and the store.
//!
//! Owns: dispatch of inputs and the order of outputs.
//! Never: looks inside a batch beyond what `BatchInfo` says (except the deep checks of kafka.md 3.2).
//! Invariants: every command gets exactly one reply (except `CancelFetch`).
//! Source: architecture.md section 5.

mod admin;
mod ahead;
mod append;
mod control;
mod directory;
mod fetch;
mod groups;
mod lookup;
mod producer_ids;
mod proposals;
mod reconcile;
mod refusal;
mod stop;

use std::collections::VecDeque;
use std::sync::Arc;

use api::Command;
use api::{Origin, Reply};
use model::fatal::Fatal;
use model::ids::{MetaIndex, ShardId, TopicPartition};
use model::offset::Offset;
use model::prng::Prng;
use model::time::{Instant, Now};
use storage::{Alarm, Io, IoId, IoOutcome, LogId, Store, StoreEvent};

use crate::config::BrokerConfig;
use crate::deadlines::Deadlines;
use crate::metadata::Image;
use crate::ports::{CoreMessage, Proposal};
use directory::Directory;
use fetch::Retries;
use groups::Groups;
use producer_ids::ProducerIds;
use proposals::Proposals;
use stop::Phase;

/// What a shard is told at birth.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The operator's settings.
    pub broker: Arc<BrokerConfig>,
    /// Seed of all randomness (topic ids, member ids, producer jitter).
    pub seed: u64,
}

/// One event.
#[derive(Debug)]
pub enum Input {
    /// A front end asks.
    Command {
        /// Where the reply goes.
        origin: Origin,
        /// What is asked.
        command: Command,
    },
    /// An I/O of this shard's store ended.
    Io {
        /// Which.
        id: IoId,
        /// How.
        outcome: IoOutcome,
    },
    /// The control core speaks.
    Control(CoreMessage),
    /// `poll_timeout` is due.
    Timeout,
    /// The shell fed everything it had: groups may be closed and written.
    RoundEnd,
}

/// One thing to carry out.
#[derive(Debug)]
pub enum Output {
    /// Send a reply home.
    Reply {
        /// Where to.
        origin: Origin,
        /// What.
        reply: Reply,
    },
    /// Carry out an I/O.
    Io(Io),
    /// Hand to the control core.
    Propose(Proposal),
    /// Tell the control core that metadata up to this index is applied here.
    Applied(MetaIndex),
    /// Tell an operator.
    Alarm(Alarm),
    /// The orderly stop is complete; everything is durable.
    Stopped,
}

/// What a timer of the shard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// An append is not durable yet: its log, last offset and origin.
    Append(LogId, Offset, Origin),
    /// A parked fetch.
    Fetch(LogId, Origin),
    /// A metadata change is not committed yet.
    Proposal(u64),
    /// Somebody waits for a producer id.
    ProducerId(Origin),
}

/// One core's broker.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    store: Store,
    image: Arc<Image>,
    directory: Directory,
    groups: Groups,
    deadlines: Deadlines<Due>,
    retries: Retries,
    proposals: Proposals,
    producer_ids: ProducerIds,
    prng: Prng,
    outputs: VecDeque<Output>,
    phase: Phase,
}

impl Shard {
    /// A shard over a recovered store. Logs that the image does not know are kept and reported by
    /// [`Self::strays`]; only those of topics known to be deleted are removed.
    ///
    /// # Panics
    /// If the configuration names a shard that does not exist.
    #[must_use]
    pub fn new(config: ShardConfig, store: Store, image: Arc<Image>, now: Now) -> Self {
        assert!(
            config.shard.get() < config.shards,
            "this shard is one of the shards"
        );
        // Shards must not draw the same ids: spread the seed by the shard's number.
        let mut prng = Prng::new(config.seed ^ (u64::from(config.shard.get()) << 48));
        let groups = Groups::new(&config.broker, prng.next_u64());
        let mut shard = Self {
            config,
            store,
            image,
            directory: Directory::default(),
            groups,
            deadlines: Deadlines::default(),
            retries: Retries::default(),
            proposals: Proposals::default(),
            producer_ids: ProducerIds::default(),
            prng,
            outputs: VecDeque::new(),
            phase: Phase::Running,
        };
        shard.reconcile(now);
        shard.settle(now);
        shard
    }

    /// Feeds one event; runs to completion.
    ///
    /// # Errors
    /// A write or flush that failed or does not come back (A10): the process must end.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), Fatal> {
        match input {
            Input::Command { origin, command } => self.handle_command(now, origin, command),
            Input::Io { id, outcome } => self.store.handle_io(now, id, outcome)?,
            Input::Control(message) => self.handle_control(now, message),
            Input::Timeout => self.handle_timeout(now)?,
            Input::RoundEnd => {
                self.store.seal_round(now);
                self.retries.begin_round();
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Next thing to carry out, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs
            .pop_front()
            .or_else(|| self.store.poll_io().map(Output::Io))
    }

    /// When `Input::Timeout` is next due; an instant in the past while work is left over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let left_over = self.has_left_over().then_some(Instant::ZERO);
        let sources = [
            left_over,
            self.deadlines.next(),
            self.groups.coordinator.poll_timeout(),
            self.store.poll_timeout(),
        ];
        sources.into_iter().flatten().min()
    }

    /// Logs in the store that belong to no partition this shard leads and are not known to be deleted.
    /// They are not served and not touched.
    #[must_use]
    pub fn strays(&self) -> Vec<TopicPartition> {
        self.directory.strays().collect()
    }

    /// The metadata this shard acts by.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    fn handle_command(&mut self, now: Now, origin: Origin, command: Command) {
        if self.phase != Phase::Running {
            self.refuse_stopping(origin, &command);
            return;
        }
        match command {
            Command::Append(append) => self.append(now, origin, append),
            Command::Fetch(fetch) => self.fetch(now, origin, fetch),
            Command::CancelFetch {
                topic,
                partition,
                ticket,
            } => {
                self.cancel_fetch(now, Origin { ticket, ..origin }, &(topic, partition));
            }
            Command::ListOffset(query) => self.list_offset(now, origin, query),
            Command::EpochEnd(query) => self.epoch_end(origin, &query),
            Command::DeleteRecords(deletion) => self.delete_records(now, origin, &deletion),
            Command::InitProducerId { current } => self.init_producer_id(now, origin, current),
            Command::Metadata { .. }
            | Command::CreateTopics { .. }
            | Command::DeleteTopics { .. }
            | Command::CreatePartitions { .. }
            | Command::DescribeConfigs { .. }
            | Command::AlterConfigs { .. } => self.administer(now, origin, command),
            Command::FindCoordinator { group } => self.find_coordinator(now, origin, &group),
            Command::ListGroups { .. } => self.groups.coordinator.list(now, origin),
            Command::JoinGroup(_)
            | Command::SyncGroup(_)
            | Command::Heartbeat(_)
            | Command::LeaveGroup(_)
            | Command::CommitOffsets(_)
            | Command::FetchCommitted(_)
            | Command::DescribeGroup { .. }
            | Command::DeleteGroup { .. }
            | Command::DeleteOffsets { .. } => self.coordinate(now, origin, command),
        }
    }

    fn handle_timeout(&mut self, now: Now) -> Result<(), Fatal> {
        while let Some(due) = self.deadlines.pop_due(now.instant) {
            match due {
                Due::Append(log, last_offset, origin) => {
                    self.expire_append(log, last_offset, origin);
                }
                Due::Fetch(log, origin) => self.expire_fetch(now, log, origin),
                Due::Proposal(id) => self.expire_proposal(id),
                Due::ProducerId(origin) => self.expire_producer_id(origin),
            }
        }
        self.groups.coordinator.handle_timeout(now);
        self.store.handle_timeout(now)
    }

    /// Draws the consequences of an input until there are none, then does a bounded part of deferred work.
    fn settle(&mut self, now: Now) {
        self.react(now);
        if self.has_left_over() {
            self.retry_parked(now);
            self.load_groups(now);
            self.react(now);
        }
        self.settle_stop(now);
    }

    fn react(&mut self, now: Now) {
        loop {
            while let Some(event) = self.store.poll_event() {
                self.handle_event(now, &event);
            }
            let Some(output) = self.groups.coordinator.poll_output() else {
                return;
            };
            self.handle_group_output(now, output);
        }
    }

    fn handle_event(&mut self, now: Now, event: &StoreEvent) {
        match *event {
            StoreEvent::Advanced(log) => self.handle_advanced(now, log),
            StoreEvent::Readable(log) => self.handle_readable(log),
            StoreEvent::LogStartMoved(log) => self.handle_log_start_moved(log),
            StoreEvent::Alarm(alarm) => self.outputs.push_back(Output::Alarm(alarm)),
        }
    }

    fn has_left_over(&self) -> bool {
        !self.retries.is_empty() || self.groups.can_load()
    }

    fn reply(&mut self, origin: Origin, reply: Reply) {
        self.outputs.push_back(Output::Reply { origin, reply });
    }
}
