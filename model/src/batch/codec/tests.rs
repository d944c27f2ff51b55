//! Tests of the codecs: round trips, foreign framings, bombs, damage.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1024 * 1024;

fn packed(codec: Compression, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, plain, &mut out).unwrap();
    out
}

fn unpacked(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    decompress(codec, input, &mut out, limit).map(|()| out)
}

/// Half random, half repetitive, larger than a block of any codec.
fn sample(bytes: usize) -> Vec<u8> {
    let mut prng = crate::prng::Prng::new(11);
    let mut out = Vec::with_capacity(bytes + 16);
    while out.len() < bytes {
        out.extend_from_slice(&prng.next_u64().to_le_bytes());
        out.extend_from_slice(b"repeated");
    }
    out.truncate(bytes);
    out
}

#[test]
fn codec_numbers_are_those_of_the_wire() {
    for codec in Compression::ALL {
        assert_eq!(Compression::from_wire(codec.to_wire()), Ok(codec));
    }
    assert_eq!(Compression::ALL.map(Compression::to_wire), [0, 1, 2, 3, 4]);
    assert_eq!(
        Compression::from_wire(5),
        Err(BatchError::BadCompression(5))
    );
}

#[test]
fn every_codec_gives_back_inputs_of_every_size_class() {
    for codec in Compression::ALL {
        for bytes in [0, 1, 100, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 300_000] {
            let plain = sample(bytes);
            let packed = packed(codec, &plain);
            assert_eq!(
                unpacked(codec, &packed, LIMIT),
                Ok(plain),
                "{codec:?} {bytes}"
            );
        }
    }
}

#[test]
fn output_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
    for codec in Compression::ALL {
        let packed = packed(codec, &sample(70_000));
        assert!(unpacked(codec, &packed, 70_000).is_ok(), "{codec:?}");
        assert_eq!(
            unpacked(codec, &packed, 69_999),
            Err(TOO_LARGE),
            "{codec:?}"
        );
    }
}

#[test]
fn bombs_are_refused_without_holding_what_they_announce() {
    let zeros = vec![0; 64 * LIMIT];
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let bomb = packed(codec, &zeros);
        let mut out = Vec::new();
        assert_eq!(
            decompress(codec, &bomb, &mut out, LIMIT),
            Err(TOO_LARGE),
            "{codec:?}"
        );
        assert!(
            out.capacity() <= 2 * LIMIT + 64,
            "{codec:?} holds {}",
            out.capacity()
        );
    }
}

#[test]
fn a_snappy_length_that_its_bytes_cannot_reach_reserves_nothing() {
    // A raw block that announces 2^32 - 1 bytes and brings one literal.
    let input = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'a'];
    let mut out = Vec::new();
    assert!(decompress(Compression::Snappy, &input, &mut out, usize::MAX).is_err());
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_zstd_window_above_eight_mebibytes_is_refused() {
    // Frame header with a window descriptor of 2^24 bytes and an empty last block.
    let window = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0x00, (exponent - 10) << 3, 1, 0, 0];
    assert_eq!(
        unpacked(Compression::Zstd, &window(23), LIMIT),
        Ok(Vec::new())
    );
    assert!(unpacked(Compression::Zstd, &window(24), LIMIT).is_err());
    assert!(unpacked(Compression::Zstd, &window(31), LIMIT).is_err());
}

#[test]
fn raw_snappy_is_read_as_well_as_framed() {
    let plain = sample(5_000);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(unpacked(Compression::Snappy, &raw, LIMIT), Ok(plain));
}

#[test]
fn concatenated_framed_snappy_streams_are_one_output() {
    let joined = [
        packed(Compression::Snappy, b"one "),
        packed(Compression::Snappy, b"two"),
    ];
    assert_eq!(
        unpacked(Compression::Snappy, &joined.concat(), LIMIT),
        Ok(b"one two".to_vec())
    );
}

#[test]
fn concatenated_gzip_members_and_zstd_frames_are_one_output() {
    for codec in [Compression::Gzip, Compression::Zstd] {
        let joined = [packed(codec, b"one "), packed(codec, b"two")].concat();
        assert_eq!(
            unpacked(codec, &joined, LIMIT),
            Ok(b"one two".to_vec()),
            "{codec:?}"
        );
    }
}

#[test]
fn lz4_frames_with_every_option_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let plain = sample(200_000);
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
            let shape = FrameInfo::new()
                .block_mode(mode)
                .block_size(size)
                .block_checksums(true)
                .content_checksum(true)
                .content_size(Some(200_000));
            let mut encoder = FrameEncoder::with_frame_info(shape, Vec::new());
            encoder.write_all(&plain).unwrap();
            let frame = encoder.finish().unwrap();
            assert_eq!(
                unpacked(Compression::Lz4, &frame, LIMIT).as_ref(),
                Ok(&plain)
            );
        }
    }
}

#[test]
fn an_lz4_frame_without_end_mark_with_a_follower_or_empty_is_refused() {
    let frame = packed(Compression::Lz4, b"some bytes");
    assert!(unpacked(Compression::Lz4, &frame[..frame.len() - 4], LIMIT).is_err());
    assert!(unpacked(Compression::Lz4, &frame.repeat(2), LIMIT).is_err());
    assert!(unpacked(Compression::Lz4, &[], LIMIT).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    let plain = sample(3_000);
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let whole = packed(codec, &plain);
        for cut in 1..whole.len() {
            let got = unpacked(codec, &whole[..cut], LIMIT);
            // The xerial stream header alone is a stream without blocks.
            let is_bare_header = codec == Compression::Snappy && cut == 16;
            assert!(got.is_err() || is_bare_header, "{codec:?} cut at {cut}");
        }
    }
}

#[test]
fn a_flipped_bit_never_panics_and_never_exceeds_the_limit() {
    let plain = sample(600);
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let whole = packed(codec, &plain);
        for bit in 0..whole.len() * 8 {
            let mut bent = whole.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if let Ok(out) = unpacked(codec, &bent, 1_000) {
                assert!(out.len() <= 1_000);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_come_back(
        plain in prop::collection::vec(any::<u8>(), 0..4_000),
        codec in prop::sample::select(Compression::ALL.to_vec()),
    ) {
        prop_assert_eq!(unpacked(codec, &packed(codec, &plain), LIMIT), Ok(plain));
    }

    #[test]
    fn arbitrary_input_gives_an_error_or_bounded_output(
        input in prop::collection::vec(any::<u8>(), 0..500),
        codec in prop::sample::select(Compression::ALL.to_vec()),
    ) {
        if let Ok(out) = unpacked(codec, &input, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
