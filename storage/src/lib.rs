//! The log on disk, pure planning.
//!
//! Owns: on-disk format, journal, segments, manifest, indexes, recovery verdicts, retention plans.
//! Never: performs I/O except through the [`exec::Disk`] trait at start and in `check`; reads a clock.
//! Invariants: I1 to I14 of reliability.md 2.3.
//! Source: reliability.md section 2, ADR-0004.
#![forbid(unsafe_code)]

pub mod exec;
pub mod format;
pub mod io;
pub mod log;
pub mod store;

pub use io::{FileKey, FileOp, Io, IoError, IoId, IoOutcome, Pieces};
pub use log::{Admit, Durability, LogConfig, ReadOutcome, TimeLookup};
pub use store::{
    Alarm, Appended, LogId, SpaceLevel, SpaceLimits, StallLimits, Store, StoreConfig, StoreEvent,
};
