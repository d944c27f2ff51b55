//! Reading and writing little-endian fields.
//!
//! Owns: a bounded reader and an appending writer.
//! Never: panics on input; a read past the end is `FormatError::Truncated`.
//! Invariants: none beyond the above.
//! Source: reliability.md I11.

use super::{FormatError, Uid};

/// Reads fields off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`; `what` names them in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Bytes left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next eight bytes as a signed number.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    /// The next sixteen bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn uid(&mut self) -> Result<Uid, FormatError> {
        self.array()
    }
}

/// Appends fields to a vector.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer with room for `len` bytes.
    #[must_use]
    pub fn with_capacity(len: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(len),
        }
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends zero bytes until the whole is `len` long.
    ///
    /// # Panics
    /// If it is longer already.
    pub fn pad_to(&mut self, len: usize) -> &mut Self {
        assert!(self.bytes.len() <= len, "fields do not fit their place");
        self.bytes.resize(len, 0);
        self
    }

    /// Writes over bytes at `at` that were written before.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        let place = self.bytes.get_mut(at..at + bytes.len());
        assert!(place.is_some(), "what is written over is there");
        place
            .into_iter()
            .for_each(|place| place.copy_from_slice(bytes));
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Gives back memory beyond `len` bytes that is not used.
    pub fn shrink_to(&mut self, len: usize) {
        self.bytes.shrink_to(len);
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes so far, to look at.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends the CRC32C of everything so far, after padding to `len - 4`.
#[must_use]
pub fn seal(mut writer: Writer, len: usize) -> Vec<u8> {
    seal_in_place(&mut writer, len);
    writer.finish()
}

/// As [`seal`], in a writer that is used again.
pub fn seal_in_place(writer: &mut Writer, len: usize) {
    writer.pad_to(len - 4);
    let crc = crc32c::crc32c(writer.as_slice());
    writer.u32(crc);
}

/// Splits a sealed structure of `len` bytes off the front of `bytes` and checks its CRC; gives the fields.
///
/// # Errors
/// `Truncated` or `BadChecksum`.
pub fn unseal<'a>(
    bytes: &'a [u8],
    len: usize,
    what: &'static str,
) -> Result<Reader<'a>, FormatError> {
    let whole = Reader::new(bytes, what).bytes(len)?;
    let (fields, crc) = whole
        .split_last_chunk::<4>()
        .ok_or(FormatError::Truncated { what })?;
    if crc32c::crc32c(fields) != u32::from_le_bytes(*crc) {
        return Err(FormatError::BadChecksum { what });
    }
    Ok(Reader::new(fields, what))
}

/// Checks magic and version of a structure before its checksum, so that foreign and newer bytes are named as such.
///
/// # Errors
/// `Truncated`, `BadMagic` or `NewerVersion`.
pub fn check_kind(bytes: &[u8], magic: &[u8; 8], what: &'static str) -> Result<(), FormatError> {
    let mut reader = Reader::new(bytes, what);
    if reader.array::<8>()? != *magic {
        return Err(FormatError::BadMagic { what });
    }
    let found = reader.u32()?;
    if found > super::FORMAT_VERSION {
        return Err(FormatError::NewerVersion { what, found });
    }
    if found == 0 {
        return Err(FormatError::Inconsistent {
            what,
            why: "format version 0 does not exist",
        });
    }
    Ok(())
}
