//! Tests of the bound on open files.

use super::*;
use crate::store::LogId;
use crate::store::outbox::SegmentKey;

fn owner(number: u64) -> SegmentAt {
    SegmentAt {
        log: LogId(1),
        segment: SegmentKey(number),
    }
}

fn opened(count: u64, files_max: usize) -> OpenFiles {
    let mut files = OpenFiles::new(files_max);
    (0..count).for_each(|number| files.insert(FileKey(number), owner(number)));
    files
}

#[test]
fn nothing_is_closed_below_the_bound() {
    assert_eq!(opened(3, 3).poll_victim(), None);
}

#[test]
fn oldest_idle_file_is_closed_above_the_bound() {
    let mut files = opened(4, 3);
    assert_eq!(files.poll_victim(), Some((FileKey(0), owner(0))));
    assert_eq!(files.poll_victim(), None);
    assert_eq!(files.len(), 3);
}

#[test]
fn file_with_io_under_way_stays_open() {
    let mut files = opened(2, 1);
    files.begin_use(FileKey(0));
    files.begin_use(FileKey(1));
    assert_eq!(files.poll_victim(), None);
    assert!(!files.end_use(FileKey(1)));
    assert_eq!(files.poll_victim(), Some((FileKey(1), owner(1))));
}

#[test]
fn doomed_file_is_closed_when_its_last_use_ends() {
    let mut files = opened(1, 1);
    files.begin_use(FileKey(0));
    assert!(!files.doom(FileKey(0)));
    assert!(files.end_use(FileKey(0)));
    assert_eq!(files.len(), 0);
}
