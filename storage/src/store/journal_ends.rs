//! Where logs ended in the newest journal groups, for the groups after them to repeat.
//!
//! Owns: what the next group says of those before it.
//! Never: looks at the device.
//! Invariants: the group before is always spoken of; those before that one as far as [`WINDOW_BYTES`] reach.
//! Source: reliability.md 2.4, 2.6.

use std::collections::VecDeque;

use model::offset::Offset;

use super::LogId;
use crate::format::ends::Ends;

/// Groups that start within so many bytes before a group are spoken of in it: rot rarely takes more at once.
const WINDOW_BYTES: u64 = 64 * 1024;

/// One group.
#[derive(Debug)]
struct Past {
    seq: u64,
    /// Bytes of the lineage before it.
    start: u64,
    logs: Vec<(LogId, Offset)>,
}

/// The newest groups of the journal.
#[derive(Debug, Default)]
pub(crate) struct RecentEnds {
    groups: VecDeque<Past>,
    /// Bytes of the lineage so far.
    position: u64,
    /// Emptied lists, kept for their memory; never more than there were groups at once.
    spare: Vec<Vec<(LogId, Offset)>>,
    /// What the newest group said, kept for its memory.
    said: Ends,
}

impl RecentEnds {
    /// What the next group says; `None` for the first of a lineage.
    pub(crate) fn next(&mut self) -> Option<&Ends> {
        while let [first, _, ..] = self.groups.make_contiguous()
            && first.start + WINDOW_BYTES < self.position
            && let Some(mut gone) = self.groups.pop_front()
        {
            gone.logs.clear();
            self.spare.push(gone.logs);
        }
        self.said.covers_from = self.groups.front()?.seq;
        let logs = &mut self.said.logs;
        logs.clear();
        for (log, end) in self.groups.iter().flat_map(|past| &past.logs) {
            // One busy log is in group after group: it is not worth sorting.
            match logs.last_mut().filter(|newest| newest.0 == *log) {
                Some(newest) => newest.1 = *end,
                None => logs.push((*log, *end)),
            }
        }
        logs.sort_unstable();
        // The later of two has the higher offset; the earlier one is kept, with it.
        logs.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        Some(&self.said)
    }

    /// A group of `len` bytes is on its way.
    pub(crate) fn note(
        &mut self,
        (seq, len): (u64, u32),
        ends: impl Iterator<Item = (LogId, Offset)>,
    ) {
        let mut logs = self.spare.pop().unwrap_or_default();
        logs.extend(ends);
        self.groups.push_back(Past {
            seq,
            start: self.position,
            logs,
        });
        self.position += u64::from(len);
    }
}

#[cfg(test)]
mod tests;
