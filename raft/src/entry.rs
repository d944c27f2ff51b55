//! One entry of the Raft log.
//!
//! Owns: [`Entry`] and its bytes.
//! Never: carries membership changes: the voters of a cluster are fixed so far, so such entries are refused.
//! Invariants: index and term are positive and bounded.
//! Source: reliability.md 1.12.

use bytes::Bytes;
use raft::eraftpb;

use crate::limits::{ENTRY_BYTES_MAX, INDEX_MAX, TERM_MAX};
use crate::wire::{DecodeError, Reader, Writer};

/// Bytes of an entry without data: index, term, length.
pub const ENTRY_HEADER_BYTES: usize = 20;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, from 1.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// What was proposed; empty for the entry with which a new leader starts its term.
    pub data: Bytes,
}

impl Entry {
    /// Bytes this entry takes when encoded.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.data.len()
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        out.u64(self.index);
        out.u64(self.term);
        out.bytes(&self.data);
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = bounded(from.u64()?, 1, INDEX_MAX, "entry index")?;
        let term = bounded(from.u64()?, 1, TERM_MAX, "entry term")?;
        let data = Bytes::copy_from_slice(from.bytes(ENTRY_BYTES_MAX)?);
        Ok(Self { index, term, data })
    }

    pub(crate) fn to_proto(&self) -> eraftpb::Entry {
        let mut entry = eraftpb::Entry::default();
        entry.set_entry_type(eraftpb::EntryType::EntryNormal);
        entry.index = self.index;
        entry.term = self.term;
        entry.data = self.data.clone();
        entry
    }

    pub(crate) fn from_proto(entry: &eraftpb::Entry) -> Self {
        Self {
            index: entry.index,
            term: entry.term,
            data: entry.data.clone(),
        }
    }
}

/// A number within `least..=most`.
pub(crate) fn bounded(
    value: u64,
    least: u64,
    most: u64,
    what: &'static str,
) -> Result<u64, DecodeError> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(DecodeError::Illegal { what, value }),
    }
}

/// Entries that follow each other without gaps, terms never falling.
pub(crate) fn take_entries(from: &mut Reader<'_>, count: usize) -> Result<Vec<Entry>, DecodeError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        let entry = Entry::take(from)?;
        if let Some(last) = entries.last()
            && (entry.index != last.index + 1 || entry.term < last.term)
        {
            return Err(DecodeError::Illegal {
                what: "entry order",
                value: entry.index,
            });
        }
        entries.push(entry);
    }
    Ok(entries)
}
