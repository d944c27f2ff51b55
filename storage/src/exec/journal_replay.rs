//! Drives the second pass: reads the needed journal files again and hands entries to their logs.
//!
//! Owns: the order of replay; what can still be told from a damaged group.
//! Never: holds more than one group plus the tails.
//! Invariants: lineages oldest first, groups by sequence; a damaged group's table is believed only where it
//! agrees with the group's header and with the log it names.
//! Source: reliability.md 2.5 step 6, 2.6.

use std::collections::{BTreeMap, BTreeSet};

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::Findings;
use super::journal_salvage::believed_entries;
use super::journal_scan::{JournalScan, Lineage};
use super::journal_walk::{Met, WalkFrom, walk_file};
use super::replay::{EntryPlace, LogReplay};
use crate::format::frame::{FRAME_BYTES, Frame};
use crate::format::journal::{Entry, entries};
use crate::store::LogId;

/// Damaged groups looked at one by one; more of them say nothing new.
const DAMAGED_GROUPS_MAX: usize = 1_000_000;

/// Replays every lineage into the logs.
pub(crate) fn replay<D: Disk>(
    disk: &D,
    scan: &JournalScan,
    logs: &mut BTreeMap<LogId, LogReplay>,
    findings: &mut Findings,
) -> Result<(), RecoverError> {
    let count = scan.lineages.len();
    let mut is_older_needed = false;
    for (index, lineage) in scan.lineages.iter().enumerate() {
        let mut replayer = Replayer {
            lineage,
            index,
            is_newest: index + 1 == count,
            is_older_needed,
            salvaged: BTreeSet::new(),
            logs,
            findings,
        };
        replayer.run(disk)?;
        is_older_needed |= lineage.files.iter().any(|file| file.is_needed);
    }
    Ok(())
}

struct Replayer<'r> {
    lineage: &'r Lineage,
    index: usize,
    is_newest: bool,
    /// Whether an older lineage may say something that only this one refutes.
    is_older_needed: bool,
    /// Damaged groups whose tables told what they held.
    salvaged: BTreeSet<u64>,
    logs: &'r mut BTreeMap<LogId, LogReplay>,
    findings: &'r mut Findings,
}

impl Replayer<'_> {
    fn run<D: Disk>(&mut self, disk: &D) -> Result<(), RecoverError> {
        let is_all_needed = self.is_older_needed || !self.lineage.damaged.is_empty();
        for file in self
            .lineage
            .files
            .iter()
            .filter(|file| file.is_needed || is_all_needed)
        {
            let from = WalkFrom {
                lineage: self.lineage.uid,
                next_seq: file.first_seq,
                last_hash: None,
            };
            let path = file.path.as_str();
            walk_file(disk, path, from, |met| match met {
                Met::Group { position, group } => {
                    // The first pass reported what cannot be split into entries.
                    let found = entries(&group).unwrap_or_default();
                    self.group(group.frame.seq, (path, position), found);
                }
                Met::Broken {
                    position,
                    frame: Some(frame),
                    bytes,
                    ..
                } => {
                    self.salvage(&frame, (path, position), bytes);
                }
                Met::Broken { .. } => {}
            })
            .in_file(path)?;
        }
        // A group that nothing can be told of may have held the end of any log.
        let lost = self.lineage.damaged.iter().flat_map(Clone::clone);
        let mut lost = lost.take(DAMAGED_GROUPS_MAX);
        let is_unknown = lost.any(|seq| !self.salvaged.contains(&seq));
        if (self.lineage.is_file_lost || is_unknown) && self.is_newest {
            self.logs
                .values_mut()
                .for_each(|log| log.is_unverified = true);
        }
        Ok(())
    }

    fn group(&mut self, seq: u64, (path, position): (&str, u64), found: Vec<Entry<'_>>) {
        let counts = self.lineage.counts(seq);
        let place = self.place(seq, path, position);
        for entry in found {
            let Entry::Append(append, payload) = entry else {
                continue;
            };
            let Some(log) = self.logs.get_mut(&append.log) else {
                continue;
            };
            if counts {
                log.apply(&append, payload, &place, self.findings);
            } else if self.is_newest && append.last >= log.end {
                log.is_unverified = true;
            }
        }
    }

    /// A group whose header is good and whose body is not.
    fn salvage(&mut self, frame: &Frame, (path, position): (&str, u64), bytes: &[u8]) {
        let is_lost = self
            .lineage
            .damaged
            .iter()
            .any(|range| range.contains(&frame.seq));
        let place = self.place(frame.seq, path, position);
        let body = bytes.get(FRAME_BYTES..).unwrap_or(&[]);
        let believed = believed_entries(body, frame.count, frame.body_len);
        if !believed.is_empty() {
            self.salvaged.insert(frame.seq);
        }
        for (append, payload) in believed {
            let Some(log) = self.logs.get_mut(&append.log) else {
                continue;
            };
            match payload {
                Some(payload) if is_lost => log.apply(&append, payload, &place, self.findings),
                None if is_lost => log.lose(&append, &place, self.findings),
                Some(_) | None => log.is_unverified |= self.is_newest && append.last >= log.end,
            }
        }
    }

    fn place<'p>(&self, seq: u64, path: &'p str, position: u64) -> EntryPlace<'p> {
        EntryPlace {
            lineage: self.index,
            is_newest_lineage: self.is_newest,
            is_behind_damage: self.lineage.is_damaged_below(seq),
            path,
            position,
        }
    }
}
