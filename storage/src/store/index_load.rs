//! Indexes of sealed segments that are not in memory: loaded from their file, or rebuilt from the segment.
//!
//! Owns: loads and scans under way, and how many sealed indexes stay in memory.
//! Never: believes an index file that names another segment or end (I9).
//! Invariants: a scan reads forward only, in bounded steps, no more than a few at once, and looks at the headers of groups only.
//! Source: reliability.md I9, kafka.md 3.3.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::limits::BLOCK_BYTES;
use model::offset::Offset;

use super::Store;
use super::outbox::{Purpose, SegmentAt};
use crate::format::index_file::{FILE_BYTES_MAX, IndexFile};
use crate::format::layout::index_path;
use crate::format::segment::{FIRST_GROUP_POSITION, GroupHeader};
use crate::io::{FileOp, IoOutcome};
use crate::log::index::{IndexEntry, IndexedGroup, SparseIndex};
use crate::log::segment::Segment;

/// Entries of sealed segments' indexes in memory, all logs together.
const ENTRIES_MAX: usize = 256 * 1024;

/// Bytes of one step of a scan at most and at least. Only headers are wanted: where groups are long, short steps read
/// little else.
const STEP_BYTES_MAX: u64 = 1 << 20;
const STEP_BYTES_MIN: u64 = 16 << 10;

/// Scans that read at once, over all logs.
const READING_MAX: usize = 16;

/// An index being rebuilt.
#[derive(Debug)]
struct Scan {
    index: SparseIndex,
    position: u64,
    step: u64,
    is_reading: bool,
    is_waiting: bool,
}

/// Loads, scans and what they left in memory.
#[derive(Debug, Default)]
pub(crate) struct IndexLoads {
    scans: BTreeMap<SegmentAt, Scan>,
    /// How many of them read.
    reading: usize,
    /// Those that wait until fewer do.
    waiting: VecDeque<SegmentAt>,
    loaded: VecDeque<(SegmentAt, usize)>,
    entries: usize,
}

impl Store {
    /// Starts bringing a sealed segment's index into memory.
    pub(super) fn load_index(&mut self, at: SegmentAt) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let partition = log.partition;
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        if segment.is_index_loading || segment.index.is_some() {
            return;
        }
        segment.is_index_loading = true;
        let path = index_path(partition, segment.base, &segment.uid);
        let op = FileOp::Load {
            path,
            len_max: FILE_BYTES_MAX,
        };
        self.outbox.file(Purpose::IndexLoad(at), op);
    }

    /// An index file came, or there is none.
    pub(super) fn index_loaded(&mut self, at: SegmentAt, outcome: &IoOutcome) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        let bytes = match outcome {
            IoOutcome::Bytes(bytes) => bytes.clone(),
            IoOutcome::Written | IoOutcome::Done { .. } => Bytes::new(),
            IoOutcome::Space { .. } | IoOutcome::Failed(_) => Bytes::new(),
        };
        match believe(segment, &bytes) {
            Some(index) => self.install_index(at, index),
            None => {
                let index = SparseIndex::new(segment.base, FIRST_GROUP_POSITION);
                let position = FIRST_GROUP_POSITION;
                let scan = Scan {
                    index,
                    position,
                    step: STEP_BYTES_MAX,
                    is_reading: false,
                    is_waiting: false,
                };
                self.index_loads.scans.insert(at, scan);
                self.continue_scan(at);
            }
        }
    }

    /// Reads the next part of a segment whose index is rebuilt.
    pub(super) fn continue_scan(&mut self, at: SegmentAt) {
        let Some(scan) = self.index_loads.scans.get_mut(&at) else {
            return;
        };
        let segment = self
            .logs
            .get(&at.log)
            .and_then(|log| log.segment(at.segment));
        let Some(segment) = segment else {
            self.index_loads.scans.remove(&at);
            return;
        };
        if scan.is_reading {
            return;
        }
        if scan.position >= segment.end {
            return self.finish_scan(at);
        }
        let Some(file) = segment.file else {
            return self.open_segment(at);
        };
        if self.index_loads.reading >= READING_MAX {
            // Reads that begin ask again and again.
            if !scan.is_waiting {
                scan.is_waiting = true;
                self.index_loads.waiting.push_back(at);
            }
            return;
        }
        self.index_loads.reading += 1;
        scan.is_waiting = false;
        scan.is_reading = true;
        let len = scan.step.min(segment.end - scan.position);
        let len = u32::try_from(len).unwrap_or(u32::MAX - u32::MAX % 4_096);
        let position = scan.position;
        self.open_files.begin_use(file);
        self.outbox
            .read(Purpose::IndexScan(at, file), (file, position), len);
    }

    /// A part of the segment came.
    pub(super) fn index_scanned(&mut self, at: SegmentAt, outcome: &IoOutcome) {
        self.index_loads.reading -= 1;
        self.take_scanned(at, outcome);
        while self.index_loads.reading < READING_MAX {
            let Some(next) = self.index_loads.waiting.pop_front() else {
                return;
            };
            if let Some(scan) = self.index_loads.scans.get_mut(&next) {
                scan.is_waiting = false;
            }
            self.continue_scan(next);
        }
    }

    fn take_scanned(&mut self, at: SegmentAt, outcome: &IoOutcome) {
        let segment = self
            .logs
            .get(&at.log)
            .and_then(|log| log.segment(at.segment));
        let (Some(scan), Some(segment)) = (self.index_loads.scans.get_mut(&at), segment) else {
            self.index_loads.scans.remove(&at);
            return;
        };
        scan.is_reading = false;
        match outcome {
            IoOutcome::Bytes(bytes) if !bytes.is_empty() => scan.take(segment, bytes),
            IoOutcome::Bytes(_) | IoOutcome::Written | IoOutcome::Done { .. } => {
                scan.position = segment.end;
            }
            // What cannot be read has no index; readers find the hole when they come there.
            IoOutcome::Space { .. } | IoOutcome::Failed(_) => {
                scan.position += scan.step.max(BLOCK_BYTES as u64);
            }
        }
        self.continue_scan(at);
    }

    fn finish_scan(&mut self, at: SegmentAt) {
        if let Some(scan) = self.index_loads.scans.remove(&at) {
            self.install_index(at, scan.index);
            self.store_index(at);
        }
    }

    /// Forgets a scan whose segment cannot be opened.
    pub(super) fn drop_scan(&mut self, at: SegmentAt) {
        self.index_loads.scans.remove(&at);
    }

    fn install_index(&mut self, at: SegmentAt, index: SparseIndex) {
        let Some(log) = self.logs.get_mut(&at.log) else {
            return;
        };
        let Some(segment) = log.segment_mut(at.segment) else {
            return;
        };
        let entries = index.entries().len();
        segment.is_index_loading = false;
        segment.index = Some(index);
        self.account_index(at, entries);
        self.emit_readable(at.log);
    }

    /// A sealed segment's index is in memory; older ones make room.
    pub(super) fn account_index(&mut self, at: SegmentAt, entries: usize) {
        self.index_loads.entries += entries;
        self.index_loads.loaded.push_back((at, entries));
        while self.index_loads.entries > ENTRIES_MAX && self.index_loads.loaded.len() > 1 {
            let Some((old, entries)) = self.index_loads.loaded.pop_front() else {
                return;
            };
            self.index_loads.entries -= entries;
            let segment = self
                .logs
                .get_mut(&old.log)
                .and_then(|log| log.segment_mut(old.segment));
            if let Some(segment) = segment {
                segment.index = None;
            }
        }
    }
}

impl Scan {
    /// Takes every whole group of the part that was read.
    fn take(&mut self, segment: &Segment, bytes: &Bytes) {
        let (mut at, mut groups) = (0, 0_u64);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let position = self.position + at as u64;
            match GroupHeader::peek(rest) {
                Ok((header, len)) if is_in_place(segment, &header, position) => {
                    if self.index.upto() <= header.first && position >= self.index.end() {
                        self.index.push(IndexedGroup {
                            base: header.first,
                            upto: header.last.next(),
                            position,
                            end: position + len as u64,
                            max_timestamp: header.max_timestamp,
                        });
                    }
                    at += len;
                    groups += 1;
                }
                Ok(_) | Err(_) => at += BLOCK_BYTES,
            }
        }
        self.position += at as u64;
        let is_long = groups > 0 && at as u64 / groups >= 4 * STEP_BYTES_MIN;
        self.step = if is_long {
            STEP_BYTES_MIN
        } else {
            STEP_BYTES_MAX
        };
    }
}

fn is_in_place(segment: &Segment, header: &GroupHeader, position: u64) -> bool {
    header.segment == segment.uid
        && header.block.checked_mul(BLOCK_BYTES as u64) == Some(position)
        && header.last < segment.upto
}

/// The index in a file, if it describes exactly this segment.
fn believe(segment: &Segment, bytes: &[u8]) -> Option<SparseIndex> {
    let file = IndexFile::decode(bytes).ok()?;
    let is_of =
        file.segment == segment.uid && file.end == segment.end && file.upto == segment.upto.get();
    if !is_of {
        return None;
    }
    let entries = file.entries.iter().map(|entry| IndexEntry {
        base: Offset::new(entry.base),
        position: entry.position,
        max_timestamp: entry.max_timestamp,
    });
    SparseIndex::from_entries(entries.collect(), segment.upto, segment.end)
}
