//! Signs that the manifest lost records which were durable, although it ends cleanly.
//!
//! Owns: comparing files that the manifest does not name with what it says.
//! Never: changes a file; guesses what else is missing: the start is refused, or a journal adopted.
//! Invariants: a removed file holds nothing beyond the end of its log, because a log never ends below what
//! its removed files held; so an unnamed file that does was named by a record that is gone.
//! Source: reliability.md 2.3 I5, I6, 2.4.

use std::collections::BTreeMap;

use model::ids::ShardId;
use model::limits::BLOCK_BYTES;
use model::offset::Offset;

use super::Disk;
use super::examine::Examined;
use super::failure::{InFile, RecoverError};
use super::finding::Findings;
use super::journal_scan::{Claim, JournalScan, Lineage};
use super::journal_strays::Strays;
use super::journal_walk::{Met, WalkFrom, walk_file};
use super::log_scan::LogScan;
use super::manifest_state::{JournalState, ManifestState};
use super::replay::LogReplay;
use super::segment_batches::BatchDepth;
use super::segment_walk::{Expected, walk_segment};
use super::stream::is_zero;
use crate::format::Uid;
use crate::format::frame::Beside;
use crate::format::journal::{AppendEntry, Entry, SegDurableEntry, entries};
use crate::format::layout::{partition_dir, segment_path};
use crate::format::segment::{FIRST_GROUP_POSITION, SegmentHeader};
use crate::io::IoError;
use crate::store::LogId;

/// A file whose record was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) file: String,
    pub(crate) position: u64,
    pub(crate) what: String,
    /// The journal it belongs to, if it is one.
    pub(crate) lineage: Option<Uid>,
}

type Replays = BTreeMap<LogId, LogReplay>;

/// The first sign, in files beside those of the manifest.
pub(crate) fn look<D: Disk>(
    disk: &D,
    (shard, strays, end): (ShardId, &Strays, Beside),
    examined: &Examined,
) -> Result<Option<Sign>, RecoverError> {
    let (scans, replays) = (&examined.scans, &examined.replays);
    let sign = in_claims(&examined.journals, end);
    if sign.is_some() {
        return Ok(sign);
    }
    let headless = scan_others(disk, shard, &strays.headless)?;
    let sign = in_claims(&headless, end);
    if sign.is_some() {
        return Ok(sign);
    }
    let unknown = strays.unknown.as_slice();
    let journal = in_journals(disk, (shard, unknown, end), replays)?;
    if journal.is_some() {
        return Ok(journal);
    }
    let mut witnesses = examined.journals.witnesses.values();
    let sign = witnesses.find_map(|witness| in_witness(witness, examined));
    if sign.is_some() {
        return Ok(sign);
    }
    for (id, scan) in scans {
        let Some(end) = replays.get(id).map(|replay| replay.end) else {
            continue;
        };
        let named = |place: &&(Offset, Uid)| {
            let mut segments = scan.state.segments.iter();
            segments.any(|segment| (segment.base, segment.uid) == **place)
        };
        for (base, uid) in scan.files.segments.keys().filter(|place| !named(place)) {
            let path = segment_path(scan.state.tp, *base, uid);
            let sign = in_segment(disk, &path, (*base, *uid), (scan, end)).in_file(&path)?;
            if sign.is_some() {
                return Ok(sign);
            }
        }
    }
    Ok(None)
}

/// A journal group was built when the manifest had more than it has.
fn in_claims(scan: &JournalScan, end: Beside) -> Option<Sign> {
    let Claim {
        file,
        position,
        manifest,
    } = scan.claim.as_ref().filter(|claim| claim.manifest > end)?;
    let what = format!(
        "when this group was written the manifest had group {} of generation {}; it ends at {} of {}: \
         the manifest lost its newest records",
        manifest.through, manifest.of, end.through, end.of
    );
    Some(Sign {
        file: file.clone(),
        position: *position,
        what,
        lineage: None,
    })
}

/// Groups are written to a segment only when the manifest names it, and witnessed later.
fn in_witness(witness: &SegDurableEntry, examined: &Examined) -> Option<Sign> {
    let known = examined.state.logs.get(&witness.log);
    let end = examined.replays.get(&witness.log).map(|replay| replay.end);
    let (file, is_lost) = match known.zip(end) {
        None => {
            let is_later = witness.log.0 >= examined.state.next_log;
            (format!("segment of log {}", witness.log.0), is_later)
        }
        Some((log, end)) => {
            let mut named = log.segments.iter();
            let is_named = named.any(|segment| segment.uid == witness.segment);
            (partition_dir(log.tp), !is_named && witness.last >= end)
        }
    };
    is_lost.then(|| Sign {
        file,
        position: 0,
        what: format!(
            "a segment with offset {} was durable, and the manifest does not name it: the manifest \
             lost its newest records",
            witness.last
        ),
        lineage: None,
    })
}

/// A segment with batches beyond the end of its log.
fn in_segment<D: Disk>(
    disk: &D,
    path: &str,
    (base, uid): (Offset, Uid),
    (scan, end): (&LogScan, Offset),
) -> Result<Option<Sign>, IoError> {
    match disk.read(path, FIRST_GROUP_POSITION, BLOCK_BYTES) {
        Ok(block) if is_zero(&block) => return Ok(None),
        Ok(_) | Err(IoError::Device(_)) => {}
        Err(error) => return Err(error),
    }
    let blocks = disk.read(path, 0, 2 * BLOCK_BYTES).ok();
    let header = blocks.and_then(|blocks| SegmentHeader::decode_either(&blocks).ok());
    if header.is_some_and(|header| header.log != scan.id) {
        // The partition had another log before, which was dropped.
        return Ok(None);
    }
    let expected = Expected {
        path,
        uid,
        tp: scan.state.tp,
        base,
        chain: None,
        witness: None,
        keeps_reach: false,
        resume: None,
        seal: None,
        points: None,
        depth: BatchDepth::Header,
    };
    let walked = walk_segment(disk, &expected, &mut Findings::default(), &mut |_| {})?;
    let upto = walked.seal.upto;
    Ok((walked.seal.groups > 0 && upto > end).then(|| Sign {
        file: path.to_owned(),
        position: walked.seal.valid_end,
        what: format!(
            "the manifest does not name this segment, but it holds offsets up to {upto} of a log \
             that ends at {end}: the manifest lost its newest records"
        ),
        lineage: None,
    }))
}

/// The groups of journals that the manifest does not name.
fn scan_others<D: Disk>(
    disk: &D,
    shard: ShardId,
    journals: &[JournalState],
) -> Result<JournalScan, RecoverError> {
    let others = ManifestState {
        journals: journals.to_vec(),
        ..ManifestState::default()
    };
    let known = (&others, Beside::default());
    JournalScan::run(disk, shard, known, &mut Findings::default())
}

/// A durable entry that goes on where its log ends.
fn in_journals<D: Disk>(
    disk: &D,
    (shard, unknown, end): (ShardId, &[JournalState], Beside),
    replays: &Replays,
) -> Result<Option<Sign>, RecoverError> {
    if unknown.is_empty() {
        return Ok(None);
    }
    let scan = scan_others(disk, shard, unknown)?;
    let sign = in_claims(&scan, end);
    if sign.is_some() {
        return Ok(sign);
    }
    for lineage in &scan.lineages {
        let sign = in_lineage(disk, lineage, replays)?;
        if sign.is_some() {
            return Ok(sign);
        }
    }
    Ok(None)
}

fn in_lineage<D: Disk>(
    disk: &D,
    lineage: &Lineage,
    replays: &Replays,
) -> Result<Option<Sign>, RecoverError> {
    for file in &lineage.files {
        let mut sign = None;
        let from = WalkFrom {
            lineage: lineage.uid,
            next_seq: file.first_seq,
            last_hash: None,
        };
        walk_file(disk, &file.path, from, |met| {
            let Met::Group { position, group } = met else {
                return;
            };
            if sign.is_some() || group.frame.seq > lineage.witness {
                return;
            }
            let found = entries(&group).unwrap_or_default();
            let mut appends = found.iter().filter_map(|entry| match entry {
                Entry::Append(append, _) => Some(append),
                Entry::SegDurable(_) => None,
            });
            sign = appends
                .find(|append| goes_on(append, replays))
                .map(|append| Sign {
                    file: file.path.clone(),
                    position,
                    what: format!(
                        "the manifest does not name this journal file, but it holds offset {} of a \
                         log that ends before: the manifest lost its newest records",
                        append.last
                    ),
                    lineage: Some(lineage.uid),
                });
        })
        .in_file(&file.path)?;
        if sign.is_some() {
            return Ok(sign);
        }
    }
    Ok(None)
}

fn goes_on(append: &AppendEntry, replays: &Replays) -> bool {
    let Some(log) = replays.get(&append.log) else {
        return false;
    };
    let is_next = append.first <= log.end && log.end <= append.last;
    is_next && (append.first < log.end || log.chain.is_none_or(|at| at == append.chain_before))
}
