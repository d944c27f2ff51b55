//! Tests of the timer heap.

use std::collections::BTreeSet;

use model::prng::Prng;
use model::time::Instant;

use super::Deadlines;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

#[test]
fn timers_come_out_in_order_of_their_deadline_and_not_before() {
    let mut deadlines = Deadlines::default();
    for nanos in [5, 1, 4, 2, 3] {
        deadlines.insert(at(nanos), nanos);
    }
    assert_eq!(deadlines.next(), Some(at(1)));
    assert_eq!(deadlines.pop_due(at(0)), None);
    let out: Vec<u64> = std::iter::from_fn(|| deadlines.pop_due(at(3))).collect();
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(deadlines.next(), Some(at(4)));
}

#[test]
fn a_cancelled_timer_never_comes_out() {
    let mut deadlines = Deadlines::default();
    let first = deadlines.insert(at(1), "first");
    deadlines.insert(at(2), "second");
    assert_eq!(deadlines.cancel(first), "first");
    assert_eq!(deadlines.pop_due(at(9)), Some("second"));
    assert_eq!(deadlines.pop_due(at(9)), None);
    assert!(deadlines.is_empty());
}

#[test]
fn random_insertions_and_cancellations_agree_with_an_ordered_set() {
    let mut prng = Prng::new(7);
    let mut deadlines = Deadlines::default();
    let mut expected = BTreeSet::new();
    let mut timers = Vec::new();
    for serial in 0..4_000_u64 {
        match prng.below(3) {
            0 | 1 => {
                let due = (at(prng.below(1_000)), serial);
                expected.insert(due);
                timers.push((deadlines.insert(due.0, due), due));
            }
            _ if !timers.is_empty() => {
                let pick = usize::try_from(prng.below(timers.len() as u64)).unwrap();
                let (timer, due) = timers.swap_remove(pick);
                assert_eq!(deadlines.cancel(timer), due);
                expected.remove(&due);
            }
            _ => {}
        }
        assert_eq!(deadlines.next(), expected.first().map(|due| due.0));
        assert_eq!(deadlines.len(), expected.len());
    }
    let mut last = at(0);
    while let Some(due) = deadlines.pop_due(at(u64::MAX)) {
        assert!(last <= due.0);
        last = due.0;
        assert!(expected.remove(&due));
    }
    assert!(expected.is_empty());
}
