//! Tests of offsets and epochs.

use super::*;

#[test]
fn negative_numbers_of_the_wire_are_no_offsets() {
    assert_eq!(Offset::from_wire(-1), None);
    assert_eq!(Offset::from_wire(i64::MIN), None);
    assert_eq!(Offset::from_wire(0), Some(Offset::ZERO));
    assert_eq!(Offset::from_wire(i64::MAX), Some(Offset::MAX));
    assert_eq!(Offset::MAX.to_wire(), i64::MAX);
}

#[test]
fn additions_end_at_the_largest_offset() {
    assert_eq!(Offset::new(5).checked_add(3), Some(Offset::new(8)));
    assert_eq!(Offset::MAX.checked_add(0), Some(Offset::MAX));
    assert_eq!(Offset::MAX.checked_add(1), None);
    assert_eq!(Offset::new(1).checked_add(u64::MAX), None);
    assert_eq!(Offset::ZERO.next(), Offset::new(1));
}

#[test]
fn distance_is_zero_backwards() {
    assert_eq!(Offset::new(3).distance(Offset::new(10)), 7);
    assert_eq!(Offset::new(10).distance(Offset::new(3)), 0);
    assert_eq!(Offset::new(4).distance(Offset::new(4)), 0);
}

#[test]
fn negative_numbers_of_the_wire_are_no_epochs() {
    assert_eq!(LeaderEpoch::from_wire(-1), None);
    assert_eq!(LeaderEpoch::from_wire(0), Some(LeaderEpoch::ZERO));
    let last = LeaderEpoch::from_wire(i32::MAX).unwrap();
    assert_eq!(last.to_wire(), i32::MAX);
    assert_eq!(LeaderEpoch::ZERO.next().get(), 1);
}

#[test]
fn both_show_as_numbers() {
    assert_eq!(Offset::new(42).to_string(), "42");
    assert_eq!(LeaderEpoch::new(9).to_string(), "9");
}
