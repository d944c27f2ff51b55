//! Reading the log back and telling a torn end from damage.
//!
//! Owns: the verdict on every file.
//! Never: changes a file; a cut is made by not going on in that file.
//! Invariants: a group that was durable is never cut: it is followed by a later group or by a later file, or
//! the hard state knows its sequence; all three make an unreadable group damage.
//! Source: reliability.md 2.4, ADR-0006.

use model::limits::BLOCK_BYTES;

use super::group::{FileHeader, Group, GroupHeader};
use super::{Link, LogEnd, LogFile, is_zero};
use crate::entry::Entry;
use crate::files::log_name;
use crate::limits::LOG_FILES_RESTORE_MAX;
use crate::wire::DecodeError;

/// What the log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Entries in index order, without gaps, conflicts resolved in favour of the later group.
    pub entries: Vec<Entry>,
    /// Where writing goes on.
    pub end: LogEnd,
    /// Where a torn group was cut: file and position. For the operator.
    pub torn: Option<(String, u64)>,
    /// A file whose creation was cut short; to be removed.
    pub unfinished: Option<String>,
    /// Largest hard-state sequence that a group knows.
    pub hard_state_sequence: u64,
}

/// Why the log cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Bytes that were durable cannot be read.
    #[error("log file {file} is damaged at byte {position}: {cause}")]
    Damaged {
        /// File name.
        file: String,
        /// Where.
        position: u64,
        /// How.
        #[source]
        cause: DecodeError,
    },
    /// Files do not follow each other.
    #[error("log file {file} does not follow the one before it")]
    BrokenChain {
        /// File name.
        file: String,
    },
    /// Groups that the hard state knows are gone.
    #[error("the log ends at group {found}, but group {known} was durable")]
    Shortened {
        /// Last group found.
        found: u64,
        /// Known from the hard state.
        known: u64,
    },
    /// More files than any working node has.
    #[error("{0} log files")]
    TooManyFiles(usize),
}

/// Reads all files, ascending by number. `known_sequence` is the last group the hard state knows.
///
/// # Errors
/// Something that was durable is missing or unreadable.
pub fn scan(files: &[(u64, Vec<u8>)], known_sequence: u64) -> Result<Scanned, LogError> {
    if files.len() > LOG_FILES_RESTORE_MAX {
        return Err(LogError::TooManyFiles(files.len()));
    }
    let mut found = Scanned::default();
    let mut files = files;
    if let Some(((number, bytes), before)) = files.split_last()
        && is_unfinished(bytes)
    {
        found.unfinished = Some(log_name(*number));
        files = before;
    }
    let headers = files
        .iter()
        .map(read_header)
        .collect::<Result<Vec<_>, _>>()?;
    for (position, (file, header)) in files.iter().zip(&headers).enumerate() {
        let successor = headers.get(position + 1);
        scan_file(&mut found, file, header, successor)?;
    }
    if found.end.sequence < known_sequence {
        return Err(LogError::Shortened {
            found: found.end.sequence,
            known: known_sequence,
        });
    }
    Ok(found)
}

/// A file whose header never became durable: nothing readable is in it, so no group was ever written.
fn is_unfinished(bytes: &[u8]) -> bool {
    let is_header_lost = FileHeader::decode(bytes).is_err();
    let groups = bytes.chunks(BLOCK_BYTES).skip(1);
    is_header_lost && groups.into_iter().all(is_zero)
}

fn read_header((number, bytes): &(u64, Vec<u8>)) -> Result<FileHeader, LogError> {
    let file = log_name(*number);
    match FileHeader::decode(bytes) {
        Ok(header) if header.number == *number => Ok(header),
        Ok(_) => Err(LogError::BrokenChain { file }),
        Err(cause) => Err(LogError::Damaged {
            file,
            position: 0,
            cause,
        }),
    }
}

fn scan_file(
    found: &mut Scanned,
    (number, bytes): &(u64, Vec<u8>),
    header: &FileHeader,
    successor: Option<&FileHeader>,
) -> Result<(), LogError> {
    check_chain(&found.end, header)?;
    if found.end.files.is_empty() {
        // Older files were removed after a snapshot; the header says which group they ended with.
        found.end.sequence = header.first_sequence.saturating_sub(1);
    }
    let mut last_index = 0;
    let mut position = BLOCK_BYTES;
    let end = match successor {
        Some(next) => usize::try_from(next.previous.end).unwrap_or(usize::MAX),
        None => bytes.len(),
    };
    while position < end {
        let rest = bytes.get(position..end).unwrap_or_default();
        let expected = found.end.sequence + 1;
        match read_group(rest, header.uid, expected) {
            Ok(group) => {
                position += group.bytes;
                found.end.sequence = expected;
                let known = group.header.hard_state_sequence;
                found.hard_state_sequence = found.hard_state_sequence.max(known);
                last_index = last_index.max(group.entries.last().map_or(0, |entry| entry.index));
                merge(&mut found.entries, group.entries);
            }
            Err(cause) => {
                let is_durable = successor.is_some() || has_later_group(rest, header.uid, expected);
                if is_durable {
                    let file = log_name(*number);
                    return Err(LogError::Damaged {
                        file,
                        position: position as u64,
                        cause,
                    });
                }
                if !is_zero(rest) {
                    found.torn = Some((log_name(*number), position as u64));
                }
                break;
            }
        }
    }
    found.end.files.push(LogFile {
        number: *number,
        last_index,
    });
    found.end.link = Link {
        uid: header.uid,
        end: position as u64,
    };
    Ok(())
}

/// A file names its predecessor and where that ended. The first one's may have been removed.
fn check_chain(end: &LogEnd, header: &FileHeader) -> Result<(), LogError> {
    let Some(previous) = end.files.last() else {
        return Ok(());
    };
    let follows = header.number == previous.number + 1
        && header.previous == end.link
        && header.first_sequence == end.sequence + 1;
    match follows {
        true => Ok(()),
        false => Err(LogError::BrokenChain {
            file: log_name(header.number),
        }),
    }
}

fn read_group(bytes: &[u8], uid: u64, sequence: u64) -> Result<Group, DecodeError> {
    let group = Group::decode(bytes)?;
    let is_expected = group.header.file_uid == uid && group.header.sequence == sequence;
    match is_expected {
        true => Ok(group),
        false => Err(DecodeError::Illegal {
            what: "group sequence",
            value: group.header.sequence,
        }),
    }
}

/// Groups are written one after the other, each durable before the next: a later one proves the bad one.
fn has_later_group(bytes: &[u8], uid: u64, sequence: u64) -> bool {
    bytes.chunks(BLOCK_BYTES).skip(1).any(|block| {
        GroupHeader::decode(block)
            .is_ok_and(|(header, ..)| header.file_uid == uid && header.sequence > sequence)
    })
}

/// A later group that begins inside the log replaces what was there; one that begins beyond it follows a
/// snapshot that was installed in between.
fn merge(entries: &mut Vec<Entry>, group: Vec<Entry>) {
    let first = group.first().map_or(0, |entry| entry.index);
    let is_beyond = entries.last().is_some_and(|last| first > last.index + 1);
    if is_beyond {
        entries.clear();
    }
    let kept = entries.partition_point(|entry| entry.index < first);
    entries.truncate(kept);
    entries.extend(group);
}
