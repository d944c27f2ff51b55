//! A client and a broker for tests: encodes requests, plays the shards, decodes responses.
//!
//! Owns: one session under test, what it asked for and what it sent.
//! Never: compiled into the product.
//! Invariants: responses are decoded by `kafka-wire` to their last byte, and by `kafka-protocol` where it
//! knows the version.
//! Source: style.md rule 31.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::{
    ChunkSink, Command, CommandSink, ConnectionContext, Reply, Session, SessionError, Ticket,
    TransmitStatus,
};
use bytes::{Buf, Bytes, BytesMut};
use kafka_wire::{KafkaMessage, OutboundFrameLimits, RequestResponsePair};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode, StrBytes};
use model::batch::{BatchBuilder, NewRecord};
use model::ids::{ConnectionId, ShardId};
use model::time::{Instant, Now, Timestamp};

use crate::{KafkaConfig, KafkaSession, versions};

/// One connection.
pub(crate) struct Conversation {
    pub(crate) session: KafkaSession,
    pub(crate) now: Now,
    sink: CommandSink,
    out: ChunkSink,
    sent: BytesMut,
    correlation: i32,
}

pub(crate) fn context() -> ConnectionContext {
    let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), port);
    ConnectionContext {
        connection: ConnectionId::new(1),
        shard: ShardId::new(0),
        shards: 3,
        peer: address(50_000),
        local: address(9_092),
    }
}

impl Conversation {
    pub(crate) fn new() -> Self {
        Self::with(KafkaConfig::default())
    }

    pub(crate) fn with(config: KafkaConfig) -> Self {
        Self {
            session: KafkaSession::new(Arc::new(config), context()),
            now: Now {
                instant: Instant::from_nanos(1_000_000_000),
                wall: Timestamp::from_millis(1_700_000_000_000),
            },
            sink: CommandSink::default(),
            out: ChunkSink::default(),
            sent: BytesMut::new(),
            correlation: 100,
        }
    }

    /// Sends a request; its correlation id.
    pub(crate) fn request<R: RequestResponsePair>(&mut self, body: &R, version: i16) -> i32 {
        let (correlation, frame) = self.frame(body, version);
        self.feed(&frame).expect("the request is accepted");
        correlation
    }

    /// Encodes a request; its correlation id and frame.
    pub(crate) fn frame<R: RequestResponsePair>(&mut self, body: &R, version: i16) -> (i32, Bytes) {
        self.correlation += 1;
        (self.correlation, frame(body, version, self.correlation))
    }

    /// Receives bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let mut received = BytesMut::from(bytes);
        self.feed_buffer(&mut received)
    }

    pub(crate) fn feed_buffer(&mut self, received: &mut BytesMut) -> Result<(), SessionError> {
        self.session
            .handle_bytes(self.now, received, &mut self.sink)
    }

    /// What the session asked for since the last call.
    pub(crate) fn commands(&mut self) -> Vec<(Ticket, Command)> {
        std::iter::from_fn(|| self.sink.pop()).collect()
    }

    /// The one command the session asked for.
    pub(crate) fn command(&mut self) -> (Ticket, Command) {
        let mut commands = self.commands();
        assert_eq!(commands.len(), 1, "one command: {commands:?}");
        commands.remove(0)
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) -> Result<(), SessionError> {
        self.session
            .handle_reply(self.now, ticket, reply, &mut self.sink)
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.now.instant = self
            .now
            .instant
            .after(std::time::Duration::from_millis(millis));
    }

    pub(crate) fn session_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    pub(crate) fn timeout(&mut self) -> Result<(), SessionError> {
        self.session.handle_timeout(self.now, &mut self.sink)
    }

    pub(crate) fn close(&mut self) {
        self.session.handle_close(self.now, &mut self.sink);
    }

    /// Lets the session hand over what it wants to send; [`Self::transmit`] takes it.
    pub(crate) fn poll(&mut self) -> TransmitStatus {
        self.session.poll_transmit(&mut self.out, 1 << 20)
    }

    /// Takes what the session wants to send.
    pub(crate) fn transmit(&mut self) -> TransmitStatus {
        loop {
            let status = self.poll();
            for chunk in self.out.chunks() {
                self.sent.extend_from_slice(chunk);
            }
            let bytes = self.out.bytes();
            self.out.consume(bytes);
            if status != TransmitStatus::More {
                return status;
            }
        }
    }

    /// The next whole response frame without its prefix.
    pub(crate) fn next_frame(&mut self) -> Option<Bytes> {
        self.transmit();
        let prefix = self.sent.first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*prefix)).expect("not negative");
        assert!(self.sent.len() >= 4 + length, "whole frames are sent");
        self.sent.advance(4);
        Some(self.sent.split_to(length).freeze())
    }

    /// The next response, which must be to `correlation`.
    pub(crate) fn response<R: RequestResponsePair>(
        &mut self,
        correlation: i32,
        version: i16,
    ) -> R::Response {
        let frame = self.next_frame().expect("a response");
        decode::<R>(frame, correlation, version)
    }

    /// Sends a request, answers its one command, returns its response.
    pub(crate) fn round<R: RequestResponsePair>(
        &mut self,
        body: &R,
        version: i16,
        answer: impl FnOnce(Command) -> Reply,
    ) -> R::Response {
        let correlation = self.request(body, version);
        let (ticket, command) = self.command();
        self.reply(ticket, answer(command))
            .expect("the reply is taken");
        self.response::<R>(correlation, version)
    }

    /// Sends a request that needs no command, returns its response.
    pub(crate) fn local<R: RequestResponsePair>(&mut self, body: &R, version: i16) -> R::Response {
        let correlation = self.request(body, version);
        assert!(self.commands().is_empty());
        self.response::<R>(correlation, version)
    }

    /// Sends a request, answers every command it leads to, returns its response.
    pub(crate) fn converse<R: RequestResponsePair>(
        &mut self,
        body: &R,
        version: i16,
        mut answer: impl FnMut(Command) -> Reply,
    ) -> R::Response {
        let correlation = self.request(body, version);
        let mut queue: VecDeque<_> = self.commands().into();
        while let Some((ticket, command)) = queue.pop_front() {
            self.reply(ticket, answer(command))
                .expect("the reply is taken");
            queue.extend(self.commands());
        }
        self.response::<R>(correlation, version)
    }
}

/// Encodes a request frame with client id "tester".
pub(crate) fn frame<R: RequestResponsePair>(body: &R, version: i16, correlation: i32) -> Bytes {
    let mut out = BytesMut::new();
    kafka_wire::encode_request(
        &mut out,
        correlation,
        Some(StrBytes::from("tester")),
        body,
        ApiVersion::new(version),
        OutboundFrameLimits::new(usize::MAX),
    )
    .expect("the request is expressible");
    out.freeze()
}

/// Decodes a response frame without its prefix, to its last byte.
pub(crate) fn decode<R: RequestResponsePair>(
    mut frame: Bytes,
    correlation: i32,
    version: i16,
) -> R::Response {
    let api = versions::find(R::API_KEY.value()).expect("served");
    assert_eq!(frame.get_i32(), correlation, "responses come in order");
    if api.has_tagged_response_header(version) {
        assert_eq!(frame.get_u8(), 0, "no tagged fields in the header");
    }
    check_with_oracle(api.key.to_wire(), frame.clone(), version);
    let mut decoder = Decoder::new(frame, DecodeLimits::default()).expect("within bounds");
    let response = R::Response::decode(&mut decoder, ApiVersion::new(version))
        .unwrap_or_else(|error| panic!("{} v{version}: {error}", R::Response::NAME));
    decoder.finish().expect("no trailing bytes");
    response
}

fn check_with_oracle(key: i16, mut body: Bytes, version: i16) {
    let key = kafka_protocol::messages::ApiKey::try_from(key).expect("known");
    let known = key.valid_versions();
    if (known.min..=known.max).contains(&version) {
        kafka_protocol::messages::ResponseKind::decode(key, &mut body, version)
            .unwrap_or_else(|error| panic!("{key:?} v{version}: {error}"));
        assert!(
            body.is_empty(),
            "{key:?} v{version}: the oracle leaves {} bytes",
            body.len()
        );
    }
}

/// A batch with one record per value.
pub(crate) fn batch(values: &[&[u8]]) -> BytesMut {
    let mut builder = BatchBuilder::new(1_700_000_000_000);
    for value in values {
        builder
            .push(&NewRecord::value(1_700_000_000_000, value))
            .expect("room");
    }
    builder.build()
}

/// The same as it lies in a log at `base`.
pub(crate) fn stored(base: u64, values: &[&[u8]]) -> Bytes {
    let mut bytes = batch(values);
    model::batch::stamp_offset_epoch(
        &mut bytes,
        model::offset::Offset::new(base),
        model::offset::LeaderEpoch::new(3),
    );
    bytes.freeze()
}

/// Text for a message.
pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from(value)
}
