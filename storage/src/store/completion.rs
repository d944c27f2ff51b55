//! What ended I/Os mean.
//!
//! Owns: the one place where outcomes are taken apart.
//! Never: tries a failed write again (A10).
//! Invariants: lack of room is never fatal; every other failed write or creation is; a failed read is damage.
//! Source: architecture.md A10, reliability.md 2.7.

use model::fatal::{Fatal, Reason};
use model::time::Now;

use super::Store;
use super::journal::FilePhase;
use super::manifest::Then;
use super::outbox::Purpose;
use crate::format::layout::journal_path;
use crate::io::{FileKey, FileOp, IoError, IoOutcome};

/// How something that changes the device ended.
enum Ended {
    Done(u64),
    NoRoom,
}

impl Store {
    pub(super) fn complete(
        &mut self,
        now: Now,
        purpose: Purpose,
        outcome: IoOutcome,
    ) -> Result<(), Fatal> {
        match purpose {
            Purpose::Read(number) => self.read_done(now, number, outcome),
            Purpose::IndexLoad(at) => self.index_loaded(at, &outcome),
            Purpose::IndexScan(at, file) => {
                self.end_file_use(file);
                self.index_scanned(at, &outcome);
            }
            Purpose::SegmentOpen(at) => match outcome {
                IoOutcome::Failed(error) => self.segment_open_failed(now, at, error)?,
                IoOutcome::Written | IoOutcome::Bytes(_) => self.segment_opened(now, at),
                IoOutcome::Done { .. } | IoOutcome::Space { .. } => self.segment_opened(now, at),
            },
            Purpose::Derived | Purpose::Cleanup => {}
            Purpose::GiveBack => self.give_back_next(),
            Purpose::Space => match outcome {
                IoOutcome::Space { free, total } => self.space_reported(now, free, total),
                IoOutcome::Written | IoOutcome::Bytes(_) => self.space_unknown(now),
                IoOutcome::Done { .. } | IoOutcome::Failed(_) => self.space_unknown(now),
            },
            Purpose::JournalCreate(_) | Purpose::ManifestCreate(_) => {
                self.complete_create(now, purpose, &outcome)?;
            }
            Purpose::SegmentCreate(_) | Purpose::SegmentExtend(..) => {
                self.complete_create(now, purpose, &outcome)?;
            }
            Purpose::ManifestOpen | Purpose::ManifestHead(_) | Purpose::ManifestGroup => {
                self.complete_write(now, purpose, &outcome)?;
            }
            Purpose::JournalHead(_) | Purpose::JournalGroup(_) => {
                self.complete_write(now, purpose, &outcome)?;
            }
            Purpose::SegmentGroup(..) => self.complete_write(now, purpose, &outcome)?,
        }
        self.run_follow_ups(now);
        Ok(())
    }

    /// Ends of operations that may lack room.
    fn complete_create(
        &mut self,
        now: Now,
        purpose: Purpose,
        outcome: &IoOutcome,
    ) -> Result<(), Fatal> {
        let ended = match outcome {
            IoOutcome::Failed(IoError::NoSpace) => Ended::NoRoom,
            IoOutcome::Failed(error) => return Err(failed(purpose, *error)),
            IoOutcome::Done { len } => Ended::Done(*len),
            IoOutcome::Written | IoOutcome::Bytes(_) | IoOutcome::Space { .. } => Ended::Done(0),
        };
        if matches!(ended, Ended::NoRoom) {
            self.space.fail(now.instant);
        }
        if let Purpose::SegmentCreate(_) = purpose {
            self.end_create(now);
        }
        match (purpose, ended) {
            (Purpose::JournalCreate(key), Ended::Done(_)) => self.journal_created(key),
            (Purpose::JournalCreate(key), Ended::NoRoom) => self.journal_create_failed(key),
            (Purpose::ManifestCreate(_), Ended::Done(_)) => self.manifest.created(),
            (Purpose::ManifestCreate(_), Ended::NoRoom) => {
                self.manifest.create_failed(&mut self.outbox);
            }
            (Purpose::SegmentCreate(at), Ended::Done(_)) => self.segment_created(at),
            (Purpose::SegmentCreate(at), Ended::NoRoom) => self.segment_create_failed(at),
            (Purpose::SegmentExtend(at, file), ended) => {
                self.end_file_use(file);
                let len = match ended {
                    Ended::Done(len) => Some(len),
                    Ended::NoRoom => None,
                };
                self.segment_extended(at, len);
            }
            (other, _) => return Err(unexpected(other)),
        }
        Ok(())
    }

    /// Ends of durable writes.
    fn complete_write(
        &mut self,
        now: Now,
        purpose: Purpose,
        outcome: &IoOutcome,
    ) -> Result<(), Fatal> {
        if let IoOutcome::Failed(error) = outcome {
            return Err(failed(purpose, *error));
        }
        match purpose {
            Purpose::JournalHead(key) => self.journal_headed(key),
            Purpose::JournalGroup(seq) => self.journal_written(seq),
            Purpose::ManifestOpen => self.manifest.opened(),
            Purpose::ManifestHead(_) => self.manifest.filled(&mut self.outbox),
            Purpose::ManifestGroup => self.manifest.written(&mut self.outbox),
            Purpose::SegmentGroup(at, file, number) => {
                self.end_file_use(file);
                self.segment_written(now, at, number);
            }
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    fn journal_created(&mut self, key: FileKey) {
        if let Some(file) = self.journal.files.get_mut(&key) {
            file.phase = FilePhase::Spare;
        }
    }

    fn journal_create_failed(&mut self, key: FileKey) {
        if let Some(file) = self.journal.files.remove(&key) {
            let path = journal_path(self.config.shard, &file.uid);
            self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
        }
    }

    /// Writes queued manifest records, or the next generation.
    pub(super) fn seal_manifest(&mut self, now: Now) {
        self.manifest.may_grow = self.space.may_allocate();
        if self.manifest.wants_successor() {
            let (uid, records_now) = (self.prng.bytes16(), self.checkpoint_len());
            self.manifest
                .create_successor(&mut self.outbox, uid, records_now);
        }
        self.manifest.seal(&mut self.outbox);
        if self.manifest.wants_checkpoint() {
            let records = self.checkpoint();
            self.manifest.fill(&mut self.outbox, &records);
        }
        self.manifest.is_seal_due |= self.stop.is_leaving();
        self.manifest.keep_seal(&mut self.outbox, now.instant);
    }

    /// Carries out what waited for manifest records that are durable now.
    fn run_follow_ups(&mut self, now: Now) {
        while let Some(then) = self.manifest.poll_ready() {
            self.follow_up(now, then);
        }
        if self.gated_at < self.manifest.durable_record() {
            self.gated_at = self.manifest.durable_record();
            self.release_gated();
        }
    }

    fn follow_up(&mut self, now: Now, then: Then) {
        match then {
            Then::SegmentReady(at, file) => {
                self.segment_ready(now, at, file);
                self.end_if_stopping(now, at);
            }
            Then::JournalPresent(key) => self.journal_present(key),
            Then::JournalRetired(key) => self.journal_retired(key),
            Then::LogStart(id, start) => self.log_start_moved(now, id, start),
            Then::Remove(paths) => {
                for path in paths {
                    self.outbox.file(Purpose::Cleanup, FileOp::Remove { path });
                }
            }
            Then::GiveBack(at) => self.give_back(at),
            Then::Stopped => self.stopped(),
        }
    }

    /// Logs whose acknowledgements waited for the manifest.
    fn release_gated(&mut self) {
        let gated = std::mem::take(&mut self.gated);
        for id in &gated {
            if let Some(log) = self.logs.get_mut(id) {
                log.listed.is_gated = false;
            }
        }
        // Those that still wait list themselves again.
        for id in gated {
            self.advance_log(id);
            self.mark_dirty(id);
        }
    }
}

fn failed(purpose: Purpose, error: IoError) -> Fatal {
    Fatal::new(
        Reason::DiskWriteFailed,
        format!("{purpose:?} failed: {error}"),
    )
}

fn unexpected(purpose: Purpose) -> Fatal {
    Fatal::new(
        Reason::InvariantBroken,
        format!("{purpose:?} ended as something else"),
    )
}
