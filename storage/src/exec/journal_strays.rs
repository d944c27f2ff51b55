//! Journal files that the manifest does not name.
//!
//! Owns: telling a file that was never or is no longer needed from one whose record was lost.
//! Never: removes one.
//! Invariants: a file is adopted only if it continues a lineage that the manifest names and holds a group:
//! groups are written only after the manifest was told, so its record was durable once.
//! Source: reliability.md 2.3 I5, I6, 2.4.

use model::ids::ShardId;
use model::limits::BLOCK_BYTES;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::journal_walk::FIRST_GROUP;
use super::manifest_state::ManifestState;
use crate::format::frame::{Frame, FrameKind};
use crate::format::journal::JournalHeader;
use crate::format::layout::{journal_dir, journal_path, parse_journal};
use crate::format::manifest::Record;
use crate::io::IoError;

/// Files beside those that the manifest names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strays {
    /// Records for files whose record was lost.
    pub(crate) adopted: Vec<Record>,
    /// Files that nothing needs.
    pub(crate) unused: Vec<String>,
}

/// Looks at every journal file that the manifest does not name.
pub(crate) fn find_strays<D: Disk>(
    disk: &D,
    shard: ShardId,
    state: &ManifestState,
    findings: &mut Findings,
) -> Result<Strays, RecoverError> {
    let dir = journal_dir(shard);
    let mut strays = Strays::default();
    for entry in disk.list(&dir).in_file(&dir)? {
        let Some(uid) = parse_journal(&entry.name) else {
            continue;
        };
        if state.journals.iter().any(|journal| journal.file == uid) {
            continue;
        }
        let path = journal_path(shard, &uid);
        match continuation(disk, &path, state).in_file(&path)? {
            Some(header) if header.file == uid && header.shard == shard => {
                let what = "the manifest lost the record of this journal file; it is replayed";
                findings.push(Finding::new(Severity::Damage, &path, what));
                let (lineage, number) = (header.lineage, header.number);
                strays.adopted.push(Record::JournalAdd {
                    lineage,
                    file: uid,
                    number,
                });
            }
            Some(_) | None => strays.unused.push(path),
        }
    }
    Ok(strays)
}

/// The header, if the file continues a known lineage beyond its last known file and holds a group.
fn continuation<D: Disk>(
    disk: &D,
    path: &str,
    state: &ManifestState,
) -> Result<Option<JournalHeader>, IoError> {
    let block = match disk.read(path, 0, BLOCK_BYTES) {
        Ok(block) => block,
        Err(IoError::Device(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(header) = JournalHeader::decode(&block) else {
        return Ok(None);
    };
    let known = state
        .journals
        .iter()
        .filter(|journal| journal.lineage == header.lineage);
    if known
        .map(|journal| journal.number)
        .max()
        .is_none_or(|newest| newest >= header.number)
    {
        return Ok(None);
    }
    let group = match disk.read(path, FIRST_GROUP, BLOCK_BYTES) {
        Ok(group) => group,
        Err(IoError::Device(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_used = Frame::peek(FrameKind::Journal, &group).is_ok_and(|(frame, _)| {
        (frame.lineage, frame.seq, frame.block) == (header.lineage, header.first_seq, 1)
    });
    Ok(is_used.then_some(header))
}
