//! Consensus on metadata, pure.
//!
//! Owns: the wrapper of the `raft` crate, the bounded codec, formats of log, hard state and snapshot.
//! Never: performs I/O, reads a clock, decodes foreign bytes with protobuf; knows what entries mean.
//! Invariants: nothing is answered or applied before it is durable.
//! Source: reliability.md 1.12, ADR-0006.
#![forbid(unsafe_code)]

pub mod entry;
pub mod files;
pub mod hard_state;
pub mod host;
pub mod limits;
pub mod log;
#[cfg(test)]
mod memory_disk;
mod message;
pub mod restore;
pub mod snapshot;
mod view;
pub mod wire;

pub use entry::Entry;
pub use files::{Files, Write};
pub use host::{HostConfig, Outgoing, Position, ProposeError, RaftHost, Ready, StepError};
pub use restore::{RestoreError, Restored, bootstrap, restore};
pub use snapshot::Snapshot;
