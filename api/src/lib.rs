//! The door: one alphabet for every front end (A5).
//!
//! Owns: commands, replies, per-operation errors, the contract of a protocol session.
//! Never: knows a wire format, a file or a ring.
//! Invariants: every command gets exactly one reply with its ticket, success or error.
//! Source: architecture.md A5 and section 5.
#![forbid(unsafe_code)]

pub mod command;
pub mod error;
pub mod group;
pub mod metadata;
pub mod reply;
pub mod session;

pub use command::{Command, Route};
pub use error::Class;
pub use reply::Reply;
pub use session::{
    ChunkSink, CommandSink, ConnectionContext, Session, SessionError, SessionFactory,
    TransmitStatus,
};

/// Correlates a command with its reply; unique per connection while unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where a command came from and where its reply must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The shard that owns the connection.
    pub shard: model::ids::ShardId,
    /// The connection there.
    pub connection: model::ids::ConnectionId,
    /// The command's ticket on that connection.
    pub ticket: Ticket,
}
