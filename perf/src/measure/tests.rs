//! The histogram of a known schedule against a server that stalls, in computed time.

use super::{BatchSize, Measured, Timing, Window};
use crate::schedule::{Arrivals, Share, Spacing};

const MS: u64 = 1_000_000;
const WINDOW: Window = Window {
    start: 0,
    end: 1_000 * MS,
};

/// Answers every request 1 ms after it has it, one at a time, but nothing between `stall` and its end.
fn play(depth_one: &mut Measured, stall: std::ops::Range<u64>) {
    let share = Share {
        connection: 0,
        connections: 1,
        per_second: 500.0,
        start: 0,
    };
    let mut arrivals = Arrivals::new(share, Spacing::Even, 1);
    let mut free_at = 0;
    while arrivals.peek() < WINDOW.end {
        let intended = arrivals.take();
        let sent = intended.max(free_at);
        let done = sent + MS;
        let answered = if stall.contains(&done) {
            stall.end
        } else {
            done
        };
        free_at = answered;
        depth_one.answered(WINDOW, Timing { intended, sent }, answered);
    }
}

#[test]
fn a_stall_of_the_server_shows_in_every_request_that_was_due_meanwhile() {
    let mut measured = Measured::default();
    play(&mut measured, 200 * MS..400 * MS);
    // One request in 2 ms. The stall holds the request sent at 200 ms until 400 ms; 100 were due meanwhile, and the
    // queue then shrinks by 1 ms per request, so that 200 ms pass until none waits.
    let waited = |at_least: u64| {
        let histogram = &measured.response;
        histogram.len() - histogram.count_between(0, at_least * MS - 1)
    };
    assert_eq!(
        measured.response.len(),
        500,
        "every due request counts once"
    );
    let close = |count: u64, expected: u64| count.abs_diff(expected) <= 2;
    assert!(close(waited(100), 100), "{} waited 100 ms", waited(100));
    assert!(close(waited(150), 50), "{} waited 150 ms", waited(150));
    assert!(close(waited(2), 199), "{} waited at all", waited(2));
    // What a closed loop would have shown: a single slow request.
    let slow = measured.service.len() - measured.service.count_between(0, 100 * MS);
    assert_eq!(slow, 1, "the time from the socket hides the stall");
}

#[test]
fn without_a_stall_both_histograms_agree() {
    let mut measured = Measured::default();
    play(&mut measured, 0..0);
    assert_eq!(measured.response.max(), measured.service.max());
    assert!(measured.response.max().abs_diff(MS) <= MS / 1_000);
}

#[test]
fn only_the_window_counts_but_the_books_count_all() {
    let mut measured = Measured::default();
    let window = Window { start: 10, end: 20 };
    let size = BatchSize {
        records: 3,
        bytes: 100,
    };
    for at in [5, 10, 19, 20] {
        measured.acknowledged(window, at, size);
    }
    assert_eq!(
        (measured.answers, measured.records, measured.bytes),
        (2, 6, 200)
    );
    assert_eq!(measured.acknowledged_all, 12);
    let early = Timing {
        intended: 9,
        sent: 9,
    };
    measured.answered(window, early, 15);
    assert_eq!(
        measured.response.len(),
        0,
        "a request of the warm-up is not measured"
    );
    let last = Timing {
        intended: 19,
        sent: 19,
    };
    measured.answered(window, last, 500);
    assert_eq!(
        measured.response.len(),
        1,
        "its answer may come after the window"
    );
}

#[test]
fn merging_adds_everything() {
    let mut left = Measured::default();
    let mut right = Measured::default();
    play(&mut left, 0..0);
    play(&mut right, 200 * MS..400 * MS);
    right.refused.insert(7, 2);
    let slot = BatchSize {
        records: 1,
        bytes: 1,
    };
    right.acknowledged(WINDOW, 950 * MS, slot);
    left.merge(&right);
    assert_eq!(left.response.len(), 1_000);
    assert_eq!(left.response.max(), right.response.max());
    assert_eq!(left.refused.get(&7), Some(&2));
    assert_eq!(left.series.iter().sum::<u64>(), 1);
    assert_eq!(left.series.len(), 10, "the slot of 950 ms is the tenth");
}
