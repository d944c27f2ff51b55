//! Formatting, refusing and repairing the identity of a directory.

use model::ids::BrokerId;

use super::{FormatRequest, SuperblockError, open_or_format, read_superblock};
use crate::exec::{Disk, MemoryDisk};
use crate::format::layout::{SUPERBLOCK_A, SUPERBLOCK_B};
use crate::format::superblock::Superblock;

const REQUEST: FormatRequest = FormatRequest {
    disk_id: [1; 16],
    cluster_id: [2; 16],
    broker: BrokerId::new(3),
    shards: 4,
    created_ms: 5,
};

fn formatted() -> (MemoryDisk, Superblock) {
    let mut disk = MemoryDisk::new();
    let superblock = open_or_format(&mut disk, REQUEST).unwrap();
    (disk, superblock)
}

#[test]
fn an_empty_directory_is_formatted_once_and_keeps_its_identity() {
    let (mut disk, first) = formatted();
    assert_eq!(
        (first.disk, first.cluster, first.shards),
        ([1; 16], [2; 16], 4)
    );
    let later = FormatRequest {
        disk_id: [8; 16],
        cluster_id: [9; 16],
        created_ms: 7,
        ..REQUEST
    };
    assert_eq!(open_or_format(&mut disk, later).unwrap(), first);
    let names: Vec<String> = disk.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, [SUPERBLOCK_A, SUPERBLOCK_B]);
}

#[test]
fn a_directory_with_files_but_no_superblock_is_refused() {
    let mut disk = MemoryDisk::new();
    disk.put("photos/cat.jpg", vec![1]);
    let error = open_or_format(&mut disk, REQUEST).unwrap_err();
    assert_eq!(
        error,
        SuperblockError::NotEmpty {
            found: "photos".to_owned()
        }
    );
    assert_eq!(disk.files().len(), 1);
}

#[test]
fn what_file_systems_and_locks_leave_does_not_count() {
    let mut disk = MemoryDisk::new();
    disk.put("lost+found/x", Vec::new());
    disk.put(".lock", Vec::new());
    assert!(open_or_format(&mut disk, REQUEST).is_ok());
}

#[test]
fn a_newer_format_is_refused_and_both_versions_are_named() {
    let (mut disk, _) = formatted();
    disk.write(SUPERBLOCK_B, 8, &9_u32.to_le_bytes()).unwrap();
    let error = open_or_format(&mut disk, REQUEST).unwrap_err().to_string();
    assert_eq!(
        error,
        "superblock.b has format version 9, this build reads up to 1"
    );
}

#[test]
fn another_number_of_cores_is_refused_and_the_right_one_named() {
    let (mut disk, _) = formatted();
    let error = open_or_format(
        &mut disk,
        FormatRequest {
            shards: 2,
            ..REQUEST
        },
    )
    .unwrap_err();
    assert!(error.to_string().contains("start with 4, not 2"), "{error}");
}

#[test]
fn another_broker_is_refused() {
    let (mut disk, _) = formatted();
    let other = FormatRequest {
        broker: BrokerId::new(9),
        ..REQUEST
    };
    assert!(matches!(
        open_or_format(&mut disk, other),
        Err(SuperblockError::OtherBroker { .. })
    ));
}

#[test]
fn a_slot_that_cannot_be_read_may_be_the_newer_one() {
    for slot in [SUPERBLOCK_A, SUPERBLOCK_B] {
        let (mut disk, _) = formatted();
        assert!(disk.flip(slot, 50));
        let error = open_or_format(&mut disk, REQUEST).unwrap_err();
        assert!(matches!(error, SuperblockError::Unreadable { file, .. } if file == slot));
    }
}

#[test]
fn a_missing_slot_is_written_again() {
    for slot in [SUPERBLOCK_A, SUPERBLOCK_B] {
        let (mut disk, first) = formatted();
        disk.remove(slot).unwrap();
        assert_eq!(open_or_format(&mut disk, REQUEST).unwrap(), first);
        assert!(disk.contents(slot).is_some());
    }
}

#[test]
fn the_slot_with_the_higher_sequence_counts() {
    let (mut disk, first) = formatted();
    let newer = Superblock {
        sequence: 2,
        cluster: [7; 16],
        ..first
    };
    disk.write(SUPERBLOCK_B, 0, &newer.encode()).unwrap();
    assert_eq!(read_superblock(&disk).unwrap(), Some(newer));
}

#[test]
fn slots_of_two_directories_are_refused() {
    let (mut disk, first) = formatted();
    let other = Superblock {
        disk: [6; 16],
        ..first
    };
    disk.write(SUPERBLOCK_B, 0, &other.encode()).unwrap();
    assert_eq!(read_superblock(&disk), Err(SuperblockError::Contradiction));
}
