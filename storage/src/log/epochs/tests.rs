//! Tests of the leader epoch table.

use super::*;

fn epoch(value: u32) -> LeaderEpoch {
    LeaderEpoch::new(value)
}

fn table(entries: &[(u32, u64)]) -> EpochTable {
    let mut table = EpochTable::default();
    for (value, start) in entries {
        table.start(epoch(*value), Offset::new(*start));
    }
    table
}

fn end(table: &EpochTable, value: u32, log_end: u64) -> Option<(u32, u64)> {
    table
        .end_of(epoch(value), Offset::new(log_end))
        .map(|(e, o)| (e.get(), o.get()))
}

#[test]
fn newest_epoch_ends_at_the_log_end() {
    assert_eq!(end(&table(&[(0, 0), (3, 10)]), 3, 25), Some((3, 25)));
}

#[test]
fn unknown_epoch_in_between_falls_to_the_one_below() {
    assert_eq!(
        end(&table(&[(0, 0), (3, 10), (7, 20)]), 5, 25),
        Some((3, 20))
    );
}

#[test]
fn epoch_below_all_known_ends_where_the_oldest_starts() {
    assert_eq!(end(&table(&[(4, 10)]), 2, 25), Some((2, 10)));
}

#[test]
fn epoch_above_all_known_is_unknown() {
    assert_eq!(end(&table(&[(4, 10)]), 5, 25), None);
    assert_eq!(end(&table(&[]), 0, 25), None);
}

#[test]
fn epoch_without_records_is_replaced() {
    let table = table(&[(0, 0), (1, 10), (2, 10)]);
    assert_eq!(end(&table, 1, 12), Some((0, 10)));
    assert_eq!(table.at(Offset::new(10)), Some(epoch(2)));
}

#[test]
fn older_or_equal_epoch_does_not_start_again() {
    let table = table(&[(5, 0), (4, 10), (5, 10)]);
    assert_eq!(table.iter().count(), 1);
}

#[test]
fn trimming_keeps_the_epoch_that_contains_the_log_start() {
    let mut table = table(&[(0, 0), (1, 10), (2, 20)]);
    table.trim_front(Offset::new(15));
    let entries: Vec<_> = table
        .iter()
        .map(|e| (e.epoch.get(), e.start.get()))
        .collect();
    assert_eq!(entries, [(1, 15), (2, 20)]);
    table.trim_front(Offset::new(20));
    assert_eq!(table.iter().count(), 1);
    assert_eq!(table.at(Offset::new(19)), None);
}

#[test]
fn table_is_bounded() {
    let mut table = EpochTable::default();
    for value in 0..=u32::try_from(EPOCHS_PER_LOG_MAX).unwrap() {
        table.start(epoch(value), Offset::new(u64::from(value)));
    }
    assert_eq!(table.iter().count(), EPOCHS_PER_LOG_MAX);
}
