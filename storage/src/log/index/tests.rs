//! Tests of the sparse index.

use super::*;

const START: u64 = 8_192;

fn group(number: u64, bytes: u64) -> IndexedGroup {
    IndexedGroup {
        base: Offset::new(number * 10),
        upto: Offset::new(number * 10 + 10),
        position: START + number * bytes,
        end: START + (number + 1) * bytes,
        max_timestamp: i64::try_from(number).unwrap() * 100,
    }
}

fn index(groups: u64, bytes: u64) -> SparseIndex {
    let mut index = SparseIndex::new(Offset::ZERO, START);
    (0..groups).for_each(|number| index.push(group(number, bytes)));
    index
}

#[test]
fn every_offset_is_found_in_a_block_that_contains_it() {
    let index = index(100, 4_096);
    for offset in 0..1_000 {
        let block = index.block_of(Offset::new(offset)).unwrap();
        assert!(block.base.get() <= offset && offset < block.upto.get());
        assert!(block.end - block.position <= INDEX_SPACING_BYTES);
    }
    assert_eq!(index.block_of(Offset::new(1_000)), None);
}

#[test]
fn large_groups_are_blocks_of_their_own() {
    let index = index(5, 1 << 20);
    assert_eq!(index.entries().len(), 5);
    let block = index.block_of(Offset::new(25)).unwrap();
    assert_eq!((block.base.get(), block.upto.get()), (20, 30));
}

#[test]
fn number_of_entries_is_bounded_and_every_offset_still_found() {
    let groups = INDEX_ENTRIES_MAX as u64 * 3;
    let index = index(groups, INDEX_SPACING_BYTES);
    assert!(index.entries().len() <= INDEX_ENTRIES_MAX);
    for number in 0..groups {
        let block = index.block_of(Offset::new(number * 10 + 3)).unwrap();
        assert!(block.base.get() <= number * 10 && number * 10 < block.upto.get());
        assert!(block.max_timestamp >= i64::try_from(number).unwrap() * 100);
    }
}

#[test]
fn timestamp_leads_to_the_first_block_that_reaches_it() {
    let index = index(5, 1 << 20);
    let found = |from, ts| {
        index
            .block_with_timestamp(Offset::new(from), ts)
            .map(|b| b.base.get())
    };
    assert_eq!(found(0, 150), Some(20));
    assert_eq!(found(33, 150), Some(30));
    assert_eq!(found(0, 401), None);
}

#[test]
fn contradicting_entries_are_refused() {
    let entry = |base, position| IndexEntry {
        base: Offset::new(base),
        position,
        max_timestamp: 0,
    };
    let made = |entries: &[IndexEntry]| {
        SparseIndex::from_entries(entries.to_vec(), Offset::new(30), 1 << 20).is_some()
    };
    assert!(made(&[entry(0, 8_192), entry(10, 12_288)]));
    assert!(!made(&[entry(10, 8_192), entry(10, 12_288)]));
    assert!(!made(&[entry(0, 12_288), entry(10, 8_192)]));
    assert!(!made(&[entry(0, 8_192), entry(30, 12_288)]));
}

#[test]
fn groups_in_a_file_that_was_reserved_for_move_no_entry() {
    let bytes = INDEX_SPACING_BYTES;
    let mut index = SparseIndex::new(Offset::ZERO, START);
    index.reserve(START + 100 * bytes);
    let first = index.entries.as_ptr();
    (0..100).for_each(|number| index.push(group(number, bytes)));
    assert_eq!(
        (index.entries.as_ptr(), index.entries().len()),
        (first, 100)
    );
    index.end_growth();
    assert_eq!(index.entries.capacity(), 100);
}

#[test]
fn room_is_reserved_for_no_more_entries_than_there_can_be() {
    let mut index = SparseIndex::new(Offset::ZERO, START);
    index.reserve(u64::MAX);
    assert!(index.entries.capacity() <= INDEX_ENTRIES_MAX + 1);
    let first = index.entries.as_ptr();
    let groups = INDEX_ENTRIES_MAX as u64 * 3;
    (0..groups).for_each(|number| index.push(group(number, INDEX_SPACING_BYTES)));
    assert_eq!(index.entries.as_ptr(), first, "thinned in place");
}
