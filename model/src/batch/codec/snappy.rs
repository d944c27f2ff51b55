//! Snappy, raw and in the xerial framing.
//!
//! Owns: framed output in 32 KiB blocks; framed or raw input.
//! Never: trusts a block's announced length beyond what snappy can reach from the block's own bytes.
//! Invariants: no more than 22 bytes are reserved per byte of input.
//! Source: snappy format description; framing of the Java client (snappy-java), raw form of librdkafka.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{BatchError, TOO_LARGE};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version and lowest compatible version, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK_BYTES: usize = 32 * 1024;
/// The densest element is a three-byte copy that gives 64 bytes.
const GROWTH_MAX: usize = 22;

const MALFORMED: BatchError = BatchError::BadPayload("snappy block is malformed");

pub(super) fn decompress(input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    let mut decoder = Decoder::new();
    let Some(mut rest) = after_stream_header(input)? else {
        return decompress_block(&mut decoder, input, out, limit);
    };
    while !rest.is_empty() {
        // A stream header may come again where streams were concatenated.
        if let Some(after) = after_stream_header(rest)? {
            rest = after;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| MALFORMED)?;
        let (block, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
        decompress_block(&mut decoder, block, out, limit)?;
        rest = after;
    }
    Ok(())
}

/// What follows the 16-byte stream header; `None` if `input` does not begin with its magic.
fn after_stream_header(input: &[u8]) -> Result<Option<&[u8]>, BatchError> {
    match input.strip_prefix(&MAGIC) {
        None => Ok(None),
        Some(rest) => rest.get(VERSIONS.len()..).map(Some).ok_or(MALFORMED),
    }
}

fn decompress_block(
    decoder: &mut Decoder,
    block: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), BatchError> {
    let announced = decompress_len(block).map_err(|_| MALFORMED)?;
    if announced > block.len().saturating_mul(GROWTH_MAX) {
        return Err(MALFORMED);
    }
    let start = out.len();
    let end = start.saturating_add(announced);
    if end > limit {
        return Err(TOO_LARGE);
    }
    out.resize(end, 0);
    let target = out.get_mut(start..).ok_or(MALFORMED)?;
    let written = decoder.decompress(block, target).map_err(|_| MALFORMED)?;
    if written == announced {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    const FAILED: BatchError = BatchError::BadPayload("snappy encoder failed");
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(BLOCK_BYTES)];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    for chunk in input.chunks(BLOCK_BYTES) {
        let written = encoder.compress(chunk, &mut block).map_err(|_| FAILED)?;
        let compressed = block.get(..written).ok_or(FAILED)?;
        let length = u32::try_from(written).map_err(|_| FAILED)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(compressed);
    }
    Ok(())
}
