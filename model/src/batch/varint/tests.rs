//! Tests of zigzag integers.

use proptest::prelude::*;

use super::*;

#[test]
fn known_values_have_their_known_bytes() {
    for (value, bytes) in [
        (0, vec![0]),
        (-1, vec![1]),
        (1, vec![2]),
        (63, vec![0x7e]),
        (-64, vec![0x7f]),
        (64, vec![0x80, 0x01]),
        (i64::from(i32::MAX), vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i64::from(i32::MIN), vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        (
            i64::MIN,
            vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
    ] {
        let mut out = Vec::new();
        put_i64(&mut out, value);
        assert_eq!(out, bytes, "encoding of {value}");
        assert_eq!(take_i64(&mut bytes.as_slice()), Some(value));
    }
}

#[test]
fn eleven_bytes_and_a_tenth_above_one_are_refused() {
    assert_eq!(take_i64(&mut [0xff; 11].as_slice()), None);
    let mut tenth_is_two = [0x80; 10];
    tenth_is_two[9] = 2;
    assert_eq!(take_i64(&mut tenth_is_two.as_slice()), None);
}

#[test]
fn values_beyond_32_bits_are_refused_as_i32() {
    let mut out = Vec::new();
    put_i64(&mut out, i64::from(i32::MAX) + 1);
    assert_eq!(take_i32(&mut out.as_slice()), None);
}

#[test]
fn an_end_inside_a_value_is_refused() {
    assert_eq!(take_i64(&mut [].as_slice()), None);
    assert_eq!(take_i64(&mut [0x80, 0x80].as_slice()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_back_and_has_the_announced_length(value: i64, shift in 0_u32..64) {
        let value = value >> shift;
        let mut out = Vec::new();
        put_i64(&mut out, value);
        prop_assert_eq!(out.len(), len_i64(value));
        let mut rest = out.as_slice();
        prop_assert_eq!(take_i64(&mut rest), Some(value));
        prop_assert!(rest.is_empty());
    }
}
