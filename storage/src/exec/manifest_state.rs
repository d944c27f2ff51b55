//! What the manifest says, as state.
//!
//! Owns: applying records in order, and writing the state down again as a checkpoint.
//! Never: looks at the files that the records name.
//! Invariants: applying the checkpoint of a state to an empty state gives the same state; segments of a log
//! are sorted by base.
//! Source: reliability.md 2.2, 2.3.

use std::collections::BTreeMap;

use model::ids::TopicPartition;
use model::offset::Offset;

use super::holes::Holes;
use crate::format::Uid;
use crate::format::manifest::Record;
use crate::log::epochs::EpochTable;
use crate::store::LogId;

/// Where a complete segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) valid_end: u64,
    pub(crate) upto: Offset,
    pub(crate) chain_after: u64,
    pub(crate) max_timestamp: i64,
    pub(crate) groups: u64,
}

/// A segment that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentState {
    pub(crate) uid: Uid,
    pub(crate) base: Offset,
    pub(crate) created_ms: i64,
    /// `None` while groups may be added.
    pub(crate) seal: Option<Seal>,
}

/// A log that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) tp: TopicPartition,
    pub(crate) log_start: Offset,
    pub(crate) epochs: EpochTable,
    pub(crate) segments: Vec<SegmentState>,
    pub(crate) holes: Holes,
}

/// A journal file that the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalState {
    pub(crate) lineage: Uid,
    pub(crate) file: Uid,
    pub(crate) number: u64,
}

/// Everything that is true according to the records so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestState {
    pub(crate) next_log: u64,
    pub(crate) logs: BTreeMap<LogId, LogState>,
    /// In the order of their records.
    pub(crate) journals: Vec<JournalState>,
    /// Whether the last stop was orderly and no start followed.
    pub(crate) is_clean: bool,
    /// The generation that supersedes this one.
    pub(crate) switched_to: Option<u64>,
}

impl LogState {
    fn new(tp: TopicPartition) -> Self {
        Self {
            tp,
            log_start: Offset::ZERO,
            epochs: EpochTable::default(),
            segments: Vec::new(),
            holes: Holes::default(),
        }
    }

    /// Offsets below it lie in sealed segments, or nowhere any more.
    pub(crate) fn sealed_upto(&self) -> Offset {
        let seals = self
            .segments
            .iter()
            .filter_map(|segment| segment.seal.as_ref());
        seals
            .map(|seal| seal.upto)
            .max()
            .unwrap_or(self.log_start)
            .max(self.log_start)
    }
}

impl ManifestState {
    /// Applies one record. Records about logs that do not exist (any more) change nothing: completions may
    /// trail behind a drop.
    pub(crate) fn apply(&mut self, record: &Record) {
        match *record {
            Record::NextLog(next) => self.next_log = self.next_log.max(next.0),
            Record::LogCreate { log, tp } => {
                self.next_log = self.next_log.max(log.0.saturating_add(1));
                self.logs.entry(log).or_insert_with(|| LogState::new(tp));
            }
            Record::LogDrop(log) => {
                self.logs.remove(&log);
            }
            Record::JournalAdd {
                lineage,
                file,
                number,
            } => {
                self.journals.retain(|journal| journal.file != file);
                self.journals.push(JournalState {
                    lineage,
                    file,
                    number,
                });
            }
            Record::JournalRetire { file } => self.journals.retain(|j| j.file != file),
            Record::CleanStop { .. } => self.is_clean = true,
            Record::Started => self.is_clean = false,
            Record::Switched { generation } => self.switched_to = Some(generation),
            Record::SegmentAdd { log, .. }
            | Record::SegmentSeal { log, .. }
            | Record::SegmentRemove { log, .. }
            | Record::LogStart { log, .. }
            | Record::EpochStart { log, .. }
            | Record::Damaged { log, .. }
            | Record::Repaired { log, .. } => {
                if let Some(log) = self.logs.get_mut(&log) {
                    log.apply(record);
                }
            }
        }
    }

    /// The state as records.
    pub(crate) fn checkpoint(&self) -> Vec<Record> {
        let mut out = vec![Record::NextLog(LogId(self.next_log))];
        for journal in &self.journals {
            let JournalState {
                lineage,
                file,
                number,
            } = *journal;
            out.push(Record::JournalAdd {
                lineage,
                file,
                number,
            });
        }
        for (id, log) in &self.logs {
            log.checkpoint(*id, &mut out);
        }
        out
    }
}

impl LogState {
    fn apply(&mut self, record: &Record) {
        match *record {
            Record::SegmentAdd {
                uid,
                base,
                created_ms,
                ..
            } => {
                self.segments.retain(|segment| segment.uid != uid);
                let at = self
                    .segments
                    .partition_point(|segment| segment.base <= base);
                self.segments.insert(
                    at,
                    SegmentState {
                        uid,
                        base,
                        created_ms,
                        seal: None,
                    },
                );
            }
            Record::SegmentSeal {
                uid,
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
                ..
            } => {
                let seal = Seal {
                    valid_end,
                    upto,
                    chain_after,
                    max_timestamp,
                    groups,
                };
                if let Some(segment) = self.segments.iter_mut().find(|s| s.uid == uid) {
                    segment.seal = Some(seal);
                }
            }
            Record::SegmentRemove { uid, .. } => self.segments.retain(|s| s.uid != uid),
            Record::LogStart { offset, .. } => {
                self.log_start = self.log_start.max(offset);
                self.epochs.trim_front(offset);
                self.holes.remove(Offset::ZERO, offset);
            }
            Record::EpochStart { epoch, start, .. } => self.epochs.start(epoch, start),
            Record::Damaged { from, upto, .. } => {
                self.holes.add(from, upto);
            }
            Record::Repaired { from, upto, .. } => self.holes.remove(from, upto),
            Record::NextLog(_)
            | Record::LogCreate { .. }
            | Record::LogDrop(_)
            | Record::JournalAdd { .. }
            | Record::JournalRetire { .. }
            | Record::CleanStop { .. }
            | Record::Started
            | Record::Switched { .. } => {}
        }
    }

    fn checkpoint(&self, log: LogId, out: &mut Vec<Record>) {
        out.push(Record::LogCreate { log, tp: self.tp });
        out.push(Record::LogStart {
            log,
            offset: self.log_start,
        });
        let starts = self.epochs.iter();
        out.extend(starts.map(|at| Record::EpochStart {
            log,
            epoch: at.epoch,
            start: at.start,
        }));
        for segment in &self.segments {
            let (uid, base, created_ms) = (segment.uid, segment.base, segment.created_ms);
            out.push(Record::SegmentAdd {
                log,
                uid,
                base,
                created_ms,
            });
            let Some(seal) = segment.seal else { continue };
            let Seal {
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
            } = seal;
            out.push(Record::SegmentSeal {
                log,
                uid,
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
            });
        }
        for hole in self.holes.ranges() {
            out.push(Record::Damaged {
                log,
                from: hole.start,
                upto: hole.end,
            });
        }
    }
}

#[cfg(test)]
mod tests;
