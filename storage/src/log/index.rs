//! The sparse index of one segment: where to start reading for an offset or a timestamp.
//!
//! Owns: entries for every so many bytes of groups, thinned so that their number stays bounded.
//! Never: evidence about the log (I9): it only says where to look.
//! Invariants: entries rise strictly in offset and position; a block is the file range from one entry to
//! the next and holds whole groups.
//! Source: kafka.md 3.3, reliability.md I9.

use model::offset::Offset;

/// Entries of one segment at most; beyond it every second one is dropped and the spacing doubles.
pub const INDEX_ENTRIES_MAX: usize = 4_096;

/// Bytes of groups between two entries, at first.
pub const INDEX_SPACING_BYTES: u64 = 64 * 1024;

/// Start of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// First offset of the first group of the block.
    pub base: Offset,
    /// File position of that group, multiple of 4096.
    pub position: u64,
    /// Largest timestamp of the batches in the block, ms; -1 if none.
    pub max_timestamp: i64,
}

/// One block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexBlock {
    /// First offset in it.
    pub base: Offset,
    /// First offset after it.
    pub upto: Offset,
    /// File position, multiple of 4096.
    pub position: u64,
    /// File position after it.
    pub end: u64,
    /// Largest timestamp in it, ms; -1 if none.
    pub max_timestamp: i64,
}

/// A group as the index is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedGroup {
    /// First offset.
    pub base: Offset,
    /// First offset after it.
    pub upto: Offset,
    /// File position.
    pub position: u64,
    /// File position after its padding.
    pub end: u64,
    /// Largest timestamp, ms; -1 if none.
    pub max_timestamp: i64,
}

/// The index of one segment up to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseIndex {
    entries: Vec<IndexEntry>,
    spacing: u64,
    upto: Offset,
    end: u64,
}

impl SparseIndex {
    /// An index without groups for a segment whose first group will lie at `start`.
    #[must_use]
    pub fn new(base: Offset, start: u64) -> Self {
        Self {
            entries: Vec::new(),
            spacing: INDEX_SPACING_BYTES,
            upto: base,
            end: start,
        }
    }

    /// From a side file that was checked by the format; `None` if the entries contradict each other.
    #[must_use]
    pub fn from_entries(entries: Vec<IndexEntry>, upto: Offset, end: u64) -> Option<Self> {
        let is_rising = entries
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.base < b.base && a.position < b.position));
        let is_inside = entries
            .last()
            .is_none_or(|last| last.base < upto && last.position < end);
        let is_bounded = entries.len() <= INDEX_ENTRIES_MAX;
        (is_rising && is_inside && is_bounded).then_some(Self {
            entries,
            spacing: INDEX_SPACING_BYTES,
            upto,
            end,
        })
    }

    /// Makes room for the entries of a file of `len` bytes, so that groups in it need no memory.
    pub fn reserve(&mut self, len: u64) {
        let wanted = usize::try_from(len / self.spacing + 1).unwrap_or(usize::MAX);
        let wanted = wanted.min(INDEX_ENTRIES_MAX + 1);
        self.entries
            .reserve(wanted.saturating_sub(self.entries.len()));
    }

    /// Gives back what was reserved and not used: no group will be added.
    pub fn end_growth(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Adds the next group.
    ///
    /// # Panics
    /// If it does not follow the group before in the file.
    pub fn push(&mut self, group: IndexedGroup) {
        assert!(
            group.position >= self.end,
            "groups follow each other in the file"
        );
        assert!(
            group.base >= self.upto,
            "groups follow each other in offsets"
        );
        let spacing = self.spacing;
        match self.entries.last_mut() {
            Some(last) if group.position - last.position < spacing => {
                last.max_timestamp = last.max_timestamp.max(group.max_timestamp);
            }
            Some(_) | None => self.entries.push(IndexEntry {
                base: group.base,
                position: group.position,
                max_timestamp: group.max_timestamp,
            }),
        }
        self.upto = group.upto;
        self.end = group.end;
        if self.entries.len() > INDEX_ENTRIES_MAX {
            self.thin();
        }
    }

    /// The block that holds `offset`, or would if it is missing.
    #[must_use]
    pub fn block_of(&self, offset: Offset) -> Option<IndexBlock> {
        if offset >= self.upto {
            return None;
        }
        let after = self.entries.partition_point(|entry| entry.base <= offset);
        self.block_at(after.checked_sub(1)?)
    }

    /// First block that ends above `from` and whose largest timestamp is at least `timestamp`.
    #[must_use]
    pub fn block_with_timestamp(&self, from: Offset, timestamp: i64) -> Option<IndexBlock> {
        let first = self
            .entries
            .partition_point(|entry| entry.base <= from)
            .saturating_sub(1);
        let at = self
            .entries
            .iter()
            .skip(first)
            .position(|e| e.max_timestamp >= timestamp)?;
        self.block_at(first + at)
    }

    /// Every entry, in order.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// First offset after the last group.
    #[must_use]
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// File position after the last group.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    fn block_at(&self, at: usize) -> Option<IndexBlock> {
        let entry = self.entries.get(at)?;
        let next = self.entries.get(at + 1);
        Some(IndexBlock {
            base: entry.base,
            upto: next.map_or(self.upto, |next| next.base),
            position: entry.position,
            end: next.map_or(self.end, |next| next.position),
            max_timestamp: entry.max_timestamp,
        })
    }

    fn thin(&mut self) {
        self.spacing *= 2;
        // Asked of every entry but the first: every second one becomes part of the one before it.
        let mut is_second = false;
        self.entries.dedup_by(|entry, before| {
            is_second = !is_second;
            if is_second {
                before.max_timestamp = before.max_timestamp.max(entry.max_timestamp);
            }
            is_second
        });
    }
}

#[cfg(test)]
mod tests;
