//! Produce, version 8: one batch for one partition.
//!
//! Owns: [`Produce`], a frame that is patched per request; reading of the answer.
//! Never: builds a batch per request.
//! Invariants: the CRC of a patched batch is right; positions are computed once from the built frame.
//! Source: Kafka protocol, KIP-98 (record batch).

#[cfg(test)]
mod tests;

use model::batch::{BatchBuilder, BatchInfo, NewRecord, Records};
use model::prng::Prng;

use super::reader::Reader;
use super::{CORRELATION_AT, patch, put_request_header, put_text};
use crate::clock::{Nanos, wall_ms};
use crate::error::BenchError;
use crate::load::{Load, STAMP_BYTES};
use crate::measure::BatchSize;

const KEY: i16 = 0;
const VERSION: i16 = 8;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
/// Contents are letters, so that codecs find something to do.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,";

/// A prepared request.
#[derive(Clone, Debug)]
pub struct Produce {
    frame: Vec<u8>,
    partition_at: usize,
    batch_at: usize,
    stamps_at: Vec<usize>,
    size: BatchSize,
    /// Compressed batches that carry a time are built anew.
    rebuild: Option<Load>,
}

impl Produce {
    /// Prepares the request that `load` describes.
    ///
    /// # Errors
    /// The batch cannot be built.
    pub fn new(load: &Load) -> Result<Self, BenchError> {
        let batch = build_batch(load, 0)?;
        let mut frame = Vec::with_capacity(batch.len() + 128);
        put_request_header(&mut frame, KEY, VERSION);
        frame.extend_from_slice(&(-1_i16).to_be_bytes());
        frame.extend_from_slice(&load.acks.to_be_bytes());
        frame.extend_from_slice(&30_000_i32.to_be_bytes());
        frame.extend_from_slice(&1_i32.to_be_bytes());
        put_text(&mut frame, &load.topic);
        frame.extend_from_slice(&1_i32.to_be_bytes());
        let partition_at = frame.len();
        frame.extend_from_slice(&[0; 8]);
        let batch_at = frame.len();
        let mut prepared = Self {
            frame,
            partition_at,
            batch_at,
            stamps_at: Vec::new(),
            size: BatchSize {
                records: u64::from(load.batch_records),
                bytes: 0,
            },
            rebuild: None,
        };
        prepared.set_batch(&batch);
        if load.stamped() && load.compression == crate::load::Codec::None {
            prepared.stamps_at = stamp_positions(&batch)?;
        } else if load.stamped() {
            prepared.rebuild = Some(load.clone());
        }
        Ok(prepared)
    }

    /// What one request carries.
    #[must_use]
    pub const fn size(&self) -> BatchSize {
        self.size
    }

    /// The frame for one request.
    ///
    /// # Errors
    /// A compressed batch cannot be built anew.
    pub fn frame(
        &mut self,
        correlation: i32,
        partition: i32,
        intended: Nanos,
    ) -> Result<&[u8], BenchError> {
        if let Some(load) = self.rebuild.take() {
            let batch = build_batch(&load, intended)?;
            self.set_batch(&batch);
            self.rebuild = Some(load);
        }
        patch(&mut self.frame, CORRELATION_AT, &correlation.to_be_bytes());
        let at = self.partition_at;
        patch(&mut self.frame, at..at + 4, &partition.to_be_bytes());
        if !self.stamps_at.is_empty() {
            self.stamp(intended);
        }
        Ok(&self.frame)
    }

    fn stamp(&mut self, intended: Nanos) {
        let batch = self.frame.get_mut(self.batch_at..).unwrap_or_default();
        for at in &self.stamps_at {
            patch(batch, *at..*at + STAMP_BYTES, &intended.to_le_bytes());
        }
        let crc = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
        patch(batch, CRC_AT..CRC_FROM, &crc.to_be_bytes());
    }

    fn set_batch(&mut self, batch: &[u8]) {
        self.frame.truncate(self.batch_at);
        self.frame.extend_from_slice(batch);
        // A request has at most 64 MiB, so both lengths fit.
        let batch_len = i32::try_from(batch.len()).unwrap_or(i32::MAX);
        let at = self.batch_at - 4..self.batch_at;
        patch(&mut self.frame, at, &batch_len.to_be_bytes());
        let frame_len = i32::try_from(self.frame.len() - 4).unwrap_or(i32::MAX);
        patch(&mut self.frame, 0..4, &frame_len.to_be_bytes());
        self.size.bytes = batch.len() as u64;
    }
}

fn build_batch(load: &Load, intended: Nanos) -> Result<Vec<u8>, BenchError> {
    let now = wall_ms();
    let mut builder = BatchBuilder::new(now).compression(load.compression.into());
    let mut prng = Prng::new(load.seed);
    let mut value = vec![0; load.record_bytes];
    for _ in 0..load.batch_records {
        for byte in &mut value {
            let letter = usize::try_from(prng.below(64)).unwrap_or(0);
            *byte = LETTERS.get(letter).copied().unwrap_or(b'.');
        }
        if load.stamped() {
            patch(&mut value, 0..STAMP_BYTES, &intended.to_le_bytes());
        }
        builder
            .push(&NewRecord::value(now, &value))
            .map_err(|error| BenchError::Usage(format!("the batch cannot be built: {error}")))?;
    }
    Ok(builder.build().to_vec())
}

/// Where the values of a plain batch begin.
fn stamp_positions(batch: &[u8]) -> Result<Vec<usize>, BenchError> {
    let wrong = |error: model::batch::BatchError| BenchError::Wrong(error.to_string());
    let info = BatchInfo::parse(batch).map_err(wrong)?;
    let mut scratch = Vec::new();
    let records = Records::open(batch, &info, &mut scratch).map_err(wrong)?;
    let mut positions = Vec::new();
    for record in records {
        let value = record.map_err(wrong)?.value.unwrap_or_default();
        positions.push(value.as_ptr().addr() - batch.as_ptr().addr());
    }
    Ok(positions)
}

/// What the broker answered to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Correlation id of the request.
    pub correlation: i32,
    /// Zero is success.
    pub error: i16,
    /// Offset of the first record.
    pub base_offset: i64,
}

/// Reads an answer, without its length prefix.
///
/// # Errors
/// It is cut short or empty.
pub fn read_acknowledgement(frame: &[u8]) -> Result<Acknowledgement, BenchError> {
    let mut reader = Reader::new(frame);
    let correlation = reader.i32()?;
    if reader.count()? != 1 {
        return Err(BenchError::Garbage("not one topic is answered".to_owned()));
    }
    reader.skip_text()?;
    if reader.count()? != 1 {
        return Err(BenchError::Garbage(
            "not one partition is answered".to_owned(),
        ));
    }
    reader.i32()?;
    Ok(Acknowledgement {
        correlation,
        error: reader.i16()?,
        base_offset: reader.i64()?,
    })
}

/// Writes the answer of a successful request, as rulers and test servers send it.
pub fn put_acknowledgement(out: &mut Vec<u8>, correlation: i32, base_offset: i64) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&correlation.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    put_text(out, "bench");
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&0_i16.to_be_bytes());
    out.extend_from_slice(&base_offset.to_be_bytes());
    out.extend_from_slice(&(-1_i64).to_be_bytes());
    out.extend_from_slice(&0_i64.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    patch(out, start..start + 4, &len.to_be_bytes());
}
