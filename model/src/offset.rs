//! Positions in a log and generations of its leadership.
//!
//! Owns: [`Offset`], [`LeaderEpoch`].
//! Never: holds wire sentinels; `-1` and `-2` become `Option` or an enum in `kafka`.
//! Invariants: offsets fit an `i64`; ranges are half-open, inclusive ends are called `last`.
//! Source: style.md rules 7, 8; KIP-101.

use std::fmt;

/// Position of a record in one partition. Dense, starts at zero, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Offset(u64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);
    /// The largest offset that fits the wire's `i64`.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Wraps a plain number.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// From the wire; `None` if negative.
    #[must_use]
    pub const fn from_wire(value: i64) -> Option<Self> {
        if value < 0 {
            None
        } else {
            Some(Self(value.cast_unsigned()))
        }
    }

    /// For the wire.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        self.0.cast_signed()
    }

    /// The offset `count` records later, or `None` past the end of the offset space.
    #[must_use]
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(sum) if sum <= Self::MAX.0 => Some(Self(sum)),
            _ => None,
        }
    }

    /// The next offset.
    ///
    /// # Panics
    /// At the end of the offset space, which 2^63 records never reach.
    #[must_use]
    pub const fn next(self) -> Self {
        assert!(self.0 < Self::MAX.0, "offset space exhausted");
        Self(self.0 + 1)
    }

    /// How many offsets lie in `self..upto`; zero if `upto` is not above `self`.
    #[must_use]
    pub const fn distance(self, upto: Self) -> u64 {
        upto.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Generation of a partition's leadership; at most `i32::MAX` on the wire.  spec: KIP-101
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LeaderEpoch(u32);

impl LeaderEpoch {
    /// The first epoch of a new partition.
    pub const ZERO: Self = Self(0);

    /// Wraps a plain number.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// From the wire; `None` if negative.
    #[must_use]
    pub const fn from_wire(value: i32) -> Option<Self> {
        if value < 0 {
            None
        } else {
            Some(Self(value.cast_unsigned()))
        }
    }

    /// For the wire.
    #[must_use]
    pub const fn to_wire(self) -> i32 {
        self.0.cast_signed()
    }

    /// The epoch after this one.
    ///
    /// # Panics
    /// At `i32::MAX`, after two thousand million leader changes.
    #[must_use]
    pub const fn next(self) -> Self {
        assert!(self.0 < i32::MAX as u32, "leader epochs exhausted");
        Self(self.0 + 1)
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
