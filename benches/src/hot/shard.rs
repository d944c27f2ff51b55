//! One small request through a whole shard: from the command to its reply.
//!
//! Owns: the functions `shard-*`; a shard with a device that keeps nothing and a quorum that agrees.
//! Never: knows a wire format; `session` does.
//! Invariants: every step is one command and one good reply; time passes evenly.
//! Source: architecture.md section 5.

use std::sync::Arc;

use api::command::{Acks, Append, Fetch as FetchCommand, Isolation};
use api::metadata::{NewTopic, TopicKey};
use api::{Command, Origin, Reply, Ticket};
use broker::metadata::{Image, MetadataCommand, MetadataResult, StateMachine};
use broker::{BrokerConfig, CoreMessage, Input, Output, Shard, ShardConfig};
use bytes::BytesMut;
use model::batch::BatchInfo;
use model::ids::{BrokerId, ConnectionId, MetaIndex, PartitionId, ShardId};
use model::offset::Offset;
use model::prng::Prng;
use model::time::Now;
use storage::{Io, IoId, IoOutcome};

use super::journal::empty_store;
use super::sink::Sink;
use super::{Hot, HotError, STEP, batches, start};

const SHARD: ShardId = ShardId::new(0);
const TOPIC: &str = "t";

/// Rounds that a shard needs at most until it is idle.
const ROUNDS_MAX: usize = 64;

/// Milliseconds a request may take.
const DEADLINE_MS: u64 = 10_000;

/// Batches of one round that go to different partitions.
pub(super) const SPREAD: usize = 16;

/// Batches of which a fetch returns the last ten.
const FETCHED_OF: u64 = 200;
const FETCHED_FROM: u64 = 190;

struct Rig {
    shard: Shard,
    sink: Sink,
    now: Now,
    image: Arc<Image>,
    ticket: u64,
    done: Vec<(IoId, IoOutcome)>,
    replies: Vec<Reply>,
}

impl Rig {
    /// A shard with one topic of so many partitions.
    fn new(partitions: u32, configs: &[(&str, &str)]) -> Result<Self, HotError> {
        let now = start();
        let registration = MetadataCommand::RegisterBroker {
            broker: BrokerId::new(1),
            incarnation: [1; 16],
            host: "localhost".to_owned(),
            port: 9092,
            rack: None,
            is_clean: true,
        };
        let empty = Image::default();
        let (image, _, _) = StateMachine::apply(&empty, MetaIndex::new(1), &registration);
        let image = Arc::new(image);
        let config = ShardConfig {
            shard: SHARD,
            shards: 1,
            broker: Arc::new(BrokerConfig::default()),
            seed: 1,
        };
        let (store, sink) = empty_store(now)?;
        let mut rig = Self {
            shard: Shard::new(config, store, Arc::clone(&image), now),
            sink,
            now,
            image,
            ticket: 0,
            done: Vec::new(),
            replies: Vec::new(),
        };
        rig.settle()?;
        let topics = vec![NewTopic {
            name: TOPIC.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            assignment: Vec::new(),
            configs: configs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
                .collect(),
        }];
        let deadline = now.instant.after(std::time::Duration::from_secs(10));
        let reply = rig.ask(Command::CreateTopics {
            topics,
            validate_only: false,
            deadline,
        })?;
        match reply {
            Reply::TopicsCreated(created) if created.iter().all(|(_, made)| made.is_ok()) => {
                Ok(rig)
            }
            other => Err(unexpected("creating a topic", &other)),
        }
    }

    /// One command and its reply.
    fn ask(&mut self, command: Command) -> Result<Reply, HotError> {
        self.send(command)?;
        self.settle()?;
        let reply = self.replies.pop();
        reply.ok_or_else(|| HotError::wrong("a command")(&"it has no reply"))
    }

    fn send(&mut self, command: Command) -> Result<(), HotError> {
        self.ticket += 1;
        let origin = Origin {
            shard: SHARD,
            connection: ConnectionId::new(1),
            ticket: Ticket(self.ticket),
        };
        self.feed(Input::Command { origin, command })
    }

    fn feed(&mut self, input: Input) -> Result<(), HotError> {
        self.shard
            .handle(self.now, input)
            .map_err(|fatal| HotError::wrong("an input")(&fatal))
    }

    /// Rounds until nothing is left to do.
    fn settle(&mut self) -> Result<(), HotError> {
        for _ in 0..ROUNDS_MAX {
            self.feed(Input::RoundEnd)?;
            let is_busy = self.drain()?;
            let mut done = std::mem::take(&mut self.done);
            if !is_busy && done.is_empty() {
                return Ok(());
            }
            for (id, outcome) in done.drain(..) {
                self.feed(Input::Io { id, outcome })?;
            }
            self.done = done;
            self.drain()?;
        }
        Err(HotError::wrong("a round")(&"the shard never comes to rest"))
    }

    fn drain(&mut self) -> Result<bool, HotError> {
        let mut is_busy = false;
        while let Some(output) = self.shard.poll_output() {
            is_busy = true;
            match output {
                Output::Reply { reply, .. } => self.replies.push(reply),
                Output::Io(io) => self.carry_out(&io),
                Output::Propose(proposal) => {
                    let result = Ok(self.apply(&proposal.command)?);
                    let id = proposal.id;
                    self.feed(Input::Control(CoreMessage::Proposed { id, result }))?;
                }
                Output::Applied(_) | Output::Alarm(_) | Output::Stopped => {}
            }
        }
        Ok(is_busy)
    }

    fn carry_out(&mut self, io: &Io) {
        self.done.push(self.sink.swallow(io));
    }

    fn apply(&mut self, command: &MetadataCommand) -> Result<MetadataResult, HotError> {
        let index = MetaIndex::new(self.image.index().get() + 1);
        let (image, result, changes) = StateMachine::apply(&self.image, index, command);
        self.image = Arc::new(image);
        let (image, changes) = (Arc::clone(&self.image), Arc::new(changes));
        self.feed(Input::Control(CoreMessage::Delta {
            index,
            image,
            changes,
        }))?;
        Ok(result)
    }
}

fn unexpected(what: &'static str, reply: &Reply) -> HotError {
    HotError::wrong(what)(&format!("{reply:?}"))
}

struct Appending {
    rig: Rig,
    batch: BytesMut,
    info: BatchInfo,
}

impl Appending {
    fn new(configs: &[(&str, &str)]) -> Result<Self, HotError> {
        Self::over(1, configs)
    }

    fn over(partitions: u32, configs: &[(&str, &str)]) -> Result<Self, HotError> {
        let rig = Rig::new(partitions, configs)?;
        let batch = batches::batch(1, rig.now.wall.as_millis())?;
        let info = batches::info(&batch)?;
        Ok(Self { rig, batch, info })
    }
}

/// One batch of 1 KiB to a topic with these settings, answered before the next is sent.
pub(super) fn append(configs: &[(&str, &str)]) -> Result<Box<dyn Hot>, HotError> {
    Ok(Box::new(Appending::new(configs)?))
}

impl Appending {
    fn command(&self, partition: u32) -> Command {
        let deadline = std::time::Duration::from_millis(DEADLINE_MS);
        Command::Append(Append {
            topic: TopicKey::Name(TOPIC.to_owned()),
            partition: PartitionId::new(partition),
            acks: Acks::All,
            deadline: self.rig.now.instant.after(deadline),
            batch: self.batch.clone(),
            info: self.info,
            inspect_bytes_max: 1 << 20,
        })
    }
}

impl Hot for Appending {
    fn step(&mut self) -> Result<(), HotError> {
        self.rig.now.instant = self.rig.now.instant.after(STEP);
        let command = self.command(0);
        let reply = self.rig.ask(command)?;
        match reply {
            Reply::Appended(Ok(_)) => Ok(()),
            other => Err(unexpected("an append", &other)),
        }
    }
}

/// Appends of one round to partitions far from each other.
struct Spread {
    appending: Appending,
    partitions: u32,
    chosen: Prng,
}

/// [`SPREAD`] batches of 1 KiB, each to one of so many partitions, are answered together.
pub(super) fn spread(partitions: u32) -> Result<Box<dyn Hot>, HotError> {
    Ok(Box::new(Spread {
        appending: Appending::over(partitions, &[])?,
        partitions,
        chosen: Prng::new(1),
    }))
}

impl Hot for Spread {
    fn step(&mut self) -> Result<(), HotError> {
        let Self { appending, .. } = self;
        appending.rig.now.instant = appending.rig.now.instant.after(STEP);
        let commands: Vec<_> = (0..SPREAD)
            .map(|_| {
                let partition = self.chosen.next_u64() % u64::from(self.partitions);
                appending.command(u32::try_from(partition).unwrap_or(0))
            })
            .collect();
        appending.rig.shard.anticipate(commands.iter());
        for command in commands {
            appending.rig.send(command)?;
        }
        appending.rig.settle()?;
        let replies = std::mem::take(&mut appending.rig.replies);
        let is_good = |reply: &Reply| matches!(reply, Reply::Appended(Ok(_)));
        match replies.iter().find(|reply| !is_good(reply)) {
            Some(other) => Err(unexpected("an append", other)),
            None if replies.len() == SPREAD => {
                appending.rig.replies = replies;
                appending.rig.replies.clear();
                Ok(())
            }
            None => Err(HotError::wrong("appends")(&"not all have a reply")),
        }
    }
}

struct Fetching(Rig);

/// The last ten batches of a log, all in memory.
pub(super) fn fetch() -> Result<Box<dyn Hot>, HotError> {
    let mut appending = Appending::new(&[])?;
    for _ in 0..FETCHED_OF {
        appending.step()?;
    }
    Ok(Box::new(Fetching(appending.rig)))
}

impl Hot for Fetching {
    fn step(&mut self) -> Result<(), HotError> {
        self.0.now.instant = self.0.now.instant.after(STEP);
        let reply = self.0.ask(Command::Fetch(FetchCommand {
            topic: TopicKey::Name(TOPIC.to_owned()),
            partition: PartitionId::new(0),
            offset: Offset::new(FETCHED_FROM),
            leader_epoch: None,
            last_fetched_epoch: None,
            isolation: Isolation::ReadUncommitted,
            bytes_max: 1 << 20,
            at_least_one: true,
            wait_until: None,
        }))?;
        match reply {
            Reply::Fetched(Ok(fetched)) if fetched.bytes > 10 * 1_024 => Ok(()),
            other => Err(unexpected("a fetch", &other)),
        }
    }
}
