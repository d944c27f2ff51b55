//! Hot functions of the pure crates, repeated on fixed input, for counting their instructions.
//!
//! Owns: [`run`] and the list of names.
//! Never: measures time.
//! Invariants: the same name and count execute the same instructions on every run.
//! Source: performance.md section 5 (in CI only what is repeatable).

mod batches;
mod journal;
mod session;
mod shard;
mod sink;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::time::Duration;

use model::time::{Instant, Now, Timestamp};

/// Time that passes between two steps.
const STEP: Duration = Duration::from_micros(100);

/// Why a function did not do what it is there for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HotError {
    /// There is no such function.
    #[error("`{name}` is none of {}", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It answered with an error, or not at all: its instructions would mean nothing.
    #[error("{what} went wrong: {why}")]
    Wrong {
        /// What was being done.
        what: &'static str,
        /// What came instead.
        why: String,
    },
}

impl HotError {
    fn wrong(what: &'static str) -> impl Fn(&dyn Display) -> Self {
        move |why| Self::Wrong {
            what,
            why: why.to_string(),
        }
    }
}

/// One function with its input.
trait Hot {
    /// Executes it once.
    fn step(&mut self) -> Result<(), HotError>;
}

type Make = fn() -> Result<Box<dyn Hot>, HotError>;

/// Every function by name.
const ALL: &[(&str, Make)] = &[
    ("parse-1k", || batches::parse(1)),
    ("parse-64k", || batches::parse(64)),
    ("walk-64-records", batches::walk),
    ("build-64-records", batches::build),
    ("journal-group-of-1", || journal::group(1, 1)),
    ("journal-group-of-64", || journal::group(64, 1)),
    ("journal-group-of-16k", || journal::group(1, 16)),
    ("shard-durable-append-1k", || shard::append(&[])),
    ("shard-memory-append-1k", || {
        shard::append(&[("rapidmq.durability", "memory")])
    }),
    ("shard-append-16-of-64-logs", || shard::spread(64)),
    ("shard-fetch-10-cached", shard::fetch),
    ("kafka-produce-1k", session::produce),
    ("kafka-fetch-10k", session::fetch),
];

/// One round of a shard with so many partitions: [`SPREAD`] durable appends to some of them.
pub struct Spread(Box<dyn Hot>);

/// Appends of one round of [`Spread`].
pub const SPREAD: usize = shard::SPREAD;

impl Spread {
    /// A shard with so many partitions.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn over(partitions: u32) -> Result<Self, HotError> {
        shard::spread(partitions).map(Self)
    }

    /// Does the round.
    ///
    /// # Errors
    /// An append is not answered, or with an error.
    pub fn round(&mut self) -> Result<(), HotError> {
        self.0.step()
    }
}

/// Names that [`run`] knows.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}

/// Executes the function `name` on its fixed input `count` times.
///
/// # Errors
/// There is no such name, or the function did not do its work.
pub fn run(name: &str, count: u64) -> Result<(), HotError> {
    let unknown = || HotError::Unknown {
        name: name.to_owned(),
    };
    let (_, make) = ALL
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(unknown)?;
    let mut hot = make()?;
    for _ in 0..count {
        hot.step()?;
    }
    Ok(())
}

/// The clocks at the first step.
fn start() -> Now {
    Now {
        instant: Instant::from_nanos(1_000_000_000_000),
        wall: Timestamp::from_millis(1_700_000_000_000),
    }
}
