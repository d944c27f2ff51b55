//! Crash images of a strict file system: it keeps what was synced, and owes nothing else.
//!
//! Owns: which changes survive.
//! Never: loses a change that a sync of its own file or directory covered.
//! Invariants: a name is durable only once its directory was synced; other names survive in the order in which
//! they were changed, so the image is one that a journaling file system may leave.
//! Source: reliability.md 2.3 (I5), 3.7.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;

use crate::random::Random;
use crate::recording::{Recording, What};
use crate::tree::{Node, Op, ROOT, Tree};

const SECTOR: usize = 512;

/// Writes the tree that a power cut after `count` events leaves to the new directory `out`; returns how many
/// changes no sync covered, and how many of them survived.
///
/// # Errors
/// The recording cannot be read, or the tree cannot be written.
pub(crate) fn make(
    recording: &Recording,
    count: usize,
    seed: u64,
    out: &Path,
) -> io::Result<(usize, usize)> {
    let mut ops = Vec::new();
    for event in recording.events().iter().take(count) {
        if event.what == What::Change {
            ops.push(Op::decode(&recording.payload(event)?)?);
        }
    }
    let durable = durable(&ops);
    let (tree, pending, survivors) = survive(&ops, &durable, seed);
    write_out(&tree, ROOT, out)?;
    Ok((pending, survivors))
}

/// For each operation whether a later sync covers it.
fn durable(ops: &[Op]) -> Vec<bool> {
    let mut files = Vec::new();
    let mut directories = Vec::new();
    let mut out = Vec::with_capacity(ops.len());
    for op in ops.iter().rev() {
        let is_named = |parent: &u64| directories.contains(parent);
        out.push(match op {
            Op::MakeDirectory(entry, _) | Op::Create(entry, _) | Op::Remove(entry) => {
                is_named(&entry.parent)
            }
            Op::Rename(from, to) => is_named(&from.parent) && is_named(&to.parent),
            Op::Write(inode, ..) | Op::Resize(inode, _) => files.contains(inode),
            Op::SyncFile(inode) => {
                files.push(*inode);
                true
            }
            Op::SyncDirectory(inode) => {
                directories.push(*inode);
                true
            }
        });
        dedup(&mut files);
        dedup(&mut directories);
    }
    out.reverse();
    out
}

/// Keeps the list as long as there are files, not as long as there are syncs.
fn dedup(list: &mut Vec<u64>) {
    if let Some(last) = list.pop()
        && !list.contains(&last)
    {
        list.push(last);
    }
}

fn is_of_names(op: &Op) -> bool {
    match op {
        Op::MakeDirectory(..) | Op::Create(..) | Op::Remove(_) | Op::Rename(..) => true,
        Op::Write(..) | Op::Resize(..) | Op::SyncFile(_) | Op::SyncDirectory(_) => false,
    }
}

fn survive(ops: &[Op], durable: &[bool], seed: u64) -> (Tree, usize, usize) {
    let mut random = Random::new(seed);
    let pending = durable.iter().filter(|is_durable| !**is_durable).count();
    let names = ops.iter().zip(durable);
    let names = names.filter(|(op, is_durable)| !**is_durable && is_of_names(op));
    // The usual case is that the last names are missing; now and then all or none are.
    let mut names_left = match random.below(4) {
        0 => 0,
        1 => usize::MAX,
        _ => random.index(names.count() + 1),
    };
    let percent = [0, 50, 100][random.index(3)];
    let mut tree = Tree::default();
    let mut survivors = 0;
    for (op, is_durable) in ops.iter().zip(durable) {
        let survives = if *is_durable {
            true
        } else if is_of_names(op) {
            let survives = names_left > 0;
            names_left = names_left.saturating_sub(1);
            survives
        } else {
            random.chance(percent)
        };
        survivors += usize::from(survives && !is_durable);
        match op {
            Op::Write(inode, offset, data) if !is_durable && random.chance(30) => {
                tear(&mut tree, (*inode, *offset), data, &mut random);
            }
            _ if survives => tree.apply(op),
            // The object exists; only nobody finds it by this name.
            Op::MakeDirectory(_, inode) => tree.add(*inode, Node::Directory(Default::default())),
            Op::Create(_, inode) => tree.add(*inode, Node::File(Vec::new())),
            _ => {}
        }
    }
    (tree, pending, survivors)
}

fn tear(tree: &mut Tree, place: (u64, u64), data: &[u8], random: &mut Random) {
    for (number, sector) in data.chunks(SECTOR).enumerate() {
        if random.chance(50) {
            tree.write(place.0, place.1 + (number * SECTOR) as u64, sector);
        }
    }
}

fn write_out(tree: &Tree, inode: u64, path: &Path) -> io::Result<()> {
    match tree.node(inode) {
        Some(Node::Directory(names)) => {
            fs::create_dir(path)?;
            names
                .iter()
                .try_for_each(|(name, inode)| write_out(tree, *inode, &path.join(name)))
        }
        Some(Node::File(contents)) => fs::write(path, contents),
        None => Ok(()),
    }
}
