//! The manifest of one core: records in order, one group in flight, a new generation when it is full.
//!
//! Owns: record numbers, what is to happen once a record is durable, the manifest's files.
//! Never: knows what records mean.
//! Invariants: follow-ups run in record order, each after its record is durable; a generation is written
//! whole before the one before it is closed by `Switched`, and only then takes records; records that no
//! later group witnesses are followed by a seal, and a seal by nothing.
//! Source: reliability.md 2.2, 2.3 I5 to I8, 2.4.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use model::ids::ShardId;
use model::limits::BLOCK_BYTES;
use model::offset::Offset;
use model::time::Instant;

use super::LogId;
use super::journal::SEAL_AFTER;
use super::outbox::{Outbox, Purpose, SegmentAt};
use crate::format::cursor::Writer;
use crate::format::frame::{Beside, Frame};
use crate::format::layout::manifest_path;
use crate::format::manifest::{FLAG_CHECKPOINT_END, GroupWriter, ManifestHeader, Record};
use crate::format::{Uid, round_up};
use crate::io::{FileKey, FileOp, Pieces};

/// Records of one group at most.
const GROUP_RECORDS_MAX: usize = 4_096;

/// Time after which a journal that went on is named by a group of its own, if no record is written.
pub(crate) const CLAIM_AFTER: Duration = Duration::from_secs(1);

/// Upper bound of one encoded record.
const RECORD_BYTES_MAX: u64 = 96;

/// One block.
const BLOCK: u64 = BLOCK_BYTES as u64;

/// What follows when a record is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Groups may be written to the segment.
    SegmentReady(SegmentAt, FileKey),
    /// Groups may be written to the journal file.
    JournalPresent(FileKey),
    /// The journal file is free.
    JournalRetired(FileKey),
    /// Readers see the new log start.
    LogStart(LogId, Offset),
    /// These files are removed (I6).
    Remove(Vec<String>),
    /// Zeros behind the end of a sealed segment are given back.
    GiveBack(SegmentAt),
    /// The orderly stop is complete.
    Stopped,
}

/// The file that takes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestFile {
    pub(crate) key: FileKey,
    pub(crate) uid: Uid,
    pub(crate) generation: u64,
    pub(crate) len: u64,
    /// Where the next group goes.
    pub(crate) position: u64,
    pub(crate) next_seq: u64,
    pub(crate) durable_seq: u64,
    /// Newest durable group with records.
    pub(crate) record_seq: u64,
    /// Witness in the newest group written.
    pub(crate) witnessed_seq: u64,
    pub(crate) prev_hash: u64,
}

impl ManifestFile {
    /// Whether the newest records are witnessed by nothing on the device or on its way there.
    fn wants_seal(&self) -> bool {
        self.record_seq > self.witnessed_seq
    }

    /// Bytes for groups, leaving room for the last record, which names the next generation.
    fn room(&self) -> u64 {
        self.len.saturating_sub(self.position + BLOCK)
    }

    /// Encodes one group at the present position and moves on; gives where it goes and its length.
    fn encode<'a>(
        &mut self,
        writer: &mut GroupWriter,
        records: impl Iterator<Item = &'a Record>,
        (flags, beside): (u32, Beside),
    ) -> (u64, u32) {
        let frame = Frame {
            lineage: self.uid,
            seq: self.next_seq,
            block: self.position / BLOCK,
            durable_through: self.durable_seq,
            prev_hash: self.prev_hash,
            count: 0,
            body_len: 0,
            flags,
            beside,
        };
        let (len, hash) = writer.write(frame, records);
        let position = self.position;
        self.position += u64::from(len);
        assert!(
            self.position <= self.len,
            "groups stay inside the zeroed file"
        );
        self.next_seq += 1;
        self.prev_hash = hash;
        self.witnessed_seq = self.durable_seq;
        (position, len)
    }
}

/// The next generation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    /// None is needed.
    None,
    /// The file is being created.
    Creating(ManifestFile),
    /// It may be filled.
    Created(ManifestFile),
    /// Header and checkpoint are being written.
    Filling(ManifestFile),
    /// The present file is being closed in its favour.
    Switching(ManifestFile),
}

/// The manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    shard: ShardId,
    bytes_min: u64,
    file: ManifestFile,
    /// Whether the shell has it open.
    is_open: bool,
    successor: Successor,
    queue: VecDeque<Record>,
    /// Number of the newest record ever queued; records count from 1.
    newest_record: u64,
    durable_record: u64,
    /// Records covered by the write under way.
    inflight_record: Option<u64>,
    /// When silence is over.
    pub(crate) seal_at: Option<Instant>,
    pub(crate) is_seal_due: bool,
    thens: VecDeque<(u64, Then)>,
    ready: VecDeque<Then>,
    /// Generations up to this one were tried: a path is never used twice.
    tried: u64,
    /// Whether the device has room for another file.
    pub(crate) may_grow: bool,
    /// Whether the store stops: no file is prepared any more.
    pub(crate) is_ending: bool,
    /// What is durable of the journal.
    journal: Beside,
    /// Its newest durable group with data.
    journal_substantial: u64,
    /// What the newest group says of it.
    claimed: u64,
    /// Puts each group together.
    writer: GroupWriter,
}

impl Manifest {
    /// A manifest that goes on in `file`, which recovery began and the shell is opening.
    pub(crate) fn new(shard: ShardId, bytes_min: u64, file: ManifestFile) -> Self {
        Self {
            shard,
            bytes_min: bytes_min.max(4 * BLOCK),
            file,
            is_open: false,
            successor: Successor::None,
            queue: VecDeque::new(),
            newest_record: 0,
            durable_record: 0,
            inflight_record: None,
            seal_at: None,
            is_seal_due: false,
            thens: VecDeque::new(),
            ready: VecDeque::new(),
            tried: file.generation,
            may_grow: true,
            is_ending: false,
            journal: Beside::default(),
            journal_substantial: 0,
            claimed: 0,
            writer: GroupWriter::default(),
        }
    }

    /// Queues a record; gives its number.
    pub(crate) fn push(&mut self, record: Record) -> u64 {
        self.queue.push_back(record);
        self.newest_record += 1;
        self.newest_record
    }

    /// Queues a record and what follows once it is durable.
    pub(crate) fn push_then(&mut self, record: Record, then: Then) -> u64 {
        let number = self.push(record);
        self.thens.push_back((number, then));
        number
    }

    /// Every record up to this number is durable.
    pub(crate) fn durable_record(&self) -> u64 {
        self.durable_record
    }

    /// What is durable of it, for the journal's groups.
    pub(crate) fn beside(&self) -> Beside {
        Beside {
            of: self.file.generation,
            through: self.file.durable_seq,
        }
    }

    /// The newest durable group with records; nothing in an orderly stop.
    pub(crate) fn newest_record(&self) -> Beside {
        match self.is_ending {
            true => Beside::default(),
            false => Beside {
                of: self.file.generation,
                through: self.file.record_seq,
            },
        }
    }

    /// What is durable of the journal, and its newest group that is worth a claim of its own.
    pub(crate) fn note_journal(&mut self, journal: Beside, substantial: u64) {
        (self.journal, self.journal_substantial) = (journal, substantial);
    }

    /// What the next group says of the journal. In an orderly stop its files go in any order, so nothing then.
    fn claim(&mut self) -> Beside {
        let is_said = !self.is_ending;
        self.claimed = self.journal.through;
        if is_said {
            self.journal
        } else {
            Beside::default()
        }
    }

    /// Whether what no group says of the journal is worth one.
    fn wants_claim(&self) -> bool {
        let is_said = self.journal_substantial <= self.claimed || self.is_ending;
        !is_said && self.may_write() && self.queue.is_empty() && !self.is_filling_up()
    }

    /// Next follow-up that is due.
    pub(crate) fn poll_ready(&mut self) -> Option<Then> {
        self.ready.pop_front()
    }

    /// Whether a checkpoint of everything is to be taken now, with [`Self::fill`].
    pub(crate) fn wants_checkpoint(&self) -> bool {
        matches!(self.successor, Successor::Created(_))
            && self.is_filling_up()
            && self.is_open
            && self.inflight_record.is_none()
    }

    /// Starts a group of records, if that can be.
    pub(crate) fn seal(&mut self, outbox: &mut Outbox) {
        if self.may_write() {
            self.write_group(outbox);
        }
    }

    /// Whether the present file may take a group.
    fn may_write(&self) -> bool {
        let is_present = matches!(
            self.successor,
            Successor::None | Successor::Creating(_) | Successor::Created(_)
        );
        is_present && self.is_open && self.inflight_record.is_none()
    }

    /// Whether silence behind the newest records is to be sealed, and can be.
    pub(crate) fn wants_seal(&self) -> bool {
        let is_quiet = self.may_write() && self.queue.is_empty();
        is_quiet && self.file.wants_seal() && self.file.room() >= BLOCK
    }

    /// Writes the seal once it is due, or starts the wait for silence.
    pub(crate) fn keep_seal(&mut self, outbox: &mut Outbox, now: Instant) {
        let silence = match (self.wants_seal(), self.wants_claim()) {
            (true, _) => SEAL_AFTER,
            (false, true) => CLAIM_AFTER,
            (false, false) => {
                (self.seal_at, self.is_seal_due) = (None, false);
                return;
            }
        };
        if self.is_seal_due {
            self.is_seal_due = false;
            self.inflight_record = Some(self.durable_record);
            self.write_records(outbox, 0);
        } else {
            let due = now.after(silence);
            self.seal_at = Some(self.seal_at.map_or(due, |at| at.min(due)));
        }
    }

    /// Whether the next generation's file is to be created, with [`Self::create_successor`]. There is always
    /// one ahead: on a full device, room is made by records.
    pub(crate) fn wants_successor(&self) -> bool {
        let is_wanted = !self.is_ending || self.is_filling_up();
        self.successor == Successor::None && self.is_open && self.may_grow && is_wanted
    }

    fn is_filling_up(&self) -> bool {
        self.file.room() < self.file.len / 4
    }

    /// Creates the next generation's file, for a checkpoint of so many records.
    pub(crate) fn create_successor(&mut self, outbox: &mut Outbox, uid: Uid, records_now: u64) {
        let needed = 4 * (records_now * RECORD_BYTES_MAX + 4 * BLOCK);
        let len = needed.max(self.bytes_min).next_multiple_of(BLOCK);
        let generation = self.tried + 1;
        self.tried = generation;
        let key = outbox.file_key();
        let file = ManifestFile {
            key,
            uid,
            generation,
            len,
            position: BLOCK,
            next_seq: 1,
            durable_seq: 0,
            record_seq: 0,
            witnessed_seq: 0,
            prev_hash: 0,
        };
        self.successor = Successor::Creating(file);
        let path = manifest_path(self.shard, generation);
        outbox.file(
            Purpose::ManifestCreate(key),
            FileOp::Create {
                file: key,
                path,
                len,
                // It is written with the checkpoint.
                head: Bytes::new(),
            },
        );
    }

    /// Records that one more group may have.
    fn fitting(&self) -> usize {
        let fitting = self.file.room().saturating_sub(BLOCK) / RECORD_BYTES_MAX;
        usize::try_from(fitting).map_or(GROUP_RECORDS_MAX, |count| count.min(GROUP_RECORDS_MAX))
    }

    /// Whether records wait for another file, and none is on its way.
    pub(crate) fn is_stuck(&self) -> bool {
        let is_waiting = !self.queue.is_empty() && self.fitting() == 0;
        is_waiting && self.may_write() && self.successor == Successor::None
    }

    fn write_group(&mut self, outbox: &mut Outbox) {
        let count = self.queue.len().min(self.fitting());
        if count == 0 {
            return;
        }
        self.write_records(outbox, count);
        let waiting = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        self.inflight_record = Some(self.newest_record - waiting);
    }

    /// Writes so many of the oldest records in one group.
    fn write_records(&mut self, outbox: &mut Outbox, count: usize) {
        let claim = self.claim();
        let records = self.queue.iter().take(count);
        let (position, len) = self.file.encode(&mut self.writer, records, (0, claim));
        self.queue.drain(..count);
        self.issue(outbox, position, len);
    }

    /// Writes the group that was put together to the present file.
    fn issue(&self, outbox: &mut Outbox, position: u64, len: u32) {
        let group = outbox.draft(&self.writer.parts());
        let place = (self.file.key, position);
        outbox.write(
            Purpose::ManifestGroup,
            place,
            Pieces::from_iter([group]),
            len,
        );
    }

    /// The shell opened the file that recovery began.
    pub(crate) fn opened(&mut self) {
        self.is_open = true;
    }

    /// The next generation's file exists.
    pub(crate) fn created(&mut self) {
        match self.successor {
            Successor::Creating(file) => self.successor = Successor::Created(file),
            other => self.successor = other,
        }
    }

    /// The next generation's file could not be created; it is tried again when there is room.
    pub(crate) fn create_failed(&mut self, outbox: &mut Outbox) {
        if let Successor::Creating(file) = self.successor {
            let path = manifest_path(self.shard, file.generation);
            outbox.file(Purpose::Cleanup, FileOp::Remove { path });
        }
        self.successor = Successor::None;
    }

    /// Removes the next generation's file, which was not needed.
    pub(crate) fn drop_successor(&mut self, outbox: &mut Outbox) {
        if let Successor::Created(file) = self.successor {
            self.abandon(outbox, file);
        }
    }

    fn abandon(&mut self, outbox: &mut Outbox, file: ManifestFile) {
        outbox.file(Purpose::Cleanup, FileOp::Close { file: file.key });
        let path = manifest_path(self.shard, file.generation);
        outbox.file(Purpose::Cleanup, FileOp::Remove { path });
        self.successor = Successor::None;
    }

    /// Writes header and checkpoint of the next generation. `checkpoint` says everything that is true
    /// now, so records in the queue are part of it.
    pub(crate) fn fill(&mut self, outbox: &mut Outbox, checkpoint: &[Record]) {
        let Successor::Created(mut file) = self.successor else {
            return;
        };
        let needed = u64::try_from(checkpoint.len()).unwrap_or(u64::MAX) * RECORD_BYTES_MAX;
        if 2 * needed + 4 * BLOCK > file.len {
            // The world grew since the file was created: a larger one is needed.
            return self.abandon(outbox, file);
        }
        let header = ManifestHeader {
            uid: file.uid,
            generation: file.generation,
            shard: self.shard,
        };
        let groups = checkpoint.len().div_ceil(GROUP_RECORDS_MAX).max(1);
        let len = usize::try_from(needed).unwrap_or(usize::MAX);
        let mut whole = Writer::with_capacity(len + (1 + groups) * BLOCK_BYTES);
        header.encode_into(&mut whole);
        let claim = self.claim();
        for number in 0..groups {
            let rest = checkpoint.get(number * GROUP_RECORDS_MAX..).unwrap_or(&[]);
            let records = rest.get(..rest.len().min(GROUP_RECORDS_MAX)).unwrap_or(&[]);
            let is_last = number + 1 == groups;
            let flags = if is_last { FLAG_CHECKPOINT_END } else { 0 };
            file.encode(&mut self.writer, records.iter(), (flags, claim));
            for part in self.writer.parts() {
                whole.bytes(part);
            }
            // The next group starts on a block.
            whole.pad_to(round_up(whole.len()));
        }
        self.queue.clear();
        self.inflight_record = Some(self.newest_record);
        self.successor = Successor::Filling(file);
        let len = u32::try_from(file.position).unwrap_or(u32::MAX);
        let pieces = Pieces::from_iter([outbox.draft(&[whole.as_slice()])]);
        outbox.write(Purpose::ManifestHead(file.key), (file.key, 0), pieces, len);
    }

    /// Header and checkpoint are durable: the present file names its successor, or there was none.
    pub(crate) fn filled(&mut self, outbox: &mut Outbox) {
        let Successor::Filling(mut next) = self.successor else {
            return;
        };
        // The flag that ends the checkpoint witnesses it.
        next.durable_seq = next.next_seq - 1;
        let claim = self.claim();
        let record = Record::Switched {
            generation: next.generation,
        };
        let records = std::iter::once(&record);
        let (position, len) = self.file.encode(&mut self.writer, records, (0, claim));
        self.issue(outbox, position, len);
        self.successor = Successor::Switching(next);
    }

    /// The group under way is durable.
    pub(crate) fn written(&mut self, outbox: &mut Outbox) {
        if let Successor::Switching(next) = self.successor {
            let old = std::mem::replace(&mut self.file, next);
            outbox.file(Purpose::Cleanup, FileOp::Close { file: old.key });
            let path = manifest_path(self.shard, old.generation);
            outbox.file(Purpose::Cleanup, FileOp::Remove { path });
            self.successor = Successor::None;
        } else {
            let is_seal = self.inflight_record == Some(self.durable_record);
            self.file.durable_seq = self.file.next_seq - 1;
            if !is_seal {
                self.file.record_seq = self.file.durable_seq;
            }
        }
        self.finish_write();
    }

    fn finish_write(&mut self) {
        if let Some(number) = self.inflight_record.take() {
            assert!(
                number >= self.durable_record,
                "records become durable in order"
            );
            self.durable_record = number;
        }
        while self
            .thens
            .front()
            .is_some_and(|(number, _)| *number <= self.durable_record)
        {
            if let Some((_, then)) = self.thens.pop_front() {
                self.ready.push_back(then);
            }
        }
    }
}
