//! Tests of record iteration.

use super::*;
use crate::batch::vectors::{all, check_three_records, vector};
use crate::batch::{BatchBuilder, NewRecord};

fn walk(batch: &[u8], info: &BatchInfo) -> Result<u32, BatchError> {
    let mut scratch = Vec::new();
    let mut records = Records::open(batch, info, &mut scratch)?;
    records
        .try_for_each(|record| record.map(|_| ()))
        .map(|()| info.records)
}

/// A batch with these record bytes under a header that claims `count` records up to `last_delta`.
fn forged(payload: &[u8], count: u32, last_delta: u32) -> (Vec<u8>, BatchInfo) {
    let mut batch = BatchBuilder::new(0).build().to_vec();
    batch.extend_from_slice(payload);
    let empty = BatchInfo::parse(&batch[..HEADER_BYTES]).unwrap();
    let bytes = u32::try_from(batch.len()).unwrap();
    let info = BatchInfo {
        bytes,
        records: count,
        last_offset_delta: last_delta,
        ..empty
    };
    (batch, info)
}

fn reason(payload: &[u8], count: u32, last_delta: u32) -> (u32, &'static str) {
    let (batch, info) = forged(payload, count, last_delta);
    match walk(&batch, &info) {
        Err(BatchError::BadRecord { index, why }) => (index, why),
        other => panic!("expected a bad record, got {other:?}"),
    }
}

/// The smallest record at an offset delta below 64.
fn smallest(delta: u8) -> [u8; 7] {
    [12, 0, 0, delta * 2, 1, 1, 0]
}

#[test]
fn batches_of_the_java_client_hold_their_records() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        check_three_records(&vector(&format!("java_{codec}")));
    }
}

#[test]
fn batches_of_librdkafka_hold_their_records() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        check_three_records(&vector(&format!("librdkafka_{codec}")));
    }
}

#[test]
fn raw_bytes_of_the_records_make_up_the_payload() {
    let batch = vector("java_none");
    let info = BatchInfo::parse(&batch).unwrap();
    let mut scratch = Vec::new();
    let records = Records::open(&batch, &info, &mut scratch).unwrap();
    let raw: Vec<u8> = records
        .flat_map(|record| record.unwrap().raw.to_vec())
        .collect();
    assert_eq!(raw, batch[HEADER_BYTES..]);
    assert!(scratch.is_empty(), "nothing is copied without a codec");
}

#[test]
fn headers_can_be_iterated_again_and_counted() {
    let batch = vector("java_lz4");
    let info = BatchInfo::parse(&batch).unwrap();
    let mut scratch = Vec::new();
    let mut records = Records::open(&batch, &info, &mut scratch).unwrap();
    assert_eq!(records.index(), 0);
    let first = records.next().unwrap().unwrap();
    assert_eq!(records.index(), 1);
    assert_eq!(first.headers.len(), 3);
    assert_eq!(
        first.headers.map(|(key, _)| key).collect::<Vec<_>>(),
        [b"trace", b"empty", b"trace"]
    );
    assert_eq!(first.headers.count(), 3);
}

#[test]
fn an_empty_key_and_value_differ_from_null() {
    let mut builder = BatchBuilder::new(0);
    builder.push(&NewRecord::keyed(0, b"", b"")).unwrap();
    builder
        .push(&NewRecord {
            timestamp_ms: 0,
            ..NewRecord::default()
        })
        .unwrap();
    let batch = builder.build();
    let info = BatchInfo::parse(&batch).unwrap();
    let mut scratch = Vec::new();
    let parts: Vec<_> = Records::open(&batch, &info, &mut scratch)
        .unwrap()
        .map(|record| record.map(|record| (record.key, record.value)).unwrap())
        .collect();
    assert_eq!(parts, [(Some(&[][..]), Some(&[][..])), (None, None)]);
}

#[test]
fn offsets_and_timestamps_are_relative_to_the_batch() {
    let batch = vector("java_gzip");
    let info = BatchInfo {
        base_offset: Offset::new(500),
        ..BatchInfo::parse(&batch).unwrap()
    };
    let mut scratch = Vec::new();
    let offsets: Vec<_> = Records::open(&batch, &info, &mut scratch)
        .unwrap()
        .map(|record| record.unwrap().offset(&info).get())
        .collect();
    assert_eq!(offsets, [500, 501, 502]);
}

#[test]
fn the_first_record_at_or_after_a_time_is_found() {
    let batch = vector("java_snappy");
    let info = BatchInfo::parse(&batch).unwrap();
    let find = |info: &BatchInfo, target: i64| {
        let mut scratch = Vec::new();
        let records = Records::open(&batch, info, &mut scratch).unwrap();
        records
            .find_timestamp(info, target)
            .unwrap()
            .map(|record| record.offset_delta)
    };
    assert_eq!(find(&info, 0), Some(0));
    assert_eq!(find(&info, 1_700_000_000_001), Some(1));
    assert_eq!(find(&info, 1_700_000_000_007), Some(1));
    assert_eq!(find(&info, 1_700_000_000_008), None);
    let stamped = BatchInfo {
        is_log_append_time: true,
        max_timestamp: 1_900_000_000_000,
        ..info
    };
    assert_eq!(find(&stamped, 1_800_000_000_000), Some(0));
}

#[test]
fn gaps_that_compaction_leaves_are_accepted() {
    let payload = [smallest(3), smallest(9)].concat();
    let (batch, info) = forged(&payload, 2, 20);
    assert_eq!(walk(&batch, &info), Ok(2));
}

#[test]
fn an_emptied_batch_has_no_records_even_with_a_codec_bit() {
    let (batch, info) = forged(&[], 0, 5);
    assert_eq!(
        walk(
            &batch,
            &BatchInfo {
                compression: Compression::Zstd,
                ..info
            }
        ),
        Ok(0)
    );
}

#[test]
fn counts_that_do_not_match_are_found() {
    let two = [smallest(0), smallest(1)].concat();
    assert_eq!(
        reason(&two, 1, 1),
        (1, "bytes are left after the last record")
    );
    assert_eq!(
        reason(&two, 3, 3),
        (2, "length field is malformed or exceeds the batch")
    );
    assert_eq!(
        reason(&two, 0, 1),
        (0, "bytes are left after the last record")
    );
}

#[test]
fn offset_deltas_must_rise_within_the_header() {
    assert_eq!(
        reason(&[smallest(1), smallest(1)].concat(), 2, 4),
        (1, "offset delta does not rise")
    );
    assert_eq!(
        reason(&[smallest(0), smallest(2)].concat(), 2, 1),
        (1, "offset delta exceeds the last of the header")
    );
}

#[test]
fn malformed_records_are_named() {
    let cases: [(&[u8], &str); 12] = [
        (&[1], "length field is negative"),
        (&[0], "attributes are missing"),
        (&[13], "length field is malformed or exceeds the batch"),
        (&[2, 0], "timestamp delta is malformed"),
        (&[4, 0, 0], "offset delta is malformed or negative"),
        (&[6, 0, 0, 1], "offset delta is malformed or negative"),
        (&[8, 0, 0, 0, 3], "key is malformed"),
        (&[10, 0, 0, 0, 1, 2], "value is malformed"),
        (
            &[12, 0, 0, 0, 1, 1, 1],
            "header count is malformed or negative",
        ),
        (&[12, 0, 0, 0, 1, 1, 2], "header is malformed"),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 0], "header is malformed"),
        (
            &[14, 0, 0, 0, 1, 1, 0, 0],
            "bytes are left inside the record",
        ),
    ];
    for (payload, why) in cases {
        assert_eq!(reason(payload, 1, 0), (0, why), "{payload:?}");
    }
}

#[test]
fn a_huge_header_count_costs_no_more_than_its_bytes() {
    // Two thousand million headers announced in five bytes.
    let payload = [20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(reason(&payload, 1, 0), (0, "header is malformed"));
}

#[test]
fn iteration_ends_after_the_first_error() {
    let (batch, info) = forged(&[smallest(1), smallest(0), smallest(2)].concat(), 3, 4);
    let mut scratch = Vec::new();
    let items: Vec<_> = Records::open(&batch, &info, &mut scratch)
        .unwrap()
        .collect();
    assert_eq!(items.len(), 2);
    assert!(items[0].is_ok() && items[1].is_err());
}

#[test]
fn a_batch_shorter_than_its_view_is_refused() {
    let batch = vector("java_none");
    let info = BatchInfo::parse(&batch).unwrap();
    let mut scratch = Vec::new();
    let got = Records::open(&batch[..batch.len() - 1], &info, &mut scratch);
    assert!(matches!(got, Err(BatchError::Truncated { .. })));
}

#[test]
fn damage_that_the_crc_did_not_catch_gives_errors_and_no_panic() {
    for (_, batch) in all() {
        let info = BatchInfo::parse(&batch).unwrap();
        for bit in HEADER_BYTES * 8..batch.len() * 8 {
            let mut bent = batch.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            if let Ok(count) = walk(&bent, &info) {
                assert_eq!(count, info.records);
            }
        }
        for cut in HEADER_BYTES..batch.len() {
            let bytes = u32::try_from(cut).unwrap();
            let shorter = BatchInfo { bytes, ..info };
            assert!(walk(&batch[..cut], &shorter).is_err() || shorter.is_empty());
        }
    }
}
