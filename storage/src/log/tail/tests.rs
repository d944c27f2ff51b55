//! Tests of the tail.

use super::*;

fn batch(base: u64, last: u64, len: usize) -> TailBatch {
    TailBatch {
        base: Offset::new(base),
        last: Offset::new(last),
        epoch: LeaderEpoch::ZERO,
        max_timestamp: -1,
        chain_after: 0,
        bytes: Bytes::from(vec![0; len]),
    }
}

fn tail() -> Tail {
    let mut tail = Tail::default();
    tail.push(batch(10, 14, 100));
    tail.push(batch(15, 15, 50));
    tail.push(batch(16, 30, 200));
    tail
}

const WHOLE: bool = true;
const STRICT: bool = false;

fn lengths(from: u64, upto: u64, budget: (usize, bool)) -> Vec<usize> {
    let (bytes_max, at_least_one) = budget;
    let mut out = Records::new();
    let wanted = Wanted {
        from: Offset::new(from),
        upto: Offset::new(upto),
        budget: ReadBudget {
            bytes_max,
            at_least_one,
        },
        have: 0,
    };
    let added = tail().read(wanted, &mut Gather::default(), &mut out);
    assert_eq!(added, out.iter().map(Bytes::len).sum::<usize>());
    out.iter().map(Bytes::len).collect()
}

#[test]
fn read_starts_with_the_batch_that_contains_the_offset() {
    assert_eq!(lengths(12, 31, (1_000, STRICT)), [100, 50, 200]);
    assert_eq!(lengths(15, 31, (1_000, STRICT)), [50, 200]);
}

#[test]
fn read_stops_before_a_batch_that_reaches_the_bound() {
    assert_eq!(lengths(10, 30, (1_000, STRICT)), [100, 50]);
    assert_eq!(lengths(10, 14, (1_000, WHOLE)), [0_usize; 0]);
}

#[test]
fn first_batch_is_whole_even_if_larger_than_the_budget_when_asked() {
    assert_eq!(lengths(10, 31, (10, WHOLE)), [100]);
    assert_eq!(lengths(10, 31, (10, STRICT)), [0_usize; 0]);
    assert_eq!(lengths(10, 31, (150, WHOLE)), [100, 50]);
}

#[test]
fn taking_below_leaves_the_rest() {
    let mut tail = tail();
    let mut taken = Vec::new();
    while let Some(batch) = tail.take_below(Offset::new(16)) {
        taken.push(batch.base.get());
    }
    assert_eq!(taken, [10, 15]);
    assert_eq!(tail.bytes(), 200);
    assert_eq!(tail.first_offset(), Some(Offset::new(16)));
}

#[test]
fn every_offset_of_a_long_tail_is_found() {
    let mut tail = Tail::default();
    (0..100).for_each(|number| tail.push(batch(number * 3, number * 3 + 2, 10)));
    for offset in 0..300 {
        let found = tail.iter_from(Offset::new(offset)).next().unwrap();
        assert_eq!(found.base.get(), offset / 3 * 3);
    }
    assert!(tail.iter_from(Offset::new(300)).next().is_none());
}
