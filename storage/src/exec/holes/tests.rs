//! Ranges are merged, split and looked up.

use model::offset::Offset;

use super::Holes;

fn offset(value: u64) -> Offset {
    Offset::new(value)
}

fn holes(ranges: &[(u64, u64)]) -> Holes {
    let mut holes = Holes::default();
    for (from, upto) in ranges {
        holes.add(offset(*from), offset(*upto));
    }
    holes
}

fn plain(holes: &Holes) -> Vec<(u64, u64)> {
    holes
        .ranges()
        .iter()
        .map(|range| (range.start.get(), range.end.get()))
        .collect()
}

#[test]
fn ranges_that_touch_become_one() {
    assert_eq!(plain(&holes(&[(5, 8), (1, 3), (3, 5)])), [(1, 8)]);
    assert_eq!(plain(&holes(&[(5, 8), (1, 3)])), [(1, 3), (5, 8)]);
    assert_eq!(plain(&holes(&[(1, 3), (6, 7), (0, 9)])), [(0, 9)]);
}

#[test]
fn a_known_or_empty_range_is_not_added() {
    let mut set = holes(&[(1, 9)]);
    assert!(!set.add(offset(2), offset(4)));
    assert!(!set.add(offset(20), offset(20)));
    assert!(set.add(offset(8), offset(10)));
    assert_eq!(plain(&set), [(1, 10)]);
}

#[test]
fn removing_the_middle_leaves_both_ends() {
    let mut set = holes(&[(1, 9), (12, 14)]);
    set.remove(offset(3), offset(13));
    assert_eq!(plain(&set), [(1, 3), (13, 14)]);
    set.remove(offset(0), offset(50));
    assert_eq!(plain(&set), []);
}

#[test]
fn questions_about_ranges_and_single_offsets_agree() {
    let set = holes(&[(2, 4), (6, 9)]);
    assert!(set.covers(offset(2), offset(4)) && !set.covers(offset(2), offset(5)));
    assert!(set.touches(offset(3), offset(20)) && !set.touches(offset(4), offset(6)));
    assert_eq!(set.skip(offset(7)), offset(9));
    assert_eq!(set.skip(offset(5)), offset(5));
    assert_eq!(set.end(), Some(offset(9)));
}
