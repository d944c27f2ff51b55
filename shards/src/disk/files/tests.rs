//! Tests of filling files.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::{FILL_BYTES, fill, zeros};

fn memory_file(seals: SealFlags) -> File {
    let file = memfd_create("filled", MemfdFlags::ALLOW_SEALING).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    File::from(file)
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
fn a_write_of_zeros_is_bounded() {
    for wanted in [4096, FILL_BYTES, 10 * FILL_BYTES] {
        let zeros = zeros(wanted);
        assert_eq!(zeros.len(), wanted.min(FILL_BYTES));
        assert!(zeros.bytes().iter().all(|byte| *byte == 0));
    }
}
