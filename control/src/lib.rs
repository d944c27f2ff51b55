//! The shell of the control core.
//!
//! Owns: one thread with a glommio executor that runs Raft over its files, applies what commits, and tells
//! the data cores.
//! Never: runs on a data core; decides what metadata means, `broker::metadata` does.
//! Invariants: deltas reach every core in index order, each once, none lost between start and attach; a
//! proposal is answered after every core applied everything it rests on.
//! Source: architecture.md section 1, reliability.md 1.11 and 1.12, ADR-0007.

mod boot;
mod check;
mod directory;
mod handle;
mod mailbox;
mod service;
mod settings;
mod voter;
mod waiting;

pub use check::{MetadataFinding, MetadataSeverity, check};
pub use handle::{ControlHandle, start};
pub use mailbox::Port;
pub use settings::{ControlConfig, ControlError, FatalFn};

#[cfg(test)]
mod tests;
