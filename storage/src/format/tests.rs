//! Every structure round-trips, and no altered byte passes.

use bytes::Bytes;
use model::ids::{BrokerId, PartitionId, ShardId, TopicId, TopicPartition};
use model::offset::{LeaderEpoch, Offset};

use super::frame::{Beside, Frame, FrameKind};
use super::index_file::{Entry as IndexEntry, Envelope, IndexFile};
use super::journal::{
    AppendEntry, Entry, GroupBuilder, GroupPlace, JournalHeader, SegDurableEntry, entries,
};
use super::manifest::{GroupWriter, ManifestHeader, Record, encode_group, records};
use super::segment::{GroupHeader, GroupPayload, SegmentHeader};
use super::snapshot::{Batch, Producer, Snapshot};
use super::superblock::Superblock;
use super::{FormatError, layout};
use crate::store::LogId;

fn tp() -> TopicPartition {
    TopicPartition {
        topic: TopicId::from_bytes([7; 16]),
        partition: PartitionId::new(3),
    }
}

fn flat(pieces: &[Bytes], len: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = pieces.concat();
    bytes.resize(len as usize, 0);
    bytes
}

/// Flips one bit in every byte in turn; each time `decode` must fail.
fn every_flip_fails(bytes: &[u8], decode: impl Fn(&[u8]) -> bool) {
    assert!(decode(bytes), "the original decodes");
    for index in 0..bytes.len() {
        let mut altered = bytes.to_vec();
        altered[index] ^= 1 << (index % 8);
        assert!(!decode(&altered), "byte {index} may not change unnoticed");
    }
}

fn every_cut_fails(bytes: &[u8], decode: impl Fn(&[u8]) -> bool) {
    for len in (0..bytes.len()).step_by(61) {
        assert!(!decode(&bytes[..len]), "cut to {len} bytes");
    }
}

fn superblock() -> Superblock {
    Superblock {
        sequence: 4,
        disk: [1; 16],
        cluster: [2; 16],
        broker: BrokerId::new(9),
        shards: 2,
        created_ms: 5,
    }
}

fn frame(kind_uid: u8) -> Frame {
    Frame {
        lineage: [kind_uid; 16],
        seq: 5,
        block: 1,
        durable_through: 3,
        prev_hash: 8,
        count: 0,
        body_len: 0,
        flags: 0,
        beside: Beside { of: 6, through: 7 },
    }
}

fn journal_group() -> Vec<u8> {
    let mut builder = GroupBuilder::default();
    let append = AppendEntry {
        log: LogId(3),
        topic_tag: journal_tag(),
        generation: 0,
        epoch: LeaderEpoch::new(2),
        first: Offset::new(10),
        last: Offset::new(12),
        chain_before: 77,
        committed_floor: Offset::new(9),
        crc: 0,
        batches: 1,
    };
    builder.append(
        &append,
        [Bytes::from_static(b"some "), Bytes::from_static(b"batches")],
    );
    builder.seg_durable(&SegDurableEntry {
        log: LogId(4),
        segment: [5; 16],
        group_seq: 6,
        last: Offset::new(7),
        place: Some(place()),
    });
    let group = builder.finish(frame(1));
    flat(&group.pieces, group.len)
}

fn place() -> GroupPlace {
    GroupPlace {
        position: 12_288,
        max_timestamp: 1_234,
        longest: 8_192,
        has_producers: true,
    }
}

fn journal_tag() -> u64 {
    super::journal::topic_tag(tp().topic)
}

fn segment_group() -> Vec<u8> {
    let header = GroupHeader {
        segment: [6; 16],
        number: 0,
        block: 2,
        first: Offset::new(1),
        last: Offset::new(4),
        first_epoch: LeaderEpoch::ZERO,
        last_epoch: LeaderEpoch::new(1),
        batches: 2,
        payload_len: 0,
        chain_before: 0,
        chain_after: 99,
        max_timestamp: 1_000,
    };
    let group = header.encode(GroupPayload::gathered(Bytes::from_static(b"payload")));
    flat(&group.pieces, group.len)
}

fn all_records() -> Vec<Record> {
    let (log, uid) = (LogId(1), [9; 16]);
    let (from, upto) = (Offset::new(1), Offset::new(2));
    vec![
        Record::NextLog(LogId(2)),
        Record::LogCreate { log, tp: tp() },
        Record::LogDrop(log),
        Record::SegmentAdd {
            log,
            uid,
            base: from,
            created_ms: -1,
        },
        Record::SegmentSeal {
            log,
            uid,
            valid_end: 8192,
            upto,
            chain_after: 3,
            max_timestamp: -1,
            groups: 4,
        },
        Record::SegmentRemove { log, uid },
        Record::LogStart { log, offset: upto },
        Record::EpochStart {
            log,
            epoch: LeaderEpoch::new(5),
            start: upto,
        },
        Record::JournalAdd {
            lineage: uid,
            file: [8; 16],
            number: 6,
        },
        Record::JournalRetire { file: uid },
        Record::Damaged { log, from, upto },
        Record::Repaired { log, from, upto },
        Record::CleanStop { lineage: uid },
        Record::Started,
        Record::Switched { generation: 7 },
    ]
}

#[test]
fn a_superblock_round_trips_and_no_altered_byte_passes() {
    let bytes = superblock().encode();
    assert_eq!(Superblock::decode(&bytes), Ok(superblock()));
    every_flip_fails(&bytes, |bytes| Superblock::decode(bytes).is_ok());
    every_cut_fails(&bytes, |bytes| Superblock::decode(bytes).is_ok());
}

#[test]
fn a_superblock_of_a_newer_format_names_its_version() {
    let mut bytes = superblock().encode();
    bytes[8] = 9;
    let error = Superblock::decode(&bytes);
    assert_eq!(
        error,
        Err(FormatError::NewerVersion {
            what: "superblock",
            found: 9
        })
    );
}

#[test]
fn file_headers_round_trip_and_no_altered_byte_passes() {
    let journal = JournalHeader {
        lineage: [1; 16],
        file: [2; 16],
        number: 3,
        first_seq: 4,
        shard: ShardId::new(1),
        flags: 1,
    };
    assert_eq!(JournalHeader::decode(&journal.encode()), Ok(journal));
    every_flip_fails(&journal.encode(), |bytes| {
        JournalHeader::decode(bytes).is_ok()
    });
    let manifest = ManifestHeader {
        uid: [1; 16],
        generation: 2,
        shard: ShardId::new(1),
    };
    assert_eq!(ManifestHeader::decode(&manifest.encode()), Ok(manifest));
    every_flip_fails(&manifest.encode(), |bytes| {
        ManifestHeader::decode(bytes).is_ok()
    });
    let segment = SegmentHeader {
        uid: [1; 16],
        tp: tp(),
        base: Offset::new(5),
        created_ms: 6,
        log: LogId(3),
        flags: 1,
    };
    assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
    every_flip_fails(&segment.encode(), |bytes| {
        SegmentHeader::decode(bytes).is_ok()
    });
}

#[test]
fn a_segment_header_survives_the_loss_of_either_copy() {
    let header = SegmentHeader {
        uid: [1; 16],
        tp: tp(),
        base: Offset::new(5),
        created_ms: 6,
        log: LogId(3),
        flags: 1,
    };
    let copy = header.encode();
    for lost in 0..2 {
        let mut both = [copy.clone(), copy.clone()].concat();
        both[lost * 4096..(lost + 1) * 4096].fill(0xff);
        assert_eq!(SegmentHeader::decode_either(&both), Ok(header));
    }
}

#[test]
fn a_place_where_no_group_can_be_is_none() {
    for position in [0, 4_096, 8_192 + 512] {
        let mut builder = GroupBuilder::default();
        builder.seg_durable(&SegDurableEntry {
            log: LogId(4),
            segment: [5; 16],
            group_seq: 6,
            last: Offset::new(7),
            place: Some(GroupPlace {
                position,
                ..place()
            }),
        });
        let group = builder.finish(frame(1));
        let bytes = flat(&group.pieces, group.len);
        let group = Frame::decode(FrameKind::Journal, &bytes).expect("group");
        let found = entries(&group).expect("entries");
        assert!(matches!(&found[0], Entry::SegDurable(entry) if entry.place.is_none()));
    }
}

#[test]
fn a_journal_group_round_trips_and_no_altered_byte_passes() {
    let bytes = journal_group();
    let group = Frame::decode(FrameKind::Journal, &bytes).expect("group");
    assert_eq!(
        (group.frame.seq, group.frame.count, group.len),
        (5, 2, 4096)
    );
    let found = entries(&group).expect("entries");
    assert!(matches!(&found[0], Entry::Append(entry, b"some batches") if entry.log == LogId(3)));
    assert!(matches!(&found[1], Entry::SegDurable(entry) if entry.group_seq == 6));
    assert!(matches!(&found[1], Entry::SegDurable(entry) if entry.place == Some(place())));
    every_flip_fails(&bytes, |bytes| {
        Frame::decode(FrameKind::Journal, bytes).is_ok()
    });
    every_cut_fails(&bytes, |bytes| {
        Frame::decode(FrameKind::Journal, bytes).is_ok()
    });
}

#[test]
fn groups_that_differ_anywhere_have_different_hashes() {
    let first = frame(2);
    let others = [
        Frame {
            lineage: [3; 16],
            ..first
        },
        Frame { seq: 6, ..first },
        Frame { block: 2, ..first },
        Frame {
            durable_through: 4,
            ..first
        },
        Frame {
            prev_hash: 9,
            ..first
        },
        Frame { flags: 1, ..first },
        Frame {
            beside: Beside::default(),
            ..first
        },
    ];
    let records = all_records();
    let mut hashes = vec![encode_group(first, &records).hash];
    hashes.extend(others.map(|other| encode_group(other, &records).hash));
    hashes.push(encode_group(first, &records[1..]).hash);
    hashes.push(encode_group(first, &[Record::Started]).hash);
    assert!(hashes.iter().all(|hash| *hash != 0));
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10);
}

#[test]
fn the_hash_of_a_group_is_the_one_that_its_reader_computes() {
    let group = encode_group(frame(2), &all_records());
    let bytes = flat(&group.pieces, group.len);
    let read = Frame::decode(FrameKind::Manifest, &bytes).expect("group");
    assert_eq!(read.hash, group.hash);
}

#[test]
fn a_segment_group_is_bound_to_its_file_and_position() {
    let bytes = segment_group();
    let group = GroupHeader::decode(&bytes, &[6; 16], 8192).expect("group");
    assert_eq!((group.payload, group.len), (&b"payload"[..], 4096));
    assert!(matches!(
        GroupHeader::decode(&bytes, &[5; 16], 8192),
        Err(FormatError::Misplaced { .. })
    ));
    assert!(matches!(
        GroupHeader::decode(&bytes, &[6; 16], 4096),
        Err(FormatError::Misplaced { .. })
    ));
    every_flip_fails(&bytes, |bytes| {
        GroupHeader::decode(bytes, &[6; 16], 8192).is_ok()
    });
}

#[test]
fn a_writer_of_groups_writes_each_as_if_it_were_the_first() {
    let mut writer = GroupWriter::default();
    for records in [all_records(), Vec::new(), vec![Record::Started]] {
        let group = encode_group(frame(2), &records);
        assert_eq!(
            writer.write(frame(2), records.iter()),
            (group.len, group.hash)
        );
        assert_eq!(writer.parts().concat(), group.pieces.concat());
    }
}

#[test]
fn every_manifest_record_round_trips() {
    let group = encode_group(frame(2), &all_records());
    let bytes = flat(&group.pieces, group.len);
    let decoded = Frame::decode(FrameKind::Manifest, &bytes).expect("group");
    assert_eq!(records(&decoded), Ok(all_records()));
    assert!(
        Frame::decode(FrameKind::Journal, &bytes).is_err(),
        "kinds do not mix"
    );
    every_flip_fails(&bytes, |bytes| {
        Frame::decode(FrameKind::Manifest, bytes).is_ok()
    });
}

#[test]
fn derived_files_round_trip_and_no_altered_byte_passes() {
    let entries = vec![IndexEntry {
        base: 1,
        position: 8192,
        max_timestamp: -1,
    }];
    let index = IndexFile {
        segment: [3; 16],
        end: 9,
        upto: 4,
        entries,
    };
    let bytes = index.encode().expect("index");
    assert_eq!(IndexFile::decode(&bytes), Ok(index));
    every_flip_fails(&bytes, |bytes| IndexFile::decode(bytes).is_ok());
    let batch = Batch {
        first_sequence: 0,
        last_sequence: 1,
        first_offset: 2,
        last_offset: 3,
        log_append_time: Some(4),
    };
    let producers = vec![Producer {
        id: 5,
        epoch: 6,
        last_used_ms: 7,
        batches: vec![batch; 5],
    }];
    let snapshot = Snapshot {
        log: 1,
        upto: 2,
        chain: 3,
        producers,
    };
    let bytes = snapshot.encode().expect("snapshot");
    assert_eq!(Snapshot::decode(&bytes), Ok(snapshot));
    every_flip_fails(&bytes, |bytes| Snapshot::decode(bytes).is_ok());
}

#[test]
fn derived_files_are_the_same_whatever_was_encoded_before() {
    let index = |count: u64| IndexFile {
        segment: [3; 16],
        end: 1 << 40,
        upto: 1 << 20,
        entries: (0..count)
            .map(|number| IndexEntry {
                base: number,
                position: number * 4_096,
                max_timestamp: -1,
            })
            .collect(),
    };
    let snapshot = Snapshot {
        log: 1,
        upto: 2,
        chain: 3,
        producers: Vec::new(),
    };
    let mut envelope = Envelope::default();
    for count in [100, 3, 20_000, 0] {
        index(count).encode_into(&mut envelope).expect("index");
        let bytes = envelope.parts().concat();
        assert_eq!(bytes, index(count).encode().expect("index"));
        snapshot.encode_into(&mut envelope).expect("snapshot");
        assert_eq!(
            envelope.parts().concat(),
            snapshot.encode().expect("snapshot")
        );
        envelope.trim();
    }
}

#[test]
fn an_envelope_gives_back_what_an_unusual_file_needed() {
    let mut envelope = Envelope::default();
    let index = IndexFile {
        segment: [3; 16],
        end: 1 << 40,
        upto: 1 << 20,
        entries: Vec::new(),
    };
    index.encode_into(&mut envelope).expect("index");
    envelope.trim();
    assert!(!envelope.parts()[1].is_empty(), "little is kept");
    let producers = (0..4_096).map(|id| Producer {
        id,
        epoch: 6,
        last_used_ms: 7,
        batches: Vec::new(),
    });
    let snapshot = Snapshot {
        log: 1,
        upto: 2,
        chain: 3,
        producers: producers.collect(),
    };
    snapshot.encode_into(&mut envelope).expect("snapshot");
    assert!(envelope.parts()[1].len() > 128 * 1024);
    envelope.trim();
    assert!(envelope.parts()[1].is_empty(), "much is given back");
}

#[test]
fn paths_are_read_as_they_are_made() {
    let (uid, base) = ([0xab; 16], Offset::new(42));
    let path = layout::segment_path(tp(), base, &uid);
    let mut parts = path.rsplit('/');
    assert_eq!(
        layout::parse_segment(parts.next().expect("name"), "seg"),
        Some((base, uid))
    );
    let (partition, topic) = (
        parts.next().expect("partition"),
        parts.next().expect("topic"),
    );
    assert_eq!(layout::parse_partition(topic, partition), Some(tp()));
    assert_eq!(
        layout::parse_manifest("manifest.00000000000000000007"),
        Some(7)
    );
    assert_eq!(layout::parse_core_dir("core-1"), Some(ShardId::new(1)));
    assert_eq!(layout::parse_journal("zz.j"), None);
}
