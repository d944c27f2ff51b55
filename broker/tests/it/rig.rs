//! One shard with everything around it: disk, control core, clock, clients.
//!
//! Owns: [`Rig`], the pump that carries out what the shard wants.
//! Never: judges; tests do.
//! Invariants: when a call returns, everything that could happen without time or a release has happened.
//! Source: architecture.md section 5.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::error::MetadataError;
use api::{Command, Origin, Reply, Ticket};
use broker::metadata::{Image, MetadataCommand, MetadataResult, StateMachine};
use broker::{BrokerConfig, CoreMessage, Input, Output, Proposal, Shard, ShardConfig};
use model::fatal::Fatal;
use model::ids::{BrokerId, ConnectionId, MetaIndex, ShardId};
use model::time::{Instant, Now, Timestamp};
use storage::exec::recover;
use storage::{Store, StoreConfig};

use crate::disk::{Hold, TestDisk};

pub(crate) const OWN: BrokerId = BrokerId::new(1);
const SHARD: ShardId = ShardId::new(0);
const ROUNDS_MAX: usize = 100_000;

/// What the control core does with proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quorum {
    Commits,
    IsSilent,
    Refuses,
}

#[derive(Debug)]
pub(crate) struct Rig {
    shard: Shard,
    pub(crate) disk: TestDisk,
    pub(crate) now: Now,
    pub(crate) image: Arc<Image>,
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) quorum: Quorum,
    /// Proposals that nobody answered.
    pub(crate) proposals: VecDeque<Proposal>,
    pub(crate) replies: Vec<(Origin, Reply)>,
    pub(crate) applied: Vec<MetaIndex>,
    pub(crate) stops: usize,
    pub(crate) fatal: Option<Fatal>,
    /// Heap allocations of the shard so far.
    pub(crate) allocations: u64,
    next_ticket: u64,
    starts: u64,
    shards: u16,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    /// One of two shards; the other is missed by nobody.
    pub(crate) fn of_two_shards() -> Self {
        Self::build(BrokerConfig::default(), 2)
    }

    /// A broker that registered and has no topics.
    pub(crate) fn with(config: BrokerConfig) -> Self {
        Self::build(config, 1)
    }

    fn build(config: BrokerConfig, shards: u16) -> Self {
        let config = Arc::new(config);
        let now = Now {
            instant: Instant::from_nanos(1_000_000_000_000),
            wall: Timestamp::from_millis(1_700_000_000_000),
        };
        let registration = MetadataCommand::RegisterBroker {
            broker: OWN,
            incarnation: [1; 16],
            host: "localhost".to_owned(),
            port: 9092,
            rack: None,
            is_clean: true,
        };
        let empty = Image::default();
        let (image, _, _) = StateMachine::apply(&empty, MetaIndex::new(1), &registration);
        let image = Arc::new(image);
        let mut disk = TestDisk::new();
        let shard = start(&mut disk, &config, (&image, now), (1, shards));
        let mut rig = Self {
            shard,
            disk,
            now,
            image,
            config,
            quorum: Quorum::Commits,
            proposals: VecDeque::new(),
            replies: Vec::new(),
            applied: Vec::new(),
            stops: 0,
            fatal: None,
            allocations: 0,
            next_ticket: 0,
            starts: 1,
            shards,
        };
        rig.run();
        rig
    }

    /// The process dies and starts again from what the disk has.
    pub(crate) fn restart(&mut self) {
        self.restart_with(Hold::Nothing);
    }

    /// As [`Self::restart`], with I/O held back from the first moment.
    pub(crate) fn restart_with(&mut self, hold: Hold) {
        self.disk.power_cycle();
        self.disk.hold = hold;
        self.starts += 1;
        let birth = (&self.image, self.now);
        self.shard = start(
            &mut self.disk,
            &self.config,
            birth,
            (self.starts, self.shards),
        );
        self.replies.clear();
        self.proposals.clear();
        self.run();
    }

    /// Hands a command to the shard and lets everything happen that can.
    pub(crate) fn send(&mut self, command: Command) -> Origin {
        let origin = self.origin();
        self.send_as(origin, command);
        origin
    }

    pub(crate) fn send_as(&mut self, origin: Origin, command: Command) {
        self.feed(Input::Command { origin, command });
        self.run();
    }

    /// The answer to a command, if it has come. It is taken: asking again gives nothing.
    pub(crate) fn answer(&mut self, origin: Origin) -> Option<Reply> {
        let at = self.replies.iter().position(|(to, _)| *to == origin)?;
        Some(self.replies.remove(at).1)
    }

    /// Sends a command that must be answered at once.
    pub(crate) fn ask(&mut self, command: Command) -> Reply {
        let text = format!("{command:?}");
        let origin = self.send(command);
        self.answer(origin)
            .unwrap_or_else(|| panic!("no answer to {text}"))
    }

    pub(crate) fn origin(&mut self) -> Origin {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        Origin {
            shard: SHARD,
            connection: ConnectionId::new(1),
            ticket,
        }
    }

    /// Feeds commands in one round; how many are answered at the end of that round and of each after it, until all are.
    pub(crate) fn crowd(&mut self, commands: Vec<Command>) -> Vec<usize> {
        let count = commands.len();
        for command in commands {
            let origin = self.origin();
            self.feed(Input::Command { origin, command });
        }
        let before = self.replies.len();
        let mut answered = Vec::new();
        while answered.last().is_none_or(|last| *last < count) && answered.len() < ROUNDS_MAX {
            self.feed(Input::RoundEnd);
            self.drain();
            answered.push(self.replies.len() - before);
            if self
                .shard
                .poll_timeout()
                .is_some_and(|due| due <= self.now.instant)
            {
                self.feed(Input::Timeout);
            }
        }
        answered
    }

    /// Carries out what was held back.
    pub(crate) fn release(&mut self) {
        for (id, outcome) in self.disk.release() {
            self.feed(Input::Io { id, outcome });
        }
        self.run();
    }

    /// Lets time pass; everything due on the way happens at its time.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now.instant.after(duration);
        for _ in 0..ROUNDS_MAX {
            match self.shard.poll_timeout().filter(|due| *due <= until) {
                Some(due) => {
                    self.move_clock(due);
                    self.feed(Input::Timeout);
                    self.run();
                }
                None => return self.move_clock(until),
            }
        }
        panic!("timers never end");
    }

    pub(crate) fn deadline(&self, millis: u64) -> Instant {
        self.now.instant.after(Duration::from_millis(millis))
    }

    /// Commits a metadata command of somebody else.
    pub(crate) fn commit(&mut self, command: &MetadataCommand) -> MetadataResult {
        let result = self.apply(command);
        self.run();
        result
    }

    /// Answers a proposal that was left unanswered.
    pub(crate) fn settle(&mut self, proposal: &Proposal) {
        self.answer_proposal(proposal);
        self.run();
    }

    pub(crate) fn control(&mut self, message: CoreMessage) {
        self.feed(Input::Control(message));
        self.run();
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    fn move_clock(&mut self, to: Instant) {
        let later = self.now.instant.max(to);
        let millis = i64::try_from(later.since(self.now.instant).as_millis()).unwrap();
        self.now = Now {
            instant: later,
            wall: self.now.wall.plus_millis(millis),
        };
    }

    fn feed(&mut self, input: Input) {
        let mut outcome = Ok(());
        let heap = allocation_counter::measure(|| {
            // As the shell does.
            if let Input::Command { command, .. } = &input {
                self.shard.anticipate(std::iter::once(command));
            }
            outcome = self.shard.handle(self.now, input);
        });
        self.allocations += heap.count_total;
        if let Err(fatal) = outcome {
            self.fatal = Some(fatal);
        }
    }

    fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let was_busy = self.drain();
            self.feed(Input::RoundEnd);
            if self.fatal.is_some() {
                return;
            }
            let is_busy = self.drain();
            let is_due = self
                .shard
                .poll_timeout()
                .is_some_and(|due| due <= self.now.instant);
            if is_due {
                self.feed(Input::Timeout);
            }
            if !(was_busy || is_busy || is_due) {
                return;
            }
        }
        panic!("the shard never comes to rest");
    }

    fn drain(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(output) = self.poll_output() {
            is_busy = true;
            match output {
                Output::Reply { origin, reply } => self.replies.push((origin, reply)),
                Output::Io(io) => {
                    if let Some((id, outcome)) = self.disk.submit(io) {
                        self.feed(Input::Io { id, outcome });
                    }
                }
                Output::Propose(proposal) => match self.quorum {
                    Quorum::Commits | Quorum::Refuses => self.answer_proposal(&proposal),
                    Quorum::IsSilent => self.proposals.push_back(proposal),
                },
                Output::Applied(index) => self.applied.push(index),
                Output::Alarm(_) => {}
                Output::Stopped => self.stops += 1,
            }
        }
        is_busy
    }

    fn poll_output(&mut self) -> Option<Output> {
        let mut output = None;
        let heap = allocation_counter::measure(|| output = self.shard.poll_output());
        self.allocations += heap.count_total;
        output
    }

    fn answer_proposal(&mut self, proposal: &Proposal) {
        let result = match self.quorum {
            Quorum::Commits | Quorum::IsSilent => Ok(self.apply(&proposal.command)),
            Quorum::Refuses => Err(MetadataError::TimedOut),
        };
        let id = proposal.id;
        self.feed(Input::Control(CoreMessage::Proposed { id, result }));
    }

    fn apply(&mut self, command: &MetadataCommand) -> MetadataResult {
        let index = MetaIndex::new(self.image.index().get() + 1);
        let (image, result, changes) = StateMachine::apply(&self.image, index, command);
        self.image = Arc::new(image);
        let (image, changes) = (Arc::clone(&self.image), Arc::new(changes));
        self.feed(Input::Control(CoreMessage::Delta {
            index,
            image,
            changes,
        }));
        result
    }
}

fn start(
    disk: &mut TestDisk,
    broker: &Arc<BrokerConfig>,
    (image, now): (&Arc<Image>, Now),
    (seed, shards): (u64, u16),
) -> Shard {
    let recovered = recover(&mut disk.files, SHARD, now.wall.as_millis()).unwrap();
    let sizes = StoreConfig {
        shard: SHARD,
        journal_bytes: 1 << 20,
        journal_first_bytes: 256 << 10,
        tail_bytes_max: 4 << 20,
        tail_age_ms: 5_000,
        cache_bytes_max: 1 << 20,
        manifest_bytes: 64 << 10,
        extent_bytes: (64 << 10, 1 << 20),
        seed,
        ..StoreConfig::default()
    };
    let store = Store::open(sizes, recovered, now);
    let broker = Arc::clone(broker);
    let config = ShardConfig {
        shard: SHARD,
        shards,
        broker,
        seed,
    };
    Shard::new(config, store, Arc::clone(image), now)
}
