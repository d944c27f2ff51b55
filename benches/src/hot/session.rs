//! One request through a Kafka session: bytes to command, reply to bytes.
//!
//! Owns: the functions `kafka-*`.
//! Never: carries out a command; the reply is made up.
//! Invariants: every step is one frame, one command, one response.
//! Source: kafka.md 4.3, 4.4; ADR-8.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::reply::{Appended, Fetched};
use api::{ChunkSink, CommandSink, ConnectionContext, Reply, Session, TransmitStatus};
use bytes::{Bytes, BytesMut};
use kafka::{KafkaConfig, KafkaSession};
use kafka_wire::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{FetchRequest, OutboundFrameLimits, ProduceRequest, RequestResponsePair};
use kafka_wire_core::{ApiVersion, StrBytes};
use model::ids::{ConnectionId, ShardId};
use model::offset::Offset;
use model::time::Now;

use super::{Hot, HotError, STEP, batches, start};

const TOPIC: &str = "orders";

/// Versions that common clients of 2026 settle on.
const PRODUCE: ApiVersion = ApiVersion::new(9);
const FETCH: ApiVersion = ApiVersion::new(12);

/// Batches of 1 KiB in a fetched answer.
const FETCHED: usize = 10;

struct Talk {
    session: KafkaSession,
    now: Now,
    frame: Bytes,
    reply: Box<dyn Fn() -> Reply>,
    received: BytesMut,
    sink: CommandSink,
    out: ChunkSink,
    /// Bytes of a good response at least.
    answer_bytes_min: usize,
}

fn talk(frame: Bytes, reply: Box<dyn Fn() -> Reply>, answer_bytes_min: usize) -> Box<dyn Hot> {
    let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let context = ConnectionContext {
        connection: ConnectionId::new(1),
        shard: ShardId::new(0),
        shards: 1,
        peer: address(50_000),
        local: address(9_092),
    };
    Box::new(Talk {
        session: KafkaSession::new(Arc::new(KafkaConfig::default()), context),
        now: start(),
        frame,
        reply,
        received: BytesMut::new(),
        sink: CommandSink::default(),
        out: ChunkSink::default(),
        answer_bytes_min,
    })
}

fn frame<R: RequestResponsePair>(body: &R, version: ApiVersion) -> Result<Bytes, HotError> {
    let mut out = BytesMut::new();
    kafka_wire::encode_request(
        &mut out,
        7,
        Some(StrBytes::from("hot")),
        body,
        version,
        OutboundFrameLimits::new(1 << 20),
    )
    .map_err(|error| HotError::wrong("encoding a request")(&error))?;
    Ok(out.freeze())
}

/// One batch of 1 KiB for one partition.
pub(super) fn produce() -> Result<Box<dyn Hot>, HotError> {
    let mut partition = PartitionProduceData::default();
    partition.records = Some(batches::batch(1, start().wall.as_millis())?.freeze());
    let mut topic = TopicProduceData::default();
    topic.name = StrBytes::from(TOPIC);
    topic.partition_data = vec![partition];
    let mut body = ProduceRequest::default();
    body.acks = -1;
    body.timeout_ms = 30_000;
    body.topic_data = vec![topic];
    let reply = || {
        Reply::Appended(Ok(Appended {
            base_offset: Offset::new(17),
            log_append_time: None,
            log_start: Offset::ZERO,
        }))
    };
    Ok(talk(frame(&body, PRODUCE)?, Box::new(reply), 32))
}

/// Ten batches of 1 KiB of one partition.
pub(super) fn fetch() -> Result<Box<dyn Hot>, HotError> {
    let mut partition = FetchPartition::default();
    partition.partition_max_bytes = 1 << 20;
    let mut topic = FetchTopic::default();
    topic.topic = StrBytes::from(TOPIC);
    topic.partitions = vec![partition];
    let mut body = FetchRequest::default();
    body.max_wait_ms = 500;
    body.min_bytes = 1;
    body.max_bytes = 50 << 20;
    body.topics = vec![topic];
    let batch = batches::batch(1, start().wall.as_millis())?.freeze();
    let records = vec![batch; FETCHED];
    let bytes = records.iter().map(Bytes::len).sum();
    let reply = move || {
        Reply::Fetched(Ok(Fetched {
            records: records.clone().into(),
            bytes,
            high_watermark: Offset::new(10),
            last_stable: Offset::new(10),
            log_start: Offset::ZERO,
            diverging: None,
        }))
    };
    Ok(talk(frame(&body, FETCH)?, Box::new(reply), bytes))
}

impl Hot for Talk {
    fn step(&mut self) -> Result<(), HotError> {
        self.now.instant = self.now.instant.after(STEP);
        self.received.extend_from_slice(&self.frame);
        let wrong = HotError::wrong("a request");
        self.session
            .handle_bytes(self.now, &mut self.received, &mut self.sink)
            .map_err(|error| wrong(&error))?;
        let Some((ticket, command)) = self.sink.pop() else {
            return Err(wrong(&"it asks for nothing"));
        };
        drop(command);
        self.session
            .handle_reply(self.now, ticket, (self.reply)(), &mut self.sink)
            .map_err(|error| wrong(&error))?;
        let status = self.session.poll_transmit(&mut self.out, 1 << 20);
        let bytes = self.out.bytes();
        if status != TransmitStatus::Idle || bytes < self.answer_bytes_min {
            return Err(wrong(&format!("{bytes} bytes of an answer, {status:?}")));
        }
        self.out.consume(bytes);
        Ok(())
    }
}
