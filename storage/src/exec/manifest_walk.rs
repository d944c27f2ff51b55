//! Reading one manifest file from front to back.
//!
//! Owns: the verdict on where a manifest ends: clean, torn or damaged.
//! Never: chooses between generations; changes a file.
//! Invariants: a group counts only with the right lineage, sequence, block and predecessor hash; a file
//! that was not switched away from always has a zero block behind its last group.
//! Source: reliability.md 2.4.

use model::ids::ShardId;
use model::limits::BLOCK_BYTES;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::manifest_state::ManifestState;
use super::recovered::RecoveredManifest;
use super::stream::{FileStream, is_zero};
use crate::format::frame::{Beside, DecodedGroup, FRAME_BYTES, Frame, FrameKind};
use crate::format::manifest::{FLAG_CHECKPOINT_END, ManifestHeader, Record, records};
use crate::format::{FormatError, Uid};

/// One block.
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

/// How a manifest file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With zeros.
    Clean,
    /// With bytes that are no group and were never witnessed: a write that a crash cut off.
    Torn,
    /// With a group that was durable and is no more, or short of its length.
    Damaged(String),
}

/// One manifest file, read.
#[derive(Clone, Debug)]
pub(crate) struct ManifestWalk {
    pub(crate) file: RecoveredManifest,
    pub(crate) state: ManifestState,
    pub(crate) is_checkpoint_whole: bool,
    pub(crate) ending: Ending,
    pub(crate) groups: u64,
    pub(crate) records: u64,
    /// What the newest group says of the journal.
    pub(crate) journal: Beside,
}

/// Why a file could not be walked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwalkable {
    /// Its header is not there.
    Header(FormatError),
    /// A newer build wrote it, or the device failed.
    Fatal(RecoverError),
}

/// Reads a manifest file.
pub(crate) fn walk<D: Disk>(
    disk: &D,
    path: &str,
    (shard, generation): (ShardId, u64),
) -> Result<ManifestWalk, Unwalkable> {
    let fatal = Unwalkable::Fatal;
    let mut stream = FileStream::open(disk, path).in_file(path).map_err(fatal)?;
    let block = stream.bytes(0, BLOCK_BYTES).in_file(path).map_err(fatal)?;
    let header = match ManifestHeader::decode(block) {
        Ok(header) => header,
        Err(newer @ FormatError::NewerVersion { .. }) => return Err(fatal(newer_in(path, newer))),
        Err(error) => return Err(Unwalkable::Header(error)),
    };
    if (header.shard, header.generation) != (shard, generation) {
        let (what, why) = (
            "manifest file",
            "its header names another core or generation",
        );
        return Err(Unwalkable::Header(FormatError::Misplaced { what, why }));
    }
    let mut walk = ManifestWalk {
        file: RecoveredManifest {
            path: path.to_owned(),
            generation,
            uid: header.uid,
            next_seq: 1,
            position: BLOCK,
            last_hash: 0,
            file_len: stream.len(),
        },
        state: ManifestState::default(),
        is_checkpoint_whole: false,
        ending: Ending::Clean,
        groups: 0,
        records: 0,
        journal: Beside::default(),
    };
    while let Step::Took = walk.step(&mut stream, path).map_err(fatal)? {}
    walk.judge_end(&mut stream).in_file(path).map_err(fatal)?;
    Ok(walk)
}

/// What one step found.
enum Step {
    /// The next group.
    Took,
    /// No group.
    End,
}

impl ManifestWalk {
    fn step<D: Disk>(
        &mut self,
        stream: &mut FileStream<'_, D>,
        path: &str,
    ) -> Result<Step, RecoverError> {
        let position = self.file.position;
        let taken = group_at(stream, &self.file.uid, position).in_file(path)?;
        let Some(group) = taken else {
            return Ok(Step::End);
        };
        let frame = group.frame;
        if frame.seq != self.file.next_seq || frame.prev_hash != self.file.last_hash {
            return Ok(Step::End);
        }
        let found = match records(&group) {
            Ok(found) => found,
            Err(newer @ FormatError::NewerVersion { .. }) => return Err(newer_in(path, newer)),
            Err(error) => return Err(RecoverError::damaged(path, position, error.to_string())),
        };
        let (len, hash) = (group.len as u64, group.hash);
        found.iter().for_each(|record| self.state.apply(record));
        self.records += found.len() as u64;
        self.groups += 1;
        self.journal = frame.beside;
        self.is_checkpoint_whole |= frame.flags & FLAG_CHECKPOINT_END != 0;
        self.file.position += len;
        self.file.next_seq += 1;
        self.file.last_hash = hash;
        let is_last = found
            .iter()
            .any(|record| matches!(record, Record::Switched { .. }));
        Ok(if is_last { Step::End } else { Step::Took })
    }

    /// Looks at everything behind the last group.
    fn judge_end<D: Disk>(&mut self, stream: &mut FileStream<'_, D>) -> Result<(), crate::IoError> {
        if self.state.switched_to.is_some() {
            return Ok(());
        }
        let len = self.file.file_len;
        let expected = self.file.next_seq;
        if self.file.position + BLOCK > len {
            self.ending = Ending::Damaged("the file is cut short".to_owned());
            return Ok(());
        }
        // Zeros end the file; a block that cannot be read may have held the newest records.
        let end = self.file.position;
        let is_end = is_zero(stream.bytes(end, BLOCK_BYTES)?);
        let unreadable = stream.unreadable.first;
        if unreadable.is_some_and(|at| at == end || (at > end && !is_end)) {
            let what = "the device cannot read what may be the newest records";
            self.ending = Ending::Damaged(what.to_owned());
            return Ok(());
        }
        let mut position = self.file.position;
        let mut is_all_zero = true;
        while position < len {
            let block = stream.bytes(position, BLOCK_BYTES)?;
            if is_zero(block) {
                position += BLOCK;
                continue;
            }
            is_all_zero = false;
            if let Ok((frame, group_len)) = Frame::peek(FrameKind::Manifest, block)
                && frame.lineage == self.file.uid
                && frame.block == position / BLOCK
            {
                if position + group_len as u64 > len {
                    self.ending =
                        Ending::Damaged("the file is cut short inside a group".to_owned());
                    return Ok(());
                }
                if frame.durable_through >= expected {
                    let what = format!(
                        "group {expected} was durable according to group {} but cannot be read",
                        frame.seq
                    );
                    self.ending = Ending::Damaged(what);
                    return Ok(());
                }
            }
            position += BLOCK;
        }
        if !is_all_zero {
            self.ending = Ending::Torn;
        }
        Ok(())
    }
}

/// The group at a position, if one of this lineage is there whole.
fn group_at<'s, D: Disk>(
    stream: &'s mut FileStream<'_, D>,
    lineage: &Uid,
    position: u64,
) -> Result<Option<DecodedGroup<'s>>, crate::IoError> {
    let header = stream.bytes(position, FRAME_BYTES)?;
    let Ok((frame, len)) = Frame::peek(FrameKind::Manifest, header) else {
        return Ok(None);
    };
    let is_here = frame.lineage == *lineage && frame.block.checked_mul(BLOCK) == Some(position);
    if !is_here || position.saturating_add(len as u64) > stream.len() {
        return Ok(None);
    }
    let bytes = stream.bytes(position, len)?;
    Ok(Frame::decode(FrameKind::Manifest, bytes).ok())
}

pub(crate) fn newer_in(path: &str, source: FormatError) -> RecoverError {
    RecoverError::Newer {
        file: path.to_owned(),
        source,
    }
}
