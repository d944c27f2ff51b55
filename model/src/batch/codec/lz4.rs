//! LZ4 frames.
//!
//! Owns: one frame per batch, independent 64 KiB blocks when compressing, any block size when decompressing.
//! Never: accepts the legacy frame, dictionaries, several frames, or a frame without its end mark.
//! Invariants: besides its output a decompression holds at most two blocks of 4 MiB and their window.
//! Source: LZ4 frame format 1.6; what the Java client and librdkafka write.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{BatchError, read_bounded};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const FLAG_DICTIONARY: u8 = 1 << 0;
const FLAG_CONTENT_CHECKSUM: u8 = 1 << 2;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_BLOCK_CHECKSUM: u8 = 1 << 4;
/// Bit of a block's length field that marks its bytes as not compressed.
const BLOCK_IS_PLAIN: u32 = 1 << 31;

const MALFORMED: BatchError = BatchError::BadPayload("lz4 frame is malformed");

pub(super) fn decompress(input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    // The library takes the end of input between two blocks for the end of the frame.
    if whole_frame_len(input) != Some(input.len()) {
        return Err(BatchError::BadPayload(
            "lz4 frame is not whole or not alone",
        ));
    }
    read_bounded(FrameDecoder::new(input), out, limit)
        .map_err(|error| error.named("lz4 frame is malformed"))
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let shape = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(shape, out);
    encoder.write_all(input).map_err(|_| MALFORMED)?;
    encoder.finish().map(|_| ()).map_err(|_| MALFORMED)
}

/// Length of the frame at the front of `input` up to its end mark and checksum, from its length fields alone.
fn whole_frame_len(input: &[u8]) -> Option<usize> {
    let (magic, rest) = input.split_first_chunk::<4>()?;
    let (&flags, rest) = rest.split_first()?;
    if *magic != MAGIC || flags & FLAG_DICTIONARY != 0 {
        return None;
    }
    // Block descriptor and header checksum, and the content size between them if flagged.
    let mut rest = rest.get(
        if flags & FLAG_CONTENT_SIZE == 0 {
            2
        } else {
            10
        }..,
    )?;
    let checksum_bytes = |flag: u8| if flags & flag == 0 { 0 } else { 4 };
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            rest = after.get(checksum_bytes(FLAG_CONTENT_CHECKSUM)..)?;
            return input.len().checked_sub(rest.len());
        }
        let block = usize::try_from(length & !BLOCK_IS_PLAIN).ok()?;
        rest = after
            .get(block..)?
            .get(checksum_bytes(FLAG_BLOCK_CHECKSUM)..)?;
    }
}
