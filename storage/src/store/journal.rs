//! The journal of one core: sequence numbers, groups in flight, files, the durability witness.
//!
//! Owns: what is known of the journal apart from the logs in it.
//! Never: encodes entries; decides what is journaled.
//! Invariants: I3: `durable_seq` rises only over groups that are all durable; a file is spare, present,
//! full or retired, and only a retired one, which no live log needs, is written from the start again.
//! Source: reliability.md 2.2 to 2.4.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::limits::{BLOCK_BYTES, GROUPS_INFLIGHT_MAX};
use model::time::Instant;

use super::LogId;
use super::journal_ends::RecentEnds;
use super::manifest::CLAIM_AFTER;
use super::pressing::Pace;
use crate::format::Uid;
use crate::format::frame::{Beside, lineage_tag};
use crate::format::journal::{GroupBuilder, SegDurableEntry};
use crate::io::FileKey;

/// Silence after which a group without data carries the newest witness.
pub(crate) const SEAL_AFTER: Duration = Duration::from_millis(5);

/// One block.
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Journal files at once; beyond it groups wait until tails were flushed.
pub(crate) const FILES_MAX: usize = 16;

/// Life of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilePhase {
    /// Being created and zeroed.
    Creating,
    /// Ready to become the present file.
    Spare,
    /// Its header is being written.
    Heading,
    /// Its manifest record is on the way.
    Registering,
    /// Groups go here.
    Present,
    /// No group will be added.
    Full,
    /// The manifest is told that nobody needs it.
    Retiring,
}

/// One journal file.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) key: FileKey,
    pub(crate) uid: Uid,
    /// Number in the lineage.
    pub(crate) number: u64,
    pub(crate) phase: FilePhase,
    pub(crate) len: u64,
    /// Where the next group goes.
    pub(crate) position: u64,
    /// Logs with entries here that no segment covers yet.
    pub(crate) uncovered: usize,
    /// Logs that ever had entries here.
    pub(crate) logs: Vec<LogId>,
    /// Logs whose segment witness was written here.
    pub(crate) witnessed: Vec<LogId>,
    /// Sequence that must be durable before this file may be retired.
    pub(crate) retire_after: u64,
    /// How many of those were asked to flush.
    pub(crate) pressed: usize,
}

impl JournalFile {
    /// Bytes left for groups. The last block stays as it is: a file that ends with a group was cut.
    pub(crate) fn room(&self) -> u64 {
        self.len.saturating_sub(self.position + BLOCK)
    }

    /// Whether more than half is used.
    pub(crate) fn is_half_full(&self) -> bool {
        self.position * 2 > self.len
    }
}

/// One group on its way to the device.
#[derive(Debug)]
pub(crate) struct JournalGroup {
    pub(crate) seq: u64,
    pub(crate) touched: Vec<LogId>,
    /// Whether it carries something that wants a witness.
    pub(crate) is_substantial: bool,
    pub(crate) is_done: bool,
}

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) lineage: Uid,
    pub(crate) next_seq: u64,
    /// Every group up to this one is durable.
    pub(crate) durable_seq: u64,
    /// Witness in the newest group written.
    pub(crate) witnessed_seq: u64,
    /// Newest durable group that wants a witness.
    pub(crate) substantial_seq: u64,
    pub(crate) prev_hash: u64,
    /// What the newest group says of the manifest.
    pub(crate) claimed: Beside,
    /// Where logs ended in the newest groups.
    pub(crate) recent: RecentEnds,
    pub(crate) inflight: VecDeque<JournalGroup>,
    /// By file key: numbers are given only when a file becomes present.
    pub(crate) files: BTreeMap<FileKey, JournalFile>,
    pub(crate) present: Option<FileKey>,
    pub(crate) next_number: u64,
    pub(crate) witnesses: VecDeque<SegDurableEntry>,
    pub(crate) seal_at: Option<Instant>,
    pub(crate) is_seal_due: bool,
    /// Lineage, file and number of the files of earlier process starts, removable once what they hold is
    /// durable in this lineage.
    pub(crate) old_files: Vec<(Uid, Uid, u64)>,
    /// Logs of groups that became durable, for the store to look at.
    released: VecDeque<Vec<LogId>>,
    /// How fast full files are emptied.
    pub(crate) pace: Pace,
    /// Builds each group.
    pub(crate) builder: GroupBuilder,
    /// Emptied lists, kept for their memory.
    spare_lists: Vec<Vec<LogId>>,
}

impl Journal {
    /// An empty journal of a new process start.
    pub(crate) fn new(lineage: Uid) -> Self {
        Self {
            lineage,
            next_seq: 1,
            durable_seq: 0,
            witnessed_seq: 0,
            substantial_seq: 0,
            prev_hash: 0,
            claimed: Beside::default(),
            recent: RecentEnds::default(),
            released: VecDeque::new(),
            pace: Pace::default(),
            builder: GroupBuilder::default(),
            inflight: VecDeque::new(),
            files: BTreeMap::new(),
            present: None,
            next_number: 0,
            witnesses: VecDeque::new(),
            seal_at: None,
            is_seal_due: false,
            old_files: Vec::new(),
            spare_lists: Vec::new(),
        }
    }

    /// What is durable of it, for the manifest's groups.
    pub(crate) fn beside(&self) -> Beside {
        Beside {
            of: lineage_tag(&self.lineage),
            through: self.durable_seq,
        }
    }

    /// Whether one more group may be in flight.
    pub(crate) fn has_slot(&self) -> bool {
        self.inflight.len() < GROUPS_INFLIGHT_MAX
    }

    /// The file that groups go to.
    pub(crate) fn present_file(&self) -> Option<&JournalFile> {
        let file = self.files.get(&self.present?)?;
        (file.phase == FilePhase::Present).then_some(file)
    }

    /// Whether a file for later is missing although the present one is half used.
    pub(crate) fn wants_spare(&self) -> bool {
        let is_needed = self.present_file().is_none_or(JournalFile::is_half_full);
        // Asked in every round: the files are only looked through if it matters.
        is_needed && self.files.len() < FILES_MAX && !self.has_next()
    }

    /// Whether a file for later is there or on its way.
    pub(crate) fn has_next(&self) -> bool {
        self.files.values().any(|file| match file.phase {
            FilePhase::Creating | FilePhase::Spare => true,
            FilePhase::Heading | FilePhase::Registering => true,
            FilePhase::Present | FilePhase::Full | FilePhase::Retiring => false,
        })
    }

    /// How many files may become present.
    pub(crate) fn spares(&self) -> usize {
        let is_spare = |file: &&JournalFile| file.phase == FilePhase::Spare;
        self.files.values().filter(is_spare).count()
    }

    /// A file that may become present.
    pub(crate) fn spare(&self) -> Option<FileKey> {
        let spare = self
            .files
            .values()
            .find(|file| file.phase == FilePhase::Spare);
        spare.map(|file| file.key)
    }

    /// Whether a file is on its way to become present.
    pub(crate) fn is_switching(&self) -> bool {
        let is_coming = |phase| matches!(phase, FilePhase::Heading | FilePhase::Registering);
        self.files.values().any(|file| is_coming(file.phase))
    }

    /// An empty list with memory from an earlier group.
    pub(crate) fn take_list(&mut self) -> Vec<LogId> {
        self.spare_lists.pop().unwrap_or_default()
    }

    /// Gives a list back.
    pub(crate) fn give_list(&mut self, mut list: Vec<LogId>) {
        list.clear();
        if self.spare_lists.len() < 2 * GROUPS_INFLIGHT_MAX {
            self.spare_lists.push(list);
        }
    }

    /// A group's write is durable.
    pub(crate) fn complete(&mut self, seq: u64) {
        if let Some(group) = self.inflight.iter_mut().find(|group| group.seq == seq) {
            group.is_done = true;
        }
        while self.inflight.front().is_some_and(|group| group.is_done) {
            let Some(group) = self.inflight.pop_front() else {
                break;
            };
            assert!(
                group.seq == self.durable_seq + 1,
                "groups become durable in order"
            );
            self.durable_seq = group.seq;
            if group.is_substantial {
                self.substantial_seq = group.seq;
            }
            self.released.push_back(group.touched);
        }
    }

    /// The logs of the next group that became durable in order.
    pub(crate) fn pop_released(&mut self) -> Option<Vec<LogId>> {
        self.released.pop_front()
    }

    /// Whether something durable is newer than any witness on the device or on its way there.
    pub(crate) fn wants_witness(&self) -> bool {
        self.substantial_seq > self.witnessed_seq || !self.witnesses.is_empty()
    }

    /// Starts the wait for silence, if it is worth a group: for a witness, or for what the manifest recorded.
    pub(crate) fn rearm_seal(&mut self, now: Instant, manifest: Beside) {
        let silence = if self.wants_witness() {
            SEAL_AFTER
        } else if manifest > self.claimed && self.present_file().is_some() {
            CLAIM_AFTER
        } else {
            return;
        };
        let due = now.after(silence);
        self.seal_at = Some(self.seal_at.map_or(due, |at| at.min(due)));
    }

    /// Forgets the wait for silence, unless a witness is wanted.
    pub(crate) fn disarm_seal(&mut self) {
        if !self.wants_witness() {
            (self.seal_at, self.is_seal_due) = (None, false);
        }
    }
}
