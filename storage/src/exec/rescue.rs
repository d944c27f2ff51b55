//! Batches in front of a hole: written to a segment of their own by recovery.
//!
//! Owns: creating one sealed segment from batches that live only in journals.
//! Never: runs unless a log has a hole behind such batches, which takes damage.
//! Invariants: the file is durable before the manifest is told (I5); a tail is contiguous afterwards.
//! Source: reliability.md 2.5 step 8, 2.6 (holed logs).

use bytes::Bytes;
use model::ids::TopicPartition;
use model::limits::BLOCK_BYTES;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::manifest_open::flat;
use super::manifest_walk::BLOCK;
use super::recovered::RecoveredSegment;
use super::replay::{Run, TailItem};
use crate::format::Uid;
use crate::format::layout::segment_path;
use crate::format::manifest::Record;
use crate::format::segment::{FIRST_GROUP_POSITION, GroupHeader, GroupPayload, SegmentHeader};
use crate::log::index::{IndexedGroup, SparseIndex};
use crate::store::LogId;

/// Bytes of batches in one group, unless a single batch is larger.
const GROUP_PAYLOAD_MAX: usize = 1 << 20;

/// Writes a run to a new segment; `None` if the run is empty.
pub(crate) fn write_segment<D: Disk>(
    disk: &mut D,
    (log, tp): (LogId, TopicPartition),
    run: &Run,
    (uid, now_ms): (Uid, i64),
) -> Result<Option<RecoveredSegment>, RecoverError> {
    let (Some(first), Some(last)) = (run.items.first(), run.items.last()) else {
        return Ok(None);
    };
    let base = first.read.info.base_offset;
    let path = segment_path(tp, base, &uid);
    let header = SegmentHeader {
        uid,
        tp,
        base,
        created_ms: now_ms,
        log,
        flags: 0,
    }
    .encode();
    let mut bytes = [header.as_slice(), header.as_slice()].concat();
    let mut index = SparseIndex::new(base, FIRST_GROUP_POSITION);
    let mut max_timestamp = -1;
    let mut groups = 0;
    for items in cut(&run.items) {
        let Some(group) = group_header(uid, groups, bytes.len() as u64, items) else {
            continue;
        };
        // Rescued from files that are damaged: every byte is read.
        let batches: Vec<&[u8]> = items.iter().map(|item| &*item.bytes).collect();
        let payload = GroupPayload::gathered(Bytes::from(batches.concat()));
        let position = bytes.len() as u64;
        bytes.extend(flat(&group.encode(payload)));
        index.push(IndexedGroup {
            base: group.first,
            upto: group.last.next(),
            position,
            end: bytes.len() as u64,
            max_timestamp: group.max_timestamp,
        });
        max_timestamp = max_timestamp.max(group.max_timestamp);
        groups += 1;
    }
    let valid_end = bytes.len() as u64;
    debug_assert!(
        valid_end.is_multiple_of(BLOCK_BYTES as u64),
        "groups are whole blocks"
    );
    disk.create(&path, valid_end).in_file(&path)?;
    disk.write(&path, 0, &bytes).in_file(&path)?;
    Ok(Some(RecoveredSegment {
        uid,
        path,
        base,
        upto: last.read.info.end_offset(),
        epoch: first.read.info.leader_epoch.unwrap_or_default(),
        valid_end,
        zeroed_upto: valid_end,
        chain_after: last.read.chain_after,
        max_timestamp,
        groups,
        created_ms: now_ms,
        index: Some(index),
    }))
}

/// The manifest records that name such a segment.
pub(crate) fn records_of(log: LogId, segment: &RecoveredSegment) -> [Record; 2] {
    let (uid, base, created_ms) = (segment.uid, segment.base, segment.created_ms);
    [
        Record::SegmentAdd {
            log,
            uid,
            base,
            created_ms,
        },
        Record::SegmentSeal {
            log,
            uid,
            valid_end: segment.valid_end,
            upto: segment.upto,
            chain_after: segment.chain_after,
            max_timestamp: segment.max_timestamp,
            groups: segment.groups,
        },
    ]
}

/// Consecutive batches of at most a group each.
fn cut(items: &[TailItem]) -> Vec<&[TailItem]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        if at > start && bytes + item.bytes.len() > GROUP_PAYLOAD_MAX {
            groups.extend(items.get(start..at));
            (start, bytes) = (at, 0);
        }
        bytes += item.bytes.len();
    }
    groups.extend(items.get(start..));
    groups
}

fn group_header(uid: Uid, number: u64, position: u64, items: &[TailItem]) -> Option<GroupHeader> {
    let (first, last) = (items.first()?, items.last()?);
    let timestamps = items.iter().map(|item| item.read.info.max_timestamp);
    Some(GroupHeader {
        segment: uid,
        number,
        block: position / BLOCK,
        first: first.read.info.base_offset,
        last: last.read.info.last_offset(),
        first_epoch: first.read.info.leader_epoch.unwrap_or_default(),
        last_epoch: last.read.info.leader_epoch.unwrap_or_default(),
        batches: u32::try_from(items.len()).unwrap_or(u32::MAX),
        payload_len: 0,
        chain_before: first.read.chain_before,
        chain_after: last.read.chain_after,
        max_timestamp: timestamps.max().unwrap_or(-1),
    })
}
