//! Sets of offsets as sorted, disjoint ranges.
//!
//! Owns: [`Holes`].
//! Never: knows why an offset cannot be read.
//! Invariants: ranges are not empty, sorted, and neither overlap nor touch.
//! Source: reliability.md 2.6.

use std::ops::Range;

use model::offset::Offset;

/// Offsets of one log that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes {
    ranges: Vec<Range<Offset>>,
}

impl Holes {
    /// Adds a range; an empty one changes nothing. True if it was not wholly known.
    pub(crate) fn add(&mut self, from: Offset, upto: Offset) -> bool {
        if from >= upto || self.covers(from, upto) {
            return false;
        }
        let (mut start, mut end) = (from, upto);
        self.ranges.retain(|range| {
            let is_apart = range.end < from || upto < range.start;
            if !is_apart {
                start = start.min(range.start);
                end = end.max(range.end);
            }
            is_apart
        });
        let at = self.ranges.partition_point(|range| range.start < start);
        self.ranges.insert(at, start..end);
        true
    }

    /// Removes a range.
    pub(crate) fn remove(&mut self, from: Offset, upto: Offset) {
        if from >= upto {
            return;
        }
        let mut left = Vec::with_capacity(self.ranges.len() + 1);
        for range in self.ranges.drain(..) {
            let before = range.start..range.end.min(from);
            let after = range.start.max(upto)..range.end;
            left.extend(
                [before, after]
                    .into_iter()
                    .filter(|part| part.start < part.end),
            );
        }
        self.ranges = left;
    }

    /// Whether every offset of a range is in the set.
    pub(crate) fn covers(&self, from: Offset, upto: Offset) -> bool {
        from >= upto
            || self
                .ranges
                .iter()
                .any(|range| range.start <= from && upto <= range.end)
    }

    /// Whether any offset of a range is in the set.
    pub(crate) fn touches(&self, from: Offset, upto: Offset) -> bool {
        self.ranges
            .iter()
            .any(|range| range.start < upto && from < range.end)
    }

    /// End of the last range.
    pub(crate) fn end(&self) -> Option<Offset> {
        self.ranges.last().map(|range| range.end)
    }

    /// First offset from `from` on that is not in the set.
    pub(crate) fn skip(&self, from: Offset) -> Offset {
        let inside = self
            .ranges
            .iter()
            .find(|range| range.start <= from && from < range.end);
        inside.map_or(from, |range| range.end)
    }

    /// The ranges, sorted.
    pub(crate) fn ranges(&self) -> &[Range<Offset>] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests;
