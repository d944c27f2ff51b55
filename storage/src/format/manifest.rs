//! The manifest: which logs, segments and journal files exist, and how far each is valid.
//!
//! Owns: the file header and the records.
//! Never: holds records of clients.
//! Invariants: a file is a header block, then groups ([`super::frame`], kind `Manifest`, lineage = file uid)
//! of records. Its first groups carry a checkpoint of everything; the group with [`FLAG_CHECKPOINT_END`]
//! ends it. Only then the older generation gets `Switched` as its last record, durable before the new
//! file takes another record, and may be removed. So: an incomplete newest file beside an older one without
//! `Switched` was never used; one that an older file switched to, or that stands alone, must be whole.
//! Source: reliability.md 2.2 (manifest records), 2.3 I5 to I8, I12, I13.

use bytes::Bytes;
use model::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use model::limits::BLOCK_BYTES;
use model::offset::{LeaderEpoch, Offset};

use super::cursor::{Reader, Writer, check_kind, seal_in_place, unseal};
use super::frame::{DecodedGroup, EncodedGroup, Frame, FrameKind};
use super::{FORMAT_VERSION, FormatError, Uid};
use crate::store::LogId;

const MAGIC: &[u8; 8] = b"RMQMANIF";
const WHAT: &str = "manifest file";
const RECORD: &str = "manifest record";

/// Kind, version and length before the fields of a record.
const RECORD_HEADER_BYTES: usize = 4;

/// Memory of a group's body that is kept for the next: most have a few records.
const KEPT_BYTES: usize = 16 * 1024;

/// Flag of the group that ends a checkpoint.
pub const FLAG_CHECKPOINT_END: u32 = 1;

/// Records of one group at most.
pub const RECORDS_MAX: usize = 1_000_000;

/// Block 0 of a manifest file; groups start at block 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestHeader {
    /// This file; the lineage of its groups.
    pub uid: Uid,
    /// Rises with every checkpoint.
    pub generation: u64,
    /// The core.
    pub shard: ShardId,
}

impl ManifestHeader {
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
            .u32(0)
            .bytes(&self.uid);
        writer.u64(self.generation).u16(self.shard.get());
        seal_in_place(writer, BLOCK_BYTES);
    }

    /// Reads the header block.
    ///
    /// # Errors
    /// Any [`FormatError`] but `Misplaced`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        check_kind(bytes, MAGIC, WHAT)?;
        let mut fields = unseal(bytes, BLOCK_BYTES, WHAT)?;
        fields.bytes(16)?;
        Ok(Self {
            uid: fields.uid()?,
            generation: fields.u64()?,
            shard: ShardId::new(fields.u16()?),
        })
    }
}

/// One fact. Later records win over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Ids below this were given out; none is given again (I13).
    NextLog(LogId),
    /// A log exists.
    LogCreate {
        /// Its id.
        log: LogId,
        /// Whose it is.
        tp: TopicPartition,
    },
    /// A log and all its files are gone.
    LogDrop(LogId),
    /// A segment exists, headers durable.
    SegmentAdd {
        /// Log.
        log: LogId,
        /// File.
        uid: Uid,
        /// First offset that may be in it.
        base: Offset,
        /// Wall clock, ms.
        created_ms: i64,
    },
    /// A segment is complete; nothing beyond `valid_end` counts (I12).
    SegmentSeal {
        /// Log.
        log: LogId,
        /// File.
        uid: Uid,
        /// File position after the last group.
        valid_end: u64,
        /// First offset after it; equal to its base if it is empty.
        upto: Offset,
        /// Chain hash after its last batch.
        chain_after: u64,
        /// Largest timestamp, ms; -1 if none.
        max_timestamp: i64,
        /// Number of groups.
        groups: u64,
    },
    /// A segment is no longer part of the log; its file may be removed (I6).
    SegmentRemove {
        /// Log.
        log: LogId,
        /// File.
        uid: Uid,
    },
    /// First readable offset.
    LogStart {
        /// Log.
        log: LogId,
        /// Offset.
        offset: Offset,
    },
    /// A leader epoch starts.
    EpochStart {
        /// Log.
        log: LogId,
        /// Epoch.
        epoch: LeaderEpoch,
        /// Its first offset.
        start: Offset,
    },
    /// A journal file exists, header durable. Lineages are replayed in the order of their first `JournalAdd`.
    JournalAdd {
        /// Process start.
        lineage: Uid,
        /// File.
        file: Uid,
        /// Number in the lineage.
        number: u64,
    },
    /// A journal file is not needed any more; it may be removed.
    JournalRetire {
        /// File.
        file: Uid,
    },
    /// Offsets that cannot be read.
    Damaged {
        /// Log.
        log: LogId,
        /// First.
        from: Offset,
        /// First after.
        upto: Offset,
    },
    /// They can be read again.
    Repaired {
        /// Log.
        log: LogId,
        /// First.
        from: Offset,
        /// First after.
        upto: Offset,
    },
    /// An orderly stop: everything is in sealed segments. Only skips scans; never proves anything (I8).
    CleanStop {
        /// The lineage that stopped.
        lineage: Uid,
    },
    /// The clean stop does not hold any more: first record of every start.
    Started,
    /// This file is superseded by that generation; nothing follows.
    Switched {
        /// The newer generation.
        generation: u64,
    },
}

impl Record {
    /// Appends this record: kind, length, fields.
    pub fn encode(&self, out: &mut Writer) {
        let start = out.len();
        out.u32(0);
        let kind = self.encode_fields(out);
        let len = out.len() - start - RECORD_HEADER_BYTES;
        let [low, high] = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
        out.overwrite(start, &[kind, 1, low, high]);
    }

    fn encode_fields(&self, out: &mut Writer) -> u8 {
        match *self {
            Self::NextLog(log) => {
                out.u64(log.0);
                1
            }
            Self::LogCreate { log, tp } => {
                out.u64(log.0)
                    .bytes(tp.topic.as_bytes())
                    .u32(tp.partition.get());
                2
            }
            Self::LogDrop(log) => {
                out.u64(log.0);
                3
            }
            Self::SegmentAdd {
                log,
                uid,
                base,
                created_ms,
            } => {
                out.u64(log.0).bytes(&uid).u64(base.get()).i64(created_ms);
                4
            }
            Self::SegmentSeal {
                log,
                uid,
                valid_end,
                upto,
                chain_after,
                max_timestamp,
                groups,
            } => {
                out.u64(log.0)
                    .bytes(&uid)
                    .u64(valid_end)
                    .u64(upto.get())
                    .u64(chain_after);
                out.i64(max_timestamp).u64(groups);
                5
            }
            Self::SegmentRemove { log, uid } => {
                out.u64(log.0).bytes(&uid);
                6
            }
            Self::LogStart { .. }
            | Self::EpochStart { .. }
            | Self::JournalAdd { .. }
            | Self::JournalRetire { .. }
            | Self::Damaged { .. }
            | Self::Repaired { .. }
            | Self::CleanStop { .. }
            | Self::Started
            | Self::Switched { .. } => self.encode_state(out),
        }
    }

    /// As `encode_fields`, for records that are about neither logs nor segments as such.
    fn encode_state(&self, out: &mut Writer) -> u8 {
        match *self {
            Self::LogStart { log, offset } => {
                out.u64(log.0).u64(offset.get());
                7
            }
            Self::EpochStart { log, epoch, start } => {
                out.u64(log.0).u32(epoch.get()).u64(start.get());
                8
            }
            Self::JournalAdd {
                lineage,
                file,
                number,
            } => {
                out.bytes(&lineage).bytes(&file).u64(number);
                9
            }
            Self::JournalRetire { file } => {
                out.bytes(&file);
                10
            }
            Self::Damaged { log, from, upto } => {
                out.u64(log.0).u64(from.get()).u64(upto.get());
                11
            }
            Self::Repaired { log, from, upto } => {
                out.u64(log.0).u64(from.get()).u64(upto.get());
                12
            }
            Self::CleanStop { lineage } => {
                out.bytes(&lineage);
                13
            }
            Self::Started => 14,
            Self::Switched { generation } => {
                out.u64(generation);
                15
            }
            Self::NextLog(_)
            | Self::LogCreate { .. }
            | Self::LogDrop(_)
            | Self::SegmentAdd { .. }
            | Self::SegmentSeal { .. }
            | Self::SegmentRemove { .. } => unreachable!("encoded by encode_fields"),
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// `Truncated`, `Inconsistent`, or `NewerVersion` for a kind or version this build does not know: a
    /// record is never skipped.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (kind, version, len) = (reader.u8()?, reader.u8()?, reader.u16()?);
        if version != 1 {
            return Err(FormatError::NewerVersion {
                what: RECORD,
                found: u32::from(version),
            });
        }
        let mut fields = Reader::new(reader.bytes(usize::from(len))?, RECORD);
        let record = Self::decode_fields(kind, &mut fields)?;
        if fields.remaining() > 0 {
            return Err(FormatError::Inconsistent {
                what: RECORD,
                why: "bytes after its fields",
            });
        }
        Ok(record)
    }

    fn decode_fields(kind: u8, fields: &mut Reader<'_>) -> Result<Self, FormatError> {
        if matches!(kind, 9 | 10 | 13 | 14 | 15) {
            return Self::decode_global(kind, fields);
        }
        let log = LogId(fields.u64()?);
        Ok(match kind {
            1 => Self::NextLog(log),
            2 => {
                let topic = TopicId::from_bytes(fields.uid()?);
                let partition = PartitionId::new(fields.u32()?);
                Self::LogCreate {
                    log,
                    tp: TopicPartition { topic, partition },
                }
            }
            3 => Self::LogDrop(log),
            4 => Self::SegmentAdd {
                log,
                uid: fields.uid()?,
                base: offset(fields)?,
                created_ms: fields.i64()?,
            },
            5 => Self::SegmentSeal {
                log,
                uid: fields.uid()?,
                valid_end: fields.u64()?,
                upto: offset(fields)?,
                chain_after: fields.u64()?,
                max_timestamp: fields.i64()?,
                groups: fields.u64()?,
            },
            6 => Self::SegmentRemove {
                log,
                uid: fields.uid()?,
            },
            7 => Self::LogStart {
                log,
                offset: offset(fields)?,
            },
            8 => Self::EpochStart {
                log,
                epoch: LeaderEpoch::new(fields.u32()?),
                start: offset(fields)?,
            },
            11 => Self::Damaged {
                log,
                from: offset(fields)?,
                upto: offset(fields)?,
            },
            12 => Self::Repaired {
                log,
                from: offset(fields)?,
                upto: offset(fields)?,
            },
            unknown => {
                return Err(FormatError::NewerVersion {
                    what: RECORD,
                    found: u32::from(unknown),
                });
            }
        })
    }

    fn decode_global(kind: u8, fields: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(match kind {
            9 => Self::JournalAdd {
                lineage: fields.uid()?,
                file: fields.uid()?,
                number: fields.u64()?,
            },
            10 => Self::JournalRetire {
                file: fields.uid()?,
            },
            13 => Self::CleanStop {
                lineage: fields.uid()?,
            },
            14 => Self::Started,
            _ => Self::Switched {
                generation: fields.u64()?,
            },
        })
    }
}

fn offset(fields: &mut Reader<'_>) -> Result<Offset, FormatError> {
    let offset = Offset::new(fields.u64()?);
    if offset > Offset::MAX {
        return Err(FormatError::Inconsistent {
            what: RECORD,
            why: "offset is out of range",
        });
    }
    Ok(offset)
}

/// Puts records into one group; `count` and `body_len` of `frame` are set here, `flags` is kept.
#[must_use]
pub fn encode_group(frame: Frame, records: &[Record]) -> EncodedGroup {
    let mut writer = GroupWriter::default();
    let (len, hash) = writer.write(frame, records.iter());
    let pieces = [writer.header, writer.body].map(|part| Bytes::from(part.finish()));
    EncodedGroup {
        pieces: pieces.into_iter().collect(),
        len,
        hash,
    }
}

/// Puts one group of records after the other together; its memory is used again.
#[derive(Clone, Debug, Default)]
pub struct GroupWriter {
    header: Writer,
    body: Writer,
}

impl GroupWriter {
    /// As [`encode_group`]; gives the group's whole length and its hash, the bytes are those of [`Self::parts`].
    pub fn write<'a>(
        &mut self,
        frame: Frame,
        records: impl Iterator<Item = &'a Record>,
    ) -> (u32, u64) {
        self.header.clear();
        self.body.clear();
        self.body.shrink_to(KEPT_BYTES);
        let mut count = 0;
        for record in records {
            record.encode(&mut self.body);
            count += 1;
        }
        let frame = Frame {
            count,
            body_len: u32::try_from(self.body.len()).unwrap_or(u32::MAX),
            ..frame
        };
        let crc = crc32c::crc32c(self.body.as_slice());
        frame.write_header(FrameKind::Manifest, crc, &mut self.header)
    }

    /// Header and body of the newest group.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.header.as_slice(), self.body.as_slice()]
    }
}

/// The records of a decoded group.
///
/// # Errors
/// As [`Record::decode`].
pub fn records(group: &DecodedGroup<'_>) -> Result<Vec<Record>, FormatError> {
    let count = group.frame.count as usize;
    if count > RECORDS_MAX || count > group.body.len() {
        return Err(FormatError::Inconsistent {
            what: RECORD,
            why: "too many records",
        });
    }
    let mut reader = Reader::new(group.body, RECORD);
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        found.push(Record::decode(&mut reader)?);
    }
    if reader.remaining() > 0 {
        return Err(FormatError::Inconsistent {
            what: RECORD,
            why: "bytes after the last record",
        });
    }
    Ok(found)
}
