//! Tests of the log format.
//!
//! Owns: torn, damaged, missing, chained.
//! Never: runs consensus.
//! Invariants: a durable group is never lost silently.
//! Source: reliability.md 2.4.
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

use bytes::Bytes;
use model::limits::BLOCK_BYTES;
use model::prng::Prng;

use super::scan::{LogError, Scanned, scan};
use super::{LogEnd, LogWriter};
use crate::entry::Entry;
use crate::files::Write;
use crate::limits::LOG_FILE_BYTES;
use crate::memory_disk::MemoryDisk;

fn entry(index: u64, bytes: usize) -> Entry {
    Entry {
        index,
        term: 1,
        data: Bytes::from(vec![index as u8; bytes]),
    }
}

/// Writes entries one group each; gives the disk and the last group's write.
fn written(writer: &mut LogWriter, disk: &mut MemoryDisk, indexes: std::ops::Range<u64>) -> Write {
    let mut last = None;
    for index in indexes {
        for write in writer.plan_append(&[entry(index, 100)], 0) {
            disk.exec(&write);
            last = Some(write);
        }
    }
    last.unwrap()
}

fn indexes(scanned: &Scanned) -> Vec<u64> {
    scanned.entries.iter().map(|entry| entry.index).collect()
}

fn scan_disk(disk: &MemoryDisk) -> Result<Scanned, LogError> {
    scan(&disk.read().logs, 0)
}

#[test]
fn what_was_written_is_read_back_and_writing_goes_on_in_a_new_file() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..5);
    let scanned = scan_disk(&disk).unwrap();
    assert_eq!(indexes(&scanned), [1, 2, 3, 4]);
    assert_eq!(scanned.torn, None);
    assert_eq!(scanned.end.sequence, 4);
    let mut writer = LogWriter::new(1, 78, scanned.end);
    written(&mut writer, &mut disk, 5..7);
    assert_eq!(disk.logs().len(), 2);
    assert_eq!(indexes(&scan_disk(&disk).unwrap()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn every_group_lies_in_blocks_of_its_own() {
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    for write in writer.plan_append(&[entry(1, 5_000)], 0) {
        match write {
            Write::Create { len, .. } => assert_eq!(len as usize, LOG_FILE_BYTES),
            Write::WriteAt {
                position, bytes, ..
            } => {
                assert_eq!(position as usize, BLOCK_BYTES);
                assert_eq!(bytes.len(), 2 * BLOCK_BYTES);
            }
            Write::Replace { .. } | Write::Remove { .. } => panic!("not here"),
        }
    }
}

#[test]
fn a_torn_last_group_is_cut_and_stays_cut() {
    for kept in [1, 63, 64, 100, 4_000] {
        let mut disk = MemoryDisk::default();
        let mut writer = LogWriter::new(1, 77, LogEnd::default());
        written(&mut writer, &mut disk, 1..4);
        let torn = writer.plan_append(&[entry(4, 4_050)], 0).pop().unwrap();
        disk.exec_torn(&torn, kept);
        let scanned = scan_disk(&disk).unwrap();
        assert_eq!(indexes(&scanned), [1, 2, 3], "{kept}");
        assert!(scanned.torn.is_some(), "{kept}");
        let mut writer = LogWriter::new(1, 78, scanned.end);
        written(&mut writer, &mut disk, 4..6);
        let scanned = scan_disk(&disk).unwrap();
        assert_eq!(indexes(&scanned), [1, 2, 3, 4, 5]);
        assert_eq!(scanned.torn, None);
    }
}

#[test]
fn a_damaged_group_before_a_good_one_is_an_error() {
    for offset in [0, 30, 70] {
        let mut disk = MemoryDisk::default();
        let mut writer = LogWriter::new(1, 77, LogEnd::default());
        written(&mut writer, &mut disk, 1..4);
        let name = disk.logs().remove(0);
        disk.files.get_mut(&name).unwrap()[2 * BLOCK_BYTES + offset] ^= 1;
        let refused = scan_disk(&disk);
        assert!(
            matches!(refused, Err(LogError::Damaged { position: 8192, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_damaged_last_group_is_an_error_if_the_hard_state_knows_it() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..4);
    let name = disk.logs().remove(0);
    disk.files.get_mut(&name).unwrap()[3 * BLOCK_BYTES + 70] ^= 1;
    assert_eq!(indexes(&scan(&disk.read().logs, 2).unwrap()), [1, 2]);
    let refused = scan(&disk.read().logs, 3);
    assert_eq!(refused, Err(LogError::Shortened { found: 2, known: 3 }));
}

#[test]
fn damage_in_an_older_file_is_an_error_also_at_its_end() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..4);
    let end = scan_disk(&disk).unwrap().end;
    let mut writer = LogWriter::new(1, 78, end);
    written(&mut writer, &mut disk, 4..5);
    let name = disk.logs().remove(0);
    disk.files.get_mut(&name).unwrap()[3 * BLOCK_BYTES + 10] ^= 1;
    assert!(matches!(scan_disk(&disk), Err(LogError::Damaged { .. })));
    disk.files.get_mut(&name).unwrap().truncate(3 * BLOCK_BYTES);
    assert!(matches!(scan_disk(&disk), Err(LogError::Damaged { .. })));
}

#[test]
fn a_missing_file_in_the_middle_is_an_error_and_at_the_end_the_hard_state_knows() {
    let mut disk = MemoryDisk::default();
    let mut end = LogEnd::default();
    for start in 0..3 {
        let mut writer = LogWriter::new(1, start, end);
        written(&mut writer, &mut disk, start * 2 + 1..start * 2 + 3);
        end = scan_disk(&disk).unwrap().end;
    }
    let names = disk.logs();
    let mut without_middle = disk.clone();
    without_middle.files.remove(&names[1]);
    assert!(matches!(
        scan_disk(&without_middle),
        Err(LogError::BrokenChain { .. })
    ));
    let mut without_last = disk.clone();
    without_last.files.remove(&names[2]);
    let refused = scan(&without_last.read().logs, 6);
    assert_eq!(refused, Err(LogError::Shortened { found: 4, known: 6 }));
}

#[test]
fn a_file_whose_creation_was_cut_short_is_removed_and_its_number_used_again() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..3);
    disk.files
        .insert(crate::files::log_name(2), vec![0; 10_000]);
    let scanned = scan_disk(&disk).unwrap();
    assert_eq!(scanned.unfinished, Some(crate::files::log_name(2)));
    disk.files.remove(&crate::files::log_name(2));
    let mut writer = LogWriter::new(1, 78, scanned.end);
    written(&mut writer, &mut disk, 3..4);
    assert_eq!(indexes(&scan_disk(&disk).unwrap()), [1, 2, 3]);
}

#[test]
fn a_lost_header_over_groups_is_damage() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..3);
    let name = disk.logs().remove(0);
    disk.files.get_mut(&name).unwrap()[5] ^= 1;
    assert!(matches!(
        scan_disk(&disk),
        Err(LogError::Damaged { position: 0, .. })
    ));
}

#[test]
fn later_groups_replace_conflicting_entries() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..6);
    let newer = Entry {
        index: 3,
        term: 2,
        data: Bytes::from_static(b"newer"),
    };
    disk.exec_all(&writer.plan_append(std::slice::from_ref(&newer), 0));
    let scanned = scan_disk(&disk).unwrap();
    assert_eq!(indexes(&scanned), [1, 2, 3]);
    assert_eq!(scanned.entries[2], newer);
}

#[test]
fn files_roll_when_full_and_large_entries_get_room() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    let large: Vec<Entry> = (1..=5).map(|index| entry(index, 3 * 1024 * 1024)).collect();
    disk.exec_all(&writer.plan_append(&large, 0));
    disk.exec_all(&writer.plan_append(&[entry(6, crate::limits::ENTRY_BYTES_MAX)], 0));
    assert_eq!(disk.logs().len(), 6);
    assert_eq!(scan_disk(&disk).unwrap().entries.len(), 6);
}

#[test]
fn compaction_removes_only_files_whose_entries_are_covered() {
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    let large: Vec<Entry> = (1..=4).map(|index| entry(index, 3 * 1024 * 1024)).collect();
    disk.exec_all(&writer.plan_append(&large, 0));
    assert_eq!(writer.plan_compact(0), []);
    disk.exec_all(&writer.plan_compact(2));
    assert_eq!(indexes(&scan_disk(&disk).unwrap()), [3, 4]);
    disk.exec_all(&writer.plan_compact(100));
    assert_eq!(indexes(&scan_disk(&disk).unwrap()), [4]);
}

#[test]
fn mutated_files_never_panic_and_never_lose_what_the_hard_state_knows() {
    let mut prng = Prng::new(0xdecade);
    let mut disk = MemoryDisk::default();
    let mut writer = LogWriter::new(1, 77, LogEnd::default());
    written(&mut writer, &mut disk, 1..8);
    for _ in 0..3_000 {
        let mut files = disk.read().logs;
        let bytes = &mut files[0].1;
        for _ in 0..=prng.below(2) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next_u64() as u8;
        }
        if let Ok(scanned) = scan(&files, 7) {
            assert_eq!(indexes(&scanned), [1, 2, 3, 4, 5, 6, 7]);
        }
    }
}

#[test]
fn padding_is_all_zeros_or_nothing() {
    for len in [0, 1, 2, 7, 4_096] {
        let mut bytes = vec![0; len];
        assert!(super::is_zero(&bytes));
        for at in 0..len.min(9) {
            bytes[at] = 1;
            assert!(!super::is_zero(&bytes));
            bytes[at] = 0;
        }
    }
}
