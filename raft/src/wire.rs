//! Writing and reading fixed-width values with bounds.
//!
//! Owns: [`Writer`], [`Reader`], the record envelope (kind, version, mandatory flag, length).
//! Never: allocates more than the input holds; panics on input.
//! Invariants: little-endian; what a writer wrote, a reader reads back.
//! Source: reliability.md 1.10 (record versions), architecture.md A12.

use bytes::Bytes;

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("truncated")]
    Truncated,
    /// A length or count is over its bound.
    #[error("{what} of {len} is over the bound of {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// As announced.
        len: u64,
        /// The bound.
        limit: u64,
    },
    /// Text is not UTF-8.
    #[error("text is not utf-8")]
    NotText,
    /// A tag, flag or combination that no version has.
    #[error("illegal {what}: {value}")]
    Illegal {
        /// What.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A record that must be understood is not: it is from a newer release.
    #[error("record kind {kind} version {version} is not known and must not be skipped")]
    UnknownMandatory {
        /// Kind of record.
        kind: u8,
        /// Its version.
        version: u8,
    },
    /// A checksum does not match.
    #[error("checksum mismatch in {0}")]
    Checksum(&'static str),
    /// Bytes follow the last value.
    #[error("{0} bytes left over")]
    TrailingBytes(usize),
}

/// Header of one record: what it is and whether a reader may skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKind {
    /// Number of the record type.
    pub kind: u8,
    /// Version of its layout.
    pub version: u8,
}

const FLAG_MANDATORY: u8 = 1;

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// The bytes, still growable.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// One byte, 0 or 1.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "the boolean is the value to write"
    )]
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A count of elements.
    ///
    /// # Panics
    /// Above `u32::MAX`: every list has a far lower bound.
    pub fn count(&mut self, count: usize) {
        let fits = u32::try_from(count);
        assert!(fits.is_ok(), "a list of {count} elements");
        self.u32(fits.unwrap_or(u32::MAX));
    }

    /// A length and that many bytes.
    ///
    /// # Panics
    /// Above `u32::MAX` bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// Text with its length.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A flag, and the text if there is one.
    pub fn optional_text(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// A record that readers must understand or refuse.
    pub fn record(&mut self, kind: RecordKind, body: impl FnOnce(&mut Self)) {
        self.record_with_flags(kind, FLAG_MANDATORY, body);
    }

    /// A record that readers may skip.
    pub fn optional_record(&mut self, kind: RecordKind, body: impl FnOnce(&mut Self)) {
        self.record_with_flags(kind, 0, body);
    }

    fn record_with_flags(&mut self, kind: RecordKind, flags: u8, body: impl FnOnce(&mut Self)) {
        let mut inner = Self::new();
        body(&mut inner);
        self.u8(kind.kind);
        self.u8(kind.version);
        self.u8(flags);
        self.bytes(&inner.out);
    }
}

/// One record as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Whether a reader that does not know it must refuse.
    pub is_mandatory: bool,
    /// Its body.
    pub body: Reader<'a>,
}

impl Record<'_> {
    /// What to do with a record of unknown kind or version.
    ///
    /// # Errors
    /// [`DecodeError::UnknownMandatory`] if it must not be skipped.
    pub fn skip(&self) -> Result<(), DecodeError> {
        match self.is_mandatory {
            true => Err(DecodeError::UnknownMandatory {
                kind: self.kind.kind,
                version: self.kind.version,
            }),
            false => Ok(()),
        }
    }
}

/// Takes values off the front of untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// One byte that is 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Illegal`].
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Illegal {
                what: "flag",
                value: u64::from(value),
            }),
        }
    }

    /// A count of elements of at least `bytes_each` bytes: no more than the rest can hold, so that the
    /// caller may reserve room for it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLong`].
    ///
    /// # Panics
    /// If `bytes_each` is zero: that bounds nothing.
    pub fn count(&mut self, bytes_each: usize, limit: usize) -> Result<usize, DecodeError> {
        assert!(bytes_each > 0, "an element has at least one byte");
        let count = self.u32()? as usize;
        bounded("count", count, limit)?;
        match count <= self.remaining() / bytes_each {
            true => Ok(count),
            false => Err(DecodeError::Truncated),
        }
    }

    /// A length and that many bytes, at most `limit`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLong`].
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()? as usize;
        bounded("byte string", len, limit)?;
        self.raw(len)
    }

    /// Text with its length, at most `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLong`], [`DecodeError::NotText`].
    pub fn text(&mut self, limit: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(limit)?).map_err(|_| DecodeError::NotText)
    }

    /// A flag, and the text if there is one.
    ///
    /// # Errors
    /// As [`Self::text`] and [`Self::flag`].
    pub fn optional_text(&mut self, limit: usize) -> Result<Option<&'a str>, DecodeError> {
        if self.flag()? {
            self.text(limit).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Illegal`] for flags that no version has.
    pub fn record(&mut self) -> Result<Record<'a>, DecodeError> {
        let kind = RecordKind {
            kind: self.u8()?,
            version: self.u8()?,
        };
        let flags = self.u8()?;
        if flags & !FLAG_MANDATORY != 0 {
            return Err(DecodeError::Illegal {
                what: "record flags",
                value: u64::from(flags),
            });
        }
        let body = Reader::new(self.bytes(usize::MAX)?);
        Ok(Record {
            kind,
            is_mandatory: flags & FLAG_MANDATORY != 0,
            body,
        })
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }
}

fn bounded(what: &'static str, len: usize, limit: usize) -> Result<(), DecodeError> {
    match len <= limit {
        true => Ok(()),
        false => Err(DecodeError::TooLong {
            what,
            len: len as u64,
            limit: limit as u64,
        }),
    }
}
