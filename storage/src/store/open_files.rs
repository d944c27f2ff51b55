//! Which segment files are open, and which to close when there are too many.
//!
//! Owns: the bound on open segment files.
//! Never: closes a file with I/O under way.
//! Invariants: every open file is known here once.
//! Source: reliability.md 2.2 (2,000 descriptors per core).

use std::collections::{BTreeMap, VecDeque};

use crate::io::FileKey;
use crate::store::outbox::SegmentAt;

#[derive(Debug)]
struct OpenFile {
    owner: SegmentAt,
    uses: u32,
    is_referenced: bool,
    /// Its segment is gone: close when the last use ends.
    is_doomed: bool,
}

/// The open segment files of one store.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    files: BTreeMap<FileKey, OpenFile>,
    // Second-chance order, as in the block cache.
    queue: VecDeque<FileKey>,
    files_max: usize,
}

impl OpenFiles {
    pub(crate) fn new(files_max: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            queue: VecDeque::new(),
            files_max: files_max.max(1),
        }
    }

    /// A file was opened.
    pub(crate) fn insert(&mut self, key: FileKey, owner: SegmentAt) {
        let file = OpenFile {
            owner,
            uses: 0,
            is_referenced: true,
            is_doomed: false,
        };
        let before = self.files.insert(key, file);
        assert!(before.is_none(), "a file key is used once");
        self.queue.push_back(key);
    }

    /// An I/O on it starts.
    pub(crate) fn begin_use(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(&key) {
            file.uses += 1;
            file.is_referenced = true;
        }
    }

    /// An I/O on it ended; true if the file is to be closed now.
    #[must_use]
    pub(crate) fn end_use(&mut self, key: FileKey) -> bool {
        let Some(file) = self.files.get_mut(&key) else {
            return false;
        };
        assert!(file.uses > 0, "uses are counted");
        file.uses -= 1;
        let is_over = file.is_doomed && file.uses == 0;
        if is_over {
            self.forget(key);
        }
        is_over
    }

    /// Its segment is gone; true if the file is to be closed now.
    #[must_use]
    pub(crate) fn doom(&mut self, key: FileKey) -> bool {
        let Some(file) = self.files.get_mut(&key) else {
            return false;
        };
        file.is_doomed = true;
        let is_idle = file.uses == 0;
        if is_idle {
            self.forget(key);
        }
        is_idle
    }

    /// A file to close because there are too many; forgotten here.
    pub(crate) fn poll_victim(&mut self) -> Option<(FileKey, SegmentAt)> {
        let mut turns = self.queue.len() * 2;
        while self.files.len() > self.files_max && turns > 0 {
            turns -= 1;
            let key = self.queue.pop_front()?;
            let Some(file) = self.files.get_mut(&key) else {
                continue;
            };
            if file.uses > 0 || file.is_referenced || file.is_doomed {
                file.is_referenced = false;
                self.queue.push_back(key);
                continue;
            }
            let owner = file.owner;
            self.files.remove(&key);
            return Some((key, owner));
        }
        None
    }

    fn forget(&mut self, key: FileKey) {
        self.files.remove(&key);
        self.queue.retain(|queued| *queued != key);
    }

    /// Number of open files.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }
}

#[cfg(test)]
mod tests;
