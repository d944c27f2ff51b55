//! Fetch, version 11: some partitions of one topic, without a session.
//!
//! Owns: [`Fetch`], a frame whose offsets are patched; reading of the answer.
//! Never: keeps records.
//! Invariants: offsets only rise; a batch that is cut short at the end of an answer is fetched again.
//! Source: Kafka protocol, kafka.md 4.4.

#[cfg(test)]
mod tests;

use model::batch::{BatchError, BatchInfo, Records};

use super::reader::Reader;
use super::{CORRELATION_AT, patch, put_request_header, put_text};
use crate::clock::Nanos;
use crate::error::BenchError;
use crate::load::{Load, STAMP_BYTES};

const KEY: i16 = 1;
const VERSION: i16 = 11;

/// A partition and where its consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Partition.
    pub partition: i32,
    /// Next offset.
    pub offset: i64,
    /// Where to stop; `i64::MAX` for never.
    pub until: i64,
}

/// A prepared request with the positions it asks for.
#[derive(Debug)]
pub struct Fetch {
    frame: Vec<u8>,
    positions: Vec<Position>,
    offsets_at: Vec<usize>,
    scratch: Vec<u8>,
    reading: Reading,
}

/// What is done with the records of an answer.
#[derive(Clone, Copy, Debug)]
struct Reading {
    stamps: bool,
    verify: bool,
}

/// What one answer brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Records.
    pub records: u64,
    /// Bytes of whole batches.
    pub bytes: u64,
}

impl Fetch {
    /// Prepares the request for `positions`.
    #[must_use]
    pub fn new(load: &Load, positions: Vec<Position>) -> Self {
        let bytes = i32::try_from(load.fetch_bytes).unwrap_or(i32::MAX);
        let wait = i32::try_from(load.fetch_wait_ms).unwrap_or(i32::MAX);
        let mut frame = Vec::new();
        put_request_header(&mut frame, KEY, VERSION);
        for field in [-1, wait, 1, bytes] {
            frame.extend_from_slice(&i32::to_be_bytes(field));
        }
        frame.push(0);
        for field in [0, -1, 1] {
            frame.extend_from_slice(&i32::to_be_bytes(field));
        }
        put_text(&mut frame, &load.topic);
        let count = i32::try_from(positions.len()).unwrap_or(i32::MAX);
        frame.extend_from_slice(&count.to_be_bytes());
        let mut offsets_at = Vec::with_capacity(positions.len());
        for position in &positions {
            frame.extend_from_slice(&position.partition.to_be_bytes());
            frame.extend_from_slice(&(-1_i32).to_be_bytes());
            offsets_at.push(frame.len());
            frame.extend_from_slice(&[0; 8]);
            frame.extend_from_slice(&(-1_i64).to_be_bytes());
            frame.extend_from_slice(&bytes.to_be_bytes());
        }
        frame.extend_from_slice(&0_i32.to_be_bytes());
        put_text(&mut frame, "");
        let len = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
        patch(&mut frame, 0..4, &len.to_be_bytes());
        Self {
            frame,
            positions,
            offsets_at,
            scratch: Vec::new(),
            reading: Reading {
                stamps: load.stamped(),
                verify: load.verify,
            },
        }
    }

    /// Whether every partition was read as far as wanted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.positions
            .iter()
            .all(|position| position.offset >= position.until)
    }

    /// The frame that asks for what comes next.
    pub fn frame(&mut self, correlation: i32) -> &[u8] {
        patch(&mut self.frame, CORRELATION_AT, &correlation.to_be_bytes());
        for (at, position) in self.offsets_at.iter().zip(&self.positions) {
            patch(
                &mut self.frame,
                *at..*at + 8,
                &position.offset.to_be_bytes(),
            );
        }
        &self.frame
    }

    /// Reads an answer without its length prefix; `stamp` is called with the time that a record carries.
    ///
    /// # Errors
    /// The broker refused, or sent what is no answer.
    pub fn read(
        &mut self,
        frame: &[u8],
        mut stamp: impl FnMut(Nanos),
    ) -> Result<Fetched, BenchError> {
        let mut reader = Reader::new(frame);
        reader.i32()?;
        reader.i32()?;
        BenchError::check("fetching", reader.i16()?)?;
        reader.i32()?;
        let mut fetched = Fetched::default();
        for _ in 0..reader.count()? {
            reader.skip_text()?;
            for _ in 0..reader.count()? {
                let partition = reader.i32()?;
                let error = reader.i16()?;
                reader.bytes(24)?;
                let aborted = reader.count()?;
                reader.bytes(aborted.saturating_mul(16))?;
                reader.i32()?;
                let len = reader.count()?;
                let records = reader.bytes(len)?;
                BenchError::check("fetching a partition", error)?;
                self.take(partition, records, &mut fetched, &mut stamp)?;
            }
        }
        Ok(fetched)
    }

    fn take(
        &mut self,
        partition: i32,
        mut records: &[u8],
        fetched: &mut Fetched,
        stamp: &mut impl FnMut(Nanos),
    ) -> Result<(), BenchError> {
        let found = self
            .positions
            .binary_search_by_key(&partition, |position| position.partition);
        let Some(position) = found.ok().and_then(|at| self.positions.get_mut(at)) else {
            return Err(BenchError::Garbage(format!(
                "partition {partition} was not asked for"
            )));
        };
        let damaged = |error: BatchError| BenchError::Garbage(error.to_string());
        while !records.is_empty() {
            let parsed = if self.reading.verify {
                BatchInfo::parse(records)
            } else {
                BatchInfo::parse_header(records)
            };
            let info = match parsed {
                Ok(info) => info,
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => return Err(damaged(error)),
            };
            let Some((batch, rest)) = records.split_at_checked(info.bytes as usize) else {
                break;
            };
            records = rest;
            // The first batch of an answer may begin before the offset that was asked for.
            let wanted = position.offset;
            let skipped = (wanted - info.base_offset.to_wire()).max(0);
            let new = i64::from(info.records) - skipped;
            position.offset = wanted.max(info.end_offset().to_wire());
            fetched.records += u64::try_from(new).unwrap_or(0);
            fetched.bytes += batch.len() as u64;
            if self.reading.stamps {
                read_stamps(batch, (&info, wanted), &mut self.scratch, stamp).map_err(damaged)?;
            }
        }
        Ok(())
    }
}

/// Gives the time that each record from offset `wanted` on carries.
fn read_stamps(
    batch: &[u8],
    (info, wanted): (&BatchInfo, i64),
    scratch: &mut Vec<u8>,
    stamp: &mut impl FnMut(Nanos),
) -> Result<(), BatchError> {
    for record in Records::open(batch, info, scratch)? {
        let record = record?;
        if record.offset(info).to_wire() < wanted {
            continue;
        }
        if let Some(bytes) = record.value.and_then(<[u8]>::first_chunk::<STAMP_BYTES>) {
            stamp(Nanos::from_le_bytes(*bytes));
        }
    }
    Ok(())
}
