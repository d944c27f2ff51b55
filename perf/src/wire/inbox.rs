//! Bytes received on a connection, cut into frames.
//!
//! Owns: [`Inbox`].
//! Never: grows beyond the largest frame it was told of.
//! Invariants: a frame is handed out once, whole, without its length prefix.
//! Source: kafka.md 2.1.

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::ops::Range;

use crate::error::BenchError;

/// Bytes of one answer that are accepted.
const FRAME_BYTES_MAX: usize = 128 << 20;
/// Room offered to one receive.
const ROOM: usize = 64 << 10;
const PREFIX: usize = 4;

/// A receive buffer.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What a receive gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The other side has closed.
    Closed,
}

impl Inbox {
    /// Receives once.
    ///
    /// # Errors
    /// The connection failed.
    pub fn receive(&mut self, from: &mut impl Read) -> io::Result<Received> {
        self.make_room();
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match from.read(room) {
            Ok(0) => Ok(Received::Closed),
            Ok(count) => {
                self.end += count;
                Ok(Received::Bytes(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, as a range for [`Self::bytes`].
    ///
    /// # Errors
    /// The length prefix is not one of an answer.
    pub fn next_frame(&mut self) -> Result<Option<Range<usize>>, BenchError> {
        let Some(len) = self.frame_len() else {
            return Ok(None);
        };
        if !(PREFIX..=FRAME_BYTES_MAX).contains(&len) {
            return Err(BenchError::Garbage(format!("an answer of {len} bytes")));
        }
        let from = self.start + PREFIX;
        if self.end - from < len {
            return Ok(None);
        }
        self.start = from + len;
        Ok(Some(from..from + len))
    }

    /// Bytes of a frame that [`Self::next_frame`] gave since the last receive.
    #[must_use]
    pub fn bytes(&self, frame: Range<usize>) -> &[u8] {
        self.buffer.get(frame).unwrap_or_default()
    }

    fn frame_len(&self) -> Option<usize> {
        let pending = self.buffer.get(self.start..self.end)?;
        let prefix = pending.first_chunk::<PREFIX>()?;
        Some(usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(usize::MAX))
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        let wanted = self.frame_len().unwrap_or(0).min(FRAME_BYTES_MAX) + PREFIX;
        let missing = (self.start + wanted).saturating_sub(self.end).max(1);
        if self.buffer.len() - self.end >= missing && self.buffer.len() > self.end {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let needed = (self.end + ROOM).max(wanted);
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
    }
}
