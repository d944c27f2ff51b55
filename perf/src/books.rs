//! Whether what was acknowledged is what the broker holds.
//!
//! Owns: [`Books`], comparing acknowledgements with the growth of the logs.
//! Never: excuses a missing record.
//! Invariants: with answered requests the logs grew by exactly the acknowledged records, or by more if requests
//! were left unanswered or refused; by less is a loss.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::setup::{Control, Leaders, LogEnd};
use crate::wire::fetch::Position;

/// Ends of the logs of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Offset after the last record, by partition.
    pub last: BTreeMap<i32, i64>,
}

impl Ends {
    /// Asks every leader.
    ///
    /// # Errors
    /// A leader cannot be asked or refuses.
    pub fn read(topic: &str, leaders: &Leaders, end: LogEnd) -> Result<Self, BenchError> {
        let mut by_leader: BTreeMap<_, Vec<i32>> = BTreeMap::new();
        for (partition, leader) in leaders {
            by_leader.entry(*leader).or_default().push(*partition);
        }
        let mut last = BTreeMap::new();
        for (leader, partitions) in by_leader {
            last.append(&mut Control::open(leader)?.offsets(topic, &partitions, end)?);
        }
        Ok(Self { last })
    }

    /// Records that came between `earlier` and this.
    #[must_use]
    pub fn growth(&self, earlier: &Self) -> u64 {
        let grown = self.last.iter().map(|(partition, end)| {
            let before = earlier.last.get(partition).copied().unwrap_or(0);
            u64::try_from(end - before).unwrap_or(0)
        });
        grown.sum()
    }

    /// Positions of consumers that wait at these ends.
    #[must_use]
    pub fn waiting(&self) -> Vec<Position> {
        self.reading_until(&BTreeMap::new())
    }

    /// Positions of consumers that read from these ends up to `until`.
    #[must_use]
    pub fn reading_until(&self, until: &BTreeMap<i32, i64>) -> Vec<Position> {
        self.last
            .iter()
            .map(|(partition, offset)| Position {
                partition: *partition,
                offset: *offset,
                until: until.get(partition).copied().unwrap_or(i64::MAX),
            })
            .collect()
    }
}

/// How acknowledgements compare with what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Exactly the acknowledged records are there.
    Equal,
    /// More is there: requests that were written and not answered.
    MoreHeld,
    /// Acknowledged records are missing.
    Lost,
}

/// Both sides of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Books {
    /// Records acknowledged over the whole run.
    pub acknowledged: u64,
    /// Records by which the logs grew.
    pub held: u64,
    /// Comparison.
    pub verdict: Verdict,
}

impl Books {
    /// Compares.
    #[must_use]
    pub const fn compare(acknowledged: u64, held: u64) -> Self {
        let verdict = if held < acknowledged {
            Verdict::Lost
        } else if held > acknowledged {
            Verdict::MoreHeld
        } else {
            Verdict::Equal
        };
        Self {
            acknowledged,
            held,
            verdict,
        }
    }
}
