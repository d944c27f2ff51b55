//! The append-only Raft log: files of groups.
//!
//! Owns: the layout of a file and of a group, and where the next group goes.
//! Never: rewrites a block that held a group; appends to a file of an earlier process.
//! Invariants: a file is a header block and groups, each in whole 4 KiB blocks, zeros after the last;
//! group sequences are dense across files; one group is durable before the next is planned.
//! Source: reliability.md 1.12, 2.2 to 2.4, ADR-0006.

pub mod group;
pub mod scan;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use model::limits::BLOCK_BYTES;

use crate::entry::Entry;
use crate::files::{Write, log_name};
use crate::limits::{APPEND_BYTES_MAX, ENTRIES_MAX, LOG_FILE_BYTES};
use group::{FileHeader, GroupHeader};

/// Where a file ended, as its successor knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Unique id of the file; zero for none.
    pub uid: u64,
    /// End of its last group, bytes.
    pub end: u64,
}

/// One file that is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its number.
    pub number: u64,
    /// Largest index of any entry in it; zero if none.
    pub last_index: u64,
}

/// What the writer was left with by recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// Files, ascending.
    pub files: Vec<LogFile>,
    /// The last one's link.
    pub link: Link,
    /// Sequence of the last group; zero before the first.
    pub sequence: u64,
}

/// Plans where groups go.
#[derive(Clone, Debug)]
pub struct LogWriter {
    node: u64,
    uid_seed: u64,
    end: LogEnd,
    /// Bytes of the file being written; zero if none was begun by this process.
    len: u64,
}

impl LogWriter {
    /// A writer that goes on after `end`, in a new file. `uid_seed` differs per start.
    #[must_use]
    pub fn new(node: u64, uid_seed: u64, end: LogEnd) -> Self {
        Self {
            node,
            uid_seed,
            end,
            len: 0,
        }
    }

    /// Sequence of the last planned group.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.end.sequence
    }

    /// Files that are still needed.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.end.files.len()
    }

    /// Plans the writes that make these entries durable.
    pub fn plan_append(&mut self, entries: &[Entry], hard_state_sequence: u64) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(group_len(rest));
            self.plan_group(now, hard_state_sequence, &mut writes);
            rest = later;
        }
        writes
    }

    fn plan_group(&mut self, entries: &[Entry], hard_state_sequence: u64, writes: &mut Vec<Write>) {
        let payload = group::encode_payload(entries);
        let bytes = group::padded(group::GROUP_HEADER_BYTES + payload.len()) as u64;
        if self.end.link.end + bytes > self.len {
            writes.push(self.plan_file(bytes));
        }
        self.end.sequence += 1;
        let header = GroupHeader {
            file_uid: self.end.link.uid,
            sequence: self.end.sequence,
            first_index: entries.first().map_or(0, |entry| entry.index),
            entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            hard_state_sequence,
        };
        let block = header.encode(&payload);
        assert!(
            block.len() as u64 == bytes,
            "a group has the size that was planned"
        );
        assert!(
            self.end.link.end + bytes <= self.len,
            "a group stays inside its file"
        );
        let Some(file) = self.end.files.last_mut() else {
            return;
        };
        file.last_index = file
            .last_index
            .max(entries.last().map_or(0, |entry| entry.index));
        let name = log_name(file.number);
        writes.push(Write::WriteAt {
            name,
            position: self.end.link.end,
            bytes: block,
        });
        self.end.link.end += bytes;
    }

    /// Begins the next file, with room for a group of `bytes`.
    fn plan_file(&mut self, bytes: u64) -> Write {
        let number = self.end.files.last().map_or(1, |file| file.number + 1);
        let header = FileHeader {
            number,
            uid: (self.uid_seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1,
            node: self.node,
            previous: self.end.link,
            first_sequence: self.end.sequence + 1,
        };
        self.end.files.push(LogFile {
            number,
            last_index: 0,
        });
        self.end.link = Link {
            uid: header.uid,
            end: BLOCK_BYTES as u64,
        };
        self.len = (BLOCK_BYTES as u64 + bytes).max(LOG_FILE_BYTES as u64);
        Write::Create {
            name: log_name(number),
            head: header.encode(),
            len: self.len,
        }
    }

    /// Plans the removal of the oldest files that hold only entries up to `index`.
    pub fn plan_compact(&mut self, index: u64) -> Vec<Write> {
        let is_covered = |file: &&LogFile| file.last_index <= index;
        let covered = self.end.files.iter().take_while(is_covered).count();
        // The file being written stays.
        let count = covered.min(self.end.files.len().saturating_sub(1));
        self.end
            .files
            .drain(..count)
            .map(|file| Write::Remove {
                name: log_name(file.number),
            })
            .collect()
    }
}

/// How many entries go into the next group: at least one.
fn group_len(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take(ENTRIES_MAX).take_while(|entry| {
        bytes += entry.encoded_bytes();
        bytes <= APPEND_BYTES_MAX
    });
    fitting.count().max(1)
}

/// Whether these bytes are padding.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Each byte equals the one before it, and the first is zero: one memory comparison.
    let shifted = bytes.get(1..).unwrap_or_default();
    bytes.first().is_none_or(|first| *first == 0) && bytes.starts_with(shifted)
}

/// Fills up the last block with zeros.
pub(crate) fn pad_to_block(mut bytes: Vec<u8>) -> Bytes {
    bytes.resize(group::padded(bytes.len()), 0);
    Bytes::from(bytes)
}
