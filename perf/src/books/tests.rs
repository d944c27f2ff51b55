//! The three verdicts, and growth over partitions.

use super::{Books, Ends, Verdict};

#[test]
fn a_missing_record_is_a_loss_and_an_extra_one_is_not() {
    assert_eq!(Books::compare(5, 5).verdict, Verdict::Equal);
    assert_eq!(Books::compare(5, 4).verdict, Verdict::Lost);
    assert_eq!(Books::compare(5, 6).verdict, Verdict::MoreHeld);
}

#[test]
fn logs_grow_by_the_sum_over_their_partitions() {
    let ends = |pairs: &[(i32, i64)]| Ends {
        last: pairs.iter().copied().collect(),
    };
    let before = ends(&[(0, 10), (1, 20)]);
    let after = ends(&[(0, 15), (1, 20), (2, 3)]);
    assert_eq!(
        after.growth(&before),
        8,
        "a partition that is new began at zero"
    );
}
