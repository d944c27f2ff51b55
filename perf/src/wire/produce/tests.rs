//! Patched requests carry valid batches; answers are read back.

use model::batch::{BatchInfo, Records};

use super::{Produce, put_acknowledgement, read_acknowledgement};
use crate::load::{Codec, Load};

fn batch_of(frame: &[u8]) -> &[u8] {
    let len = usize::try_from(i32::from_be_bytes(*frame.first_chunk().unwrap())).unwrap();
    assert_eq!(len + 4, frame.len(), "the length prefix is right");
    // Key, version, correlation id, client id, transactional id, acks, timeout, topic, partition, batch.
    let at = 4 + 8 + 2 + "rapidmq-bench".len() + 2 + 2 + 4 + 4 + 2 + "bench".len() + 4 + 4;
    let size = i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    let batch = &frame[at + 4..];
    assert_eq!(usize::try_from(size).unwrap(), batch.len());
    batch
}

#[test]
fn every_codec_gives_a_valid_batch() {
    for compression in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let load = Load {
            batch_records: 5,
            compression,
            ..Load::default()
        };
        let mut produce = Produce::new(&load).unwrap();
        let size = produce.size();
        let batch = batch_of(produce.frame(1, 0, 0).unwrap()).to_vec();
        let info = BatchInfo::parse(&batch).unwrap();
        assert_eq!((info.records, info.compression), (5, compression.into()));
        assert_eq!((size.records, size.bytes), (5, batch.len() as u64));
    }
}

#[test]
fn every_record_carries_the_intended_time_and_the_crc_follows() {
    for compression in [Codec::None, Codec::Zstd] {
        let load = Load {
            batch_records: 3,
            record_bytes: 64,
            compression,
            consumers: 1,
            ..Load::default()
        };
        let mut produce = Produce::new(&load).unwrap();
        for intended in [1, 0x0102_0304_0506_0708, u64::MAX] {
            let batch = batch_of(produce.frame(9, 3, intended).unwrap()).to_vec();
            let info = BatchInfo::parse(&batch).expect("the CRC is that of the patched bytes");
            let mut scratch = Vec::new();
            let values: Vec<u64> = Records::open(&batch, &info, &mut scratch)
                .unwrap()
                .map(|record| {
                    let value = record.unwrap().value.unwrap();
                    assert_eq!(value.len(), 64);
                    u64::from_le_bytes(*value.first_chunk().unwrap())
                })
                .collect();
            assert_eq!(values, [intended; 3]);
        }
    }
}

#[test]
fn correlation_and_partition_are_patched() {
    let mut produce = Produce::new(&Load::default()).unwrap();
    let first = produce.frame(0x0102_0304, 5, 0).unwrap().to_vec();
    let second = produce.frame(0x0506_0708, 6, 0).unwrap().to_vec();
    assert_eq!(first[8..12], [1, 2, 3, 4]);
    assert_eq!(second[8..12], [5, 6, 7, 8]);
    let different: Vec<usize> = (12..first.len())
        .filter(|at| first[*at] != second[*at])
        .collect();
    assert_eq!(
        different.len(),
        1,
        "besides the id only the partition differs"
    );
}

#[test]
fn an_answer_is_read_back_and_a_cut_one_refused() {
    let mut bytes = Vec::new();
    put_acknowledgement(&mut bytes, 42, 1_000);
    let frame = &bytes[4..];
    let answer = read_acknowledgement(frame).unwrap();
    assert_eq!(
        (answer.correlation, answer.error, answer.base_offset),
        (42, 0, 1_000)
    );
    for len in 0..31 {
        assert!(read_acknowledgement(&frame[..len]).is_err(), "{len} bytes");
    }
}
