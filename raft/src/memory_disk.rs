//! A directory in memory, for tests.
//!
//! Owns: carrying out planned writes, and tearing the last one.
//! Never: leaves the tests.
//! Invariants: a create never replaces; a write never grows a file.
//! Source: reliability.md 3.2.
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

use std::collections::BTreeMap;

use crate::files::{FileKind, Files, Write, classify};

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    /// Contents without the zeros at the end of preallocated files.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    lens: BTreeMap<String, u64>,
}

impl MemoryDisk {
    pub(crate) fn exec_all(&mut self, writes: &[Write]) {
        writes.iter().for_each(|write| self.exec(write));
    }

    pub(crate) fn exec(&mut self, write: &Write) {
        match write {
            Write::Create { name, head, len } => {
                let mut bytes = head.to_vec();
                bytes.resize(*len as usize, 0);
                assert!(
                    self.files.insert(name.clone(), bytes).is_none(),
                    "{name} existed"
                );
            }
            Write::WriteAt {
                name,
                position,
                bytes,
            } => {
                let file = self.files.get_mut(name).unwrap();
                let at = *position as usize;
                let upto = at + bytes.len();
                assert!(
                    self.lens.get(name).is_none_or(|len| upto as u64 <= *len),
                    "{name} grew"
                );
                file.resize(file.len().max(upto), 0);
                file[at..upto].copy_from_slice(bytes);
            }
            Write::Replace { name, bytes } => {
                self.files.insert(name.clone(), bytes.to_vec());
            }
            Write::Remove { name } => {
                self.files.remove(name);
            }
        }
    }

    /// Power fails during the write: only its first `kept` bytes arrive.
    pub(crate) fn exec_torn(&mut self, write: &Write, kept: usize) {
        let Write::WriteAt {
            name,
            position,
            bytes,
        } = write
        else {
            return;
        };
        let part = bytes.slice(..kept.min(bytes.len()));
        self.exec(&Write::WriteAt {
            name: name.clone(),
            position: *position,
            bytes: part,
        });
    }

    pub(crate) fn read(&self) -> Files {
        let mut files = Files::default();
        for (name, bytes) in &self.files {
            match classify(name) {
                Some(FileKind::HardState(slot)) => files.hard_state[slot] = Some(bytes.clone()),
                Some(FileKind::Log(number)) => files.logs.push((number, bytes.clone())),
                Some(FileKind::Snapshot(index)) => files.snapshots.push((index, bytes.clone())),
                Some(FileKind::Temporary) | None => {}
            }
        }
        files
    }

    pub(crate) fn logs(&self) -> Vec<String> {
        self.files
            .keys()
            .filter(|name| name.starts_with("log-"))
            .cloned()
            .collect()
    }
}
