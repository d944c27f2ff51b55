//! Every kind of bytes in the data directory.
//!
//! Owns: the promises of `storage::format` about arbitrary bytes.
//! Never: touches a disk.
//! Invariants: no panic; no kind is taken for another; what a header decodes to, it encodes to again.
//! Source: reliability.md 2.2, 4.3, I11.

use std::hint::black_box;

use bytes::Bytes;
use storage::format::frame::{Beside, Frame, FrameKind};
use storage::format::index_file::IndexFile;
use storage::format::journal::{self, JournalHeader};
use storage::format::manifest::{self, ManifestHeader};
use storage::format::segment::{GroupHeader, SegmentHeader};
use storage::format::snapshot::Snapshot;
use storage::format::superblock::Superblock;
use storage::format::{FormatError, Uid, layout};

/// The first byte chooses how the rest is presented: as it is, sealed, framed, in an envelope, or as a name.
///
/// # Panics
/// If a promise of `storage::format` is broken.
pub fn run(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    match choice % 8 {
        0 => everything(input),
        1 => everything(&sealed(input, 4_096)),
        2 => everything(&sealed(input, 128)),
        3 => framed(FrameKind::Journal, input),
        4 => framed(FrameKind::Manifest, input),
        5 => everything(&enveloped(*b"RMQINDEX", input)),
        6 => everything(&enveloped(*b"RMQPRODS", input)),
        _ => names(input),
    }
}

/// Hands the bytes to every decoder; at most one may take them.
fn everything(bytes: &[u8]) {
    let uid = bytes
        .get(8..24)
        .and_then(<[u8]>::first_chunk::<16>)
        .copied()
        .unwrap_or_default();
    let accepted = [
        Superblock::decode(bytes).is_ok(),
        JournalHeader::decode(bytes).is_ok(),
        ManifestHeader::decode(bytes).is_ok(),
        SegmentHeader::decode(bytes).is_ok(),
        IndexFile::decode(bytes).is_ok(),
        Snapshot::decode(bytes).is_ok(),
        group_of_segment(bytes, &uid),
        group(FrameKind::Journal, bytes),
        group(FrameKind::Manifest, bytes),
    ];
    let takers = accepted.iter().filter(|is_accepted| **is_accepted).count();
    assert!(
        takers <= 1,
        "bytes were taken for {takers} kinds at once: {accepted:?}"
    );
    black_box(SegmentHeader::decode_either(bytes).is_ok());
}

fn group_of_segment(bytes: &[u8], uid: &Uid) -> bool {
    let position =
        GroupHeader::peek(bytes).map_or(0, |(header, _)| header.block.wrapping_mul(4_096));
    let Ok(group) = GroupHeader::decode(bytes, uid, position) else {
        return false;
    };
    assert!(group.len <= bytes.len(), "a group lies inside the bytes");
    assert_eq!(group.payload.len(), group.header.payload_len as usize);
    true
}

fn group(kind: FrameKind, bytes: &[u8]) -> bool {
    black_box(Frame::peek(kind, bytes).is_ok());
    let Ok(group) = Frame::decode(kind, bytes) else {
        return false;
    };
    assert!(group.len <= bytes.len(), "a group lies inside the bytes");
    match kind {
        FrameKind::Journal => drop(journal::entries(&group)),
        FrameKind::Manifest => drop(manifest::records(&group)),
    }
    true
}

/// A group whose checksums are right around an arbitrary body.
fn framed(kind: FrameKind, input: &[u8]) {
    let Some((count, body)) = input.split_first_chunk::<2>() else {
        return;
    };
    let frame = Frame {
        lineage: [1; 16],
        seq: 5,
        block: 1,
        durable_through: 4,
        prev_hash: 9,
        count: u32::from(u16::from_le_bytes(*count)),
        body_len: u32::try_from(body.len()).expect("inputs are small"),
        flags: 0,
        beside: Beside::default(),
    };
    let encoded = frame.encode(kind, vec![Bytes::copy_from_slice(body)]);
    let mut bytes = encoded.pieces.concat();
    bytes.resize(encoded.len as usize, 0);
    assert!(group(kind, &bytes), "a frame that was encoded is accepted");
    assert!(matches!(
        Frame::decode(other(kind), &bytes),
        Err(FormatError::BadMagic { .. })
    ));
    if kind == FrameKind::Manifest {
        records_come_back(frame, &bytes);
    }
}

fn records_come_back(frame: Frame, bytes: &[u8]) {
    let group = Frame::decode(FrameKind::Manifest, bytes).expect("accepted before");
    let Ok(records) = manifest::records(&group) else {
        return;
    };
    let again = manifest::encode_group(frame, &records);
    let mut bytes = again.pieces.concat();
    bytes.resize(again.len as usize, 0);
    let group = Frame::decode(FrameKind::Manifest, &bytes).expect("an encoded group is accepted");
    assert_eq!(manifest::records(&group), Ok(records));
}

const fn other(kind: FrameKind) -> FrameKind {
    match kind {
        FrameKind::Journal => FrameKind::Manifest,
        FrameKind::Manifest => FrameKind::Journal,
    }
}

/// The input at a fixed length with its checksum in the last four bytes.
fn sealed(input: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    bytes.resize(bytes.len().max(len), 0);
    let crc = crc32c::crc32c(&bytes[..len - 4]);
    bytes[len - 4..len].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// An archive in the envelope of derived files.
fn enveloped(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn names(input: &[u8]) {
    let Ok(name) = std::str::from_utf8(input) else {
        return;
    };
    black_box((layout::parse_core_dir(name), layout::parse_journal(name)));
    black_box((layout::parse_manifest(name), layout::parse_snapshot(name)));
    black_box((
        layout::parse_segment(name, "log"),
        layout::parse_segment(name, ".log"),
    ));
    if let Some((topic, partition)) = name.split_once('/') {
        black_box(layout::parse_partition(topic, partition));
    }
}
