//! A tree of directories and files as a strict file system sees it: every change is an operation.
//!
//! Owns: the operations, their bytes in a recording, and what a tree looks like after some of them.
//! Never: knows what is durable; `strict_image` does.
//! Invariants: inode numbers are never used twice; applying an operation whose object is missing changes nothing.
//! Source: reliability.md 2.3 (I5) and 3.7.

use std::collections::BTreeMap;
use std::io;

/// The directory everything is in.
pub(crate) const ROOT: u64 = 1;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A directory appears.
    MakeDirectory(Entry, u64),
    /// An empty file appears.
    Create(Entry, u64),
    /// A name disappears.
    Remove(Entry),
    /// A name moves, replacing what was there.
    Rename(Entry, Entry),
    /// Bytes are written to a file at an offset.
    Write(u64, u64, Vec<u8>),
    /// A file gets a length.
    Resize(u64, u64),
    /// What was written to a file is durable.
    SyncFile(u64),
    /// The names in a directory are durable.
    SyncDirectory(u64),
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Inode of the directory.
    pub(crate) parent: u64,
    /// The name.
    pub(crate) name: String,
}

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.parent.to_le_bytes());
        out.extend((self.name.len() as u64).to_le_bytes());
        out.extend(self.name.as_bytes());
    }
}

impl Op {
    /// The bytes of an operation.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::MakeDirectory(entry, inode) => {
                out.push(1);
                entry.encode(&mut out);
                out.extend(inode.to_le_bytes());
            }
            Self::Create(entry, inode) => {
                out.push(2);
                entry.encode(&mut out);
                out.extend(inode.to_le_bytes());
            }
            Self::Remove(entry) => {
                out.push(3);
                entry.encode(&mut out);
            }
            Self::Rename(from, to) => {
                out.push(4);
                from.encode(&mut out);
                to.encode(&mut out);
            }
            Self::Write(inode, offset, data) => {
                out.push(5);
                out.extend(inode.to_le_bytes());
                out.extend(offset.to_le_bytes());
                out.extend(data);
            }
            Self::Resize(inode, len) => {
                out.push(6);
                out.extend(inode.to_le_bytes());
                out.extend(len.to_le_bytes());
            }
            Self::SyncFile(inode) => {
                out.push(7);
                out.extend(inode.to_le_bytes());
            }
            Self::SyncDirectory(inode) => {
                out.push(8);
                out.extend(inode.to_le_bytes());
            }
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are no operation.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut cursor = Cursor { bytes };
        let kind = cursor.take(1)?.first().copied();
        Ok(match kind {
            Some(1) => Self::MakeDirectory(cursor.entry()?, cursor.number()?),
            Some(2) => Self::Create(cursor.entry()?, cursor.number()?),
            Some(3) => Self::Remove(cursor.entry()?),
            Some(4) => Self::Rename(cursor.entry()?, cursor.entry()?),
            Some(5) => Self::Write(cursor.number()?, cursor.number()?, cursor.bytes.to_vec()),
            Some(6) => Self::Resize(cursor.number()?, cursor.number()?),
            Some(7) => Self::SyncFile(cursor.number()?),
            Some(8) => Self::SyncDirectory(cursor.number()?),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no operation")),
        })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (front, back) = self
            .bytes
            .split_at_checked(count)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.bytes = back;
        Ok(front)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
    }

    fn entry(&mut self) -> io::Result<Entry> {
        let parent = self.number()?;
        let len = usize::try_from(self.number()?).map_err(io::Error::other)?;
        let name = String::from_utf8_lossy(self.take(len)?).into_owned();
        Ok(Entry { parent, name })
    }
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Names and their inodes.
    Directory(BTreeMap<String, u64>),
    /// Contents.
    File(Vec<u8>),
}

/// A tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<u64, Node>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::Directory(BTreeMap::new());
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
        }
    }
}

impl Tree {
    /// The node of an inode.
    pub(crate) fn node(&self, inode: u64) -> Option<&Node> {
        self.nodes.get(&inode)
    }

    /// The inode a name stands for.
    pub(crate) fn find(&self, entry: &Entry) -> Option<u64> {
        self.names(entry.parent)?.get(&entry.name).copied()
    }

    /// The path of an inode below the root, with a slash in front of each name; the root's is empty.
    pub(crate) fn path(&self, inode: u64) -> Option<String> {
        if inode == ROOT {
            return Some(String::new());
        }
        self.nodes.keys().find_map(|parent| {
            let mut names = self.names(*parent)?.iter();
            let (name, _) = names.find(|(_, other)| **other == inode)?;
            Some(format!("{}/{name}", self.path(*parent)?))
        })
    }

    /// The names in a directory.
    pub(crate) fn names(&self, inode: u64) -> Option<&BTreeMap<String, u64>> {
        match self.nodes.get(&inode)? {
            Node::Directory(names) => Some(names),
            Node::File(_) => None,
        }
    }

    fn names_mut(&mut self, inode: u64) -> Option<&mut BTreeMap<String, u64>> {
        match self.nodes.get_mut(&inode)? {
            Node::Directory(names) => Some(names),
            Node::File(_) => None,
        }
    }

    fn contents_mut(&mut self, inode: u64) -> Option<&mut Vec<u8>> {
        match self.nodes.get_mut(&inode)? {
            Node::File(contents) => Some(contents),
            Node::Directory(_) => None,
        }
    }

    /// Makes a node without a name.
    pub(crate) fn add(&mut self, inode: u64, node: Node) {
        self.nodes.entry(inode).or_insert(node);
    }

    fn link(&mut self, entry: &Entry, inode: u64) {
        if let Some(names) = self.names_mut(entry.parent) {
            names.insert(entry.name.clone(), inode);
        }
    }

    fn unlink(&mut self, entry: &Entry) -> Option<u64> {
        self.names_mut(entry.parent)?.remove(&entry.name)
    }

    /// Applies an operation.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeDirectory(entry, inode) => {
                self.add(*inode, Node::Directory(BTreeMap::new()));
                self.link(entry, *inode);
            }
            Op::Create(entry, inode) => {
                self.add(*inode, Node::File(Vec::new()));
                self.link(entry, *inode);
            }
            Op::Remove(entry) => {
                self.unlink(entry);
            }
            Op::Rename(from, to) => {
                if let Some(inode) = self.unlink(from) {
                    self.link(to, inode);
                }
            }
            Op::Write(inode, offset, data) => self.write(*inode, *offset, data),
            Op::Resize(inode, len) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                if let Some(contents) = self.contents_mut(*inode) {
                    contents.resize(len, 0);
                }
            }
            Op::SyncFile(_) | Op::SyncDirectory(_) => {}
        }
    }

    /// Writes bytes; a file that is shorter grows.
    pub(crate) fn write(&mut self, inode: u64, offset: u64, data: &[u8]) {
        let Some(contents) = self.contents_mut(inode) else {
            return;
        };
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = begin.saturating_add(data.len());
        if contents.len() < end {
            contents.resize(end, 0);
        }
        if let Some(place) = contents.get_mut(begin..end) {
            place.copy_from_slice(data);
        }
    }
}
