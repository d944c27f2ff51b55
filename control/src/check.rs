//! Offline verification of the metadata log.
//!
//! Owns: reading the directory without changing it, and saying what is wrong in it.
//! Never: repairs, flushes or removes anything.
//! Invariants: whatever keeps the control core from starting is damage; what a start cuts or removes by itself is
//! not.
//! Source: reliability.md 1.12, 2.6.

#[cfg(test)]
mod tests;

use std::path::Path;

use raft_host::hard_state::choose;
use raft_host::log::scan::LogError;
use raft_host::restore::Note;
use raft_host::{RestoreError, Restored, restore};

use crate::directory::{NAME, RaftDirectory};
use crate::settings::ControlError;
use crate::voter::{decode_entry, load_image};

/// Something to say about the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataFinding {
    /// How bad.
    pub severity: MetadataSeverity,
    /// File or directory, relative to the data directory.
    pub file: String,
    /// Position in the file, bytes, where one is known.
    pub position: Option<u64>,
    /// What is wrong, in lower case without a full stop.
    pub what: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSeverity {
    /// A start puts it right without losing anything that was acknowledged.
    Repairable,
    /// Something that was durable is lost or unreadable.
    Damage,
}

/// Reads the metadata log of a stopped broker as a start would; `None` if there is none.
#[must_use]
pub fn check(data_dir: &Path) -> Option<Vec<MetadataFinding>> {
    let directory = RaftDirectory::existing(data_dir)?;
    let mut findings = Vec::new();
    match judge(&directory) {
        Ok(restored) => {
            findings.extend(restored.notes.iter().map(note));
            findings.extend(contents(&restored));
        }
        Err(error) => findings.push(refusal(&error)),
    }
    Some(findings)
}

fn judge(directory: &RaftDirectory) -> Result<Restored, ControlError> {
    let files = directory.load_unchanged()?;
    // Whose the files are is not known here: whoever the hard state says.
    let identity = choose(&files.hard_state)
        .map_err(RestoreError::from)?
        .identity;
    Ok(restore(&files, &identity)?)
}

fn note(note: &Note) -> MetadataFinding {
    match note {
        Note::TornGroup { file, position } => MetadataFinding {
            severity: MetadataSeverity::Repairable,
            file: format!("{NAME}/{file}"),
            position: Some(*position),
            what: "the last group was cut short and was never acknowledged".to_owned(),
        },
        Note::DamagedSnapshot { file, cause } => {
            damage(file, format!("this metadata snapshot is damaged: {cause}"))
        }
    }
}

/// What the snapshot and the entries hold must decode, too: a start applies them.
fn contents(restored: &Restored) -> Vec<MetadataFinding> {
    let image = restored
        .snapshot
        .as_ref()
        .and_then(|snapshot| load_image(&snapshot.data, snapshot.index).err())
        .map(|error| damage("", error.to_string()));
    let entries = restored
        .entries
        .iter()
        .filter_map(|entry| decode_entry(entry).err())
        .map(|fatal| damage("", fatal.detail));
    image.into_iter().chain(entries).collect()
}

fn refusal(error: &ControlError) -> MetadataFinding {
    let (file, position) = match error {
        ControlError::Restore(RestoreError::Log(LogError::Damaged { file, position, .. })) => {
            (file.as_str(), Some(*position))
        }
        ControlError::Restore(RestoreError::Log(LogError::BrokenChain { file })) => {
            (file.as_str(), None)
        }
        _ => ("", None),
    };
    MetadataFinding {
        position,
        ..damage(file, error.to_string())
    }
}

fn damage(file: &str, what: String) -> MetadataFinding {
    MetadataFinding {
        severity: MetadataSeverity::Damage,
        file: if file.is_empty() {
            NAME.to_owned()
        } else {
            format!("{NAME}/{file}")
        },
        position: None,
        what,
    }
}
