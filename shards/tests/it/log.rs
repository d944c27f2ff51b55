//! The real shard and store on real files.
//!
//! Owns: what is acknowledged survives a stop, orderly or not.
//! Never: looks at files; what a client reads is the evidence.
//! Invariants: appends of one connection are answered in order.
//! Source: architecture.md section 6, reliability.md 2.5.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api::command::{Acks, Append, Fetch, Isolation};
use api::metadata::TopicKey;
use api::{
    ChunkSink, Command, CommandSink, ConnectionContext, Reply, Session, SessionError, Ticket,
    TransmitStatus,
};
use broker::metadata::{MetadataCommand, TopicSpec};
use broker::{BrokerConfig, ControlPort, Shard, ShardConfig};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::batch::{BatchBuilder, BatchInfo, NewRecord, Records};
use model::ids::{BrokerId, PartitionId, TopicId};
use model::offset::Offset;
use model::time::{Instant, Now};
use shards::{Birth, CoreConfig, Listeners, Running, StartConfig};
use storage::exec;
use storage::{StallLimits, Store, StoreConfig};

use crate::rig::{Client, PATIENCE};
use crate::solo::Solo;

const APPEND: u8 = 0;
const FETCH: u8 = 1;
const PARTITIONS: u8 = 5;
const TOPIC: &str = "ledger";

/// Frames `[length u32][partition u8][operation u8][payload]`: the payload of an append is a value, of a fetch
/// an offset. Answers `[length u32][0][payload]`: an offset, or the values found.
struct LogSession {
    pending: VecDeque<(Ticket, Option<Bytes>)>,
    next: u64,
    in_flight: usize,
}

impl LogSession {
    fn boxed(_context: ConnectionContext, _now: Now) -> Box<dyn Session> {
        Box::new(Self {
            pending: VecDeque::new(),
            next: 0,
            in_flight: 0,
        })
    }
}

fn topic() -> TopicKey {
    TopicKey::Name(TOPIC.to_owned())
}

fn append(now: Now, partition: PartitionId, value: &[u8]) -> Command {
    let mut builder = BatchBuilder::new(now.wall.as_millis());
    builder
        .push(&NewRecord::value(now.wall.as_millis(), value))
        .unwrap();
    let batch = builder.build();
    let info = BatchInfo::parse(&batch).unwrap();
    let deadline = now.instant.after(PATIENCE);
    Command::Append(Append {
        topic: topic(),
        partition,
        acks: Acks::All,
        deadline,
        batch,
        info,
        inspect_bytes_max: 1 << 20,
    })
}

fn fetch(now: Now, partition: PartitionId, offset: Offset) -> Command {
    Command::Fetch(Fetch {
        topic: topic(),
        partition,
        offset,
        leader_epoch: None,
        last_fetched_epoch: None,
        isolation: Isolation::ReadUncommitted,
        bytes_max: 1 << 20,
        at_least_one: true,
        wait_until: Some(now.instant.after(Duration::from_secs(5))),
    })
}

fn answer(reply: Reply) -> Bytes {
    let mut out = BytesMut::new();
    match reply {
        Reply::Appended(appended) => out.put_u64(appended.unwrap().base_offset.get()),
        Reply::Fetched(fetched) => {
            for chunk in fetched.unwrap().records {
                values(&chunk, &mut out);
            }
        }
        other => panic!("unexpected {other:?}"),
    }
    out.freeze()
}

fn values(mut chunk: &[u8], out: &mut BytesMut) {
    while !chunk.is_empty() {
        let info = BatchInfo::parse(chunk).unwrap();
        let (batch, rest) = chunk.split_at(info.bytes as usize);
        let mut scratch = Vec::new();
        for record in Records::open(batch, &info, &mut scratch).unwrap() {
            out.put_slice(record.unwrap().value.unwrap());
            out.put_u8(b'\n');
        }
        chunk = rest;
    }
}

impl Session for LogSession {
    fn handle_bytes(
        &mut self,
        now: Now,
        received: &mut BytesMut,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        while !self.is_full() {
            let Some(total) = self
                .frame_bytes(received)?
                .filter(|total| received.len() >= *total)
            else {
                return Ok(());
            };
            let mut frame = received.split_to(total);
            frame.advance(4);
            let partition = PartitionId::new(u32::from(frame.get_u8()));
            let ticket = Ticket(self.next);
            self.next += 1;
            self.in_flight += total;
            out.push(
                ticket,
                match frame.get_u8() {
                    APPEND => append(now, partition, &frame),
                    _ => fetch(now, partition, Offset::new(frame.get_u64())),
                },
            );
            self.pending.push_back((ticket, None));
        }
        Ok(())
    }

    fn handle_reply(
        &mut self,
        _now: Now,
        ticket: Ticket,
        reply: Reply,
        _out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let pending = self
            .pending
            .iter_mut()
            .find(|(pending, _)| *pending == ticket)
            .unwrap();
        pending.1 = Some(answer(reply));
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Now, _out: &mut CommandSink) -> Result<(), SessionError> {
        Ok(())
    }

    fn poll_transmit(&mut self, out: &mut ChunkSink, budget: usize) -> TransmitStatus {
        while let Some((_, Some(answer))) = self.pending.front() {
            if out.bytes() >= budget {
                return TransmitStatus::More;
            }
            let mut header = BytesMut::new();
            header.put_u32(u32::try_from(answer.len() + 1).unwrap());
            header.put_u8(0);
            out.push(header.freeze());
            out.push(answer.clone());
            self.pending.pop_front();
        }
        if self.pending.is_empty() {
            self.in_flight = 0;
        }
        TransmitStatus::Idle
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn frame_bytes(&self, received: &[u8]) -> Result<Option<usize>, SessionError> {
        Ok(received
            .first_chunk()
            .map(|prefix| 4 + u32::from_be_bytes(*prefix) as usize))
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= 100
    }

    fn bytes_in_flight(&self) -> usize {
        self.in_flight
    }
}

struct Ledger {
    running: Running,
    solo: Solo,
    control: JoinHandle<()>,
}

fn create_topic() -> MetadataCommand {
    MetadataCommand::CreateTopics(vec![TopicSpec {
        name: TOPIC.to_owned(),
        id: TopicId::from_bytes([3; 16]),
        is_internal: false,
        assignment: vec![vec![BrokerId::new(1)]; usize::from(PARTITIONS)],
        configs: Vec::new(),
    }])
}

impl Ledger {
    fn open(data_dir: &Path, cores: usize) -> Self {
        let (solo, image, control) = Solo::start(&[create_topic()]);
        let core = |_| {
            let image = Arc::clone(&image);
            let birth = move |birth: Birth<'_>| {
                let mut disk = shards::disk::FsDisk::new(birth.data_dir);
                let recovered =
                    exec::recover(&mut disk, birth.shard, birth.now.wall.as_millis()).unwrap();
                let config = StoreConfig {
                    journal_bytes: 1 << 20,
                    shard: birth.shard,
                    seed: birth.now.wall.as_millis().cast_unsigned() ^ birth.now.instant.as_nanos(),
                    ..StoreConfig::default()
                };
                let store = Store::open(config, recovered, birth.now);
                let broker = Arc::new(BrokerConfig::default());
                let config = ShardConfig {
                    shard: birth.shard,
                    shards: birth.shards,
                    broker,
                    seed: 7,
                };
                Ok(Shard::new(config, store, image, birth.now))
            };
            CoreConfig {
                birth: Box::new(birth),
                control: Box::new(solo.clone()) as Box<dyn ControlPort>,
                cpu: None,
            }
        };
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let running = shards::start(StartConfig {
            cores: (0..cores).map(core).collect(),
            listeners: Listeners::bind(any, cores).unwrap(),
            data_dir: data_dir.to_owned(),
            factory: Arc::new(LogSession::boxed),
            image,
            busy_poll: Duration::ZERO,
            request_bytes_max: 64 << 20,
            stall: StallLimits::default(),
            on_fatal: Arc::new(|fatal| panic!("{fatal}")),
        })
        .unwrap();
        solo.attach(running.core_ports());
        Self {
            running,
            solo,
            control,
        }
    }

    fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.running.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket }
    }

    fn stop(self) {
        self.running.begin_stop();
        assert!(self.running.join(PATIENCE), "all cores stop in order");
        self.solo.stop();
        self.control.join().unwrap();
    }
}

fn value(partition: u8, index: u64) -> Vec<u8> {
    // Sizes on both sides of the journal's limit.
    let padding = if index % 7 == 3 { 40_000 } else { 10 };
    format!("{partition}-{index:06}-{}", "x".repeat(padding)).into_bytes()
}

fn produce(client: &mut Client, from: u64, upto: u64) {
    for index in from..upto {
        (0..PARTITIONS)
            .for_each(|partition| client.send(partition, APPEND, &value(partition, index)));
        for _ in 0..PARTITIONS {
            assert_eq!(client.receive().1, index.to_be_bytes());
        }
    }
}

fn consume(client: &mut Client, upto: u64) {
    for partition in 0..PARTITIONS {
        let mut offset = 0_u64;
        while offset < upto {
            client.send(partition, FETCH, &offset.to_be_bytes());
            let (_, found) = client.receive();
            assert!(
                !found.is_empty(),
                "partition {partition} ends at {offset} of {upto}"
            );
            for line in found
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                assert!(
                    line == value(partition, offset),
                    "partition {partition} offset {offset}"
                );
                offset += 1;
            }
        }
        assert_eq!(offset, upto);
    }
}

#[test]
fn what_was_acknowledged_is_read_back_before_and_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut upto = 0;
    for _ in 0..3 {
        let ledger = Ledger::open(directory.path(), 2);
        let mut client = ledger.connect();
        consume(&mut client, upto);
        produce(&mut client, upto, upto + 60);
        upto += 60;
        consume(&mut client, upto);
        ledger.stop();
    }
}

#[test]
fn a_parked_fetch_is_answered_by_the_next_append() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path(), 2);
    let (mut reader, mut writer) = (ledger.connect(), ledger.connect());
    for index in 0..50_u64 {
        let partition = u8::try_from(index % u64::from(PARTITIONS)).unwrap();
        let offset = index / u64::from(PARTITIONS);
        reader.send(partition, FETCH, &offset.to_be_bytes());
        writer.send(partition, APPEND, &value(partition, 0));
        assert_eq!(writer.receive().1, offset.to_be_bytes());
        assert_eq!(
            reader.receive().1.strip_suffix(b"\n"),
            Some(&value(partition, 0)[..])
        );
    }
    ledger.stop();
}
