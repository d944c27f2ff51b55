//! Tests of the builder, and round trips of builder, view and records over arbitrary records.

use proptest::prelude::*;

use super::*;
use crate::batch::vectors::vector;
use crate::batch::{BatchInfo, Records};
use crate::ids::{BatchSequence, ProducerEpoch, ProducerId};

const HEADERS: [(&[u8], Option<&[u8]>); 3] = [
    (b"trace", Some(&[0, 1, 0xff])),
    (b"empty", None),
    (b"trace", Some(b"")),
];

fn three_records(mut builder: BatchBuilder) -> Vec<u8> {
    let value = b"value ".repeat(12);
    let base = 1_700_000_000_000;
    let first = NewRecord {
        headers: &HEADERS,
        ..NewRecord::keyed(base, b"k1", &value)
    };
    builder.push(&first).unwrap();
    builder.push(&NewRecord::value(base + 7, b"v2")).unwrap();
    builder
        .push(&NewRecord::tombstone(base + 3, b"k3"))
        .unwrap();
    builder.build().to_vec()
}

fn producer() -> BatchProducer {
    BatchProducer {
        id: ProducerId::new(4242),
        epoch: ProducerEpoch::new(7),
        base_sequence: Some(BatchSequence::new(99)),
    }
}

#[test]
fn an_uncompressed_batch_is_byte_for_byte_that_of_the_reference() {
    let built = three_records(BatchBuilder::new(1_700_000_000_000).producer(producer()));
    assert_eq!(built, vector("java_none"));
}

#[test]
fn compressed_batches_hold_the_same_records() {
    for codec in Compression::ALL {
        let built = three_records(BatchBuilder::new(1_700_000_000_000).compression(codec));
        assert_eq!(BatchInfo::parse(&built).unwrap().compression, codec);
        crate::batch::vectors::check_three_records(&built);
    }
}

#[test]
fn flags_and_producer_reach_the_header() {
    let builder = BatchBuilder::new(0)
        .producer(producer())
        .transactional()
        .control();
    let info = BatchInfo::parse(&builder.build()).unwrap();
    assert!(info.is_transactional && info.is_control);
    assert_eq!(info.producer, Some(producer()));
    assert_eq!(info.max_timestamp, -1);
}

#[test]
fn an_emptied_batch_keeps_its_last_offset() {
    let builder = BatchBuilder::new(0)
        .compression(Compression::Gzip)
        .reaching(8);
    let info = BatchInfo::parse(&builder.build()).unwrap();
    assert!(info.is_empty());
    assert_eq!(info.last_offset_delta, 8);
    assert_eq!(info.compression, Compression::None);
}

#[test]
fn counts_and_bytes_can_be_watched_while_pushing() {
    let mut builder = BatchBuilder::new(0);
    assert_eq!((builder.records(), builder.bytes()), (0, HEADER_BYTES));
    builder.push(&NewRecord::value(0, b"abc")).unwrap();
    let (records, bytes) = (builder.records(), builder.bytes());
    assert_eq!(records, 1);
    assert_eq!(builder.build().len(), bytes);
}

#[test]
fn offset_deltas_must_rise() {
    let mut builder = BatchBuilder::new(0);
    let record = NewRecord::value(0, b"");
    builder.push_at(5, &record).unwrap();
    assert!(builder.push_at(5, &record).is_err());
    assert!(builder.push_at(i32::MAX.cast_unsigned(), &record).is_err());
    builder.push(&record).unwrap();
    let info = BatchInfo::parse(&builder.build()).unwrap();
    assert_eq!((info.records, info.last_offset_delta), (2, 6));
}

#[test]
fn a_record_that_does_not_fit_leaves_the_builder_as_it_was() {
    let mut builder = BatchBuilder::new(0);
    builder.push(&NewRecord::value(0, b"small")).unwrap();
    let huge = vec![0; limits::BATCH_BYTES_MAX as usize];
    assert!(matches!(
        builder.push(&NewRecord::value(9, &huge)),
        Err(BatchError::Inconsistent("batch is full: too many bytes"))
    ));
    let info = BatchInfo::parse(&builder.build()).unwrap();
    assert_eq!((info.records, info.max_timestamp), (1, 0));
}

#[derive(Clone, Debug)]
struct OwnedRecord {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..80)
}

fn owned_record() -> impl Strategy<Value = OwnedRecord> {
    let header = (bytes(), prop::option::of(bytes()));
    (
        0..i64::MAX / 2,
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        prop::collection::vec(header, 0..4),
    )
        .prop_map(|(timestamp_ms, key, value, headers)| OwnedRecord {
            timestamp_ms,
            key,
            value,
            headers,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_read_back(
        records in prop::collection::vec((owned_record(), 0_u32..3), 0..20),
        base in 0..i64::MAX / 2,
        codec in prop::sample::select(Compression::ALL.to_vec()),
    ) {
        let mut builder = BatchBuilder::new(base).compression(codec).producer(producer());
        let mut deltas = Vec::new();
        for (record, gap) in &records {
            let headers: Vec<_> =
                record.headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            let new = NewRecord {
                timestamp_ms: record.timestamp_ms,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            let delta = deltas.last().map_or(0, |last| last + 1) + gap;
            builder.push_at(delta, &new).unwrap();
            deltas.push(delta);
        }
        let batch = builder.build();
        let info = BatchInfo::parse(&batch).unwrap();
        prop_assert_eq!(info.len(), batch.len());
        let max = records.iter().map(|(record, _)| record.timestamp_ms).max().unwrap_or(-1);
        prop_assert_eq!(info.max_timestamp, max);
        let mut scratch = Vec::new();
        let read: Vec<_> = Records::open(&batch, &info, &mut scratch)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        prop_assert_eq!(read.len(), records.len());
        for ((record, _), (back, delta)) in records.iter().zip(read.iter().zip(deltas)) {
            prop_assert_eq!(back.offset_delta, delta);
            prop_assert_eq!(back.timestamp(&info), record.timestamp_ms);
            prop_assert_eq!(back.key, record.key.as_deref());
            prop_assert_eq!(back.value, record.value.as_deref());
            let headers: Vec<_> =
                back.headers.map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &record.headers);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_a_parser(
        head in prop::collection::vec(any::<u8>(), 0..HEADER_BYTES),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = vector("java_none");
        bytes.splice(..head.len(), head);
        bytes.splice(HEADER_BYTES.., tail);
        if let Ok(info) = BatchInfo::parse_header(&bytes) {
            let mut scratch = Vec::new();
            if let Ok(records) = Records::open(&bytes, &info, &mut scratch) {
                prop_assert!(records.count() <= bytes.len());
            }
        }
    }
}
