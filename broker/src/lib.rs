//! The core: partitions, groups and metadata of one shard, pure.
//!
//! Owns: [`Shard`] and what it is made of.
//! Never: awaits, reads a clock, touches a file or a socket (A1).
//! Invariants: `partition`, `group` and `metadata` do not import each other; `shard` composes them.
//! Source: architecture.md sections 2 to 6.
#![forbid(unsafe_code)]

pub mod admission;
pub mod config;
pub mod deadlines;
pub mod group;
pub mod metadata;
pub mod partition;
pub mod ports;
pub mod shard;

pub use config::BrokerConfig;
pub use ports::{ControlPort, CoreMessage, CorePort, Proposal};
pub use shard::{Input, Output, Shard, ShardConfig};
