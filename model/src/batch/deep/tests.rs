//! Tests of the deep check.

use super::*;
use crate::batch::vectors::vector;
use crate::batch::{BatchBuilder, Compression, NewRecord};

fn checked(builder: BatchBuilder, keys: KeyRule) -> DeepCheck {
    let batch = builder.build();
    deep_check(&batch, &BatchInfo::parse(&batch).unwrap(), keys).unwrap()
}

#[test]
fn timestamps_come_from_the_records() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let batch = vector(&format!("java_{codec}"));
        let info = BatchInfo {
            max_timestamp: 3,
            ..BatchInfo::parse(&batch).unwrap()
        };
        let found = deep_check(&batch, &info, KeyRule::Optional).unwrap();
        assert_eq!(found.max_timestamp, 1_700_000_000_007, "{codec}");
        assert_eq!(found.max_timestamp_delta, 1, "{codec}");
        assert_eq!(found.min_timestamp, 1_700_000_000_000, "{codec}");
        assert!(found.has_required_keys(), "{codec}");
    }
}

#[test]
fn records_without_key_are_listed_only_where_keys_are_required() {
    let batch = vector("librdkafka_zstd");
    let info = BatchInfo::parse(&batch).unwrap();
    let found = deep_check(&batch, &info, KeyRule::Required).unwrap();
    assert_eq!(found.keyless, [1]);
    assert!(!found.has_required_keys());
    assert!(
        deep_check(&batch, &info, KeyRule::Optional)
            .unwrap()
            .keyless
            .is_empty()
    );
}

#[test]
fn the_list_of_records_without_key_is_bounded() {
    let mut builder = BatchBuilder::new(0).compression(Compression::Lz4);
    for _ in 0..KEYLESS_LISTED_MAX + 5 {
        builder.push(&NewRecord::value(0, b"v")).unwrap();
    }
    assert_eq!(
        checked(builder, KeyRule::Required).keyless.len(),
        KEYLESS_LISTED_MAX
    );
}

#[test]
fn records_without_timestamp_give_none() {
    let mut builder = BatchBuilder::new(-1);
    builder.push(&NewRecord::value(-1, b"v")).unwrap();
    let found = checked(builder, KeyRule::Optional);
    assert_eq!((found.max_timestamp, found.min_timestamp), (-1, -1));
}

#[test]
fn a_record_without_timestamp_does_not_hide_the_smallest() {
    let mut builder = BatchBuilder::new(50);
    for timestamp in [50, -1, 40, 60] {
        builder.push(&NewRecord::value(timestamp, b"v")).unwrap();
    }
    let found = checked(builder, KeyRule::Optional);
    assert_eq!((found.max_timestamp, found.min_timestamp), (60, 40));
    assert_eq!(found.max_timestamp_delta, 3);
}

#[test]
fn a_batch_whose_inside_contradicts_its_header_is_refused() {
    let batch = vector("java_gzip");
    let info = BatchInfo::parse(&batch).unwrap();
    let fewer = BatchInfo { records: 2, ..info };
    assert!(matches!(
        deep_check(&batch, &fewer, KeyRule::Optional),
        Err(BatchError::BadRecord { index: 2, .. })
    ));
    let other_codec = BatchInfo {
        compression: Compression::Zstd,
        ..info
    };
    assert!(matches!(
        deep_check(&batch, &other_codec, KeyRule::Optional),
        Err(BatchError::BadPayload(_))
    ));
}
