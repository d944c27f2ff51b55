//! Which logs leave the journal, and when: what fills it decides.
//!
//! Owns: the pace at which the logs in full journal files are flushed.
//! Never: writes; `flush` does.
//! Invariants: while files for more can be had, at most a share of them in proportion to what is written is asked for
//! at once; without one, every log in a full file is flushed.
//! Source: reliability.md 2.2 (journal fill limit 50 %).

use super::journal::{FILES_MAX, FilePhase, JournalFile};
use super::{LogId, Store};
use crate::io::FileKey;
use crate::log::state::Log;

/// Full files from which on the oldest is emptied: half of all.
pub(crate) const FULL_MAX: usize = FILES_MAX / 2;

/// Full files from which on nothing is put off any more.
const FULL_URGENT: usize = FILES_MAX - 4;

/// The pace of emptying full files.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes written to the journal for which nothing was flushed yet.
    pub(super) owed: u64,
}

impl Store {
    /// A group of so many bytes goes to the journal: the same share of the logs in the oldest file is flushed, so that
    /// it is empty when the present one is full. Flushing all at once would hold everybody up, and with thousands of logs
    /// each of them would write a few records only.
    pub(super) fn press_for(&mut self, written: u32) {
        let full = self.journal.full_files();
        let Some(over) = (full + 1).checked_sub(FULL_MAX).filter(|over| *over > 0) else {
            self.journal.pace.owed = 0;
            return;
        };
        self.journal.pace.owed += u64::from(written) * over as u64;
        let mut is_left = false;
        while let Some(key) = self.journal.next_to_empty(over).filter(|_| !is_left) {
            is_left = self.press_share(key);
        }
        // What there was nobody to flush for is not made up for later, all at once.
        if !is_left {
            self.journal.pace.owed = 0;
        }
    }

    /// Flushes as many logs of a file as its share of what is owed; whether some are left.
    fn press_share(&mut self, key: FileKey) -> bool {
        let bytes = self.config.journal_bytes;
        while let Some(file) = self.journal.files.get_mut(&key) {
            let each = bytes / file.logs.len().max(1) as u64;
            let Some(id) = file.logs.get(file.pressed).copied() else {
                return false;
            };
            if self.journal.pace.owed < each {
                return true;
            }
            file.pressed += 1;
            self.journal.pace.owed -= each;
            self.press_log(id, key);
        }
        false
    }

    fn press_log(&mut self, id: LogId, key: FileKey) {
        if self.logs.get(&id).is_some_and(|log| log.is_held_by(key)) {
            self.want_flush(id);
        }
    }

    /// The present file is half full and there is none to come after it, or soon there will not be: every log in a full
    /// file is flushed, so that files can be retired.
    pub(super) fn press_if_short(&mut self) {
        let is_half_full = |file: &JournalFile| file.is_half_full();
        if !self.journal.present_file().is_none_or(is_half_full) {
            return;
        }
        let full = self.journal.full_files();
        let is_short = full >= FULL_URGENT || !self.journal.has_next();
        while let Some(key) = self.journal.next_to_empty(full).filter(|_| is_short) {
            self.press_all(key);
        }
    }

    fn press_all(&mut self, key: FileKey) {
        let Some(file) = self.journal.files.get_mut(&key) else {
            return;
        };
        let from = std::mem::replace(&mut file.pressed, file.logs.len());
        let waiting = file.logs.get(from..).unwrap_or_default().to_vec();
        for id in waiting {
            self.press_log(id, key);
        }
    }
}

impl super::journal::Journal {
    fn full_files(&self) -> usize {
        let is_full = |file: &&JournalFile| file.phase == FilePhase::Full;
        self.files.values().filter(is_full).count()
    }

    /// The oldest full file with logs that were not asked to flush, if it is among so many of the oldest.
    fn next_to_empty(&self, count: usize) -> Option<FileKey> {
        let is_full = |file: &&JournalFile| file.phase == FilePhase::Full;
        let full = || self.files.values().filter(is_full);
        let waiting = full().filter(|file| file.pressed < file.logs.len());
        let next = waiting.min_by_key(|file| file.number)?;
        let older = full().filter(|file| file.number < next.number).count();
        (older < count).then_some(next.key)
    }
}

impl Log {
    /// Whether batches in this file are neither in a segment nor on their way to one.
    fn is_held_by(&self, file: FileKey) -> bool {
        let mut held = self.journal_refs.iter();
        held.any(|held| held.file == file && held.upto > self.flushing_upto)
    }
}
