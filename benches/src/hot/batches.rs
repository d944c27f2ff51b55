//! Checking, walking and building record batches.
//!
//! Owns: the functions `parse-*`, `walk-*`, `build-*`.
//! Never: anything beside `model`.
//! Invariants: values are 1 KiB of one byte, so that nothing but lengths matters.
//! Source: kafka.md 3.1, 3.2.

use std::hint::black_box;

use bytes::BytesMut;
use model::batch::{BatchBuilder, BatchInfo, NewRecord, Records};

use super::{Hot, HotError};

const VALUE_BYTES: usize = 1_024;

/// A batch of so many records of 1 KiB.
pub(super) fn batch(records: u32, time_ms: i64) -> Result<BytesMut, HotError> {
    let value = [b'x'; VALUE_BYTES];
    let mut builder = BatchBuilder::new(time_ms);
    for _ in 0..records {
        builder
            .push(&NewRecord::value(time_ms, &value))
            .map_err(|error| HotError::wrong("building a batch")(&error))?;
    }
    Ok(builder.build())
}

/// What the batch says of itself.
pub(super) fn info(batch: &[u8]) -> Result<BatchInfo, HotError> {
    BatchInfo::parse(batch).map_err(|error| HotError::wrong("parsing a batch")(&error))
}

struct Parse(BytesMut);

pub(super) fn parse(records: u32) -> Result<Box<dyn Hot>, HotError> {
    Ok(Box::new(Parse(batch(records, 1)?)))
}

impl Hot for Parse {
    fn step(&mut self) -> Result<(), HotError> {
        black_box(info(black_box(&self.0))?);
        Ok(())
    }
}

struct Walk {
    batch: BytesMut,
    scratch: Vec<u8>,
}

pub(super) fn walk() -> Result<Box<dyn Hot>, HotError> {
    Ok(Box::new(Walk {
        batch: batch(64, 1)?,
        scratch: Vec::new(),
    }))
}

impl Hot for Walk {
    fn step(&mut self) -> Result<(), HotError> {
        let wrong = HotError::wrong("walking a batch");
        let info = BatchInfo::parse_header(&self.batch).map_err(|error| wrong(&error))?;
        let mut records = Records::open(black_box(&self.batch), &info, &mut self.scratch)
            .map_err(|error| wrong(&error))?;
        let count = records.by_ref().filter(Result::is_ok).count();
        if black_box(count) != 64 {
            return Err(wrong(&format!("{count} records of 64")));
        }
        Ok(())
    }
}

struct Build;

pub(super) fn build() -> Result<Box<dyn Hot>, HotError> {
    Ok(Box::new(Build))
}

impl Hot for Build {
    fn step(&mut self) -> Result<(), HotError> {
        drop(black_box(batch(64, 1)?));
        Ok(())
    }
}
