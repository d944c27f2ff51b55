//! Tests of formatting and checking a directory.

use std::path::Path;

use super::{Directory, DirectoryError};
use crate::boot::ServeConfig;

fn config(path: &Path, cores: u16) -> ServeConfig {
    ServeConfig {
        data_dir: path.to_owned(),
        cores,
        ..ServeConfig::default()
    }
}

#[test]
fn a_directory_keeps_its_identity() {
    let dir = tempfile::tempdir().unwrap();
    let first = Directory::open_or_format(&config(dir.path(), 3)).unwrap();
    let second = Directory::open_or_format(&config(dir.path(), 0)).unwrap();
    assert_eq!(second.shards(), 3);
    assert_eq!(first.cluster_id(), second.cluster_id());
    assert_eq!(first.cluster_id().len(), 22);
}

#[test]
fn the_number_of_cores_and_the_broker_are_fixed() {
    let dir = tempfile::tempdir().unwrap();
    Directory::open_or_format(&config(dir.path(), 3)).unwrap();
    let other = Directory::open_or_format(&config(dir.path(), 2));
    assert!(matches!(
        other,
        Err(DirectoryError::OtherCores {
            found: 3,
            configured: 2,
            ..
        })
    ));
    let mut broker = config(dir.path(), 3);
    broker.broker.broker = model::ids::BrokerId::new(9);
    let other = Directory::open_or_format(&broker);
    assert!(matches!(other, Err(DirectoryError::OtherBroker { .. })));
}

#[test]
fn one_lost_slot_is_rewritten_from_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let first = Directory::open_or_format(&config(dir.path(), 1)).unwrap();
    for slot in ["superblock.a", "superblock.b"] {
        std::fs::remove_file(dir.path().join(slot)).unwrap();
        let again = Directory::open_or_format(&config(dir.path(), 1)).unwrap();
        assert_eq!(first.cluster_id(), again.cluster_id());
        assert!(dir.path().join(slot).exists());
    }
}

#[test]
fn data_without_an_identity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("core-0")).unwrap();
    let refused = Directory::open_or_format(&config(dir.path(), 1));
    assert!(matches!(refused, Err(DirectoryError::Damaged { .. })));
}

#[test]
fn an_unreadable_slot_is_refused_if_there_is_data() {
    let dir = tempfile::tempdir().unwrap();
    Directory::open_or_format(&config(dir.path(), 1)).unwrap();
    std::fs::write(dir.path().join("superblock.b"), [7; 4096]).unwrap();
    assert!(
        Directory::open_or_format(&config(dir.path(), 1)).is_ok(),
        "a start that was cut short"
    );
    std::fs::create_dir(dir.path().join("core-0")).unwrap();
    std::fs::write(dir.path().join("superblock.b"), [7; 4096]).unwrap();
    let refused = Directory::open_or_format(&config(dir.path(), 1));
    assert!(matches!(refused, Err(DirectoryError::Damaged { .. })));
}
