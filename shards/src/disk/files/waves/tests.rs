//! Tests of laying out many files at once.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::super::growth::{FILL_BYTES, Growth};
use super::{WRITES_MAX, Waves};

/// The head of the file with this number.
fn head(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap() + 1; 8192]
}

fn new_file(root: &Path, number: usize, len: usize) -> Growth {
    let path = root.join(number.to_string());
    Growth::of_new(&path, len as u64, head(number).into()).unwrap()
}

fn lay_out(waves: &mut Waves, growths: &mut [Growth]) {
    waves
        .lay_out(&mut growths.iter_mut().collect::<Vec<_>>())
        .unwrap();
}

fn expected(number: usize, len: usize) -> Vec<u8> {
    let mut contents = head(number);
    contents.resize(len, 0);
    contents
}

#[test]
fn every_file_has_its_own_head_and_zeros_whatever_wave_it_is_in() {
    let root = tempfile::tempdir().unwrap();
    let mut waves = Waves::new().unwrap();
    // More than one wave by number, and by bytes.
    let lens: Vec<usize> = (0..3 * WRITES_MAX + 1)
        .map(|number| match number % 16 {
            3 => FILL_BYTES + 8192,
            7 => 8192,
            _ => 77_824,
        })
        .collect();
    let files = lens.iter().enumerate();
    let mut growths: Vec<_> = files
        .map(|(number, len)| new_file(root.path(), number, *len))
        .collect();
    for _ in 0..2 {
        // The second time nothing is left to do.
        lay_out(&mut waves, &mut growths);
    }
    for growth in growths {
        growth.finish(|_| Ok(())).unwrap();
    }
    for (number, len) in lens.into_iter().enumerate() {
        let contents = std::fs::read(root.path().join(number.to_string())).unwrap();
        assert!(contents == expected(number, len), "file {number}");
    }
    // Heads of one turn are not in the next.
    let mut growths = [Growth::of_new(&root.path().join("bare"), 77_824, Bytes::new()).unwrap()];
    lay_out(&mut waves, &mut growths);
    let bare = std::fs::read(root.path().join("bare")).unwrap();
    assert_eq!(bare, [0; 77_824]);
}

#[test]
fn a_file_that_cannot_be_written_fails_alone_and_goes_back() {
    let root = tempfile::tempdir().unwrap();
    let sealed = memfd_create("sealed", MemfdFlags::ALLOW_SEALING).unwrap();
    let sealed = Arc::new(File::from(sealed));
    sealed.set_len(8192).unwrap();
    let refused = Growth::of_open(&sealed, 65_536).unwrap();
    fcntl_add_seals(&*sealed, SealFlags::WRITE).unwrap();
    let mut growths = vec![refused];
    growths.extend((1..5).map(|number| new_file(root.path(), number, 77_824)));
    lay_out(&mut Waves::new().unwrap(), &mut growths);
    for (number, growth) in growths.into_iter().enumerate() {
        let finished = growth.finish(|_| Ok(()));
        if number == 0 {
            let error = finished.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert_eq!(sealed.metadata().unwrap().len(), 8192);
            continue;
        }
        finished.unwrap();
        let contents = std::fs::read(root.path().join(number.to_string())).unwrap();
        assert!(contents == expected(number, 77_824), "file {number}");
    }
}

#[test]
fn what_a_write_left_is_written_singly() {
    let root = tempfile::tempdir().unwrap();
    let short: [Result<usize, i32>; 4] = [Ok(0), Ok(4096), Err(libc::EINTR), Err(libc::EAGAIN)];
    for (number, result) in short.into_iter().enumerate() {
        let mut growth = new_file(root.path(), number, 77_824);
        growth.wrote(77_824, result);
        assert!(!growth.is_unfinished());
        growth.finish(|_| Ok(())).unwrap();
        let contents = std::fs::read(root.path().join(number.to_string())).unwrap();
        assert!(contents == expected(number, 77_824), "{result:?}");
    }
}
