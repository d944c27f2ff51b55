//! What an operator must hear of the device, and the limits that decide it.
//!
//! Owns: [`Alarm`], [`SpaceLevel`], [`SpaceLimits`], [`StallLimits`].
//! Never: logs anything; the shell does.
//! Invariants: a level holds all limits above it: what is full is scarce and low, too.
//! Source: reliability.md 2.7, ADR-0011.

use std::time::Duration;

/// Something about the device that an operator must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Free space reached another level, for worse or for better.
    Space {
        /// The level now.
        level: SpaceLevel,
        /// Bytes free for this process.
        free: u64,
        /// Bytes of the file system in all.
        total: u64,
    },
    /// A write is on its way for so long that the device counts as unfit.
    Stalled {
        /// How long at least.
        waited: Duration,
    },
    /// All writes that had been on their way for so long came back.
    StallOver,
}

/// How scarce free space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceLevel {
    /// There is enough.
    Ample,
    /// An operator should make room.
    Low,
    /// What retention allows to delete is looked for at once; little is prepared ahead.
    Scarce,
    /// Appends are refused.
    Full,
}

/// One limit of free space: below the share of the device, unless there are enough bytes all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLimit {
    /// Free bytes per thousand of the whole...
    pub permille: u64,
    /// ...but never while at least this many bytes are free: 5 % of a large device are much.
    pub bytes_enough: u64,
}

impl SpaceLimit {
    /// Whether there is less than the limit.
    #[must_use]
    pub fn is_crossed(self, free: u64, total: u64) -> bool {
        let share = u128::from(free) * 1_000 < u128::from(total) * u128::from(self.permille);
        share && free < self.bytes_enough
    }
}

/// The limits of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLimits {
    /// Below: [`SpaceLevel::Low`].
    pub low: SpaceLimit,
    /// Below: [`SpaceLevel::Scarce`].
    pub scarce: SpaceLimit,
    /// Below: [`SpaceLevel::Full`].
    pub full: SpaceLimit,
}

impl Default for SpaceLimits {
    fn default() -> Self {
        let limit = |percent: u64| SpaceLimit {
            permille: percent * 10,
            bytes_enough: percent << 30,
        };
        Self {
            low: limit(15),
            scarce: limit(8),
            full: limit(5),
        }
    }
}

impl SpaceLimits {
    /// The level for so many free bytes of so many in all.
    #[must_use]
    pub fn level(&self, free: u64, total: u64) -> SpaceLevel {
        if self.full.is_crossed(free, total) {
            SpaceLevel::Full
        } else if self.scarce.is_crossed(free, total) {
            SpaceLevel::Scarce
        } else if self.low.is_crossed(free, total) {
            SpaceLevel::Low
        } else {
            SpaceLevel::Ample
        }
    }
}

/// How long a write may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallLimits {
    /// From then on the device counts as unfit.
    pub unfit: Duration,
    /// From then on the device is fenced: the process ends (A10).
    pub fence: Duration,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self {
            unfit: Duration::from_secs(2),
            fence: Duration::from_secs(30),
        }
    }
}
