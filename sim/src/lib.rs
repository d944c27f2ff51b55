//! The simulated shell: a whole broker of several cores in one thread, from one seed.
//!
//! Owns: a virtual clock, a seeded scheduler, a disk that forgets and tears what was not flushed,
//! a network that delivers when the seed says, clients, and the checks on what they saw.
//! Never: changes how the product behaves: it runs the unchanged `Shard`, `Store` and Kafka sessions (A7).
//! Invariants: the same seed gives the same run, compared by the hash of its trace.
//! Source: reliability.md 3.1, 3.2; architecture.md A7.
#![forbid(unsafe_code)]

pub mod client;
pub mod committer;
pub mod control;
pub mod disk;
pub mod oracle;
pub mod scenario;
pub mod world;

pub use scenario::{Honesty, Outcome, Scenario};
pub use world::World;
