//! From the files of a directory to a node that can run.
//!
//! Owns: the first files of a new node, and the verdict on the files of an old one.
//! Never: repairs: an unreadable voter is dead, because it may have voted or acknowledged what is lost.
//! Invariants: everything committed is in the snapshot or in the log without a gap.
//! Source: reliability.md 1.12 (damage), ADR-0006.

use crate::Entry;
use crate::files::{Files, HARD_STATE_NAMES, Write, snapshot_name};
use crate::hard_state::{HardState, HardStateError, Identity, choose};
use crate::log::LogEnd;
use crate::log::scan::{LogError, scan};
use crate::snapshot::Snapshot;
use crate::wire::DecodeError;

/// What a node starts from.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Term, vote, commit, voters.
    pub hard_state: HardState,
    /// The newest readable snapshot.
    pub snapshot: Option<Snapshot>,
    /// Index of the snapshot before it, if that is still there.
    pub older_snapshot: Option<u64>,
    /// Entries that are still in the log, some perhaps below the snapshot.
    pub entries: Vec<Entry>,
    /// Where the log goes on.
    pub end: LogEnd,
    /// Left-overs to be removed first.
    pub writes: Vec<Write>,
    /// What the operator should know.
    pub notes: Vec<Note>,
}

/// Something that recovery dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The last group was cut short by a power failure and was never acknowledged.
    TornGroup {
        /// Log file.
        file: String,
        /// Where it was cut, bytes.
        position: u64,
    },
    /// The newest snapshot could not be read; an older one and the log were used.
    DamagedSnapshot {
        /// File.
        file: String,
        /// How.
        cause: DecodeError,
    },
}

/// Why a node cannot start from its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Term and vote are lost or doubtful.
    #[error(transparent)]
    HardState(#[from] HardStateError),
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The directory belongs to another node or cluster.
    #[error("the files belong to node {found:?}, not {wanted:?}")]
    Foreign {
        /// In the files.
        found: Identity,
        /// This node.
        wanted: Identity,
    },
    /// No snapshot can be read, or none connects to the log.
    #[error("no readable snapshot connects to the log, which begins at entry {first}")]
    Gap {
        /// First entry of the log.
        first: u64,
    },
    /// Committed entries are missing at the end.
    #[error("entry {commit} was committed, but the log ends at {last}")]
    CommittedMissing {
        /// Committed index.
        commit: u64,
        /// Last entry found.
        last: u64,
    },
    /// The hard state is older than one that the log knows to have been durable.
    #[error("hard state {found} is older than {known}, which the log knows")]
    StaleHardState {
        /// Sequence found.
        found: u64,
        /// Sequence the log knows.
        known: u64,
    },
}

/// The first files of a new node: both hard-state slots. The directory must be put in place as a whole.
#[must_use]
pub fn bootstrap(identity: &Identity, voters: &[u64]) -> Vec<Write> {
    let mut sorted = voters.to_vec();
    sorted.sort_unstable();
    let state = |sequence| HardState {
        sequence,
        identity: identity.clone(),
        term: 0,
        vote: 0,
        commit: 0,
        log_sequence: 0,
        voters: sorted.clone(),
    };
    [state(0), state(1)]
        .iter()
        .zip(HARD_STATE_NAMES)
        .map(|(state, name)| Write::Replace {
            name: name.to_owned(),
            bytes: state.encode(),
        })
        .collect()
}

/// Judges the files of a node.
///
/// # Errors
/// Anything that was durable is missing or unreadable, or the files are not this node's.
pub fn restore(files: &Files, wanted: &Identity) -> Result<Restored, RestoreError> {
    let hard_state = choose(&files.hard_state)?;
    if hard_state.identity != *wanted {
        let found = hard_state.identity;
        return Err(RestoreError::Foreign {
            found,
            wanted: wanted.clone(),
        });
    }
    let scanned = scan(&files.logs, hard_state.log_sequence)?;
    if hard_state.sequence < scanned.hard_state_sequence {
        let known = scanned.hard_state_sequence;
        return Err(RestoreError::StaleHardState {
            found: hard_state.sequence,
            known,
        });
    }
    let mut notes = Vec::new();
    if let Some((file, position)) = scanned.torn.clone() {
        notes.push(Note::TornGroup { file, position });
    }
    let first = scanned.entries.first().map(|entry| entry.index);
    let (snapshot, older_snapshot) = choose_snapshot(files, first, &mut notes)?;
    let entries = connect(scanned.entries, snapshot.as_ref());
    let last = entries.last().map_or(0, |entry| entry.index);
    let last = last.max(snapshot.as_ref().map_or(0, |snapshot| snapshot.index));
    if hard_state.commit > last {
        return Err(RestoreError::CommittedMissing {
            commit: hard_state.commit,
            last,
        });
    }
    let unfinished = scanned.unfinished.map(|name| Write::Remove { name });
    Ok(Restored {
        hard_state,
        snapshot,
        older_snapshot,
        entries,
        end: scanned.end,
        writes: unfinished.into_iter().collect(),
        notes,
    })
}

/// The newest readable snapshot that the log connects to.
fn choose_snapshot(
    files: &Files,
    first: Option<u64>,
    notes: &mut Vec<Note>,
) -> Result<(Option<Snapshot>, Option<u64>), RestoreError> {
    let connects = |index: u64| first.is_none_or(|first| first <= index + 1);
    for (position, (index, bytes)) in files.snapshots.iter().enumerate().rev() {
        match Snapshot::decode(bytes) {
            Ok(snapshot) if snapshot.index == *index && connects(*index) => {
                let older = position
                    .checked_sub(1)
                    .and_then(|older| files.snapshots.get(older));
                return Ok((Some(snapshot), older.map(|(index, _)| *index)));
            }
            Ok(snapshot) => {
                let cause = DecodeError::Illegal {
                    what: "snapshot index",
                    value: snapshot.index,
                };
                notes.push(Note::DamagedSnapshot {
                    file: snapshot_name(*index),
                    cause,
                });
            }
            Err(cause) => notes.push(Note::DamagedSnapshot {
                file: snapshot_name(*index),
                cause,
            }),
        }
    }
    match connects(0) && (first.is_some() || files.snapshots.is_empty()) {
        true => Ok((None, None)),
        false => Err(RestoreError::Gap {
            first: first.unwrap_or(0),
        }),
    }
}

/// Entries that follow the snapshot's history; others were replaced by it.
fn connect(entries: Vec<Entry>, snapshot: Option<&Snapshot>) -> Vec<Entry> {
    let Some(snapshot) = snapshot else {
        return entries;
    };
    let is_same_history = entries
        .iter()
        .find(|entry| entry.index == snapshot.index)
        .is_some_and(|entry| entry.term == snapshot.term);
    let follows = entries
        .first()
        .is_some_and(|first| first.index == snapshot.index + 1);
    if is_same_history || follows {
        entries
    } else {
        Vec::new()
    }
}
