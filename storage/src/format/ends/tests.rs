//! Where logs ended, through a journal group and back.

use bytes::Bytes;
use model::offset::{LeaderEpoch, Offset};

use super::Ends;
use crate::format::FormatError;
use crate::format::frame::{Beside, Frame, FrameKind};
use crate::format::journal::{
    AppendEntry, ENTRY_BYTES, Entry, GroupBuilder, SegDurableEntry, ends, entries,
};
use crate::store::LogId;

fn known() -> Ends {
    Ends {
        covers_from: 4,
        logs: vec![
            (LogId(3), Offset::new(10)),
            (LogId(9), Offset::new(1 << 40)),
        ],
    }
}

fn frame() -> Frame {
    Frame {
        lineage: [1; 16],
        seq: 7,
        block: 1,
        durable_through: 6,
        prev_hash: 8,
        count: 0,
        body_len: 0,
        flags: 0,
        beside: Beside::default(),
    }
}

fn witness() -> SegDurableEntry {
    SegDurableEntry {
        log: LogId(3),
        segment: [4; 16],
        group_seq: 2,
        last: Offset::new(9),
        place: None,
    }
}

fn append() -> AppendEntry {
    AppendEntry {
        log: LogId(3),
        topic_tag: 1,
        generation: 0,
        epoch: LeaderEpoch::new(2),
        first: Offset::new(10),
        last: Offset::new(10),
        chain_before: 77,
        committed_floor: Offset::new(9),
        crc: 0,
        batches: 1,
    }
}

fn bytes_of(mut builder: GroupBuilder) -> Vec<u8> {
    let group = builder.finish(frame());
    let mut bytes = group.pieces.concat();
    bytes.resize(group.len as usize, 0);
    bytes
}

/// Makes header and checksums good again after the body was altered.
fn sealed_again(bytes: &[u8]) -> Vec<u8> {
    let (found, _) = Frame::peek(FrameKind::Journal, bytes).unwrap();
    let body = bytes[128..128 + found.body_len as usize].to_vec();
    let group = found.encode(FrameKind::Journal, vec![Bytes::from(body)]);
    let mut bytes = group.pieces.concat();
    bytes.resize(group.len as usize, 0);
    bytes
}

#[test]
fn ends_come_first_and_do_not_show_among_the_entries() {
    let mut builder = GroupBuilder::default();
    builder.ends(&known());
    assert!(builder.is_empty(), "a seal says where logs ended, too");
    builder.append(&append(), [Bytes::from_static(b"batch")]);
    builder.seg_durable(&witness());
    assert!(!builder.is_empty());
    assert_eq!(builder.bytes(), 3 * ENTRY_BYTES + 2 * 16 + 5);
    let bytes = bytes_of(builder);
    let group = Frame::decode(FrameKind::Journal, &bytes).unwrap();
    assert_eq!(ends(&group), Ok(Some(known())));
    let found = entries(&group).unwrap();
    assert!(matches!(found[0], Entry::Append(entry, b"batch") if entry.log == LogId(3)));
    assert_eq!(found[1], Entry::SegDurable(witness()));
    assert_eq!(found.len(), 2);
}

#[test]
fn a_group_without_them_says_nothing() {
    let mut builder = GroupBuilder::default();
    builder.seg_durable(&witness());
    for builder in [builder, GroupBuilder::default()] {
        let bytes = bytes_of(builder);
        let group = Frame::decode(FrameKind::Journal, &bytes).unwrap();
        assert_eq!(ends(&group), Ok(None));
    }
}

#[test]
fn no_altered_byte_is_believed_even_if_the_group_vouches_for_it() {
    let mut builder = GroupBuilder::default();
    builder.ends(&known());
    let bytes = bytes_of(builder);
    let body = 128..128 + ENTRY_BYTES + 2 * 16;
    for at in body {
        let mut altered = bytes.clone();
        altered[at] ^= 0x40;
        let altered = sealed_again(&altered);
        let group = Frame::decode(FrameKind::Journal, &altered).unwrap();
        let is_in_reserve = (129..132).contains(&at) || (148..224).contains(&at);
        let is_covers_from = (136..144).contains(&at);
        let said = ends(&group).ok().flatten();
        assert!(
            said != Some(known()) || is_in_reserve,
            "byte {at} changes nothing"
        );
        assert!(
            said.is_none_or(|said| said.logs == known().logs),
            "byte {at} gives other logs"
        );
        assert!(entries(&group).is_err() || is_in_reserve || is_covers_from);
    }
}

#[test]
fn logs_out_of_order_and_ends_behind_an_entry_are_refused() {
    for logs in [
        vec![(LogId(3), Offset::ZERO), (LogId(3), Offset::ZERO)],
        vec![(LogId(4), Offset::ZERO), (LogId(3), Offset::ZERO)],
    ] {
        let mut builder = GroupBuilder::default();
        builder.ends(&Ends {
            covers_from: 1,
            logs,
        });
        let bytes = bytes_of(builder);
        let group = Frame::decode(FrameKind::Journal, &bytes).unwrap();
        assert!(matches!(
            ends(&group),
            Err(FormatError::Inconsistent { .. })
        ));
    }
    let mut first = GroupBuilder::default();
    first.ends(&Ends {
        covers_from: 1,
        logs: Vec::new(),
    });
    first.seg_durable(&witness());
    let mut bytes = bytes_of(first);
    let (row, other) = bytes[128..128 + 2 * ENTRY_BYTES].split_at_mut(ENTRY_BYTES);
    row.swap_with_slice(other);
    let bytes = sealed_again(&bytes);
    let group = Frame::decode(FrameKind::Journal, &bytes).unwrap();
    assert_eq!(ends(&group), Ok(None));
    assert!(matches!(
        entries(&group),
        Err(FormatError::Inconsistent { .. })
    ));
}

#[test]
fn lengths_beyond_the_group_are_refused_before_anything_is_allocated() {
    let mut builder = GroupBuilder::default();
    builder.ends(&known());
    let mut bytes = bytes_of(builder);
    bytes[132..136].copy_from_slice(&u32::MAX.to_le_bytes());
    let bytes = sealed_again(&bytes);
    let group = Frame::decode(FrameKind::Journal, &bytes).unwrap();
    assert!(ends(&group).is_err());
    assert!(entries(&group).is_err());
}
