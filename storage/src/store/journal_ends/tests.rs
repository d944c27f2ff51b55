//! What a group says of the groups before it.

use super::*;

fn note(recent: &mut RecentEnds, seq: u64, blocks: u32, logs: &[(u64, u64)]) {
    let ends = logs
        .iter()
        .map(|(log, end)| (LogId(*log), Offset::new(*end)));
    recent.note((seq, blocks * 4_096), ends);
}

fn said(recent: &mut RecentEnds) -> (u64, Vec<(u64, u64)>) {
    let ends = recent.next().unwrap();
    let logs = ends.logs.iter();
    let logs = logs.map(|(log, end)| (log.0, end.get())).collect();
    (ends.covers_from, logs)
}

#[test]
fn the_first_group_says_nothing() {
    assert_eq!(RecentEnds::default().next(), None);
}

#[test]
fn a_log_is_named_once_with_its_newest_end() {
    let mut recent = RecentEnds::default();
    note(&mut recent, 1, 1, &[(7, 5), (3, 1)]);
    note(&mut recent, 2, 1, &[(3, 2)]);
    note(&mut recent, 3, 1, &[]);
    assert_eq!(said(&mut recent), (1, vec![(3, 2), (7, 5)]));
}

#[test]
fn groups_further_back_than_the_window_are_not_named_any_more() {
    let mut recent = RecentEnds::default();
    for seq in 1..=40 {
        note(&mut recent, seq, 1, &[(seq, seq)]);
    }
    // Group 41 would start at block 40; 16 blocks before it starts group 25.
    let (covers_from, logs) = said(&mut recent);
    assert_eq!((covers_from, logs.len()), (25, 16));
    assert_eq!(recent.groups.len(), 16, "older ones are forgotten");
}

#[test]
fn the_group_before_is_named_however_large_it_is() {
    let mut recent = RecentEnds::default();
    note(&mut recent, 1, 1, &[(1, 1)]);
    note(&mut recent, 2, 1_000, &[(2, 2)]);
    assert_eq!(said(&mut recent), (2, vec![(2, 2)]));
}
