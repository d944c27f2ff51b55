//! Journal files that the manifest does not name.
//!
//! Owns: telling a file that was never or is no longer needed from one whose record was lost.
//! Never: removes one.
//! Invariants: groups are written only after the manifest was told of their file. So a file that holds one
//! and continues a lineage of the manifest lost its record and is adopted; one of an unknown lineage is never
//! called unused: it is adopted if the manifest's end is torn and it goes on where a log ends.
//! Source: reliability.md 2.3 I5, I6, 2.4.

use model::ids::ShardId;
use model::limits::BLOCK_BYTES;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::{Finding, Findings, Severity};
use super::journal_walk::FIRST_GROUP;
use super::manifest_state::{JournalState, ManifestState};
use crate::format::Uid;
use crate::format::frame::{Beside, Frame, FrameKind};
use crate::format::journal::JournalHeader;
use crate::format::layout::{journal_dir, journal_path, parse_journal};
use crate::format::manifest::Record;
use crate::io::IoError;

/// Blocks of a file in which a group is looked for: a spare is all zeros, and rot takes few blocks at once.
const PROBED_BLOCKS: u64 = 64;

/// Files beside those that the manifest names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strays {
    /// Files whose record was lost.
    adopted: Vec<JournalState>,
    /// Files that nothing needs.
    pub(crate) unused: Vec<String>,
    /// Files that hold groups of a lineage nobody knows; left alone.
    pub(crate) unknown: Vec<JournalState>,
    /// Unused files without header that hold groups: of their past, or of a file whose record was lost. Only what they
    /// say of the manifest tells.
    pub(crate) headless: Vec<JournalState>,
}

/// What a file turns out to be.
enum Stray {
    Unused,
    /// It has no header, and a group of this lineage.
    Headless(Uid),
    /// It goes on after the last known file of its lineage.
    Continuation(JournalHeader),
    /// It holds a group of a lineage that the manifest does not name.
    Unknown(JournalHeader),
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
        let is_ours = |header: &JournalHeader| (header.file, header.shard) == (uid, shard);
        match judge(disk, &path, state).in_file(&path)? {
            Stray::Continuation(header) if is_ours(&header) => {
                strays.adopt(&path, state_of(&header), findings);
            }
            Stray::Unknown(header) if is_ours(&header) => strays.unknown.push(state_of(&header)),
            Stray::Headless(lineage) => {
                strays.headless.push(JournalState {
                    lineage,
                    file: uid,
                    number: 0,
                });
                strays.unused.push(path);
            }
            Stray::Unused | Stray::Continuation(_) | Stray::Unknown(_) => strays.unused.push(path),
        }
    }
    Ok(strays)
}

fn state_of(header: &JournalHeader) -> JournalState {
    JournalState {
        lineage: header.lineage,
        file: header.file,
        number: header.number,
    }
}

impl Strays {
    fn adopt(&mut self, path: &str, journal: JournalState, findings: &mut Findings) {
        let what = "the manifest lost the record of this journal file; it is replayed";
        findings.push(Finding::new(Severity::Damage, path, what));
        self.adopted.push(journal);
        self.adopted
            .sort_by_key(|journal| (journal.lineage, journal.number));
    }

    /// Adopts every file of a lineage that nobody knew.
    pub(crate) fn adopt_lineage(
        &mut self,
        (shard, lineage): (ShardId, Uid),
        findings: &mut Findings,
    ) {
        let unknown = std::mem::take(&mut self.unknown);
        for journal in unknown {
            if journal.lineage == lineage {
                self.adopt(&journal_path(shard, &journal.file), journal, findings);
            } else {
                self.unknown.push(journal);
            }
        }
    }

    /// Records that name the adopted files again.
    pub(crate) fn records(&self) -> Vec<Record> {
        let adopted = self.adopted.iter();
        adopted
            .map(|journal| Record::JournalAdd {
                lineage: journal.lineage,
                file: journal.file,
                number: journal.number,
            })
            .collect()
    }
}

/// Where a manifest ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestEnd {
    /// Whether it may have lost its newest records.
    pub(crate) is_torn: bool,
    /// Generation and newest sequence.
    pub(crate) at: Beside,
    /// What its newest group says of the journal.
    pub(crate) journal: Beside,
}

fn judge<D: Disk>(disk: &D, path: &str, state: &ManifestState) -> Result<Stray, IoError> {
    let block = readable(disk, path, 0)?;
    let header = block.and_then(|block| JournalHeader::decode(&block).ok());
    let Some(group) = find_group(disk, path, header.as_ref())? else {
        return Ok(Stray::Unused);
    };
    let Some(header) = header else {
        return Ok(Stray::Headless(group.lineage));
    };
    let known = state
        .journals
        .iter()
        .filter(|journal| journal.lineage == header.lineage);
    Ok(match known.map(|journal| journal.number).max() {
        None => Stray::Unknown(header),
        Some(newest) if newest < header.number => Stray::Continuation(header),
        Some(_) => Stray::Unused,
    })
}

/// A group that was written after the header, or any if there is none. A first group of the file's past says that none
/// was; one that cannot be read says nothing, and the blocks behind it are looked at.
fn find_group<D: Disk>(
    disk: &D,
    path: &str,
    header: Option<&JournalHeader>,
) -> Result<Option<Frame>, IoError> {
    for number in 0..PROBED_BLOCKS {
        let position = FIRST_GROUP + number * BLOCK_BYTES as u64;
        let Some(block) = readable(disk, path, position)? else {
            continue;
        };
        if block.len() < BLOCK_BYTES {
            break;
        }
        let frame = Frame::peek(FrameKind::Journal, &block).ok();
        let here = position / BLOCK_BYTES as u64;
        let Some((frame, _)) = frame.filter(|(frame, _)| frame.block == here) else {
            continue;
        };
        let is_present = header
            .is_none_or(|header| frame.lineage == header.lineage && frame.seq >= header.first_seq);
        match (is_present, number) {
            (true, _) => return Ok(Some(frame)),
            (false, 0) => break,
            (false, _) => {}
        }
    }
    Ok(None)
}

/// One block, unless the device cannot read it.
pub(crate) fn readable<D: Disk>(
    disk: &D,
    path: &str,
    position: u64,
) -> Result<Option<Vec<u8>>, IoError> {
    match disk.read(path, position, BLOCK_BYTES) {
        Ok(block) => Ok(Some(block)),
        Err(IoError::Device(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
