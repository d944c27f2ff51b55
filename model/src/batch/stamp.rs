//! The few header fields that the broker writes into a batch of a client, in place.
//!
//! Owns: base offset, leader epoch, the change to log-append time, and the largest timestamp.
//! Never: touches records; grows or shrinks the batch.
//! Invariants: a batch whose CRC matched before still matches after, one that did not still does not.
//! Source: kafka.md 3.1, 3.5.

use super::crc::behind_zeros;
use super::view::{
    ATTRIBUTE_LOG_APPEND_TIME, CRC_AT, CRC_FROM, HEADER_BYTES, LENGTH_UPTO, MAGIC_AT,
    MAX_TIMESTAMP_AT,
};
use crate::limits::FRAME_BYTES_MAX;
use crate::offset::{LeaderEpoch, Offset};

/// Writes the assigned base offset (bytes 0 to 8) and leader epoch (12 to 16); neither is under the CRC.
///
/// # Panics
/// If `batch` is shorter than a header: it was not parsed before.
pub fn stamp_offset_epoch(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
    assert!(
        batch.len() >= HEADER_BYTES,
        "only a parsed batch is stamped"
    );
    if let Some(field) = batch.first_chunk_mut::<8>() {
        *field = base.to_wire().to_be_bytes();
    }
    if let Some(field) = batch.get_mut(LENGTH_UPTO..MAGIC_AT) {
        field.copy_from_slice(&epoch.to_wire().to_be_bytes());
    }
}

/// Sets attribute bit 3 and the largest timestamp, in milliseconds since the Unix epoch, and corrects the CRC.
///
/// # Panics
/// If `batch` is shorter than a header or longer than a frame: it was not parsed before.
pub fn stamp_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    stamp_time(batch, ATTRIBUTE_LOG_APPEND_TIME, timestamp_ms);
}

/// Sets the largest timestamp, in milliseconds since the Unix epoch, to what the records were found to say, and
/// corrects the CRC.
///
/// # Panics
/// As [`stamp_log_append_time`].
pub fn stamp_max_timestamp(batch: &mut [u8], timestamp_ms: i64) {
    stamp_time(batch, 0, timestamp_ms);
}

/// The records are not read: the CRC is linear, so the difference that the header's change makes is moved
/// behind the records and added to the stored value.
fn stamp_time(batch: &mut [u8], attribute: i16, timestamp_ms: i64) {
    assert!(
        batch.len() >= HEADER_BYTES,
        "only a parsed batch is stamped"
    );
    assert!(
        batch.len() <= LENGTH_UPTO + FRAME_BYTES_MAX,
        "a batch travels in one frame"
    );
    let (header, records) = batch.split_at_mut(HEADER_BYTES);
    let covered = header.split_at_mut(CRC_FROM);
    let before = crc32c::crc32c(covered.1);
    if let Some(attributes) = covered.1.first_chunk_mut::<2>() {
        let flags = i16::from_be_bytes(*attributes) | attribute;
        *attributes = flags.to_be_bytes();
    }
    let at = MAX_TIMESTAMP_AT - CRC_FROM;
    if let Some(field) = covered.1.get_mut(at..at + 8) {
        field.copy_from_slice(&timestamp_ms.to_be_bytes());
    }
    let after = crc32c::crc32c(covered.1);
    let behind = u32::try_from(records.len()).unwrap_or(u32::MAX);
    if let Some(field) = covered
        .0
        .get_mut(CRC_AT..)
        .and_then(<[u8]>::first_chunk_mut::<4>)
    {
        let stored = u32::from_be_bytes(*field);
        let corrected = stored ^ behind_zeros(before ^ after, behind);
        *field = corrected.to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
