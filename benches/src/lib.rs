//! Inputs of the micro-benchmarks in `benches/`, and the hot functions whose instructions are counted.
//!
//! Owns: batches of fixed shape and content, [`hot`].
//! Never: measures; reads a clock.
//! Invariants: the same shape gives the same bytes on every machine.
//! Source: performance.md (shapes of the standard workloads).
#![forbid(unsafe_code)]

pub mod hot;

use bytes::BytesMut;
use model::batch::{BatchBuilder, Compression, NewRecord};
use model::prng::Prng;

/// How many records of what size, and how they are compressed.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Records in the batch.
    pub records: u32,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Codec.
    pub compression: Compression,
}

impl Shape {
    /// One small record: the latency case.
    pub const SINGLE: Self = Self::plain(1, 100);
    /// 16 KiB of small records: the default batch of common clients.
    pub const SMALL: Self = Self::plain(150, 100);
    /// About 1 MiB of 1 KiB records: the throughput case.
    pub const LARGE: Self = Self::plain(1_000, 1_024);

    /// Not compressed.
    #[must_use]
    pub const fn plain(records: u32, value_bytes: usize) -> Self {
        Self {
            records,
            value_bytes,
            compression: Compression::None,
        }
    }

    /// The same with a codec.
    #[must_use]
    pub const fn compressed(self, compression: Compression) -> Self {
        Self {
            compression,
            ..self
        }
    }

    /// Label in reports.
    #[must_use]
    pub fn label(&self) -> String {
        format!(
            "{}x{}/{:?}",
            self.records, self.value_bytes, self.compression
        )
        .to_lowercase()
    }

    /// Values for the records: half random, half repetitive, so that codecs have something to do.
    #[must_use]
    pub fn values(&self) -> Vec<Vec<u8>> {
        let mut prng = Prng::new(42);
        (0..self.records)
            .map(|_| value(&mut prng, self.value_bytes))
            .collect()
    }

    /// The finished batch.
    #[must_use]
    pub fn batch(&self) -> BytesMut {
        build(&self.values(), self.compression)
    }
}

/// One batch of keyed records with these values.
///
/// # Panics
/// If the values exceed what one batch may hold.
#[must_use]
pub fn build(values: &[Vec<u8>], compression: Compression) -> BytesMut {
    let mut builder = BatchBuilder::new(1_700_000_000_000).compression(compression);
    for (number, value) in (0_u32..).zip(values) {
        let key = number.to_be_bytes();
        let timestamp = 1_700_000_000_000 + i64::from(number);
        let pushed = builder.push(&NewRecord::keyed(timestamp, &key, value));
        assert!(pushed.is_ok(), "shapes fit a batch");
    }
    builder.build()
}

fn value(prng: &mut Prng, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 16);
    while out.len() < bytes {
        out.extend_from_slice(&prng.next_u64().to_le_bytes());
        out.extend_from_slice(b"repeated");
    }
    out.truncate(bytes);
    out
}
