//! Builds a core's directory the way a running store would leave it.

use bytes::{Bytes, BytesMut};
use model::batch::{BatchBuilder, BatchInfo, NewRecord, stamp_offset_epoch};
use model::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};

use crate::exec::manifest_open::{OpenManifest, choose, flat};
use crate::exec::recovered::{Recovered, RecoveredLog};
use crate::exec::{Disk, MemoryDisk, Severity, check, recover};
use crate::format::FLAG_END_KEPT;
use crate::format::ends::Ends;
use crate::format::frame::{Beside, Frame};
use crate::format::journal::{
    AppendEntry, GroupBuilder, JournalHeader, SegDurableEntry, topic_tag,
};
use crate::format::layout::{journal_path, segment_path};
use crate::format::manifest::Record;
use crate::format::segment::{FIRST_GROUP_POSITION, GroupHeader, GroupPayload, SegmentHeader};
use crate::format::{Uid, chain};
use crate::store::LogId;

pub(super) const SHARD: ShardId = ShardId::new(0);
pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const BLOCK: u64 = 4_096;
const JOURNAL_BYTES: u64 = 512 * 1024;
const SEGMENT_BYTES: u64 = 512 * 1024;

/// The log with this number.
pub(super) fn tp(number: u64) -> TopicPartition {
    let byte = u8::try_from(number).unwrap();
    TopicPartition {
        topic: TopicId::from_bytes([byte; 16]),
        partition: PartitionId::new(0),
    }
}

pub(super) fn offset(value: u64) -> Offset {
    Offset::new(value)
}

/// One stamped batch with the hash before it.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) info: BatchInfo,
    pub(super) chain_before: u64,
    pub(super) chain_after: u64,
}

/// What was appended to one log so far.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) log: LogId,
    pub(super) next: Offset,
    pub(super) chain: u64,
    pub(super) epoch: LeaderEpoch,
}

impl History {
    pub(super) fn new(number: u64) -> Self {
        Self {
            log: LogId(number),
            next: Offset::ZERO,
            chain: 0,
            epoch: LeaderEpoch::ZERO,
        }
    }

    /// The next batch, of `records` records that say `word`.
    pub(super) fn batch(&mut self, records: u32, word: &str) -> Batch {
        let mut builder = BatchBuilder::new(NOW);
        for _ in 0..records {
            builder
                .push(&NewRecord::value(NOW, word.as_bytes()))
                .unwrap();
        }
        self.stamp(builder.build())
    }

    pub(super) fn stamp(&mut self, mut bytes: BytesMut) -> Batch {
        stamp_offset_epoch(&mut bytes, self.next, self.epoch);
        let info = BatchInfo::parse(&bytes).unwrap();
        let chain_before = self.chain;
        self.chain = chain::extend_stamped(chain_before, &info);
        self.next = info.end_offset();
        Batch {
            bytes: bytes.freeze(),
            info,
            chain_before,
            chain_after: self.chain,
        }
    }
}

/// What a journal group holds.
pub(super) enum Put<'b> {
    Append(LogId, &'b [Batch]),
    Witness(SegDurableEntry),
}

/// The journal of one start.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) lineage: Uid,
    pub(super) file: Uid,
    pub(super) path: String,
    pub(super) number: u64,
    pub(super) position: u64,
    pub(super) next_seq: u64,
    pub(super) prev_hash: u64,
    /// What its groups say of the manifest.
    pub(super) beside: Beside,
    /// Where logs ended in the group before.
    ends: Vec<(LogId, Offset)>,
    /// Position of each group in its file, by sequence from 1.
    pub(super) positions: Vec<(String, u64)>,
}

/// One segment being written.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) uid: Uid,
    pub(super) log: LogId,
    pub(super) path: String,
    pub(super) base: Offset,
    pub(super) position: u64,
    pub(super) number: u64,
    pub(super) upto: Offset,
    chain: u64,
    pub(super) positions: Vec<u64>,
}

/// A core's directory.
#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: MemoryDisk,
    pub(super) manifest: OpenManifest,
}

impl World {
    /// A core with its first manifest.
    pub(super) fn new() -> Self {
        let mut disk = MemoryDisk::new();
        recover(&mut disk, SHARD, NOW).unwrap();
        Self::over(disk)
    }

    /// Goes on writing to a directory.
    pub(super) fn over(mut disk: MemoryDisk) -> Self {
        let chosen = choose(&disk, SHARD).unwrap();
        let manifest = OpenManifest::open(&mut disk, (SHARD, NOW), chosen).unwrap();
        Self { disk, manifest }
    }

    pub(super) fn record(&mut self, records: &[Record]) {
        self.manifest.append(&mut self.disk, records).unwrap();
    }

    pub(super) fn create_log(&mut self, number: u64) -> History {
        self.record(&[Record::LogCreate {
            log: LogId(number),
            tp: tp(number),
        }]);
        History::new(number)
    }

    pub(super) fn start_journal(&mut self, byte: u8) -> Journal {
        let mut journal = Journal {
            lineage: [byte; 16],
            file: [0; 16],
            path: String::new(),
            number: 0,
            position: BLOCK,
            next_seq: 1,
            prev_hash: 0,
            beside: Beside::default(),
            ends: Vec::new(),
            positions: Vec::new(),
        };
        self.journal_file(&mut journal, byte.wrapping_mul(16));
        journal
    }

    pub(super) fn roll_journal(&mut self, journal: &mut Journal) {
        journal.number += 1;
        let number = u8::try_from(journal.number).unwrap();
        let byte = journal.lineage[0].wrapping_mul(16).wrapping_add(number);
        self.journal_file(journal, byte);
    }

    fn journal_file(&mut self, journal: &mut Journal, byte: u8) {
        journal.file = [byte; 16];
        journal.path = journal_path(SHARD, &journal.file);
        journal.position = BLOCK;
        self.disk.create(&journal.path, JOURNAL_BYTES).unwrap();
        let header = JournalHeader {
            lineage: journal.lineage,
            file: journal.file,
            number: journal.number,
            first_seq: journal.next_seq,
            shard: SHARD,
            flags: FLAG_END_KEPT,
        };
        self.disk.write(&journal.path, 0, &header.encode()).unwrap();
        let (lineage, file, number) = (journal.lineage, journal.file, journal.number);
        self.record(&[Record::JournalAdd {
            lineage,
            file,
            number,
        }]);
    }

    /// Writes a group that says everything up to `durable_through` is durable, and where logs ended in the
    /// one before it.
    pub(super) fn group(&mut self, journal: &mut Journal, durable_through: u64, puts: &[Put<'_>]) {
        let mut builder = GroupBuilder::default();
        if journal.next_seq > 1 {
            builder.ends(&Ends {
                covers_from: journal.next_seq - 1,
                logs: std::mem::take(&mut journal.ends),
            });
        }
        for put in puts {
            journal.note_end(put);
            match put {
                Put::Witness(entry) => builder.seg_durable(entry),
                Put::Append(log, batches) => {
                    let (first, last) = (batches.first().unwrap(), batches.last().unwrap());
                    let entry = AppendEntry {
                        log: *log,
                        topic_tag: topic_tag(tp(log.0).topic),
                        generation: 0,
                        epoch: first.info.leader_epoch.unwrap(),
                        first: first.info.base_offset,
                        last: last.info.last_offset(),
                        chain_before: first.chain_before,
                        committed_floor: Offset::ZERO,
                        crc: 0,
                        batches: u32::try_from(batches.len()).unwrap(),
                    };
                    builder.append(&entry, batches.iter().map(|batch| batch.bytes.clone()));
                }
            }
        }
        let group = builder.finish(Frame {
            lineage: journal.lineage,
            seq: journal.next_seq,
            block: journal.position / BLOCK,
            durable_through,
            prev_hash: journal.prev_hash,
            count: 0,
            body_len: 0,
            flags: 0,
            beside: journal.beside,
        });
        self.disk
            .write(&journal.path, journal.position, &flat(&group))
            .unwrap();
        journal
            .positions
            .push((journal.path.clone(), journal.position));
        journal.position += u64::from(group.len);
        journal.next_seq += 1;
        journal.prev_hash = group.hash;
    }

    /// A group with one append that witnesses all groups before it.
    pub(super) fn append(&mut self, journal: &mut Journal, log: LogId, batches: &[Batch]) {
        let through = journal.next_seq - 1;
        self.group(journal, through, &[Put::Append(log, batches)]);
    }

    /// An empty group that witnesses all groups before it.
    pub(super) fn seal_journal(&mut self, journal: &mut Journal) {
        let through = journal.next_seq - 1;
        self.group(journal, through, &[]);
    }

    pub(super) fn add_segment(&mut self, history: &History, byte: u8) -> Segment {
        let (uid, log, base) = ([byte; 16], history.log, history.next);
        let path = segment_path(tp(log.0), base, &uid);
        self.disk.create(&path, SEGMENT_BYTES).unwrap();
        let header = SegmentHeader {
            uid,
            tp: tp(log.0),
            base,
            created_ms: NOW,
            log,
            flags: FLAG_END_KEPT,
        }
        .encode();
        self.disk.write(&path, 0, &header).unwrap();
        self.disk.write(&path, BLOCK, &header).unwrap();
        self.record(&[Record::SegmentAdd {
            log,
            uid,
            base,
            created_ms: NOW,
        }]);
        Segment {
            uid,
            log,
            path,
            base,
            position: FIRST_GROUP_POSITION,
            number: 0,
            upto: base,
            chain: history.chain,
            positions: Vec::new(),
        }
    }

    pub(super) fn segment_group(&mut self, segment: &mut Segment, batches: &[Batch]) {
        let (first, last) = (batches.first().unwrap(), batches.last().unwrap());
        let header = GroupHeader {
            segment: segment.uid,
            number: segment.number,
            block: segment.position / BLOCK,
            first: first.info.base_offset,
            last: last.info.last_offset(),
            first_epoch: first.info.leader_epoch.unwrap(),
            last_epoch: last.info.leader_epoch.unwrap(),
            batches: u32::try_from(batches.len()).unwrap(),
            payload_len: 0,
            chain_before: first.chain_before,
            chain_after: last.chain_after,
            max_timestamp: NOW,
        };
        let pieces = batches.iter().map(|batch| batch.bytes.clone()).collect();
        let group = header.encode(GroupPayload::of_batches(pieces));
        self.disk
            .write(&segment.path, segment.position, &flat(&group))
            .unwrap();
        segment.positions.push(segment.position);
        segment.position += u64::from(group.len);
        segment.number += 1;
        segment.upto = last.info.end_offset();
        segment.chain = last.chain_after;
    }

    pub(super) fn seal_segment(&mut self, segment: &Segment) {
        self.record(&[Record::SegmentSeal {
            log: segment.log,
            uid: segment.uid,
            valid_end: segment.position,
            upto: segment.upto,
            chain_after: segment.chain,
            max_timestamp: NOW,
            groups: segment.number,
        }]);
    }

    pub(super) fn recover(&mut self) -> Recovered {
        let recovered = recover(&mut self.disk, SHARD, NOW + 1).unwrap();
        check_promises(&recovered);
        recovered
    }
}

impl Journal {
    fn note_end(&mut self, put: &Put<'_>) {
        let Put::Append(log, [.., last]) = put else {
            return;
        };
        self.ends.retain(|(known, _)| known != log);
        self.ends.push((*log, last.info.end_offset()));
        self.ends.sort_unstable();
    }
}

impl Segment {
    /// The witness of the group written last.
    pub(super) fn witness(&self) -> SegDurableEntry {
        SegDurableEntry {
            log: self.log,
            segment: self.uid,
            group_seq: self.number - 1,
            last: offset(self.upto.get() - 1),
            place: None,
        }
    }
}

/// What every recovery promises, whatever it found.
pub(super) fn check_promises(recovered: &Recovered) {
    for log in &recovered.logs {
        let mut end = Offset::ZERO;
        for segment in &log.segments {
            assert!(
                segment.base >= end && segment.upto > segment.base,
                "segments rise"
            );
            end = segment.upto;
        }
        let mut next = log.tail_start();
        assert!(next >= end, "the tail follows the segments");
        let mut hash = log.tail_chain_before;
        for (bytes, info) in &log.tail {
            assert_eq!(BatchInfo::parse(bytes).unwrap(), *info);
            assert_eq!(info.base_offset, next, "the tail is contiguous");
            next = info.end_offset();
            hash = chain::extend_stamped(hash, info);
        }
        assert_eq!(next, log.log_end);
        assert_eq!(hash, log.chain, "the tail leads to the log's hash");
        assert!(log.log_start <= log.log_end);
    }
}

pub(super) fn log(recovered: &Recovered, number: u64) -> &RecoveredLog {
    recovered
        .logs
        .iter()
        .find(|log| log.id == LogId(number))
        .unwrap()
}

/// Whether the check calls a file of the core damaged. A directory that is built here has no superblock.
pub(super) fn is_core_damaged(world: &World) -> bool {
    let mut findings = check(&world.disk).findings.into_iter();
    findings
        .any(|finding| finding.severity == Severity::Damage && finding.file.starts_with("core-0"))
}

/// First offsets of the tail's batches.
pub(super) fn tail_bases(log: &RecoveredLog) -> Vec<u64> {
    log.tail
        .iter()
        .map(|(_, info)| info.base_offset.get())
        .collect()
}

pub(super) fn worst(recovered: &Recovered) -> Option<Severity> {
    recovered
        .report
        .findings
        .iter()
        .map(|finding| finding.severity)
        .max()
}

/// Holes as plain numbers.
pub(super) fn holes(log: &RecoveredLog) -> Vec<(u64, u64)> {
    log.holes
        .iter()
        .map(|hole| (hole.start.get(), hole.end.get()))
        .collect()
}
