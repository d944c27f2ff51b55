//! Tests of in-place stamping.

use super::*;
use crate::batch::vectors::{all, vector};
use crate::batch::{BatchError, BatchInfo, Records};

#[test]
fn offset_and_epoch_are_written_and_nothing_else() {
    let mut batch = vector("java_none");
    let before = BatchInfo::parse(&batch).unwrap();
    stamp_offset_epoch(&mut batch, Offset::new(77), LeaderEpoch::new(3));
    let after = BatchInfo::parse(&batch).unwrap();
    let expected = BatchInfo {
        base_offset: Offset::new(77),
        leader_epoch: Some(LeaderEpoch::new(3)),
        ..before
    };
    assert_eq!(after, expected);
}

#[test]
fn log_append_time_gives_the_bytes_that_the_reference_gives() {
    let mut batch = vector("java_before_log_append_time");
    stamp_log_append_time(&mut batch, 1_700_000_009_999);
    stamp_offset_epoch(&mut batch, Offset::new(1_000), LeaderEpoch::new(5));
    assert_eq!(batch, vector("java_after_log_append_time"));
}

#[test]
fn log_append_time_keeps_every_batch_valid() {
    for (name, mut batch) in all() {
        stamp_log_append_time(&mut batch, 1_800_000_000_000);
        let info = BatchInfo::parse(&batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(info.is_log_append_time, "{name}");
        assert_eq!(info.max_timestamp, 1_800_000_000_000, "{name}");
        let mut scratch = Vec::new();
        for record in Records::open(&batch, &info, &mut scratch).unwrap() {
            assert_eq!(
                record.unwrap().timestamp(&info),
                1_800_000_000_000,
                "{name}"
            );
        }
    }
}

#[test]
fn log_append_time_may_be_stamped_twice() {
    let mut batch = vector("librdkafka_lz4");
    stamp_log_append_time(&mut batch, 5);
    let once = batch.clone();
    stamp_log_append_time(&mut batch, 9);
    assert_ne!(batch, once);
    stamp_log_append_time(&mut batch, 5);
    assert_eq!(batch, once);
}

#[test]
fn a_batch_without_records_keeps_a_valid_crc() {
    let mut batch = crate::batch::BatchBuilder::new(4).build().to_vec();
    assert_eq!(batch.len(), HEADER_BYTES);
    stamp_log_append_time(&mut batch, 12);
    assert_eq!(BatchInfo::parse(&batch).unwrap().max_timestamp, 12);
}

#[test]
fn stamping_does_not_hide_corruption() {
    let mut batch = vector("java_none");
    let last = batch.len() - 1;
    batch[last] ^= 0x40;
    stamp_log_append_time(&mut batch, 12);
    assert!(matches!(
        BatchInfo::parse(&batch),
        Err(BatchError::BadCrc { .. })
    ));
}

#[test]
fn the_largest_timestamp_is_written_and_nothing_else() {
    for (name, mut batch) in all() {
        let before = BatchInfo::parse(&batch).unwrap();
        stamp_max_timestamp(&mut batch, 1_800_000_000_000);
        let after = BatchInfo::parse(&batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = BatchInfo {
            max_timestamp: 1_800_000_000_000,
            crc: after.crc,
            ..before
        };
        assert_eq!(after, expected, "{name}");
    }
}
