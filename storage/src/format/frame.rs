//! The group header that journal and manifest share.
//!
//! Owns: 128 bytes that place a group in its lineage and carry the durability witness.
//! Never: knows what the body holds.
//! Invariants: a group starts on a block; body and padding lie inside its blocks; padding is zero; the
//! sequence of a lineage starts at 1 and rises by one; `durable_through < seq`.
//! Source: reliability.md 2.2, 2.4.

use bytes::Bytes;
use model::limits::BLOCK_BYTES;

use super::cursor::{Reader, Writer, seal_in_place, unseal};
use super::{FormatError, Uid, chain, round_up};
use crate::io::Pieces;

/// Bytes of the header.
pub const FRAME_BYTES: usize = 128;

/// Bytes of one group at most: a journal group holds one round of a core.
pub const GROUP_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Which lineage a group belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A group of a core's journal.
    Journal,
    /// A group of a core's manifest.
    Manifest,
}

impl FrameKind {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Journal => *b"RMQJ",
            Self::Manifest => *b"RMQM",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal group",
            Self::Manifest => "manifest group",
        }
    }
}

/// How far a group knew the other lineage of its core to be durable, so that one which is put back to an earlier
/// state is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beside {
    /// In a journal group the generation of the manifest, in a manifest group [`lineage_tag`] of the journal; 0 if
    /// nothing is said.
    pub of: u64,
    /// Its highest durable sequence.
    pub through: u64,
}

/// The first bytes of a lineage, to name it by.
#[must_use]
pub fn lineage_tag(lineage: &Uid) -> u64 {
    let bytes = lineage.first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Header of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Journal: uid of the process start that writes it. Manifest: uid of the file.
    pub lineage: Uid,
    /// Sequence in the lineage, from 1.
    pub seq: u64,
    /// Block of the file at which the group starts.
    pub block: u64,
    /// Highest sequence that was durable when this group was built (the witness); 0 if none.
    pub durable_through: u64,
    /// [`Frame::hash`] of the group before in the lineage; 0 for the first.
    pub prev_hash: u64,
    /// Entries or records in the body.
    pub count: u32,
    /// Bytes of the body.
    pub body_len: u32,
    /// Kind-specific bits.
    pub flags: u32,
    /// The other lineage when this group was built.
    pub beside: Beside,
}

/// A group ready to be written: pieces in order, to be zero-padded to `len`.
#[derive(Clone, Debug)]
pub struct EncodedGroup {
    /// Header and body.
    pub pieces: Pieces,
    /// Whole length, multiple of 4096.
    pub len: u32,
    /// For the next group's `prev_hash`.
    pub hash: u64,
}

/// A group that was read.
#[derive(Clone, Copy, Debug)]
pub struct DecodedGroup<'a> {
    /// Header.
    pub frame: Frame,
    /// Body, checksum verified.
    pub body: &'a [u8],
    /// Whole length, multiple of 4096.
    pub len: usize,
    /// For the next group's `prev_hash`.
    pub hash: u64,
}

impl Frame {
    /// Encodes the header for `body` (which must be `body_len` long in sum) and puts both together.
    ///
    /// # Panics
    /// If the body's length is not `body_len` or the group is larger than [`GROUP_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self, kind: FrameKind, body: Vec<Bytes>) -> EncodedGroup {
        let sum: usize = body.iter().map(Bytes::len).sum();
        assert_eq!(
            u32::try_from(sum),
            Ok(self.body_len),
            "the header describes its body"
        );
        let crc = body
            .iter()
            .fold(0, |crc, piece| crc32c::crc32c_append(crc, piece));
        let mut header = Writer::with_capacity(FRAME_BYTES);
        let (len, hash) = self.write_header(kind, crc, &mut header);
        let mut pieces = Pieces::with_capacity(body.len() + 1);
        pieces.push(Bytes::from(header.finish()));
        pieces.extend(body);
        EncodedGroup { pieces, len, hash }
    }

    /// Writes the header for a body with this checksum into the empty `writer`; gives the group's whole
    /// length and its hash.
    ///
    /// # Panics
    /// If the group is larger than [`GROUP_BYTES_MAX`] or claims to know itself durable.
    pub(super) fn write_header(
        &self,
        kind: FrameKind,
        body_crc: u32,
        writer: &mut Writer,
    ) -> (u32, u64) {
        assert!(
            self.durable_through < self.seq,
            "a group cannot witness itself"
        );
        let len = round_up(FRAME_BYTES + self.body_len as usize);
        assert!(len <= GROUP_BYTES_MAX, "a group of {len} bytes");
        writer
            .bytes(&kind.magic())
            .u16(128)
            .u16(1)
            .bytes(&self.lineage);
        writer
            .u64(self.seq)
            .u64(self.block)
            .u64(self.durable_through)
            .u64(self.prev_hash);
        writer
            .u32(self.count)
            .u32(self.body_len)
            .u32(self.flags)
            .u32(body_crc)
            .u64(self.beside.of)
            .u64(self.beside.through);
        seal_in_place(writer, FRAME_BYTES);
        let hash = hash_of(writer.as_slice());
        (u32::try_from(len).unwrap_or(u32::MAX), hash)
    }

    /// Reads only the header at the front of `bytes`, so that the caller learns how long the group is.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn peek(kind: FrameKind, bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let (frame, _) = Self::read_header(kind, bytes)?;
        Ok((frame, round_up(FRAME_BYTES + frame.body_len as usize)))
    }

    fn read_header(kind: FrameKind, bytes: &[u8]) -> Result<(Self, u32), FormatError> {
        let what = kind.name();
        let mut start = Reader::new(bytes, what);
        if start.bytes(4)? != kind.magic() {
            return Err(FormatError::BadMagic { what });
        }
        let mut fields = unseal(bytes, FRAME_BYTES, what)?;
        fields.bytes(4)?;
        if (fields.u16()?, fields.u16()?) != (128, 1) {
            return Err(FormatError::NewerVersion { what, found: 2 });
        }
        let mut frame = Self {
            lineage: fields.uid()?,
            seq: fields.u64()?,
            block: fields.u64()?,
            durable_through: fields.u64()?,
            prev_hash: fields.u64()?,
            count: fields.u32()?,
            body_len: fields.u32()?,
            flags: fields.u32()?,
            beside: Beside::default(),
        };
        let body_crc = fields.u32()?;
        frame.beside = Beside {
            of: fields.u64()?,
            through: fields.u64()?,
        };
        let is_sane = frame.seq > 0
            && frame.durable_through < frame.seq
            && frame.body_len as usize <= GROUP_BYTES_MAX - BLOCK_BYTES;
        if !is_sane {
            return Err(FormatError::Inconsistent {
                what,
                why: "sequence or length is impossible",
            });
        }
        Ok((frame, body_crc))
    }

    /// Reads the group at the front of `bytes`: header, body checksum, zero padding.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`; the caller compares lineage, sequence and block.
    pub fn decode<'a>(kind: FrameKind, bytes: &'a [u8]) -> Result<DecodedGroup<'a>, FormatError> {
        let what = kind.name();
        let (frame, body_crc) = Self::read_header(kind, bytes)?;
        let len = round_up(FRAME_BYTES + frame.body_len as usize);
        let mut whole = Reader::new(bytes, what);
        let header = whole.bytes(FRAME_BYTES)?;
        let body = whole.bytes(frame.body_len as usize)?;
        let padding = whole.bytes(len - FRAME_BYTES - frame.body_len as usize)?;
        if crc32c::crc32c(body) != body_crc {
            return Err(FormatError::BadChecksum { what });
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FormatError::Inconsistent {
                what,
                why: "padding is not zero",
            });
        }
        Ok(DecodedGroup {
            frame,
            body,
            len,
            hash: hash_of(header),
        })
    }
}

/// A hash over the whole header. Not a CRC: that of bytes which end with their own CRC is the same for all.
fn hash_of(header: &[u8]) -> u64 {
    let words = header.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        let bytes = word.iter_mut().zip(chunk);
        bytes.for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    });
    words.fold(0, |hash, word| chain::mix(hash ^ word)) | 1
}
