//! The load generator behind `rapidmq bench` and `rapidmq-perf`, with its rulers and its reports.
//!
//! Owns: load over the Kafka protocol, latency histograms, rulers of device and network, scenarios, comparisons.
//! Never: is part of the broker's data path; nothing of the broker depends on it.
//! Invariants: latency counts from the intended send time; what was not answered is reported, not left out.
//! Source: performance.md sections 4 and 5.

pub mod bench;
pub mod books;
pub mod clock;
pub mod compare;
pub mod engine;
pub mod environment;
pub mod error;
pub mod load;
pub mod measure;
pub mod process;
pub mod ramp;
pub mod report;
pub mod rig;
pub mod ruler;
pub mod scenario;
pub mod schedule;
pub mod setup;
pub mod wire;
