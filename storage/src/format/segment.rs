//! Segment files: two copies of the header block, then groups of batches.
//!
//! Owns: the file header and the 128-byte group header.
//! Never: changes a batch.
//! Invariants: groups start at block 2, each on a block; a group holds one or more RecordBatch v2 back to
//! back, verbatim; padding is zero; group numbers rise by one from 0.
//! Source: reliability.md 2.2.

use bytes::Bytes;
use model::batch::crc_with_batch;
use model::ids::{PartitionId, TopicId, TopicPartition};
use model::limits::BLOCK_BYTES;
use model::offset::{LeaderEpoch, Offset};

use super::cursor::{Reader, Writer, check_kind, seal_in_place, unseal};
use super::frame::EncodedGroup;
use super::{FORMAT_VERSION, FormatError, Uid, round_up};
use crate::io::Pieces;
use crate::store::LogId;

const MAGIC: &[u8; 8] = b"RMQSEGMT";
const GROUP_MAGIC: [u8; 4] = *b"RMQG";
const WHAT: &str = "segment header";
const GROUP: &str = "segment group";

/// Bytes of a group's header.
pub const GROUP_HEADER_BYTES: usize = 128;

/// Position of the first group: behind both copies of the header.
pub const FIRST_GROUP_POSITION: u64 = 2 * BLOCK_BYTES as u64;

/// How far behind the start of a missing group the next one begins at most, bytes: a second group of a log is written
/// beside one on its way only if that one is no longer than this.
///
/// `longest` is the longest durable group before them in the segment, bytes with padding.
#[must_use]
pub const fn reach(longest: u64) -> u64 {
    if longest > REACH_BYTES_MIN {
        longest
    } else {
        REACH_BYTES_MIN
    }
}

/// [`reach`] of a segment without groups.
const REACH_BYTES_MIN: u64 = 64 * 1024;

/// Bytes of one group's payload at most.
pub const PAYLOAD_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Blocks 0 and 1 of a segment, identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// This file.
    pub uid: Uid,
    /// Whose records.
    pub tp: TopicPartition,
    /// First offset that may be in it.
    pub base: Offset,
    /// Wall clock at creation, ms.
    pub created_ms: i64,
    /// Which log, so that a file of a dropped log is not taken for one of its successor.
    pub log: LogId,
    /// What the writer keeps to.
    pub flags: u32,
}

impl SegmentHeader {
    /// One header block; write it twice.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(BLOCK_BYTES);
        self.encode_into(&mut writer);
        writer.finish()
    }

    /// As [`Self::encode`], in place of what a writer holds.
    pub fn encode_into(&self, writer: &mut Writer) {
        writer.clear();
        writer
            .bytes(MAGIC)
            .u32(FORMAT_VERSION)
            .u32(self.flags)
            .bytes(&self.uid);
        writer
            .bytes(self.tp.topic.as_bytes())
            .u32(self.tp.partition.get())
            .u32(0);
        writer
            .u64(self.base.get())
            .i64(self.created_ms)
            .u64(self.log.0);
        seal_in_place(writer, BLOCK_BYTES);
    }

    /// Reads one header block.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        check_kind(bytes, MAGIC, WHAT)?;
        let mut fields = unseal(bytes, BLOCK_BYTES, WHAT)?;
        fields.bytes(12)?;
        let flags = fields.u32()?;
        let uid = fields.uid()?;
        let topic = TopicId::from_bytes(fields.uid()?);
        let partition = PartitionId::new(fields.u32()?);
        fields.u32()?;
        let base = Offset::new(fields.u64()?);
        let created_ms = fields.i64()?;
        Ok(Self {
            uid,
            tp: TopicPartition { topic, partition },
            base,
            created_ms,
            log: LogId(fields.u64()?),
            flags,
        })
    }

    /// Reads whichever of the two copies is good.
    ///
    /// # Errors
    /// Neither is; the error is the first one's.
    pub fn decode_either(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::decode(bytes).or_else(|first| {
            let second = bytes.get(BLOCK_BYTES..).ok_or(first)?;
            Self::decode(second).map_err(|_| first)
        })
    }
}

/// Header of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// The segment it belongs to.
    pub segment: Uid,
    /// Number in the segment, from 0.
    pub number: u64,
    /// Block of the file at which it starts.
    pub block: u64,
    /// First offset.
    pub first: Offset,
    /// Last offset.
    pub last: Offset,
    /// Leader epoch of the first batch.
    pub first_epoch: LeaderEpoch,
    /// Leader epoch of the last batch.
    pub last_epoch: LeaderEpoch,
    /// Number of batches.
    pub batches: u32,
    /// Bytes of the batches.
    pub payload_len: u32,
    /// Chain hash before the first batch.
    pub chain_before: u64,
    /// Chain hash after the last batch.
    pub chain_after: u64,
    /// Largest timestamp, ms; -1 if none.
    pub max_timestamp: i64,
}

/// A group that was read and verified.
#[derive(Clone, Copy, Debug)]
pub struct SegmentGroup<'a> {
    /// Header.
    pub header: GroupHeader,
    /// The batches.
    pub payload: &'a [u8],
    /// Whole length, multiple of 4096.
    pub len: usize,
}

/// The batches of a group and their CRC32C.
#[derive(Clone, Debug)]
pub struct GroupPayload {
    pieces: Vec<Bytes>,
    crc: u32,
}

impl GroupPayload {
    /// Each piece is one whole batch; long ones are not read again.
    #[must_use]
    pub fn of_batches(pieces: Vec<Bytes>) -> Self {
        let crc = pieces
            .iter()
            .fold(0, |crc, batch| crc_with_batch(crc, batch));
        Self { pieces, crc }
    }

    /// Batches that lie back to back.
    #[must_use]
    pub fn gathered(batches: Bytes) -> Self {
        let crc = crc32c::crc32c(&batches);
        Self {
            pieces: vec![batches],
            crc,
        }
    }
}

impl GroupHeader {
    /// Puts header and batches together; `payload_len` is set here.
    ///
    /// # Panics
    /// If the payload is empty or larger than [`PAYLOAD_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self, payload: GroupPayload) -> EncodedGroup {
        let GroupPayload { pieces: body, crc } = payload;
        let sum = body.iter().map(Bytes::len).sum();
        let mut writer = Writer::with_capacity(GROUP_HEADER_BYTES);
        let len = self.encode_into((sum, crc), &mut writer);
        let mut pieces = Pieces::with_capacity(body.len() + 1);
        pieces.push(Bytes::from(writer.finish()));
        pieces.extend(body);
        EncodedGroup {
            pieces,
            len,
            hash: self.chain_after,
        }
    }

    /// Writes the header of a group with a payload of this length and CRC32C in place of what a writer holds; gives the
    /// group's whole length.
    ///
    /// # Panics
    /// As [`Self::encode`].
    pub fn encode_into(&self, (sum, crc): (usize, u32), writer: &mut Writer) -> u32 {
        assert!(sum > 0, "a group holds at least one batch");
        assert!(sum <= PAYLOAD_BYTES_MAX, "a group of {sum} bytes");
        writer.clear();
        writer
            .bytes(&GROUP_MAGIC)
            .u16(128)
            .u16(1)
            .bytes(&self.segment);
        writer
            .u64(self.number)
            .u64(self.block)
            .u64(self.first.get())
            .u64(self.last.get());
        writer
            .u32(self.first_epoch.get())
            .u32(self.last_epoch.get())
            .u32(self.batches);
        writer.u32(u32::try_from(sum).unwrap_or(u32::MAX));
        writer
            .u64(self.chain_before)
            .u64(self.chain_after)
            .i64(self.max_timestamp)
            .u32(crc);
        seal_in_place(writer, GROUP_HEADER_BYTES);
        u32::try_from(round_up(GROUP_HEADER_BYTES + sum)).unwrap_or(u32::MAX)
    }

    /// Reads only the header at the front of `bytes`; gives the group's whole length as well.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn peek(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let (header, _) = Self::read(bytes)?;
        Ok((
            header,
            round_up(GROUP_HEADER_BYTES + header.payload_len as usize),
        ))
    }

    fn read(bytes: &[u8]) -> Result<(Self, u32), FormatError> {
        let mut start = Reader::new(bytes, GROUP);
        if start.bytes(4)? != GROUP_MAGIC {
            return Err(FormatError::BadMagic { what: GROUP });
        }
        let mut fields = unseal(bytes, GROUP_HEADER_BYTES, GROUP)?;
        fields.bytes(4)?;
        if (fields.u16()?, fields.u16()?) != (128, 1) {
            return Err(FormatError::NewerVersion {
                what: GROUP,
                found: 2,
            });
        }
        let header = Self {
            segment: fields.uid()?,
            number: fields.u64()?,
            block: fields.u64()?,
            first: Offset::new(fields.u64()?),
            last: Offset::new(fields.u64()?),
            first_epoch: LeaderEpoch::new(fields.u32()?),
            last_epoch: LeaderEpoch::new(fields.u32()?),
            batches: fields.u32()?,
            payload_len: fields.u32()?,
            chain_before: fields.u64()?,
            chain_after: fields.u64()?,
            max_timestamp: fields.i64()?,
        };
        let is_sane = header.first <= header.last
            && header.last <= Offset::MAX
            && header.batches > 0
            && (1..=PAYLOAD_BYTES_MAX).contains(&(header.payload_len as usize));
        if !is_sane {
            return Err(FormatError::Inconsistent {
                what: GROUP,
                why: "offsets or length are impossible",
            });
        }
        Ok((header, fields.u32()?))
    }

    /// Reads the group at the front of `bytes`, which lies at `position` of segment `uid`: header, place,
    /// payload checksum, zero padding. The batches themselves are the caller's to look at.
    ///
    /// # Errors
    /// Any [`FormatError`].
    pub fn decode<'a>(
        bytes: &'a [u8],
        uid: &Uid,
        position: u64,
    ) -> Result<SegmentGroup<'a>, FormatError> {
        let (header, crc) = Self::read(bytes)?;
        if header.segment != *uid {
            return Err(FormatError::Misplaced {
                what: GROUP,
                why: "another segment's group",
            });
        }
        if header.block.checked_mul(BLOCK_BYTES as u64) != Some(position) {
            return Err(FormatError::Misplaced {
                what: GROUP,
                why: "another position's group",
            });
        }
        let payload_len = header.payload_len as usize;
        let len = round_up(GROUP_HEADER_BYTES + payload_len);
        let mut whole = Reader::new(bytes, GROUP);
        whole.bytes(GROUP_HEADER_BYTES)?;
        let payload = whole.bytes(payload_len)?;
        let padding = whole.bytes(len - GROUP_HEADER_BYTES - payload_len)?;
        if crc32c::crc32c(payload) != crc {
            return Err(FormatError::BadChecksum { what: GROUP });
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FormatError::Inconsistent {
                what: GROUP,
                why: "padding is not zero",
            });
        }
        Ok(SegmentGroup {
            header,
            payload,
            len,
        })
    }
}
