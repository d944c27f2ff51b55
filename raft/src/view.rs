//! The log as the `raft` crate reads it: durable entries, in memory.
//!
//! Owns: entries since the last compaction, the newest snapshot.
//! Never: holds an entry that is not durable.
//! Invariants: entries are dense and follow the compacted index; a snapshot is not below it.
//! Source: reliability.md 1.12.

use std::collections::VecDeque;

use raft::eraftpb;
use raft::{GetEntriesContext, RaftState, StorageError};

use crate::entry::Entry;
use crate::message;
use crate::snapshot::Snapshot;

#[derive(Clone, Debug, Default)]
pub(crate) struct LogView {
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) commit: u64,
    pub(crate) voters: Vec<u64>,
    /// Index and term of the entry before the first one held.
    pub(crate) compacted: (u64, u64),
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) snapshot: Option<Snapshot>,
}

impl LogView {
    pub(crate) fn last_index(&self) -> u64 {
        self.compacted.0 + self.entries.len() as u64
    }

    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.compacted.0 {
            return Some(self.compacted.1);
        }
        if let Some(snapshot) = self
            .snapshot
            .as_ref()
            .filter(|snapshot| snapshot.index == index)
        {
            return Some(snapshot.term);
        }
        self.position(index)
            .and_then(|at| self.entries.get(at))
            .map(|entry| entry.term)
    }

    /// Takes durable entries in; later ones replace conflicting earlier ones.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        let kept = self.position(first.index);
        assert!(
            kept.is_some_and(|kept| kept <= self.entries.len()),
            "entries leave no gap"
        );
        self.entries.truncate(kept.unwrap_or(0));
        self.entries.extend(entries);
    }

    /// Replaces everything by a snapshot that was installed.
    pub(crate) fn install(&mut self, snapshot: Snapshot) {
        assert!(
            snapshot.index > self.commit,
            "an installed snapshot is ahead"
        );
        self.entries.clear();
        self.compacted = (snapshot.index, snapshot.term);
        self.commit = snapshot.index;
        self.snapshot = Some(snapshot);
    }

    /// Forgets entries up to `index`.
    pub(crate) fn compact(&mut self, index: u64) {
        let Some(term) = self.term_at(index) else {
            return;
        };
        if index <= self.compacted.0 {
            return;
        }
        let count = usize::try_from(index - self.compacted.0).unwrap_or(usize::MAX);
        self.entries.drain(..count.min(self.entries.len()));
        self.compacted = (index, term);
    }

    /// Position of an index in `entries`; also of the one after the last.
    fn position(&self, index: u64) -> Option<usize> {
        let after = index.checked_sub(self.compacted.0 + 1)?;
        usize::try_from(after)
            .ok()
            .filter(|at| *at <= self.entries.len())
    }
}

impl raft::Storage for LogView {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = eraftpb::HardState {
            term: self.term,
            vote: self.vote,
            commit: self.commit,
            ..eraftpb::HardState::default()
        };
        let mut conf_state = eraftpb::ConfState::default();
        conf_state.set_voters(self.voters.clone());
        Ok(RaftState {
            hard_state,
            conf_state,
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        let from = self.position(low).ok_or(StorageError::Compacted)?;
        let upto = self.position(high).ok_or(StorageError::Unavailable)?;
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0;
        let taken = self
            .entries
            .range(from..upto)
            .enumerate()
            .take_while(|(at, entry)| {
                bytes += entry.encoded_bytes() as u64;
                *at == 0 || bytes <= limit
            });
        Ok(taken.map(|(_, entry)| entry.to_proto()).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_at(index) {
            Some(term) => Ok(term),
            None if index < self.compacted.0 => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.compacted.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(Self::last_index(self))
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<eraftpb::Snapshot> {
        match self
            .snapshot
            .as_ref()
            .filter(|snapshot| snapshot.index >= request_index)
        {
            Some(snapshot) => Ok(message::to_proto(snapshot)),
            None => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
        }
    }
}
