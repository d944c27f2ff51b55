//! The disk in memory behaves as the trait says.

use model::prng::Prng;

use super::MemoryDisk;
use crate::exec::Disk;
use crate::io::IoError;

fn disk() -> MemoryDisk {
    let mut disk = MemoryDisk::new();
    disk.create("a/b/one", 8).unwrap();
    disk.create("a/two", 4).unwrap();
    disk.create("ab", 1).unwrap();
    disk
}

#[test]
fn a_directory_lists_its_own_entries_only() {
    let disk = disk();
    let names = |dir: &str| -> Vec<(String, bool, u64)> {
        let entries = disk.list(dir).unwrap();
        entries
            .into_iter()
            .map(|entry| (entry.name, entry.is_dir, entry.len))
            .collect()
    };
    assert_eq!(
        names("a"),
        [("b".to_owned(), true, 0), ("two".to_owned(), false, 4)]
    );
    assert_eq!(
        names(""),
        [("a".to_owned(), true, 0), ("ab".to_owned(), false, 1)]
    );
    assert_eq!(names("missing"), []);
}

#[test]
fn a_read_is_short_only_at_the_end_of_the_file() {
    let mut disk = disk();
    disk.write("a/two", 1, b"xyz").unwrap();
    assert_eq!(disk.read("a/two", 0, 3).unwrap(), b"\0xy");
    assert_eq!(disk.read("a/two", 2, 100).unwrap(), b"yz");
    assert_eq!(disk.read("a/two", 9, 1).unwrap(), b"");
    assert_eq!(disk.read("nothing", 0, 1), Err(IoError::NotFound));
}

#[test]
fn a_write_stays_inside_the_length_of_its_file() {
    let mut disk = disk();
    assert_eq!(disk.write("a/two", 2, b"xyz"), Err(IoError::Device(22)));
    assert_eq!(disk.write("nothing", 0, b""), Err(IoError::NotFound));
    assert_eq!(disk.contents("a/two"), Some(&[0; 4][..]));
}

#[test]
fn creating_an_existing_file_fails_and_removing_a_missing_one_does_not() {
    let mut disk = disk();
    assert!(disk.create("ab", 1).is_err());
    disk.remove("ab").unwrap();
    disk.remove("ab").unwrap();
    disk.create("ab", 1).unwrap();
}

#[test]
fn damage_changes_exactly_what_it_names() {
    let mut disk = disk();
    disk.put("f", vec![0xff; 4]);
    assert!(disk.flip("f", 1));
    assert!(disk.zero("f", 2, 1));
    assert_eq!(disk.contents("f"), Some(&[0xff, 0xef, 0, 0xff][..]));
    assert!(disk.truncate("f", 3));
    assert_eq!(disk.len("f").unwrap(), 3);
    assert!(!disk.flip("f", 3) && !disk.zero("f", 2, 2) && !disk.truncate("f", 3));
}

#[test]
fn an_unreadable_block_fails_until_it_is_written_whole() {
    let mut disk = MemoryDisk::new();
    disk.put("f", vec![7; 3 * 4_096]);
    disk.make_unreadable("f", 5_000);
    assert_eq!(disk.read("f", 0, 4_097), Err(IoError::Device(5)));
    assert_eq!(disk.read("f", 0, 4_096).unwrap().len(), 4_096);
    assert_eq!(disk.read("f", 8_192, 10).unwrap(), [7; 10]);
    disk.write("f", 4_096, &[1; 100]).unwrap();
    assert!(disk.read("f", 4_096, 1).is_err());
    disk.write("f", 4_096, &[1; 4_096]).unwrap();
    assert_eq!(disk.read("f", 4_096, 1).unwrap(), [1]);
}

#[test]
fn a_rename_replaces_its_target() {
    let mut disk = disk();
    disk.put("f", vec![1]);
    disk.rename("f", "ab").unwrap();
    assert_eq!(disk.contents("ab"), Some(&[1][..]));
    assert_eq!(disk.len("f"), Err(IoError::NotFound));
}

#[test]
fn bad_sectors_go_with_the_file_that_has_them() {
    let mut disk = MemoryDisk::new();
    disk.create("a", 8_192).unwrap();
    disk.make_unreadable("a", 4_096);
    disk.rename("a", "b").unwrap();
    disk.create("a", 8_192).unwrap();
    assert!(disk.read("a", 4_096, 4_096).is_ok());
    assert!(disk.read("b", 4_096, 4_096).is_err());
    disk.remove("b").unwrap();
    disk.create("b", 8_192).unwrap();
    assert!(disk.read("b", 4_096, 4_096).is_ok());
}

#[test]
fn a_file_that_is_laid_out_begins_with_its_head() {
    let mut disk = MemoryDisk::new();
    disk.lay_out("f", 8_192, b"head").unwrap();
    let contents = disk.contents("f").unwrap();
    assert_eq!((contents.len(), &contents[..5]), (8_192, &b"head\0"[..]));
    assert!(disk.lay_out("f", 8_192, b"").is_err(), "it exists");
    assert!(disk.lay_out("g", 4, b"longer").is_err());
}

#[test]
fn a_creation_that_power_cut_off_leaves_every_kind_of_file() {
    let mut prng = Prng::new(1);
    let (mut without, mut torn, mut whole, mut short) = (0, 0, 0, 0);
    for _ in 0..200 {
        let mut disk = MemoryDisk::new();
        let head = [7; 8_192];
        disk.lay_out_in_part("f", (65_536, &head), &mut prng)
            .unwrap();
        let contents = disk.contents("f").unwrap();
        assert!(contents.len() <= 65_536 && contents.len().is_multiple_of(4_096));
        assert!(contents.iter().skip(8_192).all(|byte| *byte == 0));
        let written = contents.iter().filter(|byte| **byte == 7).count();
        assert!(written.is_multiple_of(512));
        short += usize::from(contents.len() < 65_536);
        without += usize::from(written == 0);
        whole += usize::from(written == 8_192);
        torn += usize::from((1..8_192).contains(&written));
    }
    assert!(without > 9 && torn > 9 && whole > 9 && short > 9);
}
