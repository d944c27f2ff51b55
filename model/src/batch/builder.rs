//! Builds record batches: offset records, markers, what the command line produces, and tests.
//!
//! Owns: [`BatchBuilder`], [`NewRecord`].
//! Never: re-encodes a client's batch.
//! Invariants: what it builds passes `BatchInfo::parse` and iterates back to the same records.
//! Source: KIP-98, kafka.md 3.1.

use bytes::{BufMut, BytesMut};

use super::codec;
use super::varint::{len_i64, put_i64};
use super::view::{
    ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, BatchError, BatchProducer, CRC_AT, CRC_FROM,
    Compression, HEADER_BYTES, LENGTH_UPTO, MAGIC,
};
use crate::limits;

/// One record to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Milliseconds since the Unix epoch; -1 means none.
    pub timestamp_ms: i64,
    /// `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// `None` is a null value: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Application headers.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl<'a> NewRecord<'a> {
    /// A record with a value only.
    #[must_use]
    pub const fn value(timestamp_ms: i64, value: &'a [u8]) -> Self {
        Self {
            timestamp_ms,
            key: None,
            value: Some(value),
            headers: &[],
        }
    }

    /// A record with key and value.
    #[must_use]
    pub const fn keyed(timestamp_ms: i64, key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            timestamp_ms,
            key: Some(key),
            value: Some(value),
            headers: &[],
        }
    }

    /// A record that deletes its key under compaction.
    #[must_use]
    pub const fn tombstone(timestamp_ms: i64, key: &'a [u8]) -> Self {
        Self {
            timestamp_ms,
            key: Some(key),
            value: None,
            headers: &[],
        }
    }
}

/// Collects records and gives one batch with base offset 0 and no leader epoch, ready to be stamped.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records uncompressed.
    buffer: BytesMut,
    base_timestamp: i64,
    max_timestamp: i64,
    producer: Option<BatchProducer>,
    compression: Compression,
    flags: i16,
    records: u32,
    /// Offset delta that the next record gets.
    next_delta: u32,
}

impl BatchBuilder {
    /// An empty batch of a plain producer, not compressed. Record timestamps are stored relative to
    /// `base_timestamp`, ms; the first record's is the usual choice.
    #[must_use]
    pub fn new(base_timestamp: i64) -> Self {
        Self {
            buffer: BytesMut::zeroed(HEADER_BYTES),
            base_timestamp,
            max_timestamp: -1,
            producer: None,
            compression: Compression::None,
            flags: 0,
            records: 0,
            next_delta: 0,
        }
    }

    /// Of an idempotent producer.
    #[must_use]
    pub const fn producer(mut self, producer: BatchProducer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// Compressed by `compression` when built.
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Part of a transaction (attribute bit 4).
    #[must_use]
    pub const fn transactional(mut self) -> Self {
        self.flags |= ATTRIBUTE_TRANSACTIONAL;
        self
    }

    /// A control batch (attribute bit 5).
    #[must_use]
    pub const fn control(mut self) -> Self {
        self.flags |= ATTRIBUTE_CONTROL;
        self
    }

    /// Records so far.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the batch so far, uncompressed, header included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Appends a record at the next offset delta.
    ///
    /// # Errors
    /// [`BatchError::Inconsistent`] if the batch would exceed [`limits::BATCH_BYTES_MAX`] or
    /// [`limits::BATCH_RECORDS_MAX`]; the builder is as it was.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BatchError> {
        self.push_at(self.next_delta, record)
    }

    /// Appends a record at `offset_delta`, leaving a gap as compaction does.
    ///
    /// # Errors
    /// As [`Self::push`], and if `offset_delta` does not rise.
    pub fn push_at(&mut self, offset_delta: u32, record: &NewRecord<'_>) -> Result<(), BatchError> {
        if offset_delta < self.next_delta || offset_delta >= i32::MAX.cast_unsigned() {
            return Err(BatchError::Inconsistent(
                "offset delta does not rise or is too large",
            ));
        }
        if self.records >= limits::BATCH_RECORDS_MAX {
            return Err(BatchError::Inconsistent("batch is full: too many records"));
        }
        let timestamp_delta = record.timestamp_ms.saturating_sub(self.base_timestamp);
        let body = body_len(timestamp_delta, offset_delta, record);
        let total = self
            .buffer
            .len()
            .saturating_add(body)
            .saturating_add(len_i64(wide(body)));
        if total > limits::BATCH_BYTES_MAX as usize {
            return Err(BatchError::Inconsistent("batch is full: too many bytes"));
        }
        self.buffer.reserve(total - self.buffer.len());
        put_i64(&mut self.buffer, wide(body));
        put_body(&mut self.buffer, timestamp_delta, offset_delta, record);
        debug_assert_eq!(self.buffer.len(), total, "record is as long as announced");
        self.records += 1;
        self.next_delta = offset_delta + 1;
        self.max_timestamp = self.max_timestamp.max(record.timestamp_ms);
        Ok(())
    }

    /// Makes the batch reach to `last_offset_delta` at least, as one does whose last records were compacted away.
    ///
    /// # Panics
    /// If `last_offset_delta` is `i32::MAX` or more.
    #[must_use]
    pub fn reaching(mut self, last_offset_delta: u32) -> Self {
        assert!(
            last_offset_delta < i32::MAX.cast_unsigned(),
            "offset deltas are below i32::MAX"
        );
        self.next_delta = self.next_delta.max(last_offset_delta + 1);
        self
    }

    /// The finished batch. If the codec fails, which none does on memory, it is stored uncompressed.
    #[must_use]
    pub fn build(mut self) -> BytesMut {
        if self.compression != Compression::None && self.records > 0 {
            self.compress();
        } else {
            self.compression = Compression::None;
        }
        let header = self.header();
        if let Some(room) = self.buffer.first_chunk_mut::<HEADER_BYTES>() {
            *room = header;
        }
        let crc = crc32c::crc32c(self.buffer.get(CRC_FROM..).unwrap_or_default());
        if let Some(field) = self.buffer.get_mut(CRC_AT..CRC_FROM) {
            field.copy_from_slice(&crc.to_be_bytes());
        }
        self.buffer
    }

    fn compress(&mut self) {
        let plain = self.buffer.get(HEADER_BYTES..).unwrap_or_default();
        let mut compressed = Vec::new();
        if codec::compress(self.compression, plain, &mut compressed).is_err() {
            self.compression = Compression::None;
            return;
        }
        self.buffer.truncate(HEADER_BYTES);
        self.buffer.extend_from_slice(&compressed);
    }

    /// Everything but the CRC, which stays zero.
    fn header(&self) -> [u8; HEADER_BYTES] {
        let producer = self.producer;
        let id = producer.map_or(-1, |known| known.id.get().cast_signed());
        let epoch = producer.map_or(-1, |known| known.epoch.get().cast_signed());
        let sequence = producer
            .and_then(|known| known.base_sequence)
            .map_or(-1, |sequence| sequence.get().cast_signed());
        let after_length = i32::try_from(self.buffer.len() - LENGTH_UPTO).unwrap_or(i32::MAX);
        let last_delta = self.next_delta.saturating_sub(1);
        let mut header = [0; HEADER_BYTES];
        let mut room = header.as_mut_slice();
        room.put_i64(0);
        room.put_i32(after_length);
        room.put_i32(-1);
        room.put_u8(MAGIC);
        room.put_u32(0);
        room.put_i16(self.flags | i16::from(self.compression.to_wire()));
        room.put_u32(last_delta);
        room.put_i64(self.base_timestamp);
        room.put_i64(self.max_timestamp);
        room.put_i64(id);
        room.put_i16(epoch);
        room.put_i32(sequence);
        room.put_u32(self.records);
        header
    }
}

fn body_len(timestamp_delta: i64, offset_delta: u32, record: &NewRecord<'_>) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(key, value)| sized_len(Some(key)).saturating_add(sized_len(*value)))
        .fold(0, usize::saturating_add);
    [
        1,
        len_i64(timestamp_delta),
        len_i64(i64::from(offset_delta)),
        sized_len(record.key),
        sized_len(record.value),
        len_i64(wide(record.headers.len())),
        headers,
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

fn put_body(out: &mut BytesMut, timestamp_delta: i64, offset_delta: u32, record: &NewRecord<'_>) {
    out.put_u8(0);
    put_i64(out, timestamp_delta);
    put_i64(out, i64::from(offset_delta));
    put_sized(out, record.key);
    put_sized(out, record.value);
    put_i64(out, wide(record.headers.len()));
    for (key, value) in record.headers {
        put_sized(out, Some(key));
        put_sized(out, *value);
    }
}

fn sized_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| {
        len_i64(wide(bytes.len())).saturating_add(bytes.len())
    })
}

fn put_sized(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_i64(out, -1),
        Some(bytes) => {
            put_i64(out, wide(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

/// Lengths are bounded by the address space, far below `i64::MAX`.
fn wide(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
