//! Tests of the header view.

use super::*;
use crate::batch::vectors::{all, vector};
use crate::batch::{BatchBuilder, NewRecord};

fn two_records() -> Vec<u8> {
    let mut builder = BatchBuilder::new(1_000);
    builder.push(&NewRecord::value(1_000, b"a")).unwrap();
    builder.push(&NewRecord::value(1_005, b"b")).unwrap();
    builder.build().to_vec()
}

/// Overwrites bytes and corrects the CRC, so that only the field itself is wrong.
fn with_field(mut batch: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    batch[at..at + field.len()].copy_from_slice(field);
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn inconsistency(batch: &[u8]) -> &'static str {
    match BatchInfo::parse(batch) {
        Err(BatchError::Inconsistent(why)) => why,
        other => panic!("expected an inconsistency, got {other:?}"),
    }
}

#[test]
fn the_crc_is_the_castagnoli_one() {
    // RFC 3720 B.4: 32 bytes of zeros, of ones, and the check value of the catalogue of CRCs.
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn every_batch_of_other_clients_parses() {
    for (name, bytes) in all() {
        let info = BatchInfo::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(info.len(), bytes.len(), "{name}");
        assert_eq!(batch_len(&bytes), Some(bytes.len()), "{name}");
    }
}

#[test]
fn fields_of_an_idempotent_transactional_batch_are_read() {
    let info = BatchInfo::parse(&vector("java_zstd")).unwrap();
    let expected = BatchInfo {
        bytes: 136,
        base_offset: Offset::ZERO,
        leader_epoch: None,
        last_offset_delta: 2,
        records: 3,
        compression: Compression::Zstd,
        is_log_append_time: false,
        is_transactional: true,
        is_control: false,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_007,
        producer: Some(BatchProducer {
            id: ProducerId::new(4242),
            epoch: ProducerEpoch::new(7),
            base_sequence: Some(BatchSequence::new(99)),
        }),
        crc: 0xc638_a55c,
    };
    assert_eq!(info, expected);
    assert_eq!(info.check_produced(), Ok(()));
    assert_eq!(
        (info.last_offset(), info.end_offset()),
        (Offset::new(2), Offset::new(3))
    );
}

#[test]
fn a_batch_stamped_by_another_broker_shows_its_offset_and_epoch() {
    let info = BatchInfo::parse(&vector("java_after_log_append_time")).unwrap();
    assert_eq!(info.base_offset, Offset::new(1_000));
    assert_eq!(info.leader_epoch, Some(LeaderEpoch::new(5)));
    assert!(info.is_log_append_time);
}

#[test]
fn bytes_after_the_batch_are_not_looked_at() {
    let mut bytes = two_records();
    let alone = BatchInfo::parse(&bytes).unwrap();
    bytes.extend_from_slice(b"garbage");
    assert_eq!(BatchInfo::parse(&bytes), Ok(alone));
}

#[test]
fn every_truncation_is_named_as_such() {
    let whole = two_records();
    for cut in 0..whole.len() {
        let got = BatchInfo::parse(&whole[..cut]);
        assert!(
            matches!(got, Err(BatchError::Truncated { have, .. }) if have == cut),
            "{cut} bytes gave {got:?}"
        );
    }
    assert!(BatchInfo::parse_header(&whole[..HEADER_BYTES]).is_ok());
    assert!(BatchInfo::parse_header(&whole[..HEADER_BYTES - 1]).is_err());
}

#[test]
fn a_flipped_bit_is_found_wherever_the_crc_covers() {
    let whole = two_records();
    for bit in CRC_AT * 8..whole.len() * 8 {
        let mut bent = whole.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(BatchInfo::parse(&bent).is_err(), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_before_the_crc_is_an_error_or_changes_offset_or_epoch_only() {
    let whole = two_records();
    let before = BatchInfo::parse(&whole).unwrap();
    for bit in 0..CRC_AT * 8 {
        let mut bent = whole.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        if let Ok(after) = BatchInfo::parse(&bent) {
            let reset = BatchInfo {
                base_offset: before.base_offset,
                leader_epoch: before.leader_epoch,
                ..after
            };
            assert_eq!(reset, before, "bit {bit}");
        }
    }
}

#[test]
fn old_message_formats_are_refused_by_their_magic() {
    for magic in [0_u8, 1, 3, 0xff] {
        let mut bytes = two_records();
        bytes[MAGIC_AT] = magic;
        assert_eq!(
            BatchInfo::parse(&bytes),
            Err(BatchError::BadMagic(magic.cast_signed()))
        );
        // A v0 message may be shorter than the header of v2.
        assert_eq!(
            BatchInfo::parse(&bytes[..30]),
            Err(BatchError::BadMagic(magic.cast_signed()))
        );
    }
}

#[test]
fn impossible_lengths_are_refused() {
    for length in [i32::MIN, -1, 0, 48, 100 * 1024 * 1024 - 11, i32::MAX] {
        let bytes = with_field(two_records(), 8, &length.to_be_bytes());
        assert_eq!(BatchInfo::parse(&bytes), Err(BatchError::BadLength(length)));
        assert_eq!(batch_len(&bytes), None);
    }
    assert_eq!(batch_len(&two_records()[..11]), None);
}

#[test]
fn unknown_codecs_are_refused() {
    for codec in 5..8_u8 {
        let bytes = with_field(two_records(), CRC_FROM, &[0, codec]);
        assert_eq!(
            BatchInfo::parse(&bytes),
            Err(BatchError::BadCompression(codec))
        );
    }
}

#[test]
fn contradicting_counts_are_refused() {
    let batch = two_records;
    assert_eq!(
        inconsistency(&with_field(batch(), 57, &(-1_i32).to_be_bytes())),
        "record count is negative"
    );
    assert_eq!(
        inconsistency(&with_field(batch(), 57, &[0, 0, 0, 3])),
        "more records than offsets"
    );
    let many = [0, 0, 1, 0];
    let roomy = with_field(batch(), 23, &[0, 1, 0, 0]);
    assert_eq!(
        inconsistency(&with_field(roomy, 57, &many)),
        "more records than the bytes can hold"
    );
    let huge = with_field(batch(), 57, &i32::MAX.to_be_bytes());
    assert_eq!(inconsistency(&huge), "record count exceeds the limit");
    let endless = with_field(batch(), 23, &i32::MAX.to_be_bytes());
    assert_eq!(
        inconsistency(&endless),
        "last offset delta exceeds the limit"
    );
    assert_eq!(
        inconsistency(&with_field(batch(), 57, &[0; 4])),
        "bytes after a batch without records"
    );
}

#[test]
fn impossible_offsets_are_refused() {
    let negative = with_field(two_records(), 0, &(-1_i64).to_be_bytes());
    assert_eq!(inconsistency(&negative), "base offset is negative");
    let at_the_end = with_field(two_records(), 0, &i64::MAX.to_be_bytes());
    assert_eq!(inconsistency(&at_the_end), "base offset exceeds the limit");
}

#[test]
fn a_producer_id_without_an_epoch_is_refused() {
    let bytes = with_field(two_records(), 43, &7_i64.to_be_bytes());
    assert_eq!(
        inconsistency(&bytes),
        "batch has a producer id but no epoch"
    );
}

#[test]
fn produced_batches_obey_more_rules_than_stored_ones() {
    let parse = |bytes: Vec<u8>| BatchInfo::parse(&bytes).unwrap();
    let plain = parse(two_records());
    assert_eq!(check_produced(&plain), Ok(()));

    let mut sparse = BatchBuilder::new(0);
    sparse.push_at(4, &NewRecord::value(0, b"x")).unwrap();
    let producer = BatchProducer {
        id: ProducerId::new(1),
        epoch: ProducerEpoch::new(0),
        base_sequence: None,
    };
    let broken = [
        BatchInfo {
            base_offset: Offset::new(1),
            ..plain
        },
        BatchInfo {
            is_control: true,
            ..plain
        },
        BatchInfo {
            is_log_append_time: true,
            ..plain
        },
        BatchInfo {
            is_transactional: true,
            ..plain
        },
        BatchInfo {
            producer: Some(producer),
            ..plain
        },
        parse(sparse.build().to_vec()),
        parse(BatchBuilder::new(0).build().to_vec()),
        parse(vector("java_marker_commit")),
    ];
    for info in broken {
        assert!(
            matches!(info.check_produced(), Err(BatchError::Inconsistent(_))),
            "{info:?} should be refused"
        );
    }
}

#[test]
fn batches_one_after_another_are_told_apart() {
    let parts = [vector("java_none"), vector("java_gzip"), two_records()];
    let joined = parts.concat();
    let found: Vec<_> = Batches::new(&joined)
        .map(|item| item.unwrap().1.to_vec())
        .collect();
    assert_eq!(found, parts);
    assert_eq!(Batches::new(&[]).count(), 0);
}

#[test]
fn iteration_over_batches_stops_at_the_first_error() {
    let mut joined = [two_records(), two_records(), two_records()].concat();
    let middle = two_records().len() + HEADER_BYTES;
    joined[middle] ^= 1;
    let found: Vec<_> = Batches::new(&joined).collect();
    assert_eq!(found.len(), 2);
    assert!(found[0].is_ok());
    assert!(matches!(found[1], Err(BatchError::BadCrc { .. })));
}

#[test]
fn a_cut_last_batch_is_reported_after_the_whole_ones() {
    let joined = [two_records(), two_records()].concat();
    let found: Vec<_> = Batches::new(&joined[..joined.len() - 1]).collect();
    assert!(found[0].is_ok());
    assert!(matches!(found[1], Err(BatchError::Truncated { .. })));
}
