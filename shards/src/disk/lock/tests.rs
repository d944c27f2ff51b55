//! The lock of a data directory.

use super::*;

#[test]
fn a_directory_several_levels_down_is_made_and_locked_once() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("a/b/c");
    let lock = DirectoryLock::acquire(&directory).unwrap();
    assert!(directory.join(LOCK_FILE).is_file());
    assert!(matches!(
        DirectoryLock::acquire(&directory),
        Err(LockError::InUse(path)) if path == directory
    ));
    drop(lock);
    DirectoryLock::acquire(&directory).unwrap();
}

#[test]
fn a_directory_that_is_there_is_used_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("kept"), "x").unwrap();
    DirectoryLock::acquire(root.path()).unwrap();
    assert!(root.path().join("kept").is_file());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("file");
    std::fs::write(&place, "x").unwrap();
    assert!(matches!(
        DirectoryLock::acquire(&place),
        Err(LockError::Io { path, .. }) if path == place
    ));
}
