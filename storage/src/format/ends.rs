//! Where logs ended before a journal group: the entry that says so, and its payload.
//!
//! Owns: [`Ends`], both ways.
//! Never: knows which groups are lost.
//! Invariants: at most one in a group, as its first entry; log ids rise; every pair is 16 bytes.
//! Source: reliability.md 2.4, 2.6.

use model::offset::Offset;

use super::FormatError;
use super::cursor::{Reader, Writer};
use crate::store::LogId;

const WHAT: &str = "ends in a journal group";

/// Kind of the entry.
pub(crate) const KIND: u8 = 3;

/// Bytes of one log in the payload.
pub const END_BYTES: usize = 16;

/// Where the logs ended that groups before this one appended to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Sequence of the first group that it speaks of; the last is the one before its own.
    pub covers_from: u64,
    /// Every log with an append in those groups, and the offset after its newest; ids rise.
    pub logs: Vec<(LogId, Offset)>,
}

impl Ends {
    /// Bytes of the payload.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.logs.len() * END_BYTES
    }

    /// Writes the fields of the entry behind its length, and into the empty `payload` the payload.
    pub(super) fn encode(&self, row: &mut Writer, payload: &mut Writer) {
        for (log, end) in &self.logs {
            payload.u64(log.0).u64(end.get());
        }
        let crc = crc32c::crc32c(payload.as_slice());
        row.u64(self.covers_from).u32(crc);
    }

    /// Reads the fields of the entry behind its length, and the payload.
    ///
    /// # Errors
    /// `Truncated`, `BadChecksum` or `Inconsistent`.
    pub(super) fn decode(row: &mut Reader<'_>, payload: &[u8]) -> Result<Self, FormatError> {
        let (covers_from, crc) = (row.u64()?, row.u32()?);
        if crc32c::crc32c(payload) != crc {
            return Err(FormatError::BadChecksum { what: WHAT });
        }
        let mut pairs = Reader::new(payload, WHAT);
        let mut logs = Vec::with_capacity(payload.len() / END_BYTES);
        while pairs.remaining() > 0 {
            logs.push((LogId(pairs.u64()?), Offset::new(pairs.u64()?)));
        }
        let is_rising = logs
            .windows(2)
            .all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
        let is_possible = logs.iter().all(|(_, end)| *end <= Offset::MAX);
        if !is_rising || !is_possible || covers_from == 0 {
            return Err(FormatError::Inconsistent {
                what: WHAT,
                why: "logs do not rise or an offset is impossible",
            });
        }
        Ok(Self { covers_from, logs })
    }
}

#[cfg(test)]
mod tests;
