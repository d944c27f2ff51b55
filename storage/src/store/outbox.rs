//! I/O that waits to be carried out, and what each one under way is for.
//!
//! Owns: numbers of I/Os and files; the queue that `poll_io` drains.
//! Never: looks at outcomes.
//! Invariants: every I/O under way has exactly one purpose; numbers are never used twice.
//! Source: architecture.md section 5.

use std::collections::VecDeque;

use bytes::Bytes;
use model::map::FastMap;

use crate::io::pieces::Lists;
use crate::io::{FileKey, FileOp, HEAD_BYTES_MAX, Io, IoId, Pieces};
use crate::store::LogId;
use crate::store::arena::Drafts;

/// Names a segment while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentKey(pub(crate) u64);

/// A segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentAt {
    pub(crate) log: LogId,
    pub(crate) segment: SegmentKey,
}

/// What an I/O is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A journal file is created.
    JournalCreate(FileKey),
    /// A journal file gets its header.
    JournalHead(FileKey),
    /// A journal group with this sequence.
    JournalGroup(u64),
    /// The manifest file that recovery began is opened.
    ManifestOpen,
    /// A manifest file is created.
    ManifestCreate(FileKey),
    /// A manifest file gets its header and checkpoint.
    ManifestHead(FileKey),
    /// A group of manifest records.
    ManifestGroup,
    /// A segment file is created, with its header.
    SegmentCreate(SegmentAt),
    /// A group is written to it; the number is the group's in the segment.
    SegmentGroup(SegmentAt, FileKey, u64),
    /// It gets longer.
    SegmentExtend(SegmentAt, FileKey),
    /// It is opened again.
    SegmentOpen(SegmentAt),
    /// A read by its number.
    Read(u64),
    /// The index file of a sealed segment is loaded.
    IndexLoad(SegmentAt),
    /// Part of a sealed segment is read to rebuild its index.
    IndexScan(SegmentAt, FileKey),
    /// A derived file is written, which nothing depends on.
    Derived,
    /// A file is removed, cut to what is used, or closed, which nothing depends on.
    Cleanup,
    /// A segment of an earlier start is cut to what is used.
    GiveBack,
    /// Free space of the device.
    Space,
}

/// The queue of I/Os.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Io>,
    purposes: FastMap<u64, Purpose>,
    /// Writes in the order they were asked for; those that came back leave when they are the oldest.
    writes: VecDeque<IoId>,
    next_io: u64,
    next_file: u64,
    drafts: Drafts,
    lists: Lists,
}

impl Outbox {
    /// An empty list for so many pieces of one write.
    pub(crate) fn list(&mut self, count: usize) -> Pieces {
        self.lists.list(count)
    }

    /// Memory with these parts together, for one write.
    pub(crate) fn draft(&mut self, parts: &[&[u8]]) -> Bytes {
        self.drafts.copy(parts)
    }

    /// A key for a file that will be created or opened.
    pub(crate) fn file_key(&mut self) -> FileKey {
        let key = FileKey(self.next_file);
        self.next_file += 1;
        key
    }

    /// Queues a durable write.
    pub(crate) fn write(
        &mut self,
        purpose: Purpose,
        (file, position): (FileKey, u64),
        pieces: impl Into<Pieces>,
        len: u32,
    ) {
        assert!(position.is_multiple_of(4_096), "writes start at a block");
        assert!(
            len.is_multiple_of(4_096) && len > 0,
            "writes are whole blocks"
        );
        let pieces = pieces.into();
        debug_assert!(pieces.iter().map(Bytes::len).sum::<usize>() <= len as usize);
        let id = self.id(purpose);
        self.writes.push_back(id);
        self.queue.push_back(Io::Write {
            id,
            file,
            position,
            pieces,
            len,
        });
    }

    /// Queues a read.
    pub(crate) fn read(&mut self, purpose: Purpose, (file, position): (FileKey, u64), len: u32) {
        assert!(position.is_multiple_of(4_096), "reads start at a block");
        assert!(
            len.is_multiple_of(4_096) && len > 0,
            "reads are whole blocks"
        );
        let id = self.id(purpose);
        self.queue.push_back(Io::Read {
            id,
            file,
            position,
            len,
        });
    }

    /// Queues a file operation.
    pub(crate) fn file(&mut self, purpose: Purpose, op: FileOp) {
        if let FileOp::Create { len, head, .. } = &op {
            let head = head.len();
            assert!(
                head <= HEAD_BYTES_MAX && head as u64 <= *len,
                "a head of {head} bytes"
            );
        }
        let id = self.id(purpose);
        self.queue.push_back(Io::File { id, op });
    }

    /// Next I/O to carry out.
    pub(crate) fn poll(&mut self) -> Option<Io> {
        self.queue.pop_front()
    }

    /// What a completed I/O was for; `None` if it was never asked for or already completed.
    pub(crate) fn complete(&mut self, id: IoId) -> Option<Purpose> {
        let purpose = self.purposes.remove(&id.0);
        let purposes = &self.purposes;
        while self
            .writes
            .pop_front_if(|oldest| !purposes.contains_key(&oldest.0))
            .is_some()
        {}
        purpose
    }

    /// The write that is on its way for the longest time.
    pub(crate) fn oldest_write(&self) -> Option<IoId> {
        self.writes.front().copied()
    }

    /// I/Os asked for and not completed.
    pub(crate) fn under_way(&self) -> usize {
        self.purposes.len()
    }

    fn id(&mut self, purpose: Purpose) -> IoId {
        let id = IoId(self.next_io);
        self.next_io += 1;
        self.purposes.insert(id.0, purpose);
        id
    }
}
