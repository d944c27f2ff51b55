//! Reading one journal file from front to back.
//!
//! Owns: finding the groups of a lineage in a file, also behind damage.
//! Never: judges what a missing group means; `journal_scan` does.
//! Invariants: a group is given out only with the right lineage, block and checksums, in rising sequence; a
//! recycled file's older groups, whose sequence is too low, are passed over.
//! Source: reliability.md 2.4.

use model::limits::BLOCK_BYTES;

use super::Disk;
use super::manifest_walk::BLOCK;
use super::stream::{FileStream, Unreadable, is_zero};
use crate::format::Uid;
use crate::format::frame::{DecodedGroup, FRAME_BYTES, Frame, FrameKind};
use crate::io::IoError;

/// Where groups start in a journal file.
pub(crate) const FIRST_GROUP: u64 = BLOCK;

/// What a walk met.
#[derive(Debug)]
pub(crate) enum Met<'g> {
    /// The next valid group.
    Group {
        position: u64,
        group: DecodedGroup<'g>,
    },
    /// A block that should start the next group but does not; the walk goes on behind it.
    Broken {
        position: u64,
        /// The header, if it alone is good and could be of the expected group.
        frame: Option<Frame>,
        /// The bytes from `position` as far as the header says, if it is good.
        bytes: &'g [u8],
        is_cut_short: bool,
    },
    /// A group of this lineage that belongs to another block: a write that went astray. Its header is
    /// believed about what was durable.
    Misplaced { position: u64, frame: Frame },
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalkEnd {
    /// Position after the last valid group.
    pub(crate) end: u64,
    /// Sequence after the last valid group.
    pub(crate) next_seq: u64,
    /// Hash of the last valid group.
    pub(crate) last_hash: u64,
    /// Blocks that the device could not read.
    pub(crate) unreadable: Unreadable,
    /// Whether older groups of the lineage were met: the file was used before.
    pub(crate) is_recycled: bool,
    /// Bytes of the file.
    pub(crate) len: u64,
}

/// Where a walk starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkFrom {
    pub(crate) lineage: Uid,
    pub(crate) next_seq: u64,
    /// Hash that the first group must name, if it is known.
    pub(crate) last_hash: Option<u64>,
}

/// Walks a file; `visit` sees every valid group in rising sequence and the place where each run of valid
/// groups ends with bytes that are not zero.
pub(crate) fn walk_file<D: Disk>(
    disk: &D,
    path: &str,
    from: WalkFrom,
    mut visit: impl FnMut(Met<'_>),
) -> Result<WalkEnd, IoError> {
    let mut stream = FileStream::open(disk, path)?;
    let mut walk = WalkEnd {
        end: FIRST_GROUP,
        next_seq: from.next_seq,
        last_hash: from.last_hash.unwrap_or(0),
        unreadable: Unreadable::default(),
        is_recycled: false,
        len: stream.len(),
    };
    let mut expected_hash = from.last_hash;
    let mut position = FIRST_GROUP;
    let mut is_broken = false;
    while position < stream.len() {
        let seen = look_at(
            &mut stream,
            position,
            (&from.lineage, walk.next_seq, expected_hash),
        )?;
        let (frame, len) = match seen {
            kind @ (Look::Zero | Look::Old) => {
                walk.is_recycled |= matches!(kind, Look::Old);
                // Even zeros end the run: what follows may have lost its predecessor.
                position += BLOCK;
                expected_hash = None;
                continue;
            }
            Look::Misplaced(frame) => {
                visit(Met::Misplaced { position, frame });
                (is_broken, expected_hash) = (true, None);
                position += BLOCK;
                continue;
            }
            Look::Broken => (None, BLOCK_BYTES),
            Look::Candidate { frame, len } => (Some(frame), len),
        };
        let is_cut_short = position.saturating_add(len as u64) > stream.len();
        let bytes = stream.bytes(position, len)?;
        // Only a candidate: a whole group of another lineage decodes as well, and is not ours.
        let decoded = frame.and_then(|_| Frame::decode(FrameKind::Journal, bytes).ok());
        match decoded {
            Some(group) => {
                (walk.next_seq, walk.last_hash) = (group.frame.seq + 1, group.hash);
                expected_hash = Some(group.hash);
                visit(Met::Group { position, group });
                walk.end = position + len as u64;
                is_broken = false;
            }
            None => {
                if !is_broken || frame.is_some() {
                    visit(Met::Broken {
                        position,
                        frame,
                        bytes,
                        is_cut_short,
                    });
                }
                is_broken = true;
                expected_hash = None;
            }
        }
        // A header that passes its checksum can be trusted about its length.
        position += len as u64;
    }
    walk.unreadable = stream.unreadable;
    Ok(walk)
}

/// What a block looks like.
enum Look {
    /// The header of a group that could be the next.
    Candidate {
        frame: Frame,
        len: usize,
    },
    Zero,
    /// A valid group header of the past of a recycled file.
    Old,
    /// A valid group header of another block.
    Misplaced(Frame),
    /// Anything else.
    Broken,
}

fn look_at<D: Disk>(
    stream: &mut FileStream<'_, D>,
    position: u64,
    (lineage, next_seq, expected_hash): (&Uid, u64, Option<u64>),
) -> Result<Look, IoError> {
    let block = stream.bytes(position, BLOCK_BYTES)?;
    if is_zero(block) {
        return Ok(Look::Zero);
    }
    let peeked = block
        .get(..FRAME_BYTES)
        .map(|header| Frame::peek(FrameKind::Journal, header));
    let Some(Ok((frame, len))) = peeked else {
        return Ok(Look::Broken);
    };
    if frame.lineage != *lineage {
        return Ok(Look::Broken);
    }
    if frame.block != position / BLOCK {
        return Ok(Look::Misplaced(frame));
    }
    let is_fork =
        frame.seq == next_seq && expected_hash.is_some_and(|hash| frame.prev_hash != hash);
    if frame.seq < next_seq || is_fork {
        return Ok(Look::Old);
    }
    Ok(Look::Candidate { frame, len })
}
