//! A snapshot of the state machine, as a file.
//!
//! Owns: the file format: header, chunks with their own checksums, a checksum of the whole.
//! Never: knows what the data means.
//! Invariants: a file is used only if every checksum and length fits.
//! Source: reliability.md 1.12.

use bytes::Bytes;

use crate::entry::bounded;
use crate::limits::{INDEX_MAX, SNAPSHOT_BYTES_MAX, TERM_MAX, VOTERS_MAX};
use crate::wire::{DecodeError, Reader, Writer};

const MAGIC: u32 = u32::from_le_bytes(*b"RMQS");
const VERSION: u8 = 1;

/// Bytes of data under one checksum: small enough to say where a file is damaged.
const CHUNK_BYTES: usize = 64 * 1024;

/// The state machine after the entry `index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Last entry it contains.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// Voters at that point, ascending.
    pub voters: Vec<u64>,
    /// The encoded state machine.
    pub data: Bytes,
}

impl Snapshot {
    /// The whole file.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        self.put_head(&mut out);
        for chunk in self.data.chunks(CHUNK_BYTES) {
            out.u32(crc32c::crc32c(chunk));
            out.bytes(chunk);
        }
        let mut file = out.into_vec();
        let whole = crc32c::crc32c(&file);
        file.extend_from_slice(&whole.to_le_bytes());
        Bytes::from(file)
    }

    fn put_head(&self, out: &mut Writer) {
        let mut head = Writer::new();
        head.u32(MAGIC);
        head.u8(VERSION);
        head.u64(self.index);
        head.u64(self.term);
        head.count(self.voters.len());
        self.voters.iter().for_each(|voter| head.u64(*voter));
        head.u64(self.data.len() as u64);
        let head = head.into_vec();
        out.u32(crc32c::crc32c(&head));
        out.bytes(&head);
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// A checksum, length or bound does not fit, or the version is newer.
    pub fn decode(file: &[u8]) -> Result<Self, DecodeError> {
        let body_bytes = file.len().checked_sub(4).ok_or(DecodeError::Truncated)?;
        let mut whole = Reader::new(file);
        let body = whole.raw(body_bytes)?;
        if whole.u32()? != crc32c::crc32c(body) {
            return Err(DecodeError::Checksum("snapshot file"));
        }
        let mut from = Reader::new(body);
        let (mut snapshot, len) = Self::take_head(&mut from)?;
        if len > from.remaining() {
            return Err(DecodeError::Truncated);
        }
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            let crc = from.u32()?;
            let chunk = from.bytes(CHUNK_BYTES)?;
            if chunk.is_empty() || crc != crc32c::crc32c(chunk) {
                return Err(DecodeError::Checksum("snapshot chunk"));
            }
            data.extend_from_slice(chunk);
        }
        from.end()?;
        bounded(data.len() as u64, len as u64, len as u64, "snapshot length")?;
        snapshot.data = Bytes::from(data);
        Ok(snapshot)
    }

    fn take_head(from: &mut Reader<'_>) -> Result<(Self, usize), DecodeError> {
        let crc = from.u32()?;
        let head = from.bytes(1_024)?;
        if crc != crc32c::crc32c(head) {
            return Err(DecodeError::Checksum("snapshot header"));
        }
        let mut from = Reader::new(head);
        bounded(
            u64::from(from.u32()?),
            u64::from(MAGIC),
            u64::from(MAGIC),
            "magic",
        )?;
        let version = from.u8()?;
        if version != VERSION {
            return Err(DecodeError::UnknownMandatory { kind: 0, version });
        }
        let index = bounded(from.u64()?, 1, INDEX_MAX, "snapshot index")?;
        let term = bounded(from.u64()?, 1, TERM_MAX, "snapshot term")?;
        let count = from.count(8, VOTERS_MAX)?;
        let voters = (0..count)
            .map(|_| from.u64())
            .collect::<Result<Vec<u64>, _>>()?;
        let len = bounded(from.u64()?, 0, SNAPSHOT_BYTES_MAX as u64, "snapshot length")?;
        from.end()?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        Ok((
            Self {
                index,
                term,
                voters,
                data: Bytes::new(),
            },
            len,
        ))
    }
}
