//! Tests of the offline verification on files a real voter wrote.
//!
//! Owns: one test per verdict.
//! Never: starts the executor.
//! Invariants: none.
//! Source: reliability.md 1.12.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use raft_host::bootstrap;
use raft_host::files::HARD_STATE_NAMES;
use raft_host::hard_state::Identity;

use super::{MetadataFinding, MetadataSeverity, check};
use crate::directory::RaftDirectory;

fn formatted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity {
        node: 1,
        cluster: "cluster".to_owned(),
    };
    RaftDirectory::open(dir.path(), &bootstrap(&identity, &[1])).unwrap();
    dir
}

fn only(dir: &Path) -> MetadataFinding {
    let mut findings = check(dir).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir.join("raft"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_directory_without_a_metadata_log_is_told_apart_from_one_with_nothing_wrong() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(check(empty.path()), None);
    assert_eq!(check(formatted().path()), Some(Vec::new()));
}

#[test]
fn a_flipped_bit_in_the_hard_state_is_damage_that_names_the_slot() {
    let dir = formatted();
    let path = dir.path().join("raft").join(HARD_STATE_NAMES[1]);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"!", 20).unwrap();
    let finding = only(dir.path());
    assert_eq!(finding.severity, MetadataSeverity::Damage);
    assert!(finding.what.contains("slot 1"), "{finding:?}");
}

#[test]
fn a_missing_slot_and_a_strange_file_are_damage() {
    let dir = formatted();
    fs::remove_file(dir.path().join("raft").join(HARD_STATE_NAMES[0])).unwrap();
    assert!(only(dir.path()).what.contains("missing"));
    let dir = formatted();
    fs::write(dir.path().join("raft/holiday.jpg"), b"x").unwrap();
    assert!(only(dir.path()).what.contains("holiday.jpg"));
}

#[test]
fn a_check_changes_nothing_not_even_what_a_start_would_remove() {
    let dir = formatted();
    fs::write(dir.path().join("raft/hard-state.a.tmp"), b"half").unwrap();
    let before = contents(dir.path());
    assert_eq!(check(dir.path()), Some(Vec::new()));
    assert_eq!(contents(dir.path()), before);
}
