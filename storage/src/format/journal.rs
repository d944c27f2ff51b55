//! Journal files: the header block and the entries of a group.
//!
//! Owns: the file header, entries, the body of a journal group.
//! Never: resolves local log ids; the manifest does.
//! Invariants: a body is the table of entries followed by their payloads, in the same order, back to back;
//! a lineage is one process start, its files are numbered from 0 and its groups from 1
//! across files, so (lineage order in the manifest, file number, position) orders everything.
//! Source: reliability.md 2.2, 2.4.

use bytes::{Bytes, BytesMut};
use model::batch::{JOINED_BYTES_MIN, crc_with_batch, joined_crc};
use model::ids::{ShardId, TopicId};
use model::limits::BLOCK_BYTES;
use model::offset::{LeaderEpoch, Offset};

use super::cursor::{Reader, Writer, check_kind, seal_in_place, unseal};
use super::ends::{self, Ends};
use super::frame::{DecodedGroup, EncodedGroup, Frame, FrameKind};
use super::segment::FIRST_GROUP_POSITION;
use super::{FORMAT_VERSION, FormatError, Uid};
use crate::io::pieces::Lists;
use crate::store::LogId;

const MAGIC: &[u8; 8] = b"RMQJRNAL";
const WHAT: &str = "journal file";
const ENTRY: &str = "journal entry";

/// Bytes of one entry in the table.
pub const ENTRY_BYTES: usize = 96;

/// Entries of one group at most.
pub const ENTRIES_MAX: usize = 1_000_000;

/// Block 0 of a journal file; groups start at block 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    /// The process start that writes it.
    pub lineage: Uid,
    /// This file.
    pub file: Uid,
    /// Number of the file in its lineage, from 0.
    pub number: u64,
    /// Sequence of the first group in it.
    pub first_seq: u64,
    /// The core.
    pub shard: ShardId,
    /// What the writer keeps to.
    pub flags: u32,
}

impl JournalHeader {
    /// The header block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(BLOCK_BYTES);
        self.encode_into(&mut writer);
        writer.finish()
    }

    /// As [`Self::encode`], in place of what a writer holds.
    pub fn encode_into(&self, writer: &mut Writer) {
        writer.clear();
        writer
            .bytes(MAGIC)
            .u32(FORMAT_VERSION)
            .u32(self.flags)
            .bytes(&self.lineage)
            .bytes(&self.file);
        writer
            .u64(self.number)
            .u64(self.first_seq)
            .u16(self.shard.get());
        seal_in_place(writer, BLOCK_BYTES);
    }

    /// Reads the header block.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        check_kind(bytes, MAGIC, WHAT)?;
        let mut fields = unseal(bytes, BLOCK_BYTES, WHAT)?;
        fields.bytes(12)?;
        let flags = fields.u32()?;
        Ok(Self {
            flags,
            lineage: fields.uid()?,
            file: fields.uid()?,
            number: fields.u64()?,
            first_seq: fields.u64()?,
            shard: ShardId::new(fields.u16()?),
        })
    }
}

/// Appended batches of one log, contiguous, one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendEntry {
    /// Which log.
    pub log: LogId,
    /// First 8 bytes of its topic id, so that an entry can be told apart without the manifest.
    pub topic_tag: u64,
    /// Truncation generation of the log; 0 on a single node.
    pub generation: u32,
    /// Leader epoch stamped into the batches.
    pub epoch: LeaderEpoch,
    /// First offset.
    pub first: Offset,
    /// Last offset.
    pub last: Offset,
    /// Chain hash before the first batch.
    pub chain_before: u64,
    /// Largest offset known committed when this was written; may lag.
    pub committed_floor: Offset,
    /// CRC32C of the payload.
    pub crc: u32,
    /// Number of batches.
    pub batches: u32,
}

/// A segment group became durable outside the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegDurableEntry {
    /// Which log.
    pub log: LogId,
    /// Which segment.
    pub segment: Uid,
    /// Groups of that segment with numbers up to this one are durable.
    pub group_seq: u64,
    /// Last offset of that group.
    pub last: Offset,
    /// Where that group lies; `None` from builds that did not say it.
    pub place: Option<GroupPlace>,
}

/// Where a durable segment group lies, and what a start that begins there does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// Position in the file, multiple of 4096.
    pub position: u64,
    /// Largest timestamp of the segment's groups up to this one, ms; -1 if none.
    pub max_timestamp: i64,
    /// Bytes of the longest of these groups, padding included.
    pub longest: u32,
    /// Whether the log had idempotent producers, whose state is in batches before this group.
    pub has_producers: bool,
}

/// Flag of a witness: the log had idempotent producers.
const FLAG_PRODUCERS: u32 = 1;

/// One entry of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Batches, verbatim.
    Append(AppendEntry, &'a [u8]),
    /// Witness of a segment.
    SegDurable(SegDurableEntry),
}

/// The tag of a topic.
#[must_use]
pub fn topic_tag(topic: TopicId) -> u64 {
    topic
        .as_bytes()
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Collects the entries of one group after the other; its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct GroupBuilder {
    header: Writer,
    table: Writer,
    /// Payload of the entry that says where logs ended.
    said: Writer,
    /// Header, table and that payload of the groups on their way.
    front: BytesMut,
    payloads: Vec<Bytes>,
    /// Lists of pieces of the groups on their way.
    lists: Lists,
    /// CRC32C of `payloads`, back to back.
    payloads_crc: u32,
    payloads_len: usize,
    count: u32,
    bytes: usize,
    /// Entries that say where logs ended: none or one.
    ends: u32,
}

impl GroupBuilder {
    /// Says where logs ended before this group.
    ///
    /// # Panics
    /// If it is not the first entry.
    pub fn ends(&mut self, ends: &Ends) {
        assert!(self.count == 0, "where logs ended is said first");
        let len = ends.payload_len();
        self.table.u8(ends::KIND).u8(0).u16(0);
        self.table.u32(u32::try_from(len).unwrap_or(u32::MAX));
        ends.encode(&mut self.table, &mut self.said);
        self.table.pad_to(ENTRY_BYTES);
        (self.count, self.ends) = (1, 1);
        self.bytes += ENTRY_BYTES + len;
    }

    /// Adds batches of one log, each a piece of its own; `entry.crc` is computed here, for long batches from their
    /// own CRC.
    pub fn append(&mut self, entry: &AppendEntry, payload: impl IntoIterator<Item = Bytes>) {
        let (mut crc, mut len) = (0, 0);
        for batch in payload {
            crc = crc_with_batch(crc, &batch);
            self.payloads_crc = crc_with_batch(self.payloads_crc, &batch);
            len += batch.len();
            self.payloads.push(batch);
        }
        self.payloads_len += len;
        let start = self.table.len();
        self.table
            .u8(1)
            .u8(0)
            .u16(0)
            .u32(u32::try_from(len).unwrap_or(u32::MAX));
        self.table
            .u64(entry.log.0)
            .u64(entry.topic_tag)
            .u32(entry.generation)
            .u32(entry.epoch.get());
        self.table
            .u64(entry.first.get())
            .u64(entry.last.get())
            .u64(entry.chain_before);
        self.table
            .u64(entry.committed_floor.get())
            .u32(crc)
            .u32(entry.batches);
        self.table.pad_to(start + ENTRY_BYTES);
        self.count += 1;
        self.bytes += ENTRY_BYTES + len;
    }

    /// Adds a witness.
    pub fn seg_durable(&mut self, entry: &SegDurableEntry) {
        let start = self.table.len();
        self.table
            .u8(2)
            .u8(0)
            .u16(0)
            .u32(0)
            .u64(entry.log.0)
            .bytes(&entry.segment);
        self.table.u64(entry.group_seq).u64(entry.last.get());
        if let Some(place) = &entry.place {
            self.table
                .u64(place.position)
                .i64(place.max_timestamp)
                .u32(place.longest)
                .u32(u32::from(place.has_producers) * FLAG_PRODUCERS);
        }
        self.table.pad_to(start + ENTRY_BYTES);
        self.count += 1;
        self.bytes += ENTRY_BYTES;
    }

    /// Whether neither append nor witness was added. Such a group is legal: it seals.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == self.ends
    }

    /// Bytes of the body so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.header.clear();
        self.table.clear();
        self.said.clear();
        self.payloads.clear();
        (self.payloads_crc, self.payloads_len) = (0, 0);
        (self.count, self.bytes, self.ends) = (0, 0, 0);
    }

    /// Puts header and body together, and is empty again; `count` and `body_len` of `frame` are set here.
    #[must_use]
    pub fn finish(&mut self, frame: Frame) -> EncodedGroup {
        let body_len = u32::try_from(self.bytes).unwrap_or(u32::MAX);
        let frame = Frame {
            count: self.count,
            body_len,
            flags: 0,
            ..frame
        };
        let (table, said) = (self.table.as_slice(), self.said.as_slice());
        let crc = crc32c::crc32c_append(crc32c::crc32c(table), said);
        let crc = match u32::try_from(self.payloads_len) {
            Ok(len) if self.payloads_len >= JOINED_BYTES_MIN => {
                joined_crc(crc, self.payloads_crc, len)
            }
            _ => self
                .payloads
                .iter()
                .fold(crc, |crc, batch| crc32c::crc32c_append(crc, batch)),
        };
        let (len, hash) = frame.write_header(FrameKind::Journal, crc, &mut self.header);
        for part in [self.header.as_slice(), table, said] {
            self.front.extend_from_slice(part);
        }
        let mut pieces = self.lists.list(self.payloads.len() + 1);
        pieces.push(self.front.split().freeze());
        pieces.extend(self.payloads.drain(..));
        self.clear();
        EncodedGroup { pieces, len, hash }
    }
}

/// What a decoded group says of where logs ended before it, if it does.
///
/// # Errors
/// As [`entries`].
pub fn ends(group: &DecodedGroup<'_>) -> Result<Option<Ends>, FormatError> {
    let mut body = Reader::new(group.body, ENTRY);
    let count = group.frame.count as usize;
    if count == 0 || count > ENTRIES_MAX {
        return Ok(None);
    }
    let mut table = Reader::new(body.bytes(count * ENTRY_BYTES)?, ENTRY);
    let mut row = Reader::new(table.bytes(ENTRY_BYTES)?, ENTRY);
    if row.u8()? != ends::KIND {
        return Ok(None);
    }
    row.bytes(3)?;
    let len = row.u32()? as usize;
    Ends::decode(&mut row, body.bytes(len)?).map(Some)
}

/// The appends and witnesses of a decoded group, each with its payload.
///
/// # Errors
/// `Truncated` or `Inconsistent`; the body's checksum was verified, so either is a writer's bug or foreign.
pub fn entries<'a>(group: &DecodedGroup<'a>) -> Result<Vec<Entry<'a>>, FormatError> {
    let count = group.frame.count as usize;
    if count > ENTRIES_MAX {
        return Err(FormatError::Inconsistent {
            what: ENTRY,
            why: "too many entries",
        });
    }
    let mut body = Reader::new(group.body, ENTRY);
    let mut table = Reader::new(body.bytes(count * ENTRY_BYTES)?, ENTRY);
    let mut found = Vec::with_capacity(count);
    for number in 0..count {
        let fields = Reader::new(table.bytes(ENTRY_BYTES)?, ENTRY);
        match entry(fields, &mut body)? {
            Some(entry) => found.push(entry),
            None if number == 0 => {}
            None => {
                let (what, why) = (ENTRY, "where logs ended is not said first");
                return Err(FormatError::Inconsistent { what, why });
            }
        }
    }
    if body.remaining() > 0 {
        return Err(FormatError::Inconsistent {
            what: ENTRY,
            why: "bytes after the last payload",
        });
    }
    Ok(found)
}

/// The next entry; `None` for the one that says where logs ended.
fn entry<'a>(
    mut fields: Reader<'a>,
    payloads: &mut Reader<'a>,
) -> Result<Option<Entry<'a>>, FormatError> {
    let kind = fields.u8()?;
    fields.bytes(3)?;
    let len = fields.u32()? as usize;
    match kind {
        1 => {
            let entry = AppendEntry {
                log: LogId(fields.u64()?),
                topic_tag: fields.u64()?,
                generation: fields.u32()?,
                epoch: LeaderEpoch::new(fields.u32()?),
                first: Offset::new(fields.u64()?),
                last: Offset::new(fields.u64()?),
                chain_before: fields.u64()?,
                committed_floor: Offset::new(fields.u64()?),
                crc: fields.u32()?,
                batches: fields.u32()?,
            };
            let payload = payloads.bytes(len)?;
            check_append(&entry, payload)?;
            Ok(Some(Entry::Append(entry, payload)))
        }
        2 => Ok(Some(Entry::SegDurable(SegDurableEntry {
            log: LogId(fields.u64()?),
            segment: fields.uid()?,
            group_seq: fields.u64()?,
            last: Offset::new(fields.u64()?),
            place: place(&mut fields)?,
        }))),
        ends::KIND => {
            Ends::decode(&mut fields, payloads.bytes(len)?)?;
            Ok(None)
        }
        _ => Err(FormatError::Inconsistent {
            what: ENTRY,
            why: "unknown kind",
        }),
    }
}

/// Where a witness says that a group lies; `None` if it says nothing, or what cannot be.
fn place(fields: &mut Reader<'_>) -> Result<Option<GroupPlace>, FormatError> {
    let place = GroupPlace {
        position: fields.u64()?,
        max_timestamp: fields.i64()?,
        longest: fields.u32()?,
        has_producers: fields.u32()? & FLAG_PRODUCERS != 0,
    };
    let is_block = place.position.is_multiple_of(BLOCK_BYTES as u64);
    let is_possible = is_block && place.position >= FIRST_GROUP_POSITION;
    Ok(is_possible.then_some(place))
}

fn check_append(entry: &AppendEntry, payload: &[u8]) -> Result<(), FormatError> {
    if entry.first > entry.last || entry.last > Offset::MAX || entry.batches == 0 {
        return Err(FormatError::Inconsistent {
            what: ENTRY,
            why: "offsets are impossible",
        });
    }
    if crc32c::crc32c(payload) != entry.crc {
        return Err(FormatError::BadChecksum { what: ENTRY });
    }
    Ok(())
}
