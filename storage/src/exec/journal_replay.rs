//! Drives the second pass: reads the needed journal files again and hands entries to their logs.
//!
//! Owns: the order of replay; what can still be told from a damaged group, and of one that is gone.
//! Never: holds more than one group plus the tails.
//! Invariants: lineages oldest first, groups by sequence; a damaged group's table is believed only where it
//! agrees with the group's header and with the log it names; offsets that a lost group may have given out
//! lie below the end of their log.
//! Source: reliability.md 2.5 step 6, 2.6, docs/format.md (Ends).

use std::collections::BTreeMap;
use std::ops::Range;

use super::Disk;
use super::failure::{InFile, RecoverError};
use super::finding::Findings;
use super::journal_salvage::believed_entries;
use super::journal_scan::{JournalScan, Lineage};
use super::journal_walk::{Met, WalkFrom, walk_file};
use super::replay::{EntryPlace, LogReplay, LostEnd};
use crate::format::frame::{DecodedGroup, FRAME_BYTES, Frame};
use crate::format::journal::{Entry, ends, entries};
use crate::store::LogId;

/// What is said of a log whose newest appends may be lost.
const LOST: &str =
    "journal groups are lost, and nothing tells which offsets this log gave out in them";

/// Replays every lineage into the logs.
pub(crate) fn replay<D: Disk>(
    disk: &D,
    scan: &JournalScan,
    logs: &mut BTreeMap<LogId, LogReplay>,
    findings: &mut Findings,
) -> Result<(), RecoverError> {
    let count = scan.lineages.len();
    let mut is_older_needed = false;
    let mut unknown = None;
    for (index, lineage) in scan.lineages.iter().enumerate() {
        let mut replayer = Replayer {
            lineage,
            index,
            is_newest: index + 1 == count,
            is_older_needed,
            spoken_of: Vec::new(),
            logs,
            findings,
        };
        replayer.run(disk)?;
        let lost = replayer.lost_upto();
        unknown = lost.map(|seq| (index, seq)).or(unknown);
        is_older_needed |= lost.is_some() || lineage.files.iter().any(|file| file.is_needed);
    }
    let Some(unknown) = unknown else {
        return Ok(());
    };
    let path = path_of(scan, unknown);
    let lost = match unknown.0 + 1 == count {
        true => LostEnd::Newest,
        false => LostEnd::Older,
    };
    // They may have held appends of any log that no group behind them goes on with.
    for log in logs.values_mut().filter(|log| log.seen < Some(unknown)) {
        log.lose_end(lost, (path, LOST), findings);
    }
    Ok(())
}

/// The file of a lineage that is gone, or the one in which a group of it was.
fn path_of(scan: &JournalScan, (lineage, seq): (usize, u64)) -> &str {
    let Some(lineage) = scan.lineages.get(lineage) else {
        return "journal";
    };
    let mut files = lineage.files.iter().rev();
    let held = files.find(|file| file.first_seq <= seq);
    let held = held.map_or("journal", |file| file.path.as_str());
    lineage.lost_file.as_deref().unwrap_or(held)
}

struct Replayer<'r> {
    lineage: &'r Lineage,
    index: usize,
    is_newest: bool,
    /// Whether an older lineage may say something that only this one refutes.
    is_older_needed: bool,
    /// Sequences of groups of which a later one told which logs they touched.
    spoken_of: Vec<Range<u64>>,
    logs: &'r mut BTreeMap<LogId, LogReplay>,
    findings: &'r mut Findings,
}

impl Replayer<'_> {
    fn run<D: Disk>(&mut self, disk: &D) -> Result<(), RecoverError> {
        // What is lost matters to logs that no later group has, be it covered by segments or not.
        let is_any_lost = self.lineage.is_file_lost || !self.lineage.damaged.is_empty();
        let is_all_needed = self.is_older_needed || is_any_lost;
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
                    self.close_ends(&group, (path, position));
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
                Met::Broken { .. } | Met::Misplaced { .. } => {}
            })
            .in_file(path)?;
        }
        if self.is_newest && self.lost_upto().is_some() {
            self.logs
                .values_mut()
                .for_each(|log| log.is_unverified = true);
        }
        Ok(())
    }

    /// Highest sequence that was durable, cannot be read, and of which nothing tells what it touched.
    fn lost_upto(&self) -> Option<u64> {
        let ranges = self.lineage.damaged.iter();
        let lost = ranges.filter_map(|range| self.unspoken(range)).max();
        let file = self.lineage.is_file_lost.then_some(self.lineage.lost_upto);
        lost.max(file)
    }

    /// The last of these groups that no later one speaks of.
    fn unspoken(&self, range: &Range<u64>) -> Option<u64> {
        let mut end = range.end;
        while end > range.start {
            let newest = end - 1;
            let speaks = self.spoken_of.iter().find(|said| said.contains(&newest));
            match speaks {
                Some(said) => end = said.start,
                None => return Some(newest),
            }
        }
        None
    }

    /// If groups before this one are lost, logs go on behind the offsets that were given out in them.
    fn close_ends(&mut self, group: &DecodedGroup<'_>, (path, position): (&str, u64)) {
        let seq = group.frame.seq;
        if !self.lineage.counts(seq) {
            return;
        }
        let Ok(Some(ends)) = ends(group) else {
            return;
        };
        let said = ends.covers_from..seq;
        let is_lost = |lost: &Range<u64>| lost.start < said.end && said.start < lost.end;
        if !self.lineage.damaged.iter().any(is_lost) {
            return;
        }
        let place = self.place(seq, path, position);
        for (id, end) in ends.logs {
            if let Some(log) = self.logs.get_mut(&id) {
                log.reach(end, &place, self.findings);
            }
        }
        self.spoken_of.push(said);
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
                log.seen = Some((self.index, seq));
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
