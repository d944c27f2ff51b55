//! Tests of the directory on a real file system.
//!
//! Owns: creating, loading, left-overs of a crash.
//! Never: simulates power cuts; the pure crate's tests do.
//! Invariants: none.
//! Source: reliability.md 2.1.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use raft_host::Write;
use raft_host::files::{HARD_STATE_NAMES, log_name, snapshot_name};

use super::{Carried, RaftDirectory};
use crate::ControlError;

/// While a data directory has a file of this name, new files of its metadata log find no room.
pub(crate) const FULL: &str = "full";

/// While a data directory has a pipe of this name, new files of its metadata log wait until somebody writes to it.
pub(crate) const STUCK: &str = "stuck";

/// What a full device would say to a new file.
pub(super) fn room_at(path: &Path) -> io::Result<()> {
    let data_dir = path.parent().and_then(Path::parent);
    if let Some(pipe) = data_dir.map(|dir| dir.join(STUCK)) {
        // Missing: nothing is stuck.
        drop(fs::File::open(pipe));
    }
    match data_dir.is_some_and(|dir| dir.join(FULL).exists()) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }
}

fn first() -> Vec<Write> {
    HARD_STATE_NAMES.map(|name| replace(name, b"state")).into()
}

fn replace(name: &str, bytes: &'static [u8]) -> Write {
    Write::Replace {
        name: name.to_owned(),
        bytes: Bytes::from_static(bytes),
    }
}

fn open(data_dir: &Path) -> RaftDirectory {
    RaftDirectory::open(data_dir, &first()).unwrap()
}

#[test]
fn a_new_directory_appears_with_its_first_files_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("raft.new")).unwrap();
    fs::write(dir.path().join("raft.new/half"), b"x").unwrap();
    let files = open(dir.path()).load().unwrap();
    assert_eq!(files.hard_state[0].as_deref(), Some(&b"state"[..]));
    assert!(!dir.path().join("raft.new").exists());
    let other = [replace(HARD_STATE_NAMES[0], b"other")];
    let files = RaftDirectory::open(dir.path(), &other)
        .unwrap()
        .load()
        .unwrap();
    assert_eq!(files.hard_state[0].as_deref(), Some(&b"state"[..]));
}

#[test]
fn writes_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = open(dir.path());
    let name = log_name(3);
    let head = Bytes::from_static(b"head");
    let create = Write::Create {
        name: name.clone(),
        head,
        len: 600_000,
    };
    let bytes = Bytes::from_static(b"group");
    let write = Write::WriteAt {
        name: name.clone(),
        position: 4_096,
        bytes,
    };
    let snapshot = replace(&snapshot_name(9), b"snapshot");
    directory
        .exec_all(&[create.clone(), write, snapshot])
        .unwrap();
    let files = directory.load().unwrap();
    let (number, log) = &files.logs[0];
    assert_eq!((*number, log.len()), (3, 600_000));
    assert_eq!(&log[..4], b"head");
    assert_eq!(&log[4_096..4_101], b"group");
    assert_eq!(files.snapshots[0], (9, b"snapshot".to_vec()));
    assert!(
        directory.exec_all(&[create]).is_err(),
        "a log file is never created twice"
    );
    let remove = Write::Remove { name };
    directory.exec_all(&[remove.clone(), remove]).unwrap();
    assert!(directory.load().unwrap().logs.is_empty());
}

#[test]
fn a_write_without_room_leaves_nothing_behind_and_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = open(dir.path());
    let create = Write::Create {
        name: log_name(1),
        head: Bytes::from_static(b"head"),
        len: 8_192,
    };
    let writes = [
        Write::Remove { name: log_name(0) },
        create,
        replace(&snapshot_name(9), b"snapshot"),
    ];
    fs::write(dir.path().join(FULL), b"").unwrap();
    for left in [&writes[..], &writes[2..]] {
        let carried = directory.exec_all(left).unwrap();
        let Carried::UpTo { done, cause } = carried else {
            panic!("there is no room");
        };
        assert_eq!(done, left.len().saturating_sub(2));
        assert!(matches!(cause, ControlError::Io { .. }));
        assert_eq!(fs::read_dir(dir.path().join("raft")).unwrap().count(), 2);
    }
    fs::remove_file(dir.path().join(FULL)).unwrap();
    assert!(matches!(directory.exec_all(&writes).unwrap(), Carried::All));
    let files = directory.load().unwrap();
    assert_eq!(files.logs[0].1.len(), 8_192);
    assert_eq!(files.snapshots[0], (9, b"snapshot".to_vec()));
}

#[test]
fn left_overs_of_a_replacement_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let left = dir
        .path()
        .join("raft")
        .join(format!("{}.tmp", snapshot_name(4)));
    fs::write(&left, b"half").unwrap();
    assert!(directory.load().unwrap().snapshots.is_empty());
    assert!(!left.exists());
}

#[test]
fn a_file_that_is_not_ours_stops_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let stray = dir.path().join("raft/notes.txt");
    fs::write(&stray, b"mine").unwrap();
    assert!(matches!(directory.load(), Err(ControlError::UnknownFile(path)) if path == stray));
    assert!(stray.exists());
}
