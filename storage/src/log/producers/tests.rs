//! Tests of the idempotence table: verdicts, wrap, epochs, expiry, eviction.

use model::batch::Compression;
use model::batch::view::BatchProducer;

use super::*;

fn batch(id: u64, epoch: u16, sequence: u32, count: u32) -> BatchInfo {
    BatchInfo {
        bytes: 100,
        base_offset: Offset::ZERO,
        leader_epoch: None,
        last_offset_delta: count - 1,
        records: count,
        compression: Compression::None,
        is_log_append_time: false,
        is_transactional: false,
        is_control: false,
        base_timestamp: 0,
        max_timestamp: 0,
        producer: Some(BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Some(BatchSequence::new(sequence)),
        }),
        crc: 0,
    }
}

fn store(table: &mut ProducerTable, offset: u64, info: &BatchInfo) {
    assert_eq!(table.admit(0, info), Admit::Fresh);
    table.record(0, Offset::new(offset), info);
}

fn duplicate(first: u64, last: u64) -> Admit {
    Admit::Duplicate {
        first: Offset::new(first),
        last: Offset::new(last),
        log_append_time: None,
    }
}

#[test]
fn unknown_producer_may_start_at_any_sequence() {
    let table = ProducerTable::default();
    assert_eq!(table.admit(0, &batch(1, 0, 77, 3)), Admit::Fresh);
}

#[test]
fn batch_without_producer_is_fresh_and_leaves_no_trace() {
    let mut table = ProducerTable::default();
    let mut info = batch(1, 0, 0, 1);
    info.producer = None;
    store(&mut table, 0, &info);
    assert!(table.is_empty());
}

#[test]
fn next_sequence_follows_and_a_gap_does_not() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 0, 0, 3));
    assert_eq!(table.admit(0, &batch(1, 0, 3, 1)), Admit::Fresh);
    assert_eq!(
        table.admit(0, &batch(1, 0, 4, 1)),
        Admit::OutOfOrder {
            expected: 3,
            got: 4
        }
    );
    assert_eq!(
        table.admit(0, &batch(1, 0, 2, 1)),
        Admit::OutOfOrder {
            expected: 3,
            got: 2
        }
    );
}

#[test]
fn each_of_the_last_five_batches_is_a_duplicate_and_the_sixth_is_out_of_order() {
    let mut table = ProducerTable::default();
    for turn in 0..6_u32 {
        store(&mut table, u64::from(turn) * 2, &batch(1, 0, turn * 2, 2));
    }
    for turn in 1..6_u32 {
        let first = u64::from(turn) * 2;
        assert_eq!(
            table.admit(0, &batch(1, 0, turn * 2, 2)),
            duplicate(first, first + 1)
        );
    }
    assert_eq!(
        table.admit(0, &batch(1, 0, 0, 2)),
        Admit::OutOfOrder {
            expected: 12,
            got: 0
        }
    );
}

#[test]
fn same_first_sequence_with_other_length_is_no_duplicate() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 0, 0, 3));
    assert_eq!(
        table.admit(0, &batch(1, 0, 0, 2)),
        Admit::OutOfOrder {
            expected: 3,
            got: 0
        }
    );
}

#[test]
fn duplicate_carries_the_append_time_the_broker_stamped() {
    let mut table = ProducerTable::default();
    let mut info = batch(1, 0, 0, 1);
    info.is_log_append_time = true;
    info.max_timestamp = 99;
    store(&mut table, 5, &info);
    let first = Offset::new(5);
    assert_eq!(
        table.admit(0, &info),
        Admit::Duplicate {
            first,
            last: first,
            log_append_time: Some(99)
        }
    );
}

#[test]
fn sequence_wraps_to_zero_after_the_largest() {
    let mut table = ProducerTable::default();
    let largest = (1_u32 << 31) - 1;
    store(&mut table, 0, &batch(1, 0, largest, 1));
    assert_eq!(table.admit(0, &batch(1, 0, 0, 1)), Admit::Fresh);
}

#[test]
fn batch_that_spans_the_wrap_is_followed_by_what_is_left_of_it() {
    let mut table = ProducerTable::default();
    let largest = (1_u32 << 31) - 1;
    store(&mut table, 0, &batch(1, 0, largest - 1, 4));
    assert_eq!(table.admit(0, &batch(1, 0, 2, 1)), Admit::Fresh);
    assert_eq!(
        table.admit(0, &batch(1, 0, largest - 1, 4)),
        duplicate(0, 3)
    );
}

#[test]
fn lower_epoch_is_fenced_and_higher_must_start_at_zero() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 3, 0, 1));
    assert_eq!(table.admit(0, &batch(1, 2, 1, 1)), Admit::Fenced);
    assert_eq!(
        table.admit(0, &batch(1, 4, 1, 1)),
        Admit::OutOfOrder {
            expected: 0,
            got: 1
        }
    );
    store(&mut table, 1, &batch(1, 4, 0, 1));
    assert_eq!(table.admit(0, &batch(1, 3, 1, 1)), Admit::Fenced);
}

#[test]
fn higher_epoch_forgets_the_batches_of_the_lower() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 0, 0, 1));
    store(&mut table, 1, &batch(1, 1, 0, 1));
    assert_eq!(table.admit(0, &batch(1, 1, 0, 1)), duplicate(1, 1));
    assert_eq!(table.iter().next().unwrap().1.batches().len(), 1);
}

#[test]
fn control_batch_raises_the_epoch_and_needs_no_sequence() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 0, 0, 1));
    let mut marker = batch(1, 1, 0, 1);
    marker.is_control = true;
    marker.producer = marker.producer.map(|p| BatchProducer {
        base_sequence: None,
        ..p
    });
    store(&mut table, 1, &marker);
    assert_eq!(table.admit(0, &batch(1, 0, 1, 1)), Admit::Fenced);
}

#[test]
fn silent_producer_is_unknown_after_a_day() {
    let mut table = ProducerTable::default();
    store(&mut table, 0, &batch(1, 5, 0, 1));
    let later = PRODUCER_EXPIRATION_MS;
    assert_eq!(
        table.admit(later - 1, &batch(1, 5, 9, 1)),
        Admit::OutOfOrder {
            expected: 1,
            got: 9
        }
    );
    assert_eq!(table.admit(later, &batch(1, 5, 9, 1)), Admit::Fresh);
    table.expire(later);
    assert!(table.is_empty());
}

#[test]
fn full_table_forgets_the_longest_silent_producers() {
    let mut table = ProducerTable::default();
    for id in 0..PRODUCERS_PER_PARTITION_MAX as u64 {
        table.record(id as i64, Offset::new(id), &batch(id, 0, 0, 1));
    }
    let now = PRODUCERS_PER_PARTITION_MAX as i64;
    table.record(now, Offset::new(1 << 20), &batch(1 << 40, 0, 0, 1));
    assert!(table.len() <= PRODUCERS_PER_PARTITION_MAX);
    assert_eq!(table.admit(now, &batch(0, 0, 5, 1)), Admit::Fresh);
    let newest = PRODUCERS_PER_PARTITION_MAX as u64 - 1;
    assert_eq!(
        table.admit(now, &batch(newest, 0, 5, 1)),
        Admit::OutOfOrder {
            expected: 1,
            got: 5
        }
    );
}

#[test]
fn restored_table_gives_the_same_verdicts() {
    let mut table = ProducerTable::default();
    for turn in 0..5_u32 {
        store(&mut table, u64::from(turn), &batch(1, 0, turn, 1));
    }
    let mut restored = ProducerTable::default();
    for (id, state) in table.iter() {
        restored.restore(id, *state);
    }
    assert_eq!(restored, table);
}
