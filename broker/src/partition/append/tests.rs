//! Tests of the append rules: order of judgement, edges of sizes and times.

use api::error::AppendError;
use bytes::BytesMut;
use model::batch::{BatchBuilder, BatchInfo, Compression, KeyRule, NewRecord};
use model::time::Timestamp;

use super::{AppendRules, Depth, TimeRule};

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
    let info = BatchInfo::parse(batch).unwrap();
    rules.check(batch, &info, Timestamp::from_millis(NOW))
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
    let old = batch(&[NOW, NOW - 101], Compression::None);
    assert_eq!(
        judge(rules(), &old),
        Err(AppendError::InvalidTimestamp(NOW - 101))
    );
    let young = batch(&[NOW, NOW + 51], Compression::None);
    assert_eq!(
        judge(rules(), &young),
        Err(AppendError::InvalidTimestamp(NOW + 51))
    );
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
        let batch = batch(&[NOW], compression);
        assert!(matches!(
            judge(keyed, &batch),
            Err(AppendError::InvalidRecord(_))
        ));
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
