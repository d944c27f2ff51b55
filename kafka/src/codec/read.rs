//! Reads primitives from a borrowed frame.
//!
//! Owns: [`Reader`], a cursor with both length regimes (16/32-bit and compact).
//! Never: allocates, copies, indexes without a check.
//! Invariants: the position never passes the end.
//! Source: kafka.md 2.1, KIP-482.

use std::ops::Range;

use super::WireError;

/// Bytes that should be text, and where they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UncheckedText<'a> {
    /// The bytes.
    pub(crate) bytes: &'a [u8],
    at: u32,
}

impl<'a> UncheckedText<'a> {
    /// The text.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn checked(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes).map_err(|_| WireError::BadText { at: self.at })
    }
}

/// A cursor over a frame. Ranges it returns are positions in that frame.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from position `at` on, in the old regime.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        assert!(at <= bytes.len(), "a reader starts inside its bytes");
        Self {
            bytes,
            at,
            is_flexible: false,
        }
    }

    /// The same in the compact regime.
    pub(crate) fn flexible(mut self) -> Self {
        self.is_flexible = true;
        self
    }

    /// Where the next byte is read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The same for an error.
    pub(crate) fn place(&self) -> u32 {
        place(self.at)
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>());
        let found = *found.ok_or(WireError::Truncated { at: self.place() })?;
        self.at += N;
        Ok(found)
    }

    /// Skips `count` bytes and returns where they are.
    #[inline(always)]
    pub(crate) fn range(&mut self, count: usize) -> Result<Range<usize>, WireError> {
        let end = self.at.checked_add(count);
        let Some(end) = end.filter(|end| *end <= self.bytes.len()) else {
            return Err(WireError::Truncated { at: self.place() });
        };
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A signed byte.
    pub(crate) fn i8(&mut self) -> Result<i8, WireError> {
        self.take().map(i8::from_be_bytes)
    }

    /// A 16-bit number.
    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.take().map(i16::from_be_bytes)
    }

    /// A 32-bit number.
    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.take().map(i32::from_be_bytes)
    }

    /// A 64-bit number.
    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        self.take().map(i64::from_be_bytes)
    }

    /// Sixteen raw bytes.
    pub(crate) fn uuid(&mut self) -> Result<[u8; 16], WireError> {
        self.take()
    }

    /// An unsigned number of one to five bytes.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u32, WireError> {
        match self.bytes.get(self.at) {
            // Nearly every number there is.
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u32::from(*byte))
            }
            Some(_) | None => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u32, WireError> {
        let at = self.place();
        let mut value: u32 = 0;
        for shift in [0_u32, 7, 14, 21, 28] {
            let [byte] = self.take::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(WireError::BadVarint { at });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::BadVarint { at })
    }

    // Both regimes of 32-bit lengths; `None` is null.
    #[inline(always)]
    fn length(&mut self) -> Result<Option<usize>, WireError> {
        let at = self.place();
        if self.is_flexible {
            let value = self.varint()?;
            let Some(length) = value.checked_sub(1) else {
                return Ok(None);
            };
            return usize::try_from(length)
                .map(Some)
                .map_err(|_| WireError::BadLength { at });
        }
        match self.i32()? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| WireError::BadLength { at }),
        }
    }

    /// Number of elements of an array; a null array counts as empty.
    ///
    /// Elements have at least one byte each, so the count is refused if the frame cannot hold them.
    #[inline(always)]
    pub(crate) fn array(&mut self) -> Result<usize, WireError> {
        let at = self.place();
        let count = self.length()?.unwrap_or(0);
        if count > self.bytes.len() - self.at {
            return Err(WireError::BadLength { at });
        }
        Ok(count)
    }

    /// Where a byte string is; `None` if it is null.
    #[inline(always)]
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Range<usize>>, WireError> {
        match self.length()? {
            Some(length) => self.range(length).map(Some),
            None => Ok(None),
        }
    }

    fn nullable_short_bytes(&mut self) -> Result<Option<Range<usize>>, WireError> {
        let at = self.place();
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| WireError::BadLength { at })?;
                self.range(length).map(Some)
            }
        }
    }

    /// Text with a 16-bit length, whatever the regime; `None` if it is null.
    pub(crate) fn nullable_short_string(&mut self) -> Result<Option<Range<usize>>, WireError> {
        let range = self.nullable_short_bytes()?;
        if let Some(range) = range.clone() {
            let text = self.text(range)?;
            // A short text is told to be ASCII in fewer steps than to be UTF-8.
            if !text.bytes.is_ascii() {
                text.checked()?;
            }
        }
        Ok(range)
    }

    fn nullable_text(&mut self) -> Result<Option<UncheckedText<'a>>, WireError> {
        let range = if self.is_flexible {
            self.nullable_bytes()?
        } else {
            self.nullable_short_bytes()?
        };
        range.map(|range| self.text(range)).transpose()
    }

    /// Text in the present regime; `None` if it is null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, WireError> {
        self.nullable_text()?
            .map(UncheckedText::checked)
            .transpose()
    }

    /// Text that may not be null.
    pub(crate) fn string(&mut self) -> Result<&'a str, WireError> {
        self.unchecked_string()?.checked()
    }

    /// The same, for who knows the text already.
    pub(crate) fn unchecked_string(&mut self) -> Result<UncheckedText<'a>, WireError> {
        let at = self.place();
        self.nullable_text()?.ok_or(WireError::BadLength { at })
    }

    fn text(&self, range: Range<usize>) -> Result<UncheckedText<'a>, WireError> {
        let at = place(range.start);
        let bytes = self.bytes.get(range).ok_or(WireError::Truncated { at })?;
        Ok(UncheckedText { bytes, at })
    }

    /// Skips a section of tagged fields, whatever it has.
    #[inline(always)]
    pub(crate) fn skip_tags(&mut self) -> Result<(), WireError> {
        if self.bytes.get(self.at) == Some(&0) {
            // Nearly no section has any.
            self.at += 1;
            return Ok(());
        }
        self.skip_some_tags()
    }

    fn skip_some_tags(&mut self) -> Result<(), WireError> {
        let count = self.varint()?;
        for _ in 0..count {
            self.varint()?;
            let at = self.place();
            let size = usize::try_from(self.varint()?).map_err(|_| WireError::BadLength { at })?;
            self.range(size)?;
        }
        Ok(())
    }

    /// Skips the tagged fields that end a struct in the compact regime; nothing in the old one.
    #[inline(always)]
    pub(crate) fn end_struct(&mut self) -> Result<(), WireError> {
        if self.is_flexible {
            self.skip_tags()
        } else {
            Ok(())
        }
    }
}

// Frames are far shorter.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
