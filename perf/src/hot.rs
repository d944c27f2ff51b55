//! Pure functions of the hot path, repeated on fixed input, for counting their instructions.
//!
//! Owns: [`run`] and the list of names.
//! Never: measures time.
//! Invariants: the same name and count execute the same instructions on every run.
//! Source: performance.md section 5 (in CI only what is repeatable).

#[cfg(test)]
mod tests;

use std::hint::black_box;

use model::batch::{BatchBuilder, BatchError, BatchInfo, NewRecord, Records};

use crate::error::BenchError;

/// Names that [`run`] knows.
pub const NAMES: &[&str] = &[
    "parse-1k",
    "parse-64k",
    "walk-64-records",
    "build-64-records",
];

/// Executes the function `name` on its fixed input `count` times.
///
/// # Errors
/// There is no such name.
pub fn run(name: &str, count: u64) -> Result<(), BenchError> {
    let wrong = |error: BatchError| BenchError::Wrong(error.to_string());
    let one = build(1, 1024).map_err(wrong)?;
    let many = build(64, 1024).map_err(wrong)?;
    let mut scratch = Vec::new();
    for _ in 0..count {
        match name {
            "parse-1k" => drop(black_box(BatchInfo::parse(black_box(&one)))),
            "parse-64k" => drop(black_box(BatchInfo::parse(black_box(&many)))),
            "walk-64-records" => {
                let info = BatchInfo::parse_header(&many).map_err(wrong)?;
                let records =
                    Records::open(black_box(&many), &info, &mut scratch).map_err(wrong)?;
                black_box(records.filter(Result::is_ok).count());
            }
            "build-64-records" => drop(black_box(build(64, 1024))),
            other => {
                return Err(BenchError::Usage(format!(
                    "`{other}` is none of {}",
                    NAMES.join(", ")
                )));
            }
        }
    }
    Ok(())
}

fn build(records: u32, bytes: usize) -> Result<Vec<u8>, BatchError> {
    let value = vec![b'x'; bytes];
    let mut builder = BatchBuilder::new(1);
    for _ in 0..records {
        builder.push(&NewRecord::value(1, &value))?;
    }
    Ok(builder.build().to_vec())
}
