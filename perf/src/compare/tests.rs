//! Ratios of medians and their range.

use super::judge;
use crate::scenario::Bound;

#[test]
fn the_ratio_is_that_of_the_medians_and_the_range_that_of_the_rounds() {
    let ours = [10.0, 30.0, 20.0, 100.0, 15.0];
    let theirs = [10.0, 10.0, 10.0, 25.0, 5.0];
    let standing = judge(&ours, &theirs, Bound::AtLeast(2.0)).unwrap();
    assert_eq!((standing.ours, standing.theirs), (20.0, 10.0));
    assert_eq!((standing.ratio, standing.range), (2.0, (1.0, 4.0)));
    assert!(standing.is_reached);
    assert!(
        !judge(&ours, &theirs, Bound::AtMost(1.9))
            .unwrap()
            .is_reached
    );
}

#[test]
fn an_even_number_of_rounds_has_a_median_between_two() {
    let standing = judge(&[1.0, 3.0], &[1.0, 1.0], Bound::AtMost(3.0)).unwrap();
    assert_eq!(standing.ours, 2.0);
}

#[test]
fn nothing_and_zero_cannot_be_compared() {
    assert!(judge(&[], &[], Bound::AtMost(1.0)).is_err());
    assert!(judge(&[1.0], &[0.0], Bound::AtMost(1.0)).is_err());
    assert!(judge(&[1.0, 2.0], &[1.0], Bound::AtMost(1.0)).is_err());
}
