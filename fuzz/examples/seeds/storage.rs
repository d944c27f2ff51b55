//! Bytes of the data directory.

use bytes::Bytes;
use model::ids::{BrokerId, PartitionId, ShardId, TopicId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};
use storage::LogId;
use storage::format::cursor::Writer;
use storage::format::frame::{Beside, Frame, FrameKind};
use storage::format::index_file::{Entry, IndexFile};
use storage::format::journal::{
    AppendEntry, GroupBuilder, GroupPlace, JournalHeader, SegDurableEntry,
};
use storage::format::manifest::{ManifestHeader, Record};
use storage::format::segment::{GroupHeader, GroupPayload, SegmentHeader};
use storage::format::snapshot::{Batch, Producer, Snapshot};
use storage::format::superblock::Superblock;

use crate::{Seed, chosen};

fn tp() -> TopicPartition {
    TopicPartition {
        topic: TopicId::from_bytes([7; 16]),
        partition: PartitionId::new(3),
    }
}

/// The fields of a sealed block; padding and checksum are put back by the target.
fn fields(block: &[u8]) -> Vec<u8> {
    let (rest, _) = block
        .split_last_chunk::<4>()
        .expect("a block ends with its checksum");
    let end = rest
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    chosen(1, &rest[..end])
}

pub(crate) fn formats() -> Vec<Seed> {
    let mut seeds = vec![
        ("superblock".to_owned(), fields(&superblock().encode())),
        (
            "journal-header".to_owned(),
            fields(&journal_header().encode()),
        ),
        (
            "manifest-header".to_owned(),
            fields(
                &ManifestHeader {
                    uid: [2; 16],
                    generation: 4,
                    shard: ShardId::new(1),
                }
                .encode(),
            ),
        ),
        (
            "segment-header".to_owned(),
            fields(&segment_header().encode()),
        ),
        ("segment-group".to_owned(), chosen(0, &segment_group())),
        ("journal-body".to_owned(), chosen(3, &journal_body())),
        ("manifest-body".to_owned(), chosen(4, &manifest_body())),
    ];
    let index = index().encode().expect("a small index");
    let snapshot = snapshot().encode().expect("a small snapshot");
    // Behind magic, version, checksum and length.
    seeds.push(("index".to_owned(), chosen(5, &index[24..])));
    seeds.push(("snapshot".to_owned(), chosen(6, &snapshot[24..])));
    let name = storage::format::layout::segment_path(tp(), Offset::new(5), &[9; 16]);
    let file = name.rsplit('/').next().unwrap_or_default();
    seeds.push(("segment-name".to_owned(), chosen(7, file.as_bytes())));
    seeds
}

fn superblock() -> Superblock {
    Superblock {
        sequence: 3,
        disk: [1; 16],
        cluster: [2; 16],
        broker: BrokerId::new(1),
        shards: 2,
        created_ms: 1_700_000_000_000,
    }
}

fn journal_header() -> JournalHeader {
    JournalHeader {
        lineage: [4; 16],
        file: [5; 16],
        number: 1,
        first_seq: 9,
        shard: ShardId::new(1),
        flags: 1,
    }
}

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        uid: [6; 16],
        tp: tp(),
        base: Offset::new(40),
        created_ms: 1_700_000_000_000,
        log: LogId(3),
        flags: 1,
    }
}

fn segment_group() -> Vec<u8> {
    let header = GroupHeader {
        segment: [6; 16],
        number: 0,
        block: 2,
        first: Offset::new(40),
        last: Offset::new(41),
        first_epoch: LeaderEpoch::ZERO,
        last_epoch: LeaderEpoch::ZERO,
        batches: 1,
        payload_len: 0,
        chain_before: 1,
        chain_after: 2,
        max_timestamp: 1_700_000_000_000,
    };
    let group = header.encode(GroupPayload::gathered(Bytes::from_static(b"payload")));
    let mut bytes = group.pieces.concat();
    bytes.resize(group.len as usize, 0);
    bytes
}

fn frame() -> Frame {
    Frame {
        lineage: [1; 16],
        seq: 5,
        block: 1,
        durable_through: 4,
        prev_hash: 9,
        count: 0,
        body_len: 0,
        flags: 0,
        beside: Beside::default(),
    }
}

fn journal_body() -> Vec<u8> {
    let mut builder = GroupBuilder::default();
    let append = AppendEntry {
        log: LogId(3),
        topic_tag: 7,
        generation: 0,
        epoch: LeaderEpoch::ZERO,
        first: Offset::new(4),
        last: Offset::new(6),
        chain_before: 1,
        committed_floor: Offset::new(4),
        crc: 0,
        batches: 1,
    };
    builder.append(&append, [Bytes::from_static(b"batch")]);
    let witness = SegDurableEntry {
        log: LogId(3),
        segment: [6; 16],
        group_seq: 2,
        last: Offset::new(3),
        place: Some(GroupPlace {
            position: 12_288,
            max_timestamp: 5,
            longest: 4_096,
            has_producers: false,
        }),
    };
    builder.seg_durable(&witness);
    let group = builder.finish(frame()).pieces.concat();
    body_of(&group, 2)
}

fn manifest_body() -> Vec<u8> {
    let log = LogId(3);
    let (from, upto) = (Offset::new(1), Offset::new(2));
    let records = [
        Record::NextLog(log),
        Record::LogCreate { log, tp: tp() },
        Record::SegmentAdd {
            log,
            uid: [6; 16],
            base: from,
            created_ms: 5,
        },
        Record::SegmentSeal {
            log,
            uid: [6; 16],
            valid_end: 8_192,
            upto,
            chain_after: 1,
            max_timestamp: -1,
            groups: 1,
        },
        Record::SegmentRemove { log, uid: [6; 16] },
        Record::LogStart { log, offset: from },
        Record::EpochStart {
            log,
            epoch: LeaderEpoch::ZERO,
            start: from,
        },
        Record::JournalAdd {
            lineage: [4; 16],
            file: [5; 16],
            number: 0,
        },
        Record::JournalRetire { file: [5; 16] },
        Record::Damaged { log, from, upto },
        Record::Repaired { log, from, upto },
        Record::CleanStop { lineage: [4; 16] },
        Record::Started,
        Record::Switched { generation: 2 },
        Record::LogDrop(log),
    ];
    let mut body = Writer::with_capacity(512);
    records.iter().for_each(|record| record.encode(&mut body));
    let count = u16::try_from(records.len()).expect("few records");
    [count.to_le_bytes().as_slice(), body.as_slice()].concat()
}

/// Count and body of an encoded group, as the target takes them.
fn body_of(group: &[u8], count: u16) -> Vec<u8> {
    assert!(Frame::peek(FrameKind::Journal, group).is_ok());
    [
        count.to_le_bytes().as_slice(),
        &group[storage::format::frame::FRAME_BYTES..],
    ]
    .concat()
}

fn index() -> IndexFile {
    let entry = |base, position| Entry {
        base,
        position,
        max_timestamp: 9,
    };
    IndexFile {
        segment: [6; 16],
        end: 16_384,
        upto: 9,
        entries: vec![entry(1, 8_192), entry(5, 12_288)],
    }
}

fn snapshot() -> Snapshot {
    let batch = Batch {
        first_sequence: 0,
        last_sequence: 3,
        first_offset: 10,
        last_offset: 13,
        log_append_time: None,
    };
    let producer = Producer {
        id: 1_000,
        epoch: 0,
        last_used_ms: 5,
        batches: vec![batch],
    };
    Snapshot {
        log: 3,
        upto: 14,
        chain: 1,
        producers: vec![producer],
    }
}
