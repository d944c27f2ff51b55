//! The index beside a sealed segment: derived, rebuilt on any doubt.
//!
//! Owns: an rkyv archive in an envelope of magic, version, length and CRC.
//! Never: evidence about the log (I9).
//! Invariants: names the segment and the end it describes; a reader that expects others ignores it.
//! Source: kafka.md 3.3, reliability.md I9.

use rkyv::api::high::to_bytes_in;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use super::cursor::{Reader, Writer};
use super::{FORMAT_VERSION, FormatError, Uid};

const MAGIC: &[u8; 8] = b"RMQINDEX";
const WHAT: &str = "index file";

/// Entries of one file at most.
pub const ENTRIES_MAX: usize = 65_536;

/// Bytes of one file at most.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of an envelope that are kept: the index of most segments and a snapshot of some thousand producers.
const ENVELOPE_KEPT_BYTES: usize = 128 * 1024;

/// One entry.
#[derive(Archive, Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// First offset of the group.
    pub base: u64,
    /// File position of the group.
    pub position: u64,
    /// Largest timestamp from here to the next entry, ms; -1 if none.
    pub max_timestamp: i64,
}

/// The index of one segment.
#[derive(Archive, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct IndexFile {
    /// Segment.
    pub segment: Uid,
    /// File position up to which it describes the segment.
    pub end: u64,
    /// First offset after that.
    pub upto: u64,
    /// Rising in offset and position.
    pub entries: Vec<Entry>,
}

impl IndexFile {
    /// The file's bytes.
    ///
    /// # Errors
    /// `Inconsistent` if it has more than [`ENTRIES_MAX`] entries.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut envelope = Envelope::default();
        self.encode_into(&mut envelope)?;
        Ok(envelope.parts().concat())
    }

    /// As [`Self::encode`], into memory that is used again.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_into(&self, envelope: &mut Envelope) -> Result<(), FormatError> {
        let too_large = FormatError::Inconsistent {
            what: WHAT,
            why: "too many entries",
        };
        if self.entries.len() > ENTRIES_MAX {
            return Err(too_large);
        }
        let len = size_of::<Self>() + size_of_val(self.entries.as_slice());
        let archive = |body| to_bytes_in::<_, rkyv::rancor::Error>(self, body);
        envelope.fill(MAGIC, len, archive).map_err(|_| too_large)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = unwrap(bytes, MAGIC, WHAT)?;
        let malformed = FormatError::Inconsistent {
            what: WHAT,
            why: "archive is malformed",
        };
        let index = rkyv::from_bytes::<Self, rkyv::rancor::Error>(&body).map_err(|_| malformed)?;
        if index.entries.len() > ENTRIES_MAX {
            return Err(malformed);
        }
        Ok(index)
    }
}

/// A derived file as it is written: magic, version, CRC32C and length of an archive, then the archive. Its memory is used
/// for one file after the other.
#[derive(Debug, Default)]
pub struct Envelope {
    head: Writer,
    body: AlignedVec<16>,
}

impl Envelope {
    /// What the file consists of.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.head.as_slice(), self.body.as_slice()]
    }

    /// Gives memory back that an unusually large file needed.
    pub fn trim(&mut self) {
        if self.body.capacity() > ENVELOPE_KEPT_BYTES {
            self.body = AlignedVec::new();
        }
    }

    /// Archives something of about `len` bytes.
    pub(super) fn fill<E>(
        &mut self,
        magic: &[u8; 8],
        len: usize,
        archive: impl FnOnce(AlignedVec<16>) -> Result<AlignedVec<16>, E>,
    ) -> Result<(), E> {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        body.reserve(len);
        self.body = archive(body)?;
        self.head.clear();
        self.head
            .bytes(magic)
            .u32(FORMAT_VERSION)
            .u32(crc32c::crc32c(&self.body))
            .u64(u64::try_from(self.body.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// Takes an archive out of its envelope, into memory aligned for it.
pub(super) fn unwrap(
    bytes: &[u8],
    magic: &[u8; 8],
    what: &'static str,
) -> Result<AlignedVec, FormatError> {
    super::cursor::check_kind(bytes, magic, what)?;
    let mut reader = Reader::new(bytes, what);
    reader.bytes(12)?;
    let crc = reader.u32()?;
    let len = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
    let body = reader.bytes(len)?;
    if crc32c::crc32c(body) != crc {
        return Err(FormatError::BadChecksum { what });
    }
    let mut aligned = AlignedVec::with_capacity(body.len());
    aligned.extend_from_slice(body);
    Ok(aligned)
}
