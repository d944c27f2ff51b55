//! Tests of moving CRC differences.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::batch::{BatchBuilder, NewRecord, stamp_offset_epoch};
use crate::offset::{LeaderEpoch, Offset};

#[test]
fn one_is_neutral_and_no_bytes_change_nothing() {
    assert_eq!(product(ONE, 0xdead_beef), 0xdead_beef);
    assert_eq!(product(0xdead_beef, ONE), 0xdead_beef);
    assert_eq!(behind_zeros(0xdead_beef, 0), 0xdead_beef);
}

#[test]
fn long_lengths_agree_with_the_library() {
    for bytes in [1, 2, 255, 65_536, 100 * 1024 * 1024, u32::MAX] {
        let expected = crc32c::crc32c_combine(0x1234_5678, 0, usize::try_from(bytes).unwrap());
        assert_eq!(behind_zeros(0x1234_5678, bytes), expected, "{bytes} bytes");
    }
}

fn batch(value_bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(7);
    let value: Vec<u8> = (0..=250).cycle().take(value_bytes).collect();
    builder.push(&NewRecord::value(7, &value)).unwrap();
    builder.build()
}

#[test]
fn a_batch_is_added_as_if_it_were_read() {
    for bytes in [0, 100, JOINED_BYTES_MIN - 100, JOINED_BYTES_MIN, 70_000] {
        let mut batch = batch(bytes);
        stamp_offset_epoch(&mut batch, Offset::new(1 << 40), LeaderEpoch::new(9));
        for before in [0, 0xdead_beef] {
            let read = crc32c::crc32c_append(before, &batch);
            assert_eq!(crc_with_batch(before, &batch), read, "{bytes} bytes");
        }
    }
}

#[test]
fn a_batch_that_changed_in_memory_has_not_the_sum_of_its_bytes() {
    let mut batch = batch(70_000);
    let before = crc_with_batch(0, &batch);
    batch[60_000] ^= 1;
    assert_eq!(crc_with_batch(0, &batch), before);
    assert_ne!(crc32c::crc32c(&batch), before);
}

#[test]
fn bytes_that_are_no_batch_are_read() {
    for bytes in [&[] as &[u8], &[7], &[7; CRC_FROM]] {
        assert_eq!(crc_with_batch(1, bytes), crc32c::crc32c_append(1, bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_parts_join_to_the_crc_of_both(
        first in prop::collection::vec(any::<u8>(), 0..300),
        second in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = u32::try_from(second.len()).unwrap();
        let joined = joined_crc(crc32c::crc32c(&first), crc32c::crc32c(&second), bytes);
        prop_assert_eq!(joined, crc32c::crc32c(&[first, second].concat()));
    }

    #[test]
    fn a_changed_front_changes_the_crc_by_the_moved_difference(
        fronts in prop::collection::vec(any::<(u8, u8)>(), 1..50),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (before, after): (Vec<u8>, Vec<u8>) = fronts.into_iter().unzip();
        let difference = crc32c::crc32c(&before) ^ crc32c::crc32c(&after);
        let bytes = u32::try_from(tail.len()).unwrap();
        let whole = |front: &[u8]| crc32c::crc32c(&[front, &tail].concat());
        prop_assert_eq!(whole(&before) ^ behind_zeros(difference, bytes), whole(&after));
    }
}
