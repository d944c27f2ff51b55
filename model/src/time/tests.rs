//! Tests of time as a value.

use super::*;

#[test]
fn an_instant_plus_a_duration_is_that_much_later() {
    let start = Instant::from_nanos(1_000);
    let later = start.after(Duration::from_millis(2));
    assert_eq!(later.as_nanos(), 2_001_000);
    assert_eq!(later.since(start), Duration::from_millis(2));
    assert!(start < later);
}

#[test]
fn instants_saturate_at_both_ends() {
    assert_eq!(
        Instant::from_nanos(5).after(Duration::MAX).as_nanos(),
        u64::MAX
    );
    assert_eq!(Instant::ZERO.since(Instant::from_nanos(5)), Duration::ZERO);
}

#[test]
fn timestamps_move_and_saturate() {
    let at = Timestamp::from_millis(100);
    assert_eq!(at.plus_millis(5).as_millis(), 105);
    assert_eq!(at.minus_millis(105).as_millis(), -5);
    assert_eq!(at.plus_millis(i64::MAX).as_millis(), i64::MAX);
    assert_eq!(
        Timestamp::from_millis(-2)
            .minus_millis(i64::MAX)
            .as_millis(),
        i64::MIN
    );
}
