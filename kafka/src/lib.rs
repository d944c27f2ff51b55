//! The Kafka wire protocol as a sans-I/O session.
//!
//! Owns: framing, the version table, the codec, one handler per API, the order of responses.
//! Never: performs I/O, keeps broker state, knows another crate than `api` and `model`.
//! Invariants: bytes of a client never panic and never allocate beyond a named bound; responses leave
//! in request order; wire sentinels end here.
//! Source: kafka.md, architecture.md section 6, ADR-8.
#![forbid(unsafe_code)]

mod codec;
mod config;
#[cfg(test)]
mod conversation;
mod error_map;
mod frame;
mod gather;
mod handlers;
mod limits;
mod session;
pub mod versions;

pub use config::KafkaConfig;
pub use session::{KafkaSession, session_factory};
