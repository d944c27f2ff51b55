//! Answers of a fetch are counted, positions follow, garbage is refused.

use model::batch::{BatchBuilder, NewRecord, stamp_offset_epoch};
use model::offset::{LeaderEpoch, Offset};

use super::{Fetch, Position};
use crate::load::Load;

fn batch(base: u64, times: &[u64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0);
    for time in times {
        let mut value = time.to_le_bytes().to_vec();
        value.resize(32, b'x');
        builder.push(&NewRecord::value(0, &value)).unwrap();
    }
    let mut bytes = builder.build().to_vec();
    stamp_offset_epoch(&mut bytes, Offset::new(base), LeaderEpoch::new(1));
    bytes
}

fn answer(partition: i32, error: i16, records: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [7_i32, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(&0_i16.to_be_bytes());
    for field in [0_i32, 1] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(&5_i16.to_be_bytes());
    out.extend_from_slice(b"bench");
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(&error.to_be_bytes());
    out.extend_from_slice(&[0; 24]);
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&i32::try_from(records.len()).unwrap().to_be_bytes());
    out.extend_from_slice(records);
    out
}

fn fetch(offset: i64, until: i64) -> Fetch {
    let load = Load {
        consumers: 1,
        verify: true,
        ..Load::default()
    };
    let position = |partition| Position {
        partition,
        offset,
        until,
    };
    Fetch::new(&load, vec![position(2), position(4)])
}

#[test]
fn records_are_counted_from_the_position_and_their_times_are_given() {
    let mut records = batch(10, &[100, 101, 102]);
    records.extend(batch(13, &[103]));
    let mut fetch = fetch(11, 14);
    let mut times = Vec::new();
    let fetched = fetch
        .read(&answer(4, 0, &records), |time| times.push(time))
        .unwrap();
    assert_eq!(fetched.records, 3, "offset 10 lies before the position");
    assert_eq!(fetched.bytes, records.len() as u64);
    assert_eq!(times, [101, 102, 103]);
    assert!(!fetch.is_done(), "partition 2 is still to be read");
    fetch
        .read(&answer(2, 0, &batch(11, &[1, 2, 3])), |_| {})
        .unwrap();
    assert!(fetch.is_done());
}

#[test]
fn a_batch_that_is_cut_short_is_left_for_the_next_answer() {
    let whole = batch(0, &[1, 2]);
    let mut records = whole.clone();
    records.extend_from_slice(&batch(2, &[3])[..40]);
    let mut fetch = fetch(0, 3);
    let fetched = fetch.read(&answer(2, 0, &records), |_| {}).unwrap();
    assert_eq!((fetched.records, fetched.bytes), (2, whole.len() as u64));
    let frame = fetch.frame(1).to_vec();
    let position = 2_i64.to_be_bytes();
    assert!(
        frame.windows(8).any(|bytes| bytes == position),
        "the next fetch asks for offset 2"
    );
}

#[test]
fn refusals_and_garbage_are_errors() {
    let good = answer(2, 0, &batch(0, &[1]));
    assert!(
        fetch(0, 1).read(&answer(2, 6, &[]), |_| {}).is_err(),
        "not the leader"
    );
    assert!(
        fetch(0, 1).read(&answer(3, 0, &[]), |_| {}).is_err(),
        "not asked for"
    );
    for len in 0..good.len() {
        assert!(
            fetch(0, 1).read(&good[..len], |_| {}).is_err(),
            "{len} bytes"
        );
    }
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(
        fetch(0, 1).read(&damaged, |_| {}).is_err(),
        "the CRC is checked"
    );
}
