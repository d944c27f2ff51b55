//! The files of the metadata log, as names, contents and planned writes.
//!
//! Owns: file names, [`Write`], [`Files`].
//! Never: touches a file.
//! Invariants: a write is durable, directory entry included, before the next one is started.
//! Source: reliability.md 1.12, 2.2.

use bytes::Bytes;

/// Names of the two hard-state slots, by parity of their sequence number.
pub const HARD_STATE_NAMES: [&str; 2] = ["hard-state.a", "hard-state.b"];

/// One change to the directory of the metadata log; durable before the next one is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create a file that does not exist, with these bytes at its start and zeros up to `len`.
    Create {
        /// Name in the directory.
        name: String,
        /// First bytes.
        head: Bytes,
        /// Length of the file.
        len: u64,
    },
    /// Write inside a file's length.
    WriteAt {
        /// Name in the directory.
        name: String,
        /// Where, bytes.
        position: u64,
        /// What.
        bytes: Bytes,
    },
    /// Put a whole file in place: temporary name, flush, rename, flush of the directory.
    Replace {
        /// Name in the directory.
        name: String,
        /// Contents.
        bytes: Bytes,
    },
    /// Remove a file; not an error if missing.
    Remove {
        /// Name in the directory.
        name: String,
    },
}

/// What is in the directory of the metadata log.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The hard-state slots; `None` if missing.
    pub hard_state: [Option<Vec<u8>>; 2],
    /// Log files by number, ascending.
    pub logs: Vec<(u64, Vec<u8>)>,
    /// Snapshot files by index, ascending.
    pub snapshots: Vec<(u64, Vec<u8>)>,
}

/// What a name in the directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A hard-state slot.
    HardState(usize),
    /// A log file with its number.
    Log(u64),
    /// A snapshot with its index.
    Snapshot(u64),
    /// A file that was being put in place when the process stopped; to be removed.
    Temporary,
}

/// Suffix of a file that is being put in place.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Name of a log file.
#[must_use]
pub fn log_name(number: u64) -> String {
    format!("log-{number:016x}")
}

/// Name of a snapshot file.
#[must_use]
pub fn snapshot_name(index: u64) -> String {
    format!("snapshot-{index:016x}")
}

/// What a name stands for; `None` if it is not ours.
#[must_use]
pub fn classify(name: &str) -> Option<FileKind> {
    if name.ends_with(TEMPORARY_SUFFIX) {
        return Some(FileKind::Temporary);
    }
    if let Some(slot) = HARD_STATE_NAMES.iter().position(|slot| *slot == name) {
        return Some(FileKind::HardState(slot));
    }
    if let Some(number) = name.strip_prefix("log-") {
        return hex(number).map(FileKind::Log);
    }
    name.strip_prefix("snapshot-")
        .and_then(hex)
        .map(FileKind::Snapshot)
}

fn hex(digits: &str) -> Option<u64> {
    let is_ours = digits.len() == 16
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_ours {
        u64::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}
