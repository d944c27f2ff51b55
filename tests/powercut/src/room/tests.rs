//! Tests of the room for files.
//!
//! Owns: patterns, commands, counting.
//! Never: mounts anything.
//! Invariants: none.
//! Source: reliability.md 2.7.

use super::{Command, Need, Room, matches};

#[test]
fn a_star_stands_for_anything() {
    assert!(matches("*.seg", "data/p/00/1/7-ab.seg"));
    assert!(matches("data/*/journal/*.j", "data/core-1/journal/x.j"));
    assert!(matches("*.idx*", "data/p/7.idx.tmp"));
    assert!(!matches("*.seg", "data/p/7.seg.tmp"));
    assert!(!matches("data/raft", "data/raft/log"));
    assert!(matches("*", ""));
}

#[test]
fn what_matches_is_refused_and_counted_until_healed() {
    let mut room = Room::default();
    assert!(!room.refuses(Need::Bytes, "a.seg"));
    room.apply(Command::parse("enospc grow *.seg").unwrap());
    assert!(room.refuses(Need::Bytes, "a.seg"));
    assert!(!room.refuses(Need::Name, "a.seg"));
    assert!(!room.refuses(Need::Bytes, "a.idx"));
    assert_eq!(room.apply(Command::Struck), 1);
    assert_eq!(room.apply(Command::parse("heal").unwrap()), 1);
    assert!(!room.refuses(Need::Bytes, "a.seg"));
}

#[test]
fn other_lines_are_no_commands() {
    for line in [
        "",
        "enospc",
        "enospc grow",
        "enospc shrink *",
        "heal all",
        "fail read 1",
    ] {
        assert_eq!(Command::parse(line), None, "{line}");
    }
}
