//! Schedules are even, independent of answers, and add up to the rate.

use super::{Arrivals, Share, Spacing};

fn share(connection: usize, connections: usize, per_second: f64) -> Share {
    Share {
        connection,
        connections,
        per_second,
        start: 1_000,
    }
}

#[test]
fn connections_take_even_turns() {
    let mut all = Vec::new();
    for connection in 0..4 {
        let mut arrivals = Arrivals::new(share(connection, 4, 1_000.0), Spacing::Even, 7);
        all.extend((0..25).map(|_| arrivals.take()));
    }
    all.sort_unstable();
    let expected: Vec<u64> = (0..100).map(|index| 1_000 + index * 1_000_000).collect();
    assert_eq!(all, expected);
}

#[test]
fn taking_late_does_not_move_the_schedule() {
    let mut punctual = Arrivals::new(share(0, 1, 50.0), Spacing::Random, 3);
    let mut late = punctual.clone();
    let times: Vec<u64> = (0..1_000).map(|_| punctual.take()).collect();
    for time in &times {
        assert_eq!(late.peek(), *time, "looking does not take");
        assert_eq!(late.take(), *time);
    }
    assert!(times.is_sorted(), "times never fall");
}

#[test]
fn random_gaps_keep_the_rate_and_vary() {
    let mut arrivals = Arrivals::new(share(0, 1, 1_000.0), Spacing::Random, 11);
    let times: Vec<u64> = (0..100_000).map(|_| arrivals.take()).collect();
    let seconds = times.last().unwrap() / 1_000_000_000;
    assert!(
        (97..=103).contains(&seconds),
        "100000 at 1000/s take 100 s, not {seconds}"
    );
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let long = gaps.iter().filter(|gap| **gap > 1_000_000).count();
    // Of an exponential distribution 36.8 % lie above the mean.
    assert!(
        (35_000..39_000).contains(&long),
        "{long} gaps above the mean"
    );
}
