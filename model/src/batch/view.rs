//! The 61-byte header of record batch v2, read and validated in place.
//!
//! Owns: [`BatchInfo`], what the broker needs to know of a batch without touching its records.
//! Never: looks at record contents; `records` does.
//! Invariants: a `BatchInfo` exists only for a batch whose magic, length, CRC32C and counts were checked.
//! Source: kafka.md 3.1, 3.2.

use bytes::Buf;

use crate::ids::{BatchSequence, ProducerEpoch, ProducerId};
use crate::limits;
use crate::offset::{LeaderEpoch, Offset};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;

/// The only magic there is.
pub(super) const MAGIC: u8 = 2;
/// Position of the leader epoch, right after the length field.
pub(super) const LENGTH_UPTO: usize = 12;
/// Position of the magic byte.
pub(super) const MAGIC_AT: usize = 16;
/// Position of the CRC, four bytes.
pub(super) const CRC_AT: usize = 17;
/// Position of the first byte that the CRC covers: the attributes.
pub(super) const CRC_FROM: usize = 21;
/// Position of the largest timestamp, eight bytes.
pub(super) const MAX_TIMESTAMP_AT: usize = 35;

pub(super) const CODEC_MASK: u8 = 0b111;
pub(super) const ATTRIBUTE_LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const ATTRIBUTE_TRANSACTIONAL: i16 = 1 << 4;
pub(super) const ATTRIBUTE_CONTROL: i16 = 1 << 5;

/// Length, attributes, two deltas, key, value and header counts of one byte each.
const RECORD_BYTES_MIN: i64 = 7;
const HEADER_BYTES_U32: u32 = 61;
const LENGTH_UPTO_U32: u32 = 12;
/// A batch travels in a frame; the lower limit of a topic is judged where the topic is known.
const TOTAL_MAX: u32 = 100 * 1024 * 1024;

const _: () = assert!(HEADER_BYTES_U32 as usize == HEADER_BYTES);
const _: () = assert!(LENGTH_UPTO_U32 as usize == LENGTH_UPTO);
const _: () = assert!(TOTAL_MAX as usize == limits::FRAME_BYTES_MAX);

/// How the records of a batch are compressed (attribute bits 0 to 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in xerial framing (or raw, which old clients send).
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Identity and sequence of an idempotent producer's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProducer {
    /// Producer id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record; `None` on control batches.
    pub base_sequence: Option<BatchSequence>,
}

/// What the header of one validated batch says. All of it was checked against the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// Whole length including the 12 bytes before and with the length field.
    pub bytes: u32,
    /// As stored in the bytes: 0 from a client, the assigned one in a log.
    pub base_offset: Offset,
    /// `None` if negative on the wire.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Last offset minus base offset.
    pub last_offset_delta: u32,
    /// Number of records; less than `last_offset_delta + 1` only after compaction.
    pub records: u32,
    /// Codec of the records.
    pub compression: Compression,
    /// Attribute bit 3: timestamps are the broker's append time.
    pub is_log_append_time: bool,
    /// Attribute bit 4.
    pub is_transactional: bool,
    /// Attribute bit 5.
    pub is_control: bool,
    /// Timestamp of the first record, ms; -1 means none.
    pub base_timestamp: i64,
    /// Largest timestamp as the header claims, ms; -1 means none.
    pub max_timestamp: i64,
    /// `None` if the producer id is negative.
    pub producer: Option<BatchProducer>,
    /// CRC32C as stored (covers attributes to end).
    pub crc: u32,
}

impl BatchInfo {
    /// Reads and fully checks the one batch at the front of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// Any [`BatchError`] but `BadRecord` and `BadPayload`: records are not walked.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let info = Self::parse_header(bytes)?;
        let total = info.len();
        let truncated = BatchError::Truncated {
            have: bytes.len(),
            need: total,
        };
        let covered = bytes.get(CRC_FROM..total).ok_or(truncated)?;
        let computed = crc32c::crc32c(covered);
        if computed != info.crc {
            return Err(BatchError::BadCrc {
                stored: info.crc,
                computed,
            });
        }
        Ok(info)
    }

    /// Reads and checks the header alone: neither the CRC nor that the records are present.
    ///
    /// For reading back from our log, where a checksum over the batch was already verified.
    ///
    /// # Errors
    /// Any [`BatchError`] but `BadCrc`, `BadRecord` and `BadPayload`.
    pub fn parse_header(bytes: &[u8]) -> Result<Self, BatchError> {
        check_magic(bytes)?;
        let total = total_len(bytes)?;
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(BatchError::Truncated {
                have: bytes.len(),
                need: HEADER_BYTES,
            })?;
        let raw = RawHeader::read(header);
        raw.check(total)?;
        let [_, codec_bits] = raw.attributes.to_be_bytes();
        let flag = |bit: i16| raw.attributes & bit != 0;
        Ok(Self {
            bytes: total,
            base_offset: Offset::from_wire(raw.base_offset)
                .ok_or(BatchError::Inconsistent("base offset is negative"))?,
            leader_epoch: LeaderEpoch::from_wire(raw.leader_epoch),
            last_offset_delta: u32::try_from(raw.last_offset_delta)
                .map_err(|_| BatchError::Inconsistent("last offset delta is negative"))?,
            records: u32::try_from(raw.records)
                .map_err(|_| BatchError::Inconsistent("record count is negative"))?,
            compression: Compression::from_wire(codec_bits & CODEC_MASK)?,
            is_log_append_time: flag(ATTRIBUTE_LOG_APPEND_TIME),
            is_transactional: flag(ATTRIBUTE_TRANSACTIONAL),
            is_control: flag(ATTRIBUTE_CONTROL),
            base_timestamp: raw.base_timestamp,
            max_timestamp: raw.max_timestamp,
            producer: raw.producer()?,
            crc: raw.crc,
        })
    }

    /// Checks what only a client's produce must obey; batches of a log may break it after compaction.
    ///
    /// # Errors
    /// [`BatchError::Inconsistent`] with the rule that is broken.
    pub const fn check_produced(&self) -> Result<(), BatchError> {
        if self.base_offset.get() != 0 {
            return Err(BatchError::Inconsistent(
                "base offset of a produced batch is not 0",
            ));
        }
        if self.is_control {
            return Err(BatchError::Inconsistent(
                "clients may not write control batches",
            ));
        }
        if self.is_log_append_time {
            return Err(BatchError::Inconsistent(
                "clients may not claim log append time",
            ));
        }
        // `parse_header` bounds both, the sum does not wrap.
        if self.records == 0 || self.records != self.last_offset_delta + 1 {
            return Err(BatchError::Inconsistent(
                "record count of a produced batch is not last offset delta plus 1",
            ));
        }
        match self.producer {
            None if self.is_transactional => Err(BatchError::Inconsistent(
                "transactional batch has no producer id",
            )),
            Some(BatchProducer {
                base_sequence: None,
                ..
            }) => Err(BatchError::Inconsistent(
                "batch has a producer id but no base sequence",
            )),
            None | Some(_) => Ok(()),
        }
    }

    /// Whole length in bytes, as a `usize`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes as usize
    }

    /// True if no record is left, which compaction does to a producer's last batch.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Offset of the last record of this batch as the header stands.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset::new(self.base_offset.get() + u64::from(self.last_offset_delta))
    }

    /// First offset after this batch: where the next one begins.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.last_offset().next()
    }
}

/// Checks what only a client's produce must obey; see [`BatchInfo::check_produced`].
///
/// # Errors
/// [`BatchError::Inconsistent`] with the rule that is broken.
pub const fn check_produced(info: &BatchInfo) -> Result<(), BatchError> {
    info.check_produced()
}

/// Whole length of the batch whose first bytes these are; `None` below 12 bytes or if the field is impossible.
#[must_use]
pub fn batch_len(bytes: &[u8]) -> Option<usize> {
    total_len(bytes).ok().map(|total| total as usize)
}

/// The batches that lie one after another in a slice; stops after the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// Over all batches in `bytes`, each fully checked.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchInfo, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        Some(BatchInfo::parse(bytes).and_then(|info| {
            let truncated = BatchError::Truncated {
                have: bytes.len(),
                need: info.len(),
            };
            let (batch, rest) = bytes.split_at_checked(info.len()).ok_or(truncated)?;
            self.rest = rest;
            Ok((info, batch))
        }))
    }
}

impl std::iter::FusedIterator for Batches<'_> {}

/// Message sets v0 and v1 have their magic at the same place, so it is judged before anything else.
fn check_magic(bytes: &[u8]) -> Result<(), BatchError> {
    match bytes.get(MAGIC_AT) {
        Some(&MAGIC) => Ok(()),
        Some(&other) => Err(BatchError::BadMagic(other.cast_signed())),
        None => Err(BatchError::Truncated {
            have: bytes.len(),
            need: HEADER_BYTES,
        }),
    }
}

fn total_len(bytes: &[u8]) -> Result<u32, BatchError> {
    let field = bytes
        .first_chunk::<LENGTH_UPTO>()
        .and_then(|prefix| prefix.last_chunk::<4>())
        .ok_or(BatchError::Truncated {
            have: bytes.len(),
            need: LENGTH_UPTO,
        })?;
    let length = i32::from_be_bytes(*field);
    u32::try_from(length)
        .ok()
        .and_then(|after| after.checked_add(LENGTH_UPTO_U32))
        .filter(|total| (HEADER_BYTES_U32..=TOTAL_MAX).contains(total))
        .ok_or(BatchError::BadLength(length))
}

/// The fields as they are on the wire.
struct RawHeader {
    base_offset: i64,
    leader_epoch: i32,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    records: i32,
}

impl RawHeader {
    fn read(header: &[u8; HEADER_BYTES]) -> Self {
        // The gets below take exactly the 61 bytes of the array, so none can run short.
        let mut fields = header.as_slice();
        let base_offset = fields.get_i64();
        fields.advance(4);
        let leader_epoch = fields.get_i32();
        fields.advance(1);
        Self {
            base_offset,
            leader_epoch,
            crc: fields.get_u32(),
            attributes: fields.get_i16(),
            last_offset_delta: fields.get_i32(),
            base_timestamp: fields.get_i64(),
            max_timestamp: fields.get_i64(),
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            base_sequence: fields.get_i32(),
            records: fields.get_i32(),
        }
    }

    /// What fields must not say of each other, for a batch of `total` bytes.
    fn check(&self, total: u32) -> Result<(), BatchError> {
        let records = i64::from(self.records);
        if records > i64::from(limits::BATCH_RECORDS_MAX) {
            return Err(BatchError::Inconsistent("record count exceeds the limit"));
        }
        if records > i64::from(self.last_offset_delta) + 1 {
            return Err(BatchError::Inconsistent("more records than offsets"));
        }
        if self.last_offset_delta == i32::MAX {
            return Err(BatchError::Inconsistent(
                "last offset delta exceeds the limit",
            ));
        }
        // Half of the offset space is out of reach of any log and keeps later sums from wrapping.
        if self.base_offset > i64::MAX / 2 {
            return Err(BatchError::Inconsistent("base offset exceeds the limit"));
        }
        let payload = i64::from(total - HEADER_BYTES_U32);
        let is_plain = self.attributes & i16::from(CODEC_MASK) == 0;
        if is_plain && records * RECORD_BYTES_MIN > payload {
            return Err(BatchError::Inconsistent(
                "more records than the bytes can hold",
            ));
        }
        if records > 0 && payload == 0 {
            return Err(BatchError::Inconsistent("records are missing"));
        }
        if is_plain && records == 0 && payload > 0 {
            return Err(BatchError::Inconsistent(
                "bytes after a batch without records",
            ));
        }
        Ok(())
    }

    fn producer(&self) -> Result<Option<BatchProducer>, BatchError> {
        let Ok(id) = u64::try_from(self.producer_id) else {
            return Ok(None);
        };
        let epoch = u16::try_from(self.producer_epoch)
            .map_err(|_| BatchError::Inconsistent("batch has a producer id but no epoch"))?;
        Ok(Some(BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: u32::try_from(self.base_sequence)
                .ok()
                .map(BatchSequence::new),
        }))
    }
}

/// Why bytes are not an acceptable record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header or than its length field says.
    #[error("batch of {have} bytes needs {need}")]
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// The length field is impossible.
    #[error("batch length field {0} is out of range")]
    BadLength(i32),
    /// Only v2 exists here.  spec: kafka.md 3.4
    #[error("batch magic {0} is not supported, only 2 is")]
    BadMagic(i8),
    /// Bytes from attributes on do not match the CRC.
    #[error("batch crc is {stored:#010x}, its bytes give {computed:#010x}")]
    BadCrc {
        /// In the header.
        stored: u32,
        /// Over the bytes.
        computed: u32,
    },
    /// Unknown codec number.
    #[error("unknown compression codec {0}")]
    BadCompression(u8),
    /// Count, deltas, sequence or sign of a header field contradict each other.
    #[error("batch header is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// A record inside does not parse or contradicts the header.
    #[error("record {index} is malformed: {why}")]
    BadRecord {
        /// Index of the record in the batch.
        index: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// Decompression failed or exceeded its bound.
    #[error("batch does not decompress: {0}")]
    BadPayload(&'static str),
}

#[cfg(test)]
mod tests;
