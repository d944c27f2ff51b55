//! The four compression codecs of record batches.
//!
//! Owns: compressing a batch's records and decompressing them within a hard limit.
//! Never: reserves memory by a size that the input announces without a bound of its own.
//! Invariants: output never exceeds the caller's limit; every malformed input is a [`BatchError::BadPayload`].
//! Source: KIP-98, RFC 1952, RFC 8878, LZ4 frame format 1.6, snappy framing of xerial; reliability.md 4.2.

mod lz4;
mod snappy;

use std::io::{Read, Write};

use super::view::{BatchError, Compression};

/// Largest zstd window accepted, as a power of two: 8 MiB.  spec: reliability.md 4.2
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Compression effort of zstd for batches built here; the library's own default.
const ZSTD_LEVEL: i32 = 3;

impl Compression {
    /// Every codec, by rising number on the wire.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in attribute bits 0 to 2.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// From attribute bits 0 to 2.
    ///
    /// # Errors
    /// [`BatchError::BadCompression`] for a number that names no codec.
    pub const fn from_wire(number: u8) -> Result<Self, BatchError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            unknown => Err(BatchError::BadCompression(unknown)),
        }
    }
}

/// Replaces `out` by what `input` decompresses to, at most `limit` bytes.
///
/// # Errors
/// [`BatchError::BadPayload`] if the input is malformed, has trailing bytes, or gives more than `limit`.
pub fn decompress(
    codec: Compression,
    input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), BatchError> {
    out.clear();
    match codec {
        Compression::None => {
            if input.len() > limit {
                return Err(TOO_LARGE);
            }
            out.extend_from_slice(input);
            Ok(())
        }
        Compression::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(input), out, limit)
            .map_err(|error| error.named("gzip stream is malformed")),
        Compression::Snappy => snappy::decompress(input, out, limit),
        Compression::Lz4 => lz4::decompress(input, out, limit),
        Compression::Zstd => decompress_zstd(input, out, limit),
    }
}

/// Replaces `out` by `input` compressed.
///
/// # Errors
/// [`BatchError::BadPayload`] if the codec refuses, which none does for inputs a batch may have.
pub fn compress(codec: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    out.clear();
    match codec {
        Compression::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            encoder
                .write_all(input)
                .and_then(|()| encoder.finish())
                .map(|_| ())
                .map_err(|_| BatchError::BadPayload("gzip encoder failed"))
        }
        Compression::Snappy => snappy::compress(input, out),
        Compression::Lz4 => lz4::compress(input, out),
        Compression::Zstd => zstd::stream::copy_encode(input, out, ZSTD_LEVEL)
            .map_err(|_| BatchError::BadPayload("zstd encoder failed")),
    }
}

const TOO_LARGE: BatchError = BatchError::BadPayload("decompressed size exceeds the limit");

fn decompress_zstd(input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    const MALFORMED: BatchError = BatchError::BadPayload("zstd frame is malformed");
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(|_| MALFORMED)?;
    decoder
        .window_log_max(ZSTD_WINDOW_LOG_MAX)
        .map_err(|_| MALFORMED)?;
    read_bounded(decoder, out, limit).map_err(|error| error.named("zstd frame is malformed"))
}

/// How a bounded read ended early.
enum ReadStop {
    Malformed,
    TooLarge,
}

impl ReadStop {
    fn named(&self, malformed: &'static str) -> BatchError {
        match self {
            Self::Malformed => BatchError::BadPayload(malformed),
            Self::TooLarge => TOO_LARGE,
        }
    }
}

/// Appends everything `reader` gives to `out`; memory grows with what was really read.
fn read_bounded(reader: impl Read, out: &mut Vec<u8>, limit: usize) -> Result<(), ReadStop> {
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(one_more)
        .read_to_end(out)
        .map_err(|_| ReadStop::Malformed)?;
    if out.len() > limit {
        Err(ReadStop::TooLarge)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
