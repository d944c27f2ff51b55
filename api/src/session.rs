//! The contract between a connection's protocol and the shell that moves its bytes.
//!
//! Owns: [`Session`], its sinks and its errors.
//! Never: performs I/O.
//! Invariants: a session answers its requests in the order in which they came (kafka.md 4.2).
//! Source: architecture.md section 5.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use model::ids::{ConnectionId, ShardId};
use model::time::{Instant, Now};

use crate::{Command, Reply, Ticket};

/// What a session knows of its connection from the start.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// The connection's identity on its shard.
    pub connection: ConnectionId,
    /// The shard that accepted it.
    pub shard: ShardId,
    /// Number of shards of this process, for commands that ask every shard (`Route::Shard`).
    pub shards: u16,
    /// The client's address.
    pub peer: SocketAddr,
    /// The local address the client reached.
    pub local: SocketAddr,
}

/// Makes the session of a new connection. Handed to the shell by the root package.
pub type SessionFactory =
    std::sync::Arc<dyn Fn(ConnectionContext, Now) -> Box<dyn Session> + Send + Sync>;

/// Commands a session wants carried out, oldest first.
#[derive(Debug, Default)]
pub struct CommandSink {
    queue: VecDeque<(Ticket, Command)>,
}

impl CommandSink {
    /// Appends a command.
    #[inline]
    pub fn push(&mut self, ticket: Ticket, command: Command) {
        self.queue.push_back((ticket, command));
    }

    /// Takes the oldest command.
    #[inline]
    pub fn pop(&mut self) -> Option<(Ticket, Command)> {
        self.queue.pop_front()
    }

    /// The commands, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.queue.iter().map(|(_, command)| command)
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Chunks to be sent, oldest first; the shell sends them with one vectored write.
#[derive(Debug, Default)]
pub struct ChunkSink {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl ChunkSink {
    /// Appends a chunk; empty chunks are dropped.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.queue.push_back(chunk);
        }
    }

    /// Bytes not yet consumed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The chunks, oldest first.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.queue.iter()
    }

    /// Removes the first `sent` bytes.
    ///
    /// # Panics
    /// If fewer bytes are queued: the shell reported more than it was given.
    pub fn consume(&mut self, mut sent: usize) {
        assert!(sent <= self.bytes, "consumed more than was queued");
        self.bytes -= sent;
        while sent > 0 {
            let Some(front) = self.queue.front_mut() else {
                return;
            };
            if front.len() > sent {
                bytes::Buf::advance(front, sent);
                return;
            }
            sent -= front.len();
            self.queue.pop_front();
        }
    }
}

/// Whether a session has more to say right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitStatus {
    /// Nothing more until another event.
    Idle,
    /// The sink's budget was reached; call again after sending.
    More,
    /// Send what is queued, then close the connection.
    Close,
}

/// Why a connection must be closed; logged once, by the shell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The bytes are not this protocol.
    #[error("protocol violation: {0}")]
    Protocol(String),
    /// A frame longer than allowed.
    #[error("frame of {bytes} bytes is over the limit of {limit}")]
    FrameTooLarge {
        /// Announced length.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The protocol asks for closing (for example a failed produce with acks=0).
    #[error("closed by protocol: {0}")]
    Closed(String),
}

/// A connection's protocol: bytes and replies in, commands and chunks out. Sans-I/O.
pub trait Session {
    /// Takes whole frames off the front of `received` and turns them into commands.
    ///
    /// Incomplete frames stay in `received`. May leave whole frames there while too many requests are
    /// unanswered ([`Self::is_full`]); the shell calls again after replies.
    ///
    /// # Errors
    /// The connection is to be closed after what is already queued was sent.
    fn handle_bytes(
        &mut self,
        now: Now,
        received: &mut BytesMut,
        out: &mut CommandSink,
    ) -> Result<(), SessionError>;

    /// Feeds the reply to an earlier command; may produce further commands.
    ///
    /// # Errors
    /// The connection is to be closed after what is already queued was sent.
    fn handle_reply(
        &mut self,
        now: Now,
        ticket: Ticket,
        reply: Reply,
        out: &mut CommandSink,
    ) -> Result<(), SessionError>;

    /// To be called when [`Self::poll_timeout`] is due.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn handle_timeout(&mut self, now: Now, out: &mut CommandSink) -> Result<(), SessionError>;

    /// The client is gone: nothing is sent any more. What it still waits for elsewhere may be called back, so that
    /// nobody keeps room for it.
    fn handle_close(&mut self, now: Now, out: &mut CommandSink) {
        let _ = (now, out);
    }

    /// Moves finished responses, in request order, into `out`, until about `budget` bytes are queued there.
    fn poll_transmit(&mut self, out: &mut ChunkSink, budget: usize) -> TransmitStatus;

    /// When [`Self::handle_timeout`] is next due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Total length (prefix included) of the frame at the front of `received`, once its length is known,
    /// so that the shell reserves memory before it reads the body (A9).
    ///
    /// # Errors
    /// The announced length is impossible or over the limit.
    fn frame_bytes(&self, received: &[u8]) -> Result<Option<usize>, SessionError>;

    /// Whether so many requests are unanswered that the shell must stop reading this connection.
    fn is_full(&self) -> bool;

    /// Bytes of request frames taken but not yet answered; the shell keeps that much memory reserved.
    fn bytes_in_flight(&self) -> usize;
}
