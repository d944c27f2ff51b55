//! Tests of laying out files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use storage::io::HEAD_BYTES_MAX;

use super::{FILL_BYTES, Growth, zeros};

fn memory_file(seals: SealFlags) -> Arc<File> {
    let file = memfd_create("filled", MemfdFlags::ALLOW_SEALING).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    Arc::new(File::from(file))
}

/// Lays out an open file up to `len`.
fn fill(file: &Arc<File>, len: u64) -> std::io::Result<()> {
    let mut growth = Growth::of_open(file, len)?;
    growth.lay_out();
    growth.finish(|_| Ok(())).map(drop)
}

#[test]
fn a_file_that_cannot_be_filled_keeps_its_length() {
    let file = memory_file(SealFlags::WRITE);
    file.set_len(8192).unwrap();
    fill(&file, 1 << 20).unwrap_err();
    let len = file.metadata().unwrap().len();
    assert_eq!(
        len, 8192,
        "what was not filled is not taken for filled by the next attempt"
    );
}

#[test]
fn a_file_that_gets_no_room_keeps_its_length() {
    let file = memory_file(SealFlags::GROW);
    fill(&file, 1 << 20).unwrap_err();
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn a_file_that_is_not_flushed_keeps_its_length() {
    let file = memory_file(SealFlags::empty());
    file.set_len(8192).unwrap();
    let mut growth = Growth::of_open(&file, 1 << 20).unwrap();
    growth.lay_out();
    let flush = |_: &File| Err(std::io::ErrorKind::Other.into());
    growth.finish(flush).unwrap_err();
    assert_eq!(file.metadata().unwrap().len(), 8192);
}

#[test]
fn a_file_is_filled_behind_what_it_holds() {
    let file = memory_file(SealFlags::SHRINK);
    let len = 2 * FILL_BYTES as u64 + 4096;
    file.write_all_at(b"held", 0).unwrap();
    fill(&file, len).unwrap();
    assert_eq!(file.metadata().unwrap().len(), len);
    let mut contents = vec![0xee; usize::try_from(len).unwrap()];
    file.read_exact_at(&mut contents, 0).unwrap();
    assert_eq!(&contents[..4], b"held");
    assert!(contents[4..].iter().all(|byte| *byte == 0));
    fill(&file, 4096).unwrap();
    assert_eq!(file.metadata().unwrap().len(), len, "it never shrinks");
}

#[test]
fn a_new_file_has_its_head_and_then_zeros_however_many_writes_that_takes() {
    let root = tempfile::tempdir().unwrap();
    for (name, len) in [("short", HEAD_BYTES_MAX), ("long", 2 * FILL_BYTES + 4096)] {
        let path = root.path().join(name);
        let head = Bytes::from(vec![7; HEAD_BYTES_MAX]);
        let mut growth = Growth::of_new(&path, len as u64, head).unwrap();
        growth.lay_out();
        growth.finish(|_| Ok(())).unwrap();
        let contents = std::fs::read(&path).unwrap();
        assert_eq!(contents.len(), len);
        let (head, rest) = contents.split_at(HEAD_BYTES_MAX);
        assert!(head.iter().all(|byte| *byte == 7));
        assert!(rest.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_head_that_does_not_fit_makes_no_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    for (len, head) in [(4096, 4097), (1 << 20, HEAD_BYTES_MAX + 1)] {
        Growth::of_new(&path, len, Bytes::from(vec![7; head])).unwrap_err();
        assert!(!path.exists());
    }
}

#[test]
fn a_write_of_zeros_is_bounded() {
    for wanted in [4096, FILL_BYTES, 10 * FILL_BYTES] {
        let zeros = zeros(wanted);
        assert_eq!(zeros.len(), wanted.min(FILL_BYTES));
        assert!(zeros.bytes().iter().all(|byte| *byte == 0));
    }
}
