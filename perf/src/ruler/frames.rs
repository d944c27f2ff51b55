//! What a ruler's server needs of the protocol: one field of a request, prepared answers.
//!
//! Owns: [`Request`], the answer to Fetch.
//! Never: looks into record batches.
//! Invariants: the answer to Fetch carries valid batches, so the generator's reading costs what it costs with a broker.
//! Source: kafka.md 2.1.

use crate::error::BenchError;
use crate::load::Load;
use crate::wire::produce::{Produce, put_acknowledgement};

const FETCH: i16 = 1;

/// The fields of a request that a ruler looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it is a Fetch.
    pub is_fetch: bool,
    /// Correlation id.
    pub correlation: i32,
}

impl Request {
    /// Reads the front of a frame without its length prefix.
    ///
    /// # Errors
    /// It is too short.
    pub fn read(frame: &[u8]) -> Result<Self, BenchError> {
        let short = || BenchError::Garbage("a request of less than 8 bytes".to_owned());
        let header = frame.first_chunk::<8>().ok_or_else(short)?;
        let [k0, k1, _, _, c0, c1, c2, c3] = *header;
        Ok(Self {
            is_fetch: i16::from_be_bytes([k0, k1]) == FETCH,
            correlation: i32::from_be_bytes([c0, c1, c2, c3]),
        })
    }
}

/// Answers, prepared once.
#[derive(Clone, Debug)]
pub struct Answers {
    fetch: Vec<u8>,
}

impl Answers {
    /// `fetch_bytes` is what one Fetch is answered with.
    ///
    /// # Errors
    /// A batch cannot be built.
    pub fn new(fetch_bytes: usize) -> Result<Self, BenchError> {
        Ok(Self {
            fetch: fetch_answer(fetch_bytes)?,
        })
    }

    /// Appends the answer to `request`.
    pub fn put(&self, out: &mut Vec<u8>, request: Request) {
        if request.is_fetch {
            let start = out.len();
            out.extend_from_slice(&self.fetch);
            if let Some(field) = out.get_mut(start + 4..start + 8) {
                field.copy_from_slice(&request.correlation.to_be_bytes());
            }
        } else {
            put_acknowledgement(out, request.correlation, 0);
        }
    }
}

/// A Fetch 11 answer with batches of 1 KiB records, 64 KiB each.
fn fetch_answer(bytes: usize) -> Result<Vec<u8>, BenchError> {
    let load = Load {
        batch_records: 63,
        ..Load::default()
    };
    let mut request = Produce::new(&load)?;
    let batch_len = usize::try_from(request.size().bytes).unwrap_or(0);
    let frame = request.frame(0, 0, 0)?;
    let batch = frame.get(frame.len() - batch_len..).unwrap_or_default();
    let count = (bytes / batch_len.max(1)).max(1);
    let mut out = vec![0; 8];
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&0_i16.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&5_i16.to_be_bytes());
    out.extend_from_slice(b"bench");
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&0_i16.to_be_bytes());
    out.extend_from_slice(&[0; 24]);
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    let records = i32::try_from(batch.len() * count).unwrap_or(i32::MAX);
    out.extend_from_slice(&records.to_be_bytes());
    for _ in 0..count {
        out.extend_from_slice(batch);
    }
    let len = i32::try_from(out.len() - 4).unwrap_or(i32::MAX);
    if let Some(field) = out.get_mut(..4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    Ok(out)
}
