//! Tests of the append rules: order of judgement, edges of sizes and times.

use api::error::AppendError;
use bytes::BytesMut;
use model::batch::{BatchBuilder, BatchInfo, Compression, KeyRule, NewRecord};
use model::time::Timestamp;

use super::{AppendRules, Depth, Examined, TimeRule};

const NOW: i64 = 1_000_000;

fn rules() -> AppendRules {
    AppendRules {
        batch_bytes_max: 1_000,
        segment_bytes: 2_000,
        time: TimeRule::CreateTime {
            before_max_ms: 100,
            after_max_ms: 50,
        },
        keys: KeyRule::Optional,
        depth: Depth::Uncompressed,
    }
}

fn batch(times: &[i64], compression: Compression) -> BytesMut {
    let mut builder = BatchBuilder::new(times[0]).compression(compression);
    for time in times {
        builder.push(&NewRecord::value(*time, b"value")).unwrap();
    }
    builder.build()
}

fn judge(rules: AppendRules, batch: &[u8]) -> Result<(), AppendError> {
    judge_within(rules, batch, 1 << 20)
}

fn judge_within(rules: AppendRules, batch: &[u8], bytes_max: usize) -> Result<(), AppendError> {
    let info = BatchInfo::parse(batch).unwrap();
    let examined = Examined {
        batch,
        info: &info,
        bytes_max,
    };
    let judged = rules.check(examined, Timestamp::from_millis(NOW));
    judged.map(drop)
}

fn outside(timestamp: i64, records: &[u32]) -> Result<(), AppendError> {
    let records = records.to_vec();
    Err(AppendError::InvalidTimestamp { timestamp, records })
}

#[test]
fn a_batch_as_large_as_the_limit_is_accepted_and_one_byte_more_is_not() {
    let batch = batch(&[NOW], Compression::None);
    let bytes = u32::try_from(batch.len()).unwrap();
    let limited = |limit| AppendRules {
        batch_bytes_max: limit,
        ..rules()
    };
    assert_eq!(judge(limited(bytes), &batch), Ok(()));
    let limit = bytes - 1;
    assert_eq!(
        judge(limited(limit), &batch),
        Err(AppendError::TooLarge { bytes, limit })
    );
    let small = AppendRules {
        segment_bytes: u64::from(limit),
        ..rules()
    };
    assert_eq!(
        judge(small, &batch),
        Err(AppendError::LargerThanSegment { bytes })
    );
}

#[test]
fn every_record_of_a_plain_batch_must_be_in_time() {
    assert_eq!(
        judge(rules(), &batch(&[NOW - 100, NOW + 50], Compression::None)),
        Ok(())
    );
    let old = batch(&[NOW, NOW - 101, -1], Compression::None);
    assert_eq!(judge(rules(), &old), outside(NOW - 101, &[1]));
    let young = batch(&[NOW + 51, NOW, NOW + 52], Compression::None);
    assert_eq!(judge(rules(), &young), outside(NOW + 52, &[0, 2]));
    let compressed = batch(&[NOW, NOW + 51], Compression::Lz4);
    assert_eq!(
        judge(rules(), &compressed),
        outside(NOW + 51, &[]),
        "by its header"
    );
}

#[test]
fn the_time_of_walked_records_is_found_whatever_their_header_claims() {
    let found = |compression, claimed| {
        let batch = batch(&[NOW - 1, NOW, -1], compression);
        let info = BatchInfo {
            max_timestamp: claimed,
            ..BatchInfo::parse(&batch).unwrap()
        };
        let examined = Examined {
            batch: &batch,
            info: &info,
            bytes_max: 0,
        };
        rules().check(examined, Timestamp::from_millis(NOW))
    };
    assert_eq!(found(Compression::None, NOW + 51), Ok(Some(NOW)));
    assert_eq!(found(Compression::None, -1), Ok(Some(NOW)));
    assert_eq!(found(Compression::Lz4, NOW), Ok(None), "believed");
    let refused = found(Compression::Lz4, NOW + 51);
    assert_eq!(refused.map(drop), outside(NOW + 51, &[]));
}

#[test]
fn records_are_decompressed_no_further_than_allowed() {
    let inspecting = AppendRules {
        batch_bytes_max: 1 << 20,
        segment_bytes: 1 << 20,
        depth: Depth::All,
        ..rules()
    };
    let zeros = vec![0; 200_000];
    for compression in Compression::ALL {
        if compression == Compression::None {
            continue;
        }
        let mut builder = BatchBuilder::new(NOW).compression(compression);
        builder.push(&NewRecord::value(NOW, &zeros)).unwrap();
        let bomb = builder.build();
        assert!(bomb.len() < 20_000, "{compression:?} shrinks it");
        assert_eq!(judge_within(inspecting, &bomb, 250_000), Ok(()));
        assert!(matches!(
            judge_within(inspecting, &bomb, 150_000),
            Err(AppendError::Batch(_))
        ));
        assert_eq!(
            judge_within(rules_of_size(1 << 20), &bomb, 0),
            Ok(()),
            "what is not looked into needs no room"
        );
    }
}

fn rules_of_size(bytes: u32) -> AppendRules {
    AppendRules {
        batch_bytes_max: bytes,
        segment_bytes: bytes.into(),
        ..rules()
    }
}

#[test]
fn append_time_takes_any_producer_time() {
    let any = AppendRules {
        time: TimeRule::LogAppendTime,
        ..rules()
    };
    assert_eq!(
        judge(any, &batch(&[5, i64::MAX / 2], Compression::None)),
        Ok(())
    );
}

#[test]
fn keys_are_looked_for_in_compressed_batches_too() {
    let keyed = AppendRules {
        keys: KeyRule::Required,
        ..rules()
    };
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let mut builder = BatchBuilder::new(NOW).compression(compression);
        builder.push(&NewRecord::keyed(NOW, b"k", b"v")).unwrap();
        builder.push(&NewRecord::value(NOW, b"v")).unwrap();
        assert_eq!(
            judge(keyed, &builder.build()),
            Err(AppendError::KeylessRecords(vec![1]))
        );
    }
}

#[test]
fn transactional_and_control_batches_are_refused() {
    let record = NewRecord::keyed(NOW, b"k", b"v");
    let mut transactional = BatchBuilder::new(NOW).transactional();
    transactional.push(&record).unwrap();
    assert_eq!(
        judge(rules(), &transactional.build()),
        Err(AppendError::NoTransaction)
    );
    let mut control = BatchBuilder::new(NOW).control();
    control.push(&record).unwrap();
    assert!(matches!(
        judge(rules(), &control.build()),
        Err(AppendError::InvalidRecord(_))
    ));
}
