//! Durable I/O through the pump.
//!
//! Owns: writes and reads with O_DIRECT, the file helper, the directory lock.
//! Never: looks inside the shell; the files on disk are the evidence.
//! Invariants: a file created by the shell has its full length at once.
//! Source: reliability.md 2.1.

use shards::disk::{DirectoryLock, FsDisk, LockError};
use storage::exec::Disk;

use crate::echo::STORE;
use crate::rig::Rig;

#[test]
fn what_was_acknowledged_is_in_the_file() {
    let rig = Rig::start(2);
    let mut client = rig.connect();
    for index in 0..300 {
        client.send(0, STORE, format!("record {index:04}").as_bytes());
    }
    for index in 0..300 {
        assert_eq!(client.receive().1, format!("record {index:04}").as_bytes());
    }
    let found: Vec<Vec<u8>> = (0..2)
        .map(|core| {
            rig.directory
                .path()
                .join(format!("core-{core}/deep/echo.bin"))
        })
        .map(|path| std::fs::read(path).unwrap())
        .filter(|contents| contents[0] != 0)
        .collect();
    assert_eq!(found.len(), 1, "one core had the connection");
    for (index, block) in found[0].chunks(4096).take(300).enumerate() {
        assert_eq!(&block[..11], format!("record {index:04}").as_bytes());
        assert!(block[11..].iter().all(|byte| *byte == 0), "padding is zero");
    }
    assert_eq!(found[0].len(), 8 << 20);
    rig.stop();
}

#[test]
fn a_second_process_cannot_have_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let lock = DirectoryLock::acquire(directory.path()).unwrap();
    let second = DirectoryLock::acquire(directory.path());
    assert!(matches!(second, Err(LockError::InUse(_))));
    drop(lock);
    assert!(DirectoryLock::acquire(directory.path()).is_ok());
}

#[test]
fn a_file_system_directory_does_what_recovery_needs() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = FsDisk::new(directory.path());
    assert_eq!(disk.list("nothing"), Ok(Vec::new()));
    assert_eq!(disk.len("a/b"), Err(storage::IoError::NotFound));
    disk.create("a/b/c", 8192).unwrap();
    assert!(disk.create("a/b/c", 8192).is_err(), "creation is exclusive");
    disk.write("a/b/c", 4096, b"data").unwrap();
    assert_eq!(disk.read("a/b/c", 4095, 6), Ok(b"\0data\0".to_vec()));
    assert_eq!(
        disk.read("a/b/c", 8190, 100).map(|bytes| bytes.len()),
        Ok(2)
    );
    disk.expect("a/b/c", &[0..8192, 4096..4096]);
    disk.expect("nothing", &[0..8192, 4096..8192]);
    disk.create("small", 10).unwrap();
    disk.rename("small", "a/b/c").unwrap();
    assert_eq!(disk.len("a/b/c"), Ok(10));
    assert_eq!(disk.list("").unwrap().len(), 1);
    assert!(disk.read("../outside", 0, 1).is_err());
    disk.remove("a/b/c").unwrap();
    disk.remove("a/b/c").unwrap();
    assert_eq!(
        disk.list("a").unwrap(),
        Vec::new(),
        "an emptied directory goes too"
    );
}

#[test]
fn a_read_only_directory_refuses_changes() {
    let directory = tempfile::tempdir().unwrap();
    FsDisk::new(directory.path()).create("file", 4096).unwrap();
    let mut disk = FsDisk::read_only(directory.path());
    assert!(disk.create("other", 1).is_err());
    assert!(disk.write("file", 0, b"x").is_err());
    assert!(disk.remove("file").is_err());
    assert_eq!(disk.len("file"), Ok(4096));
}
