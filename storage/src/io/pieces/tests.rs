//! Tests of which lists are used again.

use super::*;

fn pieces(lists: &mut Lists, count: usize) -> Pieces {
    let mut pieces = lists.list(count);
    pieces.extend((0..count).map(|_| Bytes::from_static(b"piece")));
    assert_eq!(pieces.len(), count);
    pieces
}

fn kept(lists: &Lists) -> Vec<usize> {
    let home = lists.home.as_ref().unwrap();
    home.kept.borrow().iter().map(List::capacity).collect()
}

#[test]
fn the_memory_of_a_long_list_is_used_for_the_next_write() {
    let mut lists = Lists::default();
    let long = pieces(&mut lists, 100);
    let place = long.as_ptr();
    drop(long);
    let next = lists.list(5);
    assert!(next.is_empty());
    assert_eq!(next.as_ptr(), place);
    assert!(kept(&lists).is_empty(), "it is out again");
}

#[test]
fn a_list_that_waits_holds_no_pieces() {
    let mut lists = Lists::default();
    let mut chunk = bytes::BytesMut::zeroed(64);
    let mut long = pieces(&mut lists, 10);
    long.push(chunk.split().freeze());
    drop(long);
    assert_eq!(kept(&lists).len(), 1);
    assert!(chunk.try_reclaim(64), "nobody holds a part of it");
}

#[test]
fn a_short_list_is_not_worth_keeping() {
    let mut lists = Lists::default();
    drop(pieces(&mut lists, 4));
    assert!(lists.home.is_none(), "nothing was made for it");
    drop(pieces(&mut lists, 5));
    drop(pieces(&mut lists, 4));
    assert_eq!(kept(&lists).len(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut lists = Lists::default();
    let many: Vec<Pieces> = (0..2 * LISTS_MAX).map(|_| pieces(&mut lists, 5)).collect();
    drop(many);
    assert_eq!(kept(&lists).len(), LISTS_MAX);
    let mut lists = Lists::default();
    let long: Vec<Pieces> = (0..3).map(|_| pieces(&mut lists, PLACES_MAX / 2)).collect();
    drop(long);
    assert_eq!(kept(&lists).len(), 2);
    drop(pieces(&mut Lists::default(), PLACES_MAX + 1));
}

#[test]
fn a_list_that_outlives_whoever_made_it_is_only_freed() {
    let mut lists = Lists::default();
    let long = pieces(&mut lists, 100);
    drop(lists);
    drop(long);
}

#[test]
fn a_copy_of_a_list_has_the_same_pieces_and_no_home() {
    let mut lists = Lists::default();
    let long = pieces(&mut lists, 100);
    let copy = long.clone();
    assert_eq!(copy[..], long[..]);
    drop(copy);
    assert!(kept(&lists).is_empty());
}
