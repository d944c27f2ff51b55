//! The orderly stop: tails to segments, segments sealed, journal retired, clean marker last.
//!
//! Owns: the order of the stop.
//! Never: writes the marker when anything is left that a start would have to replay (I8).
//! Invariants: phases only go forward; a device without room ends the stop without a marker.
//! Source: reliability.md I8.

use model::time::Now;
use model::transitions;

use super::flush::FLUSHES_PER_ROUND_MAX;
use super::journal::FilePhase;
use super::manifest::Then;
use super::outbox::{Purpose, SegmentAt};
use super::{LogId, Store};
use crate::format::layout::journal_path;
use crate::format::manifest::Record;
use crate::io::{FileKey, FileOp};
use crate::log::segment::SegmentPhase;
use crate::log::state::Log;

transitions! {
    /// How far the stop is.
    pub enum StopPhase {
        /// Not asked for.
        Running => [Flushing],
        /// Tails are written to segments.
        Flushing => [Sealing, Leaving],
        /// Segments are sealed, journal files retired.
        Sealing => [Marking, Leaving],
        /// The clean marker is on its way.
        Marking => [Leaving],
        /// What is under way ends.
        Leaving => [Done],
        /// Over.
        Done => [],
    }
}

impl StopPhase {
    /// Whether nothing but what is under way is left.
    pub(crate) fn is_leaving(self) -> bool {
        self == Self::Leaving
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_begun(self) -> bool {
        self != Self::Running
    }
}

impl Store {
    /// Starts an orderly stop: everything is written, files sealed, clean marker last.
    pub fn begin_shutdown(&mut self, _now: Now) {
        if self.stop.is_begun() {
            return;
        }
        self.stop.become_next(StopPhase::Flushing);
        self.manifest.is_ending = true;
        for id in self.log_ids() {
            self.want_flush(id);
        }
    }

    fn log_ids(&self) -> Vec<LogId> {
        self.by_partition.values().copied().collect()
    }

    /// Does what the stop allows now; called at the end of every round.
    pub(super) fn proceed_stop(&mut self, now: Now) {
        loop {
            let before = self.stop;
            self.proceed_phase(now);
            if self.stop == before {
                return;
            }
        }
    }

    fn proceed_phase(&mut self, now: Now) {
        match self.stop {
            StopPhase::Running | StopPhase::Done => {}
            StopPhase::Flushing => self.proceed_flushing(now),
            // Without a place for what the manifest has to say there is no marker.
            StopPhase::Sealing | StopPhase::Marking if self.is_out_of_manifest() => {
                self.stop.become_next(StopPhase::Leaving);
            }
            StopPhase::Sealing => self.proceed_sealing(now),
            StopPhase::Marking => {}
            StopPhase::Leaving => {
                if self.outbox.under_way() == 0 && !self.manifest.wants_seal() {
                    self.stop.become_next(StopPhase::Done);
                }
            }
        }
    }

    fn is_out_of_manifest(&self) -> bool {
        !self.space.may_allocate() && self.manifest.is_stuck()
    }

    fn proceed_flushing(&mut self, now: Now) {
        if !self.space.may_allocate() && self.outbox.under_way() == 0 {
            return self.leave_without_room(now);
        }
        let is_flushed = |id: &LogId| self.logs.get(id).is_none_or(|log| log.is_flushed());
        if self.unflushed_logs > 0 || !self.by_partition.values().all(is_flushed) {
            return;
        }
        self.stop.become_next(StopPhase::Sealing);
        for id in self.log_ids() {
            self.take_snapshot(id);
        }
    }

    /// Segments cannot be written for lack of room. The journal has everything that was acknowledged; it takes
    /// what still fits, and a seal.
    fn leave_without_room(&mut self, now: Now) {
        // A log that finds no segment turns to the journal.
        for _ in 0..=self.flush_list.len() / FLUSHES_PER_ROUND_MAX {
            self.flush_listed(now);
        }
        self.journal.is_seal_due |= self.journal.wants_witness();
        self.seal_journal(now);
        if self.outbox.under_way() == 0 {
            self.stop.become_next(StopPhase::Leaving);
        }
    }

    /// The journal takes no more groups.
    fn end_journal_file(&mut self) {
        let present = self.journal.present.take();
        if let Some(file) = present.and_then(|key| self.journal.files.get_mut(&key)) {
            file.phase = FilePhase::Full;
            file.retire_after = self.journal.next_seq.saturating_sub(1);
        }
    }

    fn proceed_sealing(&mut self, now: Now) {
        self.end_journal_file();
        let mut is_sealed = true;
        for id in self.log_ids() {
            self.end_segment(now, id);
            is_sealed &= self.logs.get(&id).is_none_or(|log| log.is_sealed());
        }
        if !is_sealed || !self.journal.inflight.is_empty() {
            return;
        }
        // Sealed segments need no witness, so no file has to wait for one.
        self.journal.witnesses.clear();
        self.bind_retirement(self.journal.durable_seq);
        self.retire_old_files();
        self.retire_files();
        self.remove_spares();
        if self.journal.files.is_empty() && self.journal.old_files.is_empty() {
            self.stop.become_next(StopPhase::Marking);
            let lineage = self.journal.lineage;
            self.manifest
                .push_then(Record::CleanStop { lineage }, Then::Stopped);
        }
    }

    fn remove_spares(&mut self) {
        let spares: Vec<FileKey> = self
            .journal
            .files
            .values()
            .filter(|file| file.phase == FilePhase::Spare)
            .map(|file| file.key)
            .collect();
        for key in spares {
            if let Some(file) = self.journal.files.remove(&key) {
                let path = journal_path(self.config.shard, &file.uid);
                self.outbox
                    .file(Purpose::Cleanup, FileOp::Close { file: key });
                self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
            }
        }
    }

    /// The clean marker is durable.
    pub(super) fn stopped(&mut self) {
        self.stop.become_next(StopPhase::Leaving);
        self.manifest.drop_successor(&mut self.outbox);
        for id in self.log_ids() {
            self.close_segments(id);
        }
    }

    fn close_segments(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let open: Vec<FileKey> = log
            .segments
            .iter_mut()
            .filter_map(|segment| segment.file.take())
            .collect();
        for file in open {
            if self.open_files.doom(file) {
                self.outbox.file(Purpose::Cleanup, FileOp::Close { file });
            }
        }
    }

    /// A segment became active while the store stops: it ends at once.
    pub(super) fn end_if_stopping(&mut self, now: Now, at: SegmentAt) {
        if self.stop == StopPhase::Sealing {
            self.end_segment(now, at.log);
        }
    }
}

impl Log {
    fn is_flushed(&self) -> bool {
        self.flushing_upto == self.log_end && self.groups.is_empty()
    }

    fn is_sealed(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| segment.phase == SegmentPhase::Sealed)
    }
}
