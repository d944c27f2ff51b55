//! A byte stream of a Kafka connection, in pieces.
//!
//! Owns: the promises of a session about arbitrary bytes, and the connection both Kafka targets use.
//! Never: knows how a request is encoded.
//! Invariants: no panic; a reply to every command is accepted; nothing is read after an error.
//! Source: kafka.md 4.1, 4.2, reliability.md 4.3.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::{ChunkSink, CommandSink, ConnectionContext, Session, TransmitStatus};
use bytes::BytesMut;
use kafka::{KafkaConfig, KafkaSession};
use model::ids::{ConnectionId, ShardId};
use model::prng::Prng;
use model::time::{Instant, Now, Timestamp};

use crate::replies::reply_to;

/// Rounds of commands and replies after which a run ends; a long poll may ask again for ever.
const ROUNDS_MAX: usize = 64;
/// Frames of the stream are at most this long, so that lengths are tested by small inputs.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The first byte seeds the sizes of the pieces and the answers, the rest is the stream.
///
/// # Panics
/// If a promise of the session is broken.
pub fn run(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    let mut connection = Connection::new(u64::from(seed));
    let mut rest = stream;
    while !rest.is_empty() && connection.is_open {
        let size = connection.prng.below(64).saturating_add(1);
        let size = usize::try_from(size).unwrap_or(1).min(rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        connection.receive(piece);
    }
    connection.finish();
}

/// A session with a broker that answers at random, but legally.
pub(crate) struct Connection {
    session: KafkaSession,
    received: BytesMut,
    commands: CommandSink,
    chunks: ChunkSink,
    now: Now,
    prng: Prng,
    is_open: bool,
}

impl Connection {
    pub(crate) fn new(seed: u64) -> Self {
        let config = KafkaConfig {
            frame_bytes_max: FRAME_BYTES_MAX,
            ..KafkaConfig::default()
        };
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let context = ConnectionContext {
            connection: ConnectionId::new(1),
            shard: ShardId::new(0),
            shards: 2,
            peer: address(50_000),
            local: address(9_092),
        };
        Self {
            session: KafkaSession::new(Arc::new(config), context),
            received: BytesMut::new(),
            commands: CommandSink::default(),
            chunks: ChunkSink::default(),
            now: Now {
                instant: Instant::from_nanos(1),
                wall: Timestamp::from_millis(1_700_000_000_000),
            },
            prng: Prng::new(seed),
            is_open: true,
        }
    }

    /// Bytes arrive; what the session asks for is answered before the next ones.
    pub(crate) fn receive(&mut self, piece: &[u8]) {
        self.received.extend_from_slice(piece);
        self.is_open &= self.session.frame_bytes(&self.received).is_ok();
        let outcome = self
            .session
            .handle_bytes(self.now, &mut self.received, &mut self.commands);
        self.is_open &= outcome.is_ok();
        self.converse();
    }

    /// Lets time pass until nothing is due.
    pub(crate) fn finish(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let Some(due) = self.session.poll_timeout() else {
                break;
            };
            self.now.instant = self.now.instant.max(due);
            let outcome = self.session.handle_timeout(self.now, &mut self.commands);
            self.is_open &= outcome.is_ok();
            self.converse();
        }
    }

    fn converse(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.transmit();
            let Some((ticket, command)) = self.commands.pop() else {
                break;
            };
            let Some(reply) = reply_to(&command, &mut self.prng) else {
                continue;
            };
            let outcome = self
                .session
                .handle_reply(self.now, ticket, reply, &mut self.commands);
            self.is_open &= outcome.is_ok();
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        loop {
            let status = self.session.poll_transmit(&mut self.chunks, 4_096);
            let sent = self.chunks.bytes();
            self.chunks.consume(sent);
            match status {
                TransmitStatus::Idle => return,
                TransmitStatus::Close => {
                    self.is_open = false;
                    return;
                }
                TransmitStatus::More => assert!(sent > 0, "more to send, but nothing was given"),
            }
        }
    }
}
