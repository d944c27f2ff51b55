//! Clocks that run, jump and come back.

use model::time::Timestamp;

use super::*;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;
const START_MS: i64 = 1_700_000_000_000;

/// Seconds of both clocks since the start, and how far the wall clock is off.
fn now(seconds: u64, off_ms: i64) -> Now {
    let wall_ms = START_MS + i64::try_from(seconds).unwrap() * 1_000 + off_ms;
    Now {
        instant: Instant::from_nanos(seconds * 1_000_000_000),
        wall: Timestamp::from_millis(wall_ms),
    }
}

fn age_ms(wall: &mut TrustedWall, seconds: u64, off_ms: i64) -> i64 {
    wall.read(now(seconds, off_ms)) - START_MS
}

#[test]
fn a_clock_that_runs_is_believed() {
    let mut wall = TrustedWall::new(now(0, 0));
    for seconds in [1, 2, 3_600, 1_000_000] {
        let expected = i64::try_from(seconds).unwrap() * 1_000;
        assert_eq!(age_ms(&mut wall, seconds, 0), expected);
    }
    assert_eq!(
        age_ms(&mut wall, 1_000_001, 30_000),
        1_000_031_000,
        "a step"
    );
}

#[test]
fn a_jump_ahead_is_believed_after_an_hour_at_the_same_place() {
    let mut wall = TrustedWall::new(now(0, 0));
    assert_eq!(age_ms(&mut wall, 10, YEAR_MS), 10_000);
    assert_eq!(age_ms(&mut wall, 3_609, YEAR_MS), 3_609_000);
    assert_eq!(age_ms(&mut wall, 3_610, YEAR_MS), 3_610_000 + YEAR_MS);
    assert_eq!(age_ms(&mut wall, 3_611, YEAR_MS), 3_611_000 + YEAR_MS);
}

#[test]
fn a_jump_that_is_put_right_leaves_nothing_behind() {
    let mut wall = TrustedWall::new(now(0, 0));
    assert_eq!(age_ms(&mut wall, 10, YEAR_MS), 10_000);
    assert_eq!(age_ms(&mut wall, 20, 0), 20_000);
    assert_eq!(
        age_ms(&mut wall, 5_000, YEAR_MS),
        5_000_000,
        "the hour starts again"
    );
    assert_eq!(age_ms(&mut wall, 8_599, YEAR_MS), 8_599_000);
}

#[test]
fn a_clock_that_goes_back_is_believed_at_once() {
    let mut wall = TrustedWall::new(now(0, 0));
    assert_eq!(age_ms(&mut wall, 10, -YEAR_MS), 10_000 - YEAR_MS);
}
