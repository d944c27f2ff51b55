//! The leader epoch table of one partition.
//!
//! Owns: which epoch starts at which offset.
//! Never: decides who leads.
//! Invariants: epochs and start offsets both rise strictly from entry to entry; bounded in length.
//! Source: KIP-101, KIP-320, kafka.md 4.5.

use std::collections::VecDeque;

use model::offset::{LeaderEpoch, Offset};

/// Entries kept; beyond it the oldest is forgotten, which makes answers about it coarser, never wrong.
pub const EPOCHS_PER_LOG_MAX: usize = 4_096;

/// Start of one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of its first record, or the log end if it has none yet.
    pub start: Offset,
}

/// All known epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTable {
    entries: VecDeque<EpochStart>,
}

impl EpochTable {
    /// Starts `epoch` at `start`. An epoch that is not newer than the newest is ignored; epochs without
    /// a record are replaced.
    pub fn start(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.newest().is_some_and(|newest| epoch <= newest) {
            return;
        }
        while self
            .entries
            .back()
            .is_some_and(|entry| entry.start >= start)
        {
            self.entries.pop_back();
        }
        self.entries.push_back(EpochStart { epoch, start });
        if self.entries.len() > EPOCHS_PER_LOG_MAX {
            self.entries.pop_front();
        }
    }

    /// The newest epoch.
    #[must_use]
    pub fn newest(&self) -> Option<LeaderEpoch> {
        self.entries.back().map(|entry| entry.epoch)
    }

    /// Where the newest epoch starts.
    #[must_use]
    pub fn newest_start(&self) -> Option<Offset> {
        self.entries.back().map(|entry| entry.start)
    }

    /// (largest known epoch not above `epoch`, its end); for an epoch older than all known ones
    /// (itself, start of the oldest); `None` above the newest or if nothing is known.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let newest = self.newest()?;
        if epoch > newest {
            return None;
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(after).map_or(log_end, |entry| entry.start);
        let floor = after.checked_sub(1).and_then(|at| self.entries.get(at));
        Some((floor.map_or(epoch, |entry| entry.epoch), end))
    }

    /// Epoch of the record at `offset`.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after
            .checked_sub(1)
            .and_then(|at| self.entries.get(at))
            .map(|entry| entry.epoch)
    }

    /// Forgets epochs that end at or below `log_start`; the one that contains it now starts there.
    pub fn trim_front(&mut self, log_start: Offset) {
        while self
            .entries
            .get(1)
            .is_some_and(|second| second.start <= log_start)
        {
            self.entries.pop_front();
        }
        if let Some(first) = self.entries.front_mut() {
            first.start = first.start.max(log_start);
        }
    }

    /// Every entry, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = EpochStart> + '_ {
        self.entries.iter().copied()
    }
}

#[cfg(test)]
mod tests;
