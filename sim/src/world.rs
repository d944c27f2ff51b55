//! The world: cores, connections and the order in which things happen.
//!
//! Owns: virtual time, the event queue, routing between cores, sessions and clients' sockets.
//! Never: lets two things happen at once; ties are broken by the seed.
//! Invariants: messages of one pair of cores and bytes of one connection keep their order; nothing else does.
//! Source: reliability.md 3.2; architecture.md section 5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{
    ChunkSink, Command, CommandSink, ConnectionContext, Origin, Reply, Route, Session,
    SessionFactory, TransmitStatus,
};
use broker::metadata::{OFFSETS_TOPIC, group_partition, shard_of};
use broker::{BrokerConfig, CoreMessage, Input, Output, Shard, ShardConfig};
use bytes::{Bytes, BytesMut};
use model::ids::{ConnectionId, ShardId};
use model::prng::Prng;
use model::time::{Instant, Now, Timestamp};
use storage::{IoId, Store, StoreConfig};

use crate::control::SimControl;
use crate::disk::SimDisk;

/// Wall clock at the start of every run, ms: an arbitrary moment, always the same.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// Something that will happen.
#[derive(Debug)]
enum Event {
    Io(ShardId, IoId),
    Mesh { to: ShardId, message: Mesh },
    Control(ShardId, CoreMessage),
    Applied(ShardId, model::ids::MetaIndex),
    Proposal(broker::Proposal),
    Round(ShardId),
    Timer(ShardId),
    SessionTimer(ConnectionId),
    ToBroker(ConnectionId, Bytes),
    ToClient(ConnectionId, Bytes),
}

#[derive(Debug)]
enum Mesh {
    Command(Origin, Command),
    Reply(Origin, Reply),
}

/// One client connection, both ends.
struct Connection {
    shard: ShardId,
    session: Box<dyn Session>,
    received: BytesMut,
    inbox: BytesMut,
    is_closed: bool,
}

/// A broker with its disk, control core and clients' sockets.
pub struct World {
    now: Instant,
    sequence: u64,
    events: BTreeMap<(Instant, u64), Event>,
    last_at: BTreeMap<(u8, u64, u64), Instant>,
    prng: Prng,
    disk: SimDisk,
    control: SimControl,
    cores: Vec<Option<Shard>>,
    rounds: BTreeSet<ShardId>,
    timers: BTreeMap<ShardId, Instant>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    factory: SessionFactory,
    config: Arc<BrokerConfig>,
    trace: u64,
    starts: u64,
}

impl World {
    /// A broker of `cores` cores on an empty disk, started.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn new(seed: u64, cores: u16) -> Self {
        let config = BrokerConfig {
            cluster_id: "simulated-cluster-0001".to_owned(),
            offsets_partitions: 4,
            group_initial_rebalance_delay_ms: 0,
            ..BrokerConfig::default()
        };
        let mut world = Self {
            now: Instant::from_nanos(1),
            sequence: 0,
            events: BTreeMap::new(),
            last_at: BTreeMap::new(),
            prng: Prng::new(seed),
            disk: SimDisk::default(),
            control: SimControl::default(),
            cores: (0..cores).map(|_| None).collect(),
            rounds: BTreeSet::new(),
            timers: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            factory: kafka::session_factory(kafka::KafkaConfig::default()),
            config: Arc::new(config),
            trace: 0,
            starts: 0,
        };
        let started = world.start();
        assert!(started.is_ok(), "an empty disk starts: {started:?}");
        world
    }

    /// Both clocks at this moment of the run.
    #[must_use]
    pub fn now(&self) -> Now {
        let ms = i64::try_from(self.now.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        Now {
            instant: self.now,
            wall: Timestamp::from_millis(EPOCH_MS + ms),
        }
    }

    /// A hash over everything that happened, in order.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// The run's source of chance, for workloads.
    pub fn prng(&mut self) -> &mut Prng {
        &mut self.prng
    }

    /// The disk, to damage it or look at it.
    pub fn disk_mut(&mut self) -> &mut SimDisk {
        &mut self.disk
    }

    fn shards(&self) -> u16 {
        u16::try_from(self.cores.len()).unwrap_or(u16::MAX)
    }

    /// Power fails and comes back: connections break, what was not durable is gone or torn.
    ///
    /// # Errors
    /// The broker does not start on what the disk holds.
    pub fn crash(&mut self) -> Result<(), String> {
        self.note(0xdead);
        self.cores.iter_mut().for_each(|core| *core = None);
        self.connections.clear();
        self.events.clear();
        self.last_at.clear();
        self.rounds.clear();
        self.timers.clear();
        let mut prng = Prng::new(self.prng.next_u64());
        self.disk.crash(&mut prng);
        self.start()
    }

    fn start(&mut self) -> Result<(), String> {
        self.starts += 1;
        let shards = self.shards();
        self.control.restart(shards);
        self.register();
        for number in 0..shards {
            let shard = ShardId::new(number);
            let core = self.open_core(shard, shards)?;
            if let Some(slot) = self.cores.get_mut(usize::from(number)) {
                *slot = Some(core);
            }
            self.drain(shard);
        }
        Ok(())
    }

    fn register(&mut self) {
        let broker = self.config.broker;
        self.control
            .bootstrap(&broker::metadata::MetadataCommand::RegisterBroker {
                broker,
                incarnation: self.prng.bytes16(),
                host: "sim".to_owned(),
                port: 9092,
                rack: None,
                is_clean: false,
            });
        if self.control.image().topic_by_name(OFFSETS_TOPIC).is_none() {
            let spec = broker::metadata::TopicSpec {
                name: OFFSETS_TOPIC.to_owned(),
                id: model::ids::TopicId::from_bytes(self.prng.bytes16()),
                is_internal: true,
                assignment: vec![vec![broker]; self.config.offsets_partitions as usize],
                configs: Vec::new(),
            };
            self.control
                .bootstrap(&broker::metadata::MetadataCommand::CreateTopics(vec![spec]));
        }
    }

    fn open_core(&mut self, shard: ShardId, shards: u16) -> Result<Shard, String> {
        let now = self.now();
        let recovered =
            storage::exec::recover(self.disk.durable_mut(), shard, now.wall.as_millis())
                .map_err(|error| format!("start {}, core {shard}: {error}", self.starts))?;
        let seed = self.prng.next_u64();
        let store_config = StoreConfig {
            shard,
            seed,
            journal_bytes: 1 << 20,
            ..StoreConfig::default()
        };
        let store = Store::open(store_config, recovered, now);
        let config = ShardConfig {
            shard,
            shards,
            broker: Arc::clone(&self.config),
            seed,
        };
        Ok(Shard::new(config, store, self.control.image(), now))
    }

    /// Opens a connection to a core of the seed's choice.
    pub fn connect(&mut self) -> ConnectionId {
        let id = ConnectionId::new(self.next_connection);
        self.next_connection += 1;
        let shard =
            ShardId::new(u16::try_from(self.prng.below(u64::from(self.shards()))).unwrap_or(0));
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 40_000));
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], 9092));
        let context = ConnectionContext {
            connection: id,
            shard,
            shards: self.shards(),
            peer,
            local,
        };
        let session = (self.factory)(context, self.now());
        let connection = Connection {
            shard,
            session,
            received: BytesMut::new(),
            inbox: BytesMut::new(),
            is_closed: false,
        };
        self.connections.insert(id, connection);
        id
    }

    /// Sends bytes from a client; they arrive later, perhaps in pieces.
    pub fn send(&mut self, id: ConnectionId, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let whole = bytes.len() as u64;
            let piece = if self.prng.chance(1, 8) {
                1 + self.prng.below(whole)
            } else {
                whole
            };
            let piece = bytes.split_to(
                usize::try_from(piece)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len()),
            );
            self.schedule_in_order((1, id.get(), 0), 2_000, Event::ToBroker(id, piece));
        }
    }

    /// What a client received and has not taken yet; `None` if the connection is gone.
    pub fn inbox(&mut self, id: ConnectionId) -> Option<&mut BytesMut> {
        self.connections
            .get_mut(&id)
            .filter(|connection| !connection.is_closed)
            .map(|c| &mut c.inbox)
    }

    /// Lets the next thing happen; false if nothing is left to happen before `until`.
    ///
    /// # Panics
    /// If a core reports a fatal condition: this disk never fails a write.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(entry) = self
            .events
            .first_entry()
            .filter(|entry| entry.key().0 <= until)
        else {
            self.now = self.now.max(until);
            return false;
        };
        let ((at, sequence), event) = entry.remove_entry();
        self.now = self.now.max(at);
        self.note(sequence ^ at.as_nanos());
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Io(shard, id) => {
                if let Some(outcome) = self.disk.complete(shard, id) {
                    self.feed(shard, Input::Io { id, outcome });
                }
            }
            Event::Mesh {
                to,
                message: Mesh::Command(origin, command),
            } => {
                self.feed(to, Input::Command { origin, command });
            }
            Event::Mesh {
                message: Mesh::Reply(origin, reply),
                ..
            } => self.deliver(origin, reply),
            Event::Control(shard, message) => self.feed(shard, Input::Control(message)),
            Event::Applied(shard, index) => {
                for (to, message) in self.control.handle_applied(shard, index) {
                    self.schedule_in_order(
                        (2, u64::from(to.get()), 0),
                        5_000,
                        Event::Control(to, message),
                    );
                }
            }
            Event::Proposal(proposal) => self.commit(proposal),
            Event::Round(shard) => {
                self.rounds.remove(&shard);
                self.feed_only(shard, Input::RoundEnd);
                self.drain(shard);
            }
            Event::Timer(shard) => self.fire(shard),
            Event::SessionTimer(id) => self.fire_session(id),
            Event::ToBroker(id, bytes) => self.receive(id, &bytes),
            Event::ToClient(id, bytes) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.inbox.extend_from_slice(&bytes);
                }
            }
        }
    }

    fn commit(&mut self, proposal: broker::Proposal) {
        let delta = self.control.handle_proposal(proposal);
        for number in 0..self.shards() {
            let event = Event::Control(ShardId::new(number), delta.clone());
            self.schedule_in_order((2, u64::from(number), 0), 5_000, event);
        }
    }

    fn fire(&mut self, shard: ShardId) {
        let due = self.timers.remove(&shard);
        if due.is_some_and(|due| due <= self.now) {
            self.feed(shard, Input::Timeout);
        }
    }

    fn feed(&mut self, shard: ShardId, input: Input) {
        self.feed_only(shard, input);
        if self.rounds.insert(shard) {
            let delay = self.prng.below(20_000);
            self.schedule(delay, Event::Round(shard));
        }
        self.drain(shard);
    }

    fn feed_only(&mut self, shard: ShardId, input: Input) {
        let now = self.now();
        if let Some(Some(core)) = self.cores.get_mut(usize::from(shard.get())) {
            let fed = core.handle(now, input);
            assert!(fed.is_ok(), "core {shard}: {fed:?}");
        }
    }

    fn drain(&mut self, shard: ShardId) {
        while let Some(output) = self.poll(shard) {
            match output {
                Output::Reply { origin, reply } if origin.shard == shard => {
                    self.deliver(origin, reply)
                }
                Output::Reply { origin, reply } => {
                    let message = Mesh::Reply(origin, reply);
                    self.mesh((shard, origin.shard), message);
                }
                Output::Io(io) => {
                    let id = self.disk.submit(shard, io);
                    let delay = self.prng.below(300_000);
                    self.schedule(delay, Event::Io(shard, id));
                }
                Output::Propose(proposal) => self.schedule(50_000, Event::Proposal(proposal)),
                Output::Applied(index) => {
                    let key = (3, u64::from(shard.get()), 0);
                    self.schedule_in_order(key, 5_000, Event::Applied(shard, index));
                }
                Output::Alarm(_) | Output::Stopped => {}
            }
        }
        self.arm(shard);
    }

    fn poll(&mut self, shard: ShardId) -> Option<Output> {
        self.cores
            .get_mut(usize::from(shard.get()))?
            .as_mut()?
            .poll_output()
    }

    fn arm(&mut self, shard: ShardId) {
        let core = self
            .cores
            .get(usize::from(shard.get()))
            .and_then(Option::as_ref);
        let Some(due) = core.and_then(Shard::poll_timeout) else {
            return;
        };
        // Time must move, or work that is always due would be the only thing to happen.
        let due = due.max(self.now.after(Duration::from_micros(1)));
        if self
            .timers
            .get(&shard)
            .is_none_or(|armed| *armed > due || *armed < self.now)
        {
            self.timers.insert(shard, due);
            self.schedule(nanos(due.since(self.now)), Event::Timer(shard));
        }
    }

    fn mesh(&mut self, (from, to): (ShardId, ShardId), message: Mesh) {
        let key = (4, u64::from(from.get()), u64::from(to.get()));
        self.schedule_in_order(key, 3_000, Event::Mesh { to, message });
    }

    fn schedule(&mut self, delay_nanos: u64, event: Event) {
        self.sequence += 1;
        let at = self.now.after(Duration::from_nanos(delay_nanos));
        self.events.insert((at, self.sequence), event);
    }

    /// As `schedule`, with a delay of the seed's choice, but never before what was scheduled with this key.
    fn schedule_in_order(&mut self, key: (u8, u64, u64), spread_nanos: u64, event: Event) {
        let delay = self.prng.below(spread_nanos);
        let earliest = self.last_at.get(&key).copied().unwrap_or_default();
        let at = self.now.after(Duration::from_nanos(delay)).max(earliest);
        self.last_at.insert(key, at);
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.received.extend_from_slice(bytes);
        self.run_session(id, |session, now, received, sink| {
            session.handle_bytes(now, received, sink).is_ok()
        });
    }

    fn deliver(&mut self, origin: Origin, reply: Reply) {
        self.run_session(origin.connection, |session, now, received, sink| {
            session
                .handle_reply(now, origin.ticket, reply, sink)
                .is_ok()
                && session.handle_bytes(now, received, sink).is_ok()
        });
    }

    fn fire_session(&mut self, id: ConnectionId) {
        self.run_session(id, |session, now, _, sink| {
            session.poll_timeout().is_none_or(|due| due > now.instant)
                || session.handle_timeout(now, sink).is_ok()
        });
    }

    fn run_session(
        &mut self,
        id: ConnectionId,
        run: impl FnOnce(&mut dyn Session, Now, &mut BytesMut, &mut CommandSink) -> bool,
    ) {
        let now = self.now();
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        let mut sink = CommandSink::default();
        let lives = run(
            connection.session.as_mut(),
            now,
            &mut connection.received,
            &mut sink,
        );
        let shard = connection.shard;
        let sent = transmit(&mut connection);
        let due = connection.session.poll_timeout();
        connection.is_closed |= !lives;
        self.connections.insert(id, connection);
        if !sent.is_empty() {
            self.schedule_in_order((5, id.get(), 0), 2_000, Event::ToClient(id, sent));
        }
        if let Some(due) = due {
            let delay = nanos(due.since(self.now)) + 1;
            self.schedule(delay, Event::SessionTimer(id));
        }
        while let Some((ticket, command)) = sink.pop() {
            let origin = Origin {
                shard,
                connection: id,
                ticket,
            };
            self.route(origin, command);
        }
    }

    fn route(&mut self, origin: Origin, command: Command) {
        let shards = self.shards();
        let image = self
            .cores
            .get(usize::from(origin.shard.get()))
            .and_then(Option::as_ref)
            .map(Shard::image);
        let owner = image.and_then(|image| match command.route() {
            Route::Here => None,
            Route::Partition(key, partition) => image
                .resolve(key)
                .map(|topic| shard_of(topic.id, partition, shards)),
            Route::Group(group) => image.topic_by_name(OFFSETS_TOPIC).map(|topic| {
                let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
                shard_of(topic.id, group_partition(group, count), shards)
            }),
            Route::Shard(shard) => Some(shard),
        });
        match owner {
            Some(owner) if owner != origin.shard => {
                self.mesh((origin.shard, owner), Mesh::Command(origin, command));
            }
            Some(_) | None => self.feed(origin.shard, Input::Command { origin, command }),
        }
    }

    fn note(&mut self, value: u64) {
        self.trace = (self.trace ^ value)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17);
    }
}

/// A delay in the unit of the schedule; more than five hundred years are cut.
fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX >> 1)
}

fn transmit(connection: &mut Connection) -> Bytes {
    let mut chunks = ChunkSink::default();
    while connection.session.poll_transmit(&mut chunks, 1 << 20) == TransmitStatus::More {}
    let mut sent = BytesMut::with_capacity(chunks.bytes());
    chunks
        .chunks()
        .for_each(|chunk| sent.extend_from_slice(chunk));
    sent.freeze()
}
