//! Walks every record of a batch to check what its header alone cannot show.
//!
//! Owns: [`deep_check`], the same within a caller's bound, and their result.
//! Never: judges a topic's policy beyond the key rule it is given.
//! Invariants: `Ok` means that the batch decompresses within bounds and every record parses.
//! Source: kafka.md 3.2 ("deep" policy), 3.6.

use super::records::Records;
use super::view::{BatchError, BatchInfo};
use crate::limits;

/// Records without key that are listed at most; a client needs the first few to see its mistake.
pub const KEYLESS_LISTED_MAX: usize = 1_000;

/// Whether records must have keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// Any record will do.
    Optional,
    /// The topic is compacted: records without key are listed.
    Required,
}

/// What walking the records showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeepCheck {
    /// Largest timestamp of the records, ms; -1 means that none has one.
    pub max_timestamp: i64,
    /// Offset delta of the first record with the largest timestamp.
    pub max_timestamp_delta: u32,
    /// Smallest timestamp of the records that have one, ms; -1 means that none has one.
    pub min_timestamp: i64,
    /// Indexes of records without key, the first [`KEYLESS_LISTED_MAX`]; empty under [`KeyRule::Optional`].
    pub keyless: Vec<u32>,
}

impl DeepCheck {
    /// True if no record breaks the key rule.
    #[must_use]
    pub const fn has_required_keys(&self) -> bool {
        self.keyless.is_empty()
    }
}

/// Walks every record of `batch`, which `info` was parsed from.
///
/// # Errors
/// [`BatchError::BadPayload`], [`BatchError::BadRecord`], [`BatchError::Truncated`].
/// Records without key are no error here: the caller answers them one by one.
pub fn deep_check(batch: &[u8], info: &BatchInfo, keys: KeyRule) -> Result<DeepCheck, BatchError> {
    deep_check_within(batch, info, keys, limits::DECOMPRESSED_BYTES_MAX)
}

/// As [`deep_check`], with a bound of the caller's on what the records may decompress to.
///
/// # Errors
/// As [`deep_check`]; [`BatchError::BadPayload`] beyond `bytes_max`.
pub fn deep_check_within(
    batch: &[u8],
    info: &BatchInfo,
    keys: KeyRule,
    bytes_max: usize,
) -> Result<DeepCheck, BatchError> {
    let mut scratch = Vec::new();
    let mut found = DeepCheck {
        max_timestamp: -1,
        max_timestamp_delta: 0,
        min_timestamp: -1,
        keyless: Vec::new(),
    };
    for (index, record) in
        (0_u32..).zip(Records::open_within(batch, info, &mut scratch, bytes_max)?)
    {
        let record = record?;
        let timestamp = record.timestamp(info);
        if timestamp > found.max_timestamp {
            found.max_timestamp = timestamp;
            found.max_timestamp_delta = record.offset_delta;
        }
        if timestamp >= 0 && (found.min_timestamp < 0 || timestamp < found.min_timestamp) {
            found.min_timestamp = timestamp;
        }
        let is_listed = keys == KeyRule::Required && record.key.is_none();
        if is_listed && found.keyless.len() < KEYLESS_LISTED_MAX {
            found.keyless.push(index);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
