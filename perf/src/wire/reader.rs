//! Big-endian fields out of a slice.
//!
//! Owns: [`Reader`].
//! Never: reads past the end.
//! Invariants: a field that is cut short is an error, never a guess.
//! Source: kafka.md 2.1.

use crate::error::BenchError;

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], BenchError> {
        let (front, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| BenchError::Garbage("an answer is cut short".to_owned()))?;
        self.rest = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BenchError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    pub(super) fn i16(&mut self) -> Result<i16, BenchError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, BenchError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, BenchError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A count; null counts as zero.
    pub(super) fn count(&mut self) -> Result<usize, BenchError> {
        self.i32().map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// Skips a text; null is empty.
    pub(super) fn skip_text(&mut self) -> Result<(), BenchError> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        self.bytes(len).map(drop)
    }
}
