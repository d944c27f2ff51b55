//! Messages between voters, as bytes.
//!
//! Owns: the envelope, and which messages a peer may send at all.
//! Never: uses protobuf; hands the `raft` crate a message that would make it stop the process.
//! Invariants: every bound is checked before memory is taken; a message that does not read back is refused.
//! Source: reliability.md 1.12.

use bytes::Bytes;
use raft::eraftpb::{self, MessageType};

use crate::entry::{Entry, bounded, take_entries};
use crate::limits::{
    CONTEXT_BYTES_MAX, ENTRIES_MAX, INDEX_MAX, MESSAGE_BYTES_MAX, SNAPSHOT_BYTES_MAX, TERM_MAX,
    VOTERS_MAX,
};
use crate::snapshot::Snapshot;
use crate::wire::{DecodeError, Reader, Writer};

const MAGIC: u32 = u32::from_le_bytes(*b"RMQM");
const VERSION: u8 = 1;

/// Messages that travel, by their number on the wire. Proposals and leader transfers do not: they are calls on the
/// leader's own host, and the `raft` crate stops the process when it must pass a transfer on that has a term.
const KINDS: [(u8, MessageType); 11] = [
    (1, MessageType::MsgAppend),
    (2, MessageType::MsgAppendResponse),
    (3, MessageType::MsgRequestVote),
    (4, MessageType::MsgRequestVoteResponse),
    (5, MessageType::MsgSnapshot),
    (6, MessageType::MsgHeartbeat),
    (7, MessageType::MsgHeartbeatResponse),
    (8, MessageType::MsgRequestPreVote),
    (9, MessageType::MsgRequestPreVoteResponse),
    (10, MessageType::MsgTimeoutNow),
    (11, MessageType::MsgReadIndexResp),
];

/// Encodes a message; `None` for one that never travels (proposals are not forwarded).
#[must_use]
pub(crate) fn encode(message: &eraftpb::Message) -> Option<Bytes> {
    let kind = message.get_msg_type();
    let (number, _) = KINDS.iter().find(|(_, known)| *known == kind)?;
    let mut out = Writer::new();
    out.u32(MAGIC);
    out.u8(VERSION);
    out.u8(*number);
    for value in [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.request_snapshot,
        message.reject_hint,
    ] {
        out.u64(value);
    }
    out.flag(message.reject);
    out.bytes(&message.context);
    out.count(message.entries.len());
    message
        .entries
        .iter()
        .for_each(|entry| Entry::from_proto(entry).put(&mut out));
    put_snapshot(&mut out, message.get_snapshot());
    let mut bytes = out.into_vec();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Some(Bytes::from(bytes))
}

/// Decodes a message.
///
/// # Errors
/// The bytes are not a message, or break a bound.
pub(crate) fn decode(bytes: &[u8]) -> Result<eraftpb::Message, DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        let (len, limit) = (bytes.len() as u64, MESSAGE_BYTES_MAX as u64);
        return Err(DecodeError::TooLong {
            what: "message",
            len,
            limit,
        });
    }
    let body_bytes = bytes.len().checked_sub(4).ok_or(DecodeError::Truncated)?;
    let mut whole = Reader::new(bytes);
    let body = whole.raw(body_bytes)?;
    if whole.u32()? != crc32c::crc32c(body) {
        return Err(DecodeError::Checksum("message"));
    }
    let mut from = Reader::new(body);
    bounded(
        u64::from(from.u32()?),
        u64::from(MAGIC),
        u64::from(MAGIC),
        "magic",
    )?;
    let version = from.u8()?;
    let number = from.u8()?;
    let known = KINDS
        .iter()
        .find(|(known, _)| *known == number && version == VERSION);
    let Some((_, kind)) = known else {
        return Err(DecodeError::UnknownMandatory {
            kind: number,
            version,
        });
    };
    let message = take_fields(&mut from, *kind)?;
    from.end()?;
    Ok(message)
}

fn take_fields(from: &mut Reader<'_>, kind: MessageType) -> Result<eraftpb::Message, DecodeError> {
    let mut message = eraftpb::Message::default();
    message.set_msg_type(kind);
    message.to = bounded(from.u64()?, 1, u64::MAX, "receiver")?;
    message.from = bounded(from.u64()?, 1, u64::MAX, "sender")?;
    message.term = bounded(from.u64()?, 1, TERM_MAX, "term")?;
    message.log_term = bounded(from.u64()?, 0, TERM_MAX, "log term")?;
    message.index = bounded(from.u64()?, 0, INDEX_MAX, "index")?;
    message.commit = bounded(from.u64()?, 0, INDEX_MAX, "commit index")?;
    message.commit_term = bounded(from.u64()?, 0, TERM_MAX, "commit term")?;
    message.request_snapshot = bounded(from.u64()?, 0, INDEX_MAX, "snapshot request")?;
    message.reject_hint = bounded(from.u64()?, 0, INDEX_MAX, "reject hint")?;
    message.reject = from.flag()?;
    message.context = Bytes::copy_from_slice(from.bytes(CONTEXT_BYTES_MAX)?);
    check_log_term(&message)?;
    let count = from.count(crate::entry::ENTRY_HEADER_BYTES, ENTRIES_MAX)?;
    let entries = take_entries(from, count)?;
    check_entries(&message, &entries)?;
    message.set_entries(
        entries
            .iter()
            .map(Entry::to_proto)
            .collect::<Vec<_>>()
            .into(),
    );
    if let Some(snapshot) = take_snapshot(from)? {
        message.set_snapshot(to_proto(&snapshot));
    }
    let needs_snapshot = kind == MessageType::MsgSnapshot;
    match needs_snapshot == message.has_snapshot() {
        true => Ok(message),
        false => Err(DecodeError::Illegal {
            what: "snapshot in message",
            value: 0,
        }),
    }
}

/// Entries follow what the message says is before them, and are of no later term than its sender's.
fn check_entries(message: &eraftpb::Message, entries: &[Entry]) -> Result<(), DecodeError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(());
    };
    let is_append = message.get_msg_type() == MessageType::MsgAppend;
    let fits = is_append && first.index == message.index + 1 && last.term <= message.term;
    match fits && first.term >= message.log_term {
        true => Ok(()),
        false => Err(DecodeError::Illegal {
            what: "entries in message",
            value: first.index,
        }),
    }
}

fn put_snapshot(out: &mut Writer, snapshot: &eraftpb::Snapshot) {
    let meta = snapshot.get_metadata();
    out.flag(meta.index > 0);
    if meta.index > 0 {
        out.u64(meta.index);
        out.u64(meta.term);
        let voters = meta.get_conf_state().get_voters();
        out.count(voters.len());
        voters.iter().for_each(|voter| out.u64(*voter));
        out.bytes(&snapshot.data);
    }
}

fn take_snapshot(from: &mut Reader<'_>) -> Result<Option<Snapshot>, DecodeError> {
    if !from.flag()? {
        return Ok(None);
    }
    let index = bounded(from.u64()?, 1, INDEX_MAX, "snapshot index")?;
    let term = bounded(from.u64()?, 1, TERM_MAX, "snapshot term")?;
    let count = from.count(8, VOTERS_MAX)?;
    let voters = (0..count)
        .map(|_| from.u64())
        .collect::<Result<Vec<u64>, _>>()?;
    let data = Bytes::copy_from_slice(from.bytes(SNAPSHOT_BYTES_MAX)?);
    Ok(Some(Snapshot {
        index,
        term,
        voters,
        data,
    }))
}

/// A snapshot as the `raft` crate holds it.
pub(crate) fn to_proto(snapshot: &Snapshot) -> eraftpb::Snapshot {
    let mut proto = eraftpb::Snapshot {
        data: snapshot.data.clone(),
        ..eraftpb::Snapshot::default()
    };
    let meta = proto.mut_metadata();
    meta.index = snapshot.index;
    meta.term = snapshot.term;
    meta.mut_conf_state().set_voters(snapshot.voters.clone());
    proto
}

/// The reverse.
pub(crate) fn from_proto(proto: &eraftpb::Snapshot) -> Snapshot {
    let meta = proto.get_metadata();
    let mut voters = meta.get_conf_state().get_voters().to_vec();
    voters.sort_unstable();
    Snapshot {
        index: meta.index,
        term: meta.term,
        voters,
        data: proto.data.clone(),
    }
}

/// Index 0 stands for "before the first entry" and has term 0; nothing else has.
fn check_log_term(message: &eraftpb::Message) -> Result<(), DecodeError> {
    let is_append = message.get_msg_type() == MessageType::MsgAppend;
    if is_append && (message.index == 0) != (message.log_term == 0) {
        return Err(DecodeError::Illegal {
            what: "log term of message",
            value: message.log_term,
        });
    }
    Ok(())
}
