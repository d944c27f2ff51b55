//! Tests of the table.

use super::*;

impl Number for u64 {
    fn number(self) -> u64 {
        self
    }
}

#[test]
fn values_are_found_by_their_number_and_by_no_other() {
    let mut table = Table::default();
    let last_near = NEAR_MAX * 256 - 1;
    let numbers = [0_u64, 1, 255, 256, 10_000, last_near + 1, u64::MAX];
    for number in numbers {
        assert_eq!(table.insert(number, number), None);
    }
    for number in numbers {
        assert_eq!(table.get(&number), Some(&number));
    }
    for number in [2_u64, 254, 257, 511, 512, 9_999, last_near, u64::MAX - 1] {
        assert_eq!(table.get(&number), None);
        assert_eq!(table.get_mut(&number), None);
        assert_eq!(table.remove(&number), None);
    }
    let mut values: Vec<u64> = table.values().copied().collect();
    values.sort_unstable();
    assert_eq!(values, numbers);
    assert_eq!(table.len(), numbers.len());
}

#[test]
fn a_second_value_takes_the_place_of_the_first() {
    let mut table = Table::default();
    assert_eq!(table.insert(7_u64, 'a'), None);
    assert_eq!(table.insert(7, 'b'), Some('a'));
    assert_eq!(table.len(), 1);
    *table.get_mut(&7).unwrap() = 'c';
    assert_eq!(table.remove(&7), Some('c'));
    assert!(table.is_empty());
}

#[test]
fn a_page_is_given_back_with_its_last_value() {
    for start in [0, u64::MAX - 999] {
        let mut table = Table::default();
        for number in 0..1_000 {
            table.insert(start + number, number);
        }
        for number in 0..999 {
            assert_eq!(table.remove(&(start + number)), Some(number));
        }
        assert_eq!(pages(&table), 1);
        assert_eq!(table.remove(&(start + 999)), Some(999));
        assert_eq!(pages(&table), 0);
    }
}

#[test]
fn one_large_number_costs_one_page() {
    let mut table = Table::default();
    table.insert(u64::MAX / 2, 'x');
    assert_eq!(pages(&table), 1);
    assert!(table.near.is_empty());
}

fn pages<K, T>(table: &Table<K, T>) -> usize {
    table.near.iter().flatten().count() + table.far.len()
}
