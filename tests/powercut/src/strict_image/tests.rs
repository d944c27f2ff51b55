//! What a strict file system may leave behind.

use super::*;
use crate::tree::Entry;

const FILE: u64 = 7;

fn entry(parent: u64, name: &str) -> Entry {
    Entry {
        parent,
        name: name.to_owned(),
    }
}

/// The tree that survives, for many seeds.
fn outcomes(ops: &[Op]) -> Vec<Tree> {
    let decoded: Vec<Op> = ops
        .iter()
        .map(|op| Op::decode(&op.encode()).unwrap())
        .collect();
    assert_eq!(decoded, ops);
    let durable = durable(ops);
    (0..100)
        .map(|seed| survive(ops, &durable, seed).0)
        .collect()
}

fn contents(tree: &Tree, name: &str) -> Option<Vec<u8>> {
    match tree.node(tree.find(&entry(ROOT, name))?)? {
        Node::File(contents) => Some(contents.clone()),
        Node::Directory(_) => None,
    }
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_gone() {
    let ops = [
        Op::Create(entry(ROOT, "f"), FILE),
        Op::Write(FILE, 0, vec![1; 600]),
        Op::SyncFile(FILE),
    ];
    let found: Vec<_> = outcomes(&ops)
        .iter()
        .map(|tree| contents(tree, "f"))
        .collect();
    assert!(found.contains(&None));
    assert!(found.contains(&Some(vec![1; 600])));
    assert!(found.iter().flatten().all(|contents| contents.len() == 600));
}

#[test]
fn a_synced_file_with_a_synced_name_is_there() {
    let ops = [
        Op::Create(entry(ROOT, "f"), FILE),
        Op::Write(FILE, 0, vec![1; 600]),
        Op::SyncFile(FILE),
        Op::SyncDirectory(ROOT),
        Op::Write(FILE, 600, vec![2; 600]),
    ];
    for tree in outcomes(&ops) {
        let contents = contents(&tree, "f").unwrap();
        assert_eq!(contents[..600], [1; 600]);
    }
}

#[test]
fn a_rename_that_was_not_synced_leaves_the_old_or_the_new_file() {
    let ops = [
        Op::Create(entry(ROOT, "f"), FILE),
        Op::Write(FILE, 0, vec![1; 10]),
        Op::SyncFile(FILE),
        Op::Create(entry(ROOT, "f.new"), FILE + 1),
        Op::Write(FILE + 1, 0, vec![2; 10]),
        Op::SyncFile(FILE + 1),
        Op::SyncDirectory(ROOT),
        Op::Rename(entry(ROOT, "f.new"), entry(ROOT, "f")),
    ];
    let found: Vec<_> = outcomes(&ops)
        .iter()
        .map(|tree| contents(tree, "f").unwrap())
        .collect();
    assert!(found.contains(&vec![1; 10]) && found.contains(&vec![2; 10]));
}

#[test]
fn an_unsynced_write_is_lost_torn_or_kept() {
    let ops = [
        Op::Create(entry(ROOT, "f"), FILE),
        Op::Resize(FILE, 2048),
        Op::SyncFile(FILE),
        Op::SyncDirectory(ROOT),
        Op::Write(FILE, 0, vec![3; 2048]),
    ];
    let counts: Vec<usize> = outcomes(&ops)
        .iter()
        .map(|tree| contents(tree, "f").unwrap())
        .map(|contents| contents.iter().filter(|byte| **byte == 3).count())
        .collect();
    assert!(counts.contains(&0) && counts.contains(&2048));
    assert!(counts.iter().any(|count| (1..2048).contains(count)));
    assert!(counts.iter().all(|count| count.is_multiple_of(512)));
}
