//! The records inside a batch, read without copying them.
//!
//! Owns: [`Records`], [`Record`], [`Headers`].
//! Never: allocates per record; decompresses beyond [`limits::DECOMPRESSED_BYTES_MAX`].
//! Invariants: an iteration that ends without error saw exactly the header's count, with rising offset
//! deltas within the header's, and no byte left over.
//! Source: KIP-98, kafka.md 3.2.

use super::codec;
use super::varint::{take_i32, take_i64};
use super::view::{BatchError, BatchInfo, Compression, HEADER_BYTES};
use crate::limits;
use crate::offset::Offset;

/// One record; its parts point into the batch or into the decompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset minus the batch's base offset.
    pub offset_delta: u32,
    /// Timestamp minus the batch's base timestamp, ms; may be negative.
    pub timestamp_delta: i64,
    /// `None` is a null key, which differs from an empty one.
    pub key: Option<&'a [u8]>,
    /// `None` is a null value: a tombstone for compaction.
    pub value: Option<&'a [u8]>,
    /// Application headers in their order, duplicates included.
    pub headers: Headers<'a>,
    /// The whole record with its length field, byte for byte.
    pub raw: &'a [u8],
}

impl Record<'_> {
    /// Offset of this record in the partition.
    #[must_use]
    pub fn offset(&self, batch: &BatchInfo) -> Offset {
        Offset::new(batch.base_offset.get() + u64::from(self.offset_delta))
    }

    /// Timestamp of this record, ms since the Unix epoch; -1 means none. Under log-append time it is the batch's.
    #[must_use]
    pub const fn timestamp(&self, batch: &BatchInfo) -> i64 {
        if batch.is_log_append_time {
            batch.max_timestamp
        } else {
            batch.base_timestamp.saturating_add(self.timestamp_delta)
        }
    }
}

/// Headers of one record: key bytes (UTF-8 by convention, not checked) and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // The record was walked before it was handed out: this cannot end early.
        take_header(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl std::iter::FusedIterator for Headers<'_> {}

/// Iterates over the records of one batch, checking as it goes; stops after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u32,
    count: u32,
    /// Smallest offset delta the next record may have.
    delta_min: u32,
    /// Largest offset delta any record may have.
    delta_max: u32,
    is_done: bool,
}

impl<'a> Records<'a> {
    /// The records of `batch`, which `info` was parsed from; compressed ones are decompressed into `scratch`.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] if `batch` is shorter than `info` says, [`BatchError::BadPayload`] if it does
    /// not decompress or exceeds [`limits::DECOMPRESSED_BYTES_MAX`].
    pub fn open(
        batch: &'a [u8],
        info: &BatchInfo,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Self, BatchError> {
        Self::open_within(batch, info, scratch, limits::DECOMPRESSED_BYTES_MAX)
    }

    /// As [`Self::open`], with a bound of the caller's on what the records may decompress to.
    ///
    /// # Errors
    /// As [`Self::open`]; [`BatchError::BadPayload`] beyond `bytes_max`.
    pub fn open_within(
        batch: &'a [u8],
        info: &BatchInfo,
        scratch: &'a mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Self, BatchError> {
        let truncated = BatchError::Truncated {
            have: batch.len(),
            need: info.len(),
        };
        let payload = batch.get(HEADER_BYTES..info.len()).ok_or(truncated)?;
        // Compaction may leave a batch without any bytes but its codec bits.
        let rest = if info.compression == Compression::None || payload.is_empty() {
            payload
        } else {
            let limit = bytes_max.min(limits::DECOMPRESSED_BYTES_MAX);
            codec::decompress(info.compression, payload, scratch, limit)?;
            scratch.as_slice()
        };
        Ok(Self {
            rest,
            index: 0,
            count: info.records,
            delta_min: 0,
            delta_max: info.last_offset_delta,
            is_done: false,
        })
    }

    /// Index of the record that [`Iterator::next`] gives next.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// First of the remaining records whose timestamp is at least `target` ms.
    ///
    /// # Errors
    /// [`BatchError::BadRecord`] if a record before it is malformed.
    pub fn find_timestamp(
        self,
        batch: &BatchInfo,
        target: i64,
    ) -> Result<Option<Record<'a>>, BatchError> {
        for record in self {
            let record = record?;
            if record.timestamp(batch) >= target {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn take_record(&mut self) -> Result<Record<'a>, &'static str> {
        let start = self.rest;
        let mut rest = start;
        let body = take_sized(&mut rest)
            .ok_or("length field is malformed or exceeds the batch")?
            .ok_or("length field is negative")?;
        let raw = start
            .get(..start.len() - rest.len())
            .ok_or("length field is malformed")?;
        let record = parse_body(body, raw)?;
        if record.offset_delta < self.delta_min {
            return Err("offset delta does not rise");
        }
        if record.offset_delta > self.delta_max {
            return Err("offset delta exceeds the last of the header");
        }
        self.rest = rest;
        self.delta_min = record.offset_delta + 1;
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let index = self.index;
        if index == self.count {
            self.is_done = true;
            let why = "bytes are left after the last record";
            return (!self.rest.is_empty()).then_some(Err(BatchError::BadRecord { index, why }));
        }
        let taken = self
            .take_record()
            .map_err(|why| BatchError::BadRecord { index, why });
        match taken {
            Ok(_) => self.index += 1,
            Err(_) => self.is_done = true,
        }
        Some(taken)
    }
}

impl std::iter::FusedIterator for Records<'_> {}

fn parse_body<'a>(mut body: &'a [u8], raw: &'a [u8]) -> Result<Record<'a>, &'static str> {
    let (_attributes, rest) = body.split_first().ok_or("attributes are missing")?;
    body = rest;
    let timestamp_delta = take_i64(&mut body).ok_or("timestamp delta is malformed")?;
    let offset_delta = take_i32(&mut body)
        .and_then(|delta| u32::try_from(delta).ok())
        .ok_or("offset delta is malformed or negative")?;
    let key = take_sized(&mut body).ok_or("key is malformed")?;
    let value = take_sized(&mut body).ok_or("value is malformed")?;
    let headers = take_i32(&mut body)
        .and_then(|count| u32::try_from(count).ok())
        .ok_or("header count is malformed or negative")?;
    let headers = Headers {
        rest: body,
        left: headers,
    };
    for _ in 0..headers.left {
        take_header(&mut body).ok_or("header is malformed")?;
    }
    if !body.is_empty() {
        return Err("bytes are left inside the record");
    }
    Ok(Record {
        offset_delta,
        timestamp_delta,
        key,
        value,
        headers,
        raw,
    })
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = take_sized(bytes)??;
    let value = take_sized(bytes)?;
    Some((key, value))
}

/// Takes a length and as many bytes; inner `None` for length -1, outer for anything impossible.
#[expect(
    clippy::option_option,
    reason = "malformed and null are different outcomes"
)]
fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_i32(bytes)?;
    if length == -1 {
        return Some(None);
    }
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(taken))
}

#[cfg(test)]
mod tests;
