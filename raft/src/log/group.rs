//! Bytes of a log file's header and of a group.
//!
//! Owns: the two layouts.
//! Never: decides whether damage is torn or rotten; `scan` does.
//! Invariants: header and payload have their own checksums; padding is zero and checked.
//! Source: reliability.md 2.2.

use bytes::Bytes;
use model::limits::BLOCK_BYTES;

use super::{Link, is_zero, pad_to_block};
use crate::entry::{ENTRY_HEADER_BYTES, Entry, bounded, take_entries};
use crate::limits::{APPEND_BYTES_MAX, ENTRIES_MAX, ENTRY_BYTES_MAX};
use crate::wire::{DecodeError, Reader, Writer};

const FILE_MAGIC: u32 = u32::from_le_bytes(*b"RMQL");
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"RMQG");
const VERSION: u8 = 1;

/// Bytes of a group before its payload.
pub const GROUP_HEADER_BYTES: usize = 64;

/// Bytes of a file header under its checksum.
const FILE_HEADER_BYTES: usize = 53;

/// Bytes of a group's payload: many small entries, or one large one.
const PAYLOAD_BYTES_MAX: usize = ENTRY_BYTES_MAX + ENTRY_HEADER_BYTES;

const _: () = assert!(APPEND_BYTES_MAX <= PAYLOAD_BYTES_MAX);

/// `bytes` rounded up to whole blocks.
#[must_use]
pub const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// First block of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The file's number.
    pub number: u64,
    /// Its unique id.
    pub uid: u64,
    /// Raft id of the node that wrote it.
    pub node: u64,
    /// Where the previous file ended.
    pub previous: Link,
    /// Sequence of its first group.
    pub first_sequence: u64,
}

impl FileHeader {
    /// The block.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.u32(FILE_MAGIC);
        out.u8(VERSION);
        out.u64(self.number);
        out.u64(self.uid);
        out.u64(self.node);
        out.u64(self.previous.uid);
        out.u64(self.previous.end);
        out.u64(self.first_sequence);
        let mut block = out.into_vec();
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        pad_to_block(block)
    }

    /// Reads the block.
    ///
    /// # Errors
    /// Checksum, magic, version or padding do not fit.
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let mut whole = Reader::new(block);
        let body = whole.raw(FILE_HEADER_BYTES)?;
        let crc = whole.u32()?;
        if crc != crc32c::crc32c(body) || !is_zero(whole.raw(BLOCK_BYTES - FILE_HEADER_BYTES - 4)?)
        {
            return Err(DecodeError::Checksum("log file header"));
        }
        let mut from = Reader::new(body);
        check_kind(&mut from, FILE_MAGIC)?;
        let number = from.u64()?;
        let uid = from.u64()?;
        let node = from.u64()?;
        let previous = Link {
            uid: from.u64()?,
            end: from.u64()?,
        };
        let first_sequence = from.u64()?;
        from.end()?;
        Ok(Self {
            number,
            uid,
            node,
            previous,
            first_sequence,
        })
    }
}

/// What a group says of itself besides its lengths and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Unique id of its file.
    pub file_uid: u64,
    /// Dense across files.
    pub sequence: u64,
    /// Index of the first entry.
    pub first_index: u64,
    /// How many entries.
    pub entries: u32,
    /// Sequence of the hard state that was durable when the group was planned.
    pub hard_state_sequence: u64,
}

/// A group that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its header.
    pub header: GroupHeader,
    /// Its entries, at least one.
    pub entries: Vec<Entry>,
    /// Bytes it takes, padding included.
    pub bytes: usize,
}

impl GroupHeader {
    /// The whole group, padded.
    #[must_use]
    pub fn encode(&self, payload: &[u8]) -> Bytes {
        let mut out = Writer::new();
        out.u32(GROUP_MAGIC);
        out.u8(VERSION);
        out.u64(self.file_uid);
        out.u64(self.sequence);
        out.u64(self.first_index);
        out.u32(self.entries);
        out.u64(self.hard_state_sequence);
        out.count(payload.len());
        out.u32(crc32c::crc32c(payload));
        let mut group = out.into_vec();
        group.resize(GROUP_HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&group);
        group.extend_from_slice(&crc.to_le_bytes());
        group.extend_from_slice(payload);
        pad_to_block(group)
    }

    /// Reads a group's header: itself, payload length, payload checksum.
    ///
    /// # Errors
    /// Checksum, magic, version or a bound do not fit.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize, u32), DecodeError> {
        let mut whole = Reader::new(bytes);
        let body = whole.raw(GROUP_HEADER_BYTES - 4)?;
        if whole.u32()? != crc32c::crc32c(body) {
            return Err(DecodeError::Checksum("group header"));
        }
        let mut from = Reader::new(body);
        check_kind(&mut from, GROUP_MAGIC)?;
        let file_uid = from.u64()?;
        let sequence = from.u64()?;
        let first_index = from.u64()?;
        let entries = from.u32()?;
        let hard_state_sequence = from.u64()?;
        let payload = from.u32()? as usize;
        let crc = from.u32()?;
        bounded(
            u64::from(entries),
            1,
            ENTRIES_MAX as u64,
            "entries in a group",
        )?;
        bounded(payload as u64, 1, PAYLOAD_BYTES_MAX as u64, "group payload")?;
        let header = Self {
            file_uid,
            sequence,
            first_index,
            entries,
            hard_state_sequence,
        };
        Ok((header, payload, crc))
    }
}

impl Group {
    /// Reads the group at the front of `bytes`.
    ///
    /// # Errors
    /// Anything does not fit: checksums, bounds, order of entries, padding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, payload_bytes, crc) = GroupHeader::decode(bytes)?;
        let total = padded(GROUP_HEADER_BYTES + payload_bytes);
        let mut from = Reader::new(bytes.get(..total).ok_or(DecodeError::Truncated)?);
        from.raw(GROUP_HEADER_BYTES)?;
        let payload = from.raw(payload_bytes)?;
        if crc != crc32c::crc32c(payload) {
            return Err(DecodeError::Checksum("group payload"));
        }
        if !is_zero(from.raw(from.remaining())?) {
            return Err(DecodeError::Checksum("group padding"));
        }
        let mut from = Reader::new(payload);
        let entries = take_entries(&mut from, header.entries as usize)?;
        from.end()?;
        let first = entries.first().map_or(0, |entry| entry.index);
        bounded(
            first,
            header.first_index,
            header.first_index,
            "first index of a group",
        )?;
        Ok(Self {
            header,
            entries,
            bytes: total,
        })
    }
}

/// Entries back to back.
#[must_use]
pub fn encode_payload(entries: &[Entry]) -> Vec<u8> {
    let mut out = Writer::new();
    entries.iter().for_each(|entry| entry.put(&mut out));
    let payload = out.into_vec();
    assert!(
        payload.len() <= PAYLOAD_BYTES_MAX,
        "a group's payload is bounded"
    );
    payload
}

fn check_kind(from: &mut Reader<'_>, magic: u32) -> Result<(), DecodeError> {
    bounded(
        u64::from(from.u32()?),
        u64::from(magic),
        u64::from(magic),
        "magic",
    )?;
    match from.u8()? {
        VERSION => Ok(()),
        version => Err(DecodeError::UnknownMandatory { kind: 0, version }),
    }
}
