//! Tests of moving CRC differences.

use proptest::prelude::*;

use super::*;

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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
