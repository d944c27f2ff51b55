//! Produce, versions 3 to 13, by hand.
//!
//! Owns: the request; the split of its frame into owned batches; the response.
//! Never: copies or looks into records.
//! Invariants: batches come out in the order of the request, each the sole owner of its bytes, so that a log
//! may stamp them in place.
//! Source: kafka.md 2.3, 4.3; KIP-482 (9), KIP-516 (13).

use std::ops::Range;

use bytes::{Buf, BytesMut};

use super::names::{Names, TopicLabel};
use super::read::Reader;
use super::write::Writer;
use super::{Few, ResponseError, ResponseHeader, WireError, finish_frame};
use crate::limits::REQUEST_PARTITIONS_MAX;

/// First version that names topics by id.
const FIRST_WITH_IDS: i16 = 13;
/// First flexible version.
const FIRST_FLEXIBLE: i16 = 9;

/// One topic of a request or response, with how many of the partitions that follow are its.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicSpan {
    /// By name below version 13, by id from there on.
    pub(crate) label: TopicLabel,
    /// How many partitions.
    pub(crate) partitions: usize,
}

/// One partition's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionData {
    /// Index as sent.
    pub(crate) index: i32,
    /// Where its records field is in the frame; `None` if it was null.
    pub(crate) records: Option<Range<usize>>,
}

/// A request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProduceRequest<'a> {
    /// Set by transactional producers.
    pub(crate) transactional_id: Option<&'a str>,
    /// As sent: -1, 0, 1, or an error.
    pub(crate) acks: i16,
    /// Milliseconds.
    pub(crate) timeout_ms: i32,
    /// Topics in order.
    pub(crate) topics: Few<TopicSpan>,
    /// Their partitions in order; their records rise.
    pub(crate) partitions: Few<PartitionData>,
}

impl<'a> ProduceRequest<'a> {
    /// Reads a request body that begins at `body` into an empty request: in place, because of the room its lists have.
    ///
    /// # Errors
    /// The body is malformed or has too many partitions.
    pub(crate) fn read(
        &mut self,
        frame: &'a [u8],
        body: usize,
        version: i16,
        names: &mut Names,
    ) -> Result<(), WireError> {
        let reader = Reader::new(frame, body);
        let mut reader = if version >= FIRST_FLEXIBLE {
            reader.flexible()
        } else {
            reader
        };
        self.transactional_id = reader.nullable_string()?;
        self.acks = reader.i16()?;
        self.timeout_ms = reader.i32()?;
        for _ in 0..reader.array()? {
            let label = if version >= FIRST_WITH_IDS {
                TopicLabel::read_id(&mut reader)?
            } else {
                TopicLabel::read_name(&mut reader, names)?
            };
            let partitions = reader.array()?;
            let room = REQUEST_PARTITIONS_MAX.saturating_sub(self.partitions.len());
            if partitions > room || self.topics.len() >= REQUEST_PARTITIONS_MAX {
                return Err(WireError::TooMany);
            }
            for _ in 0..partitions {
                let index = reader.i32()?;
                let records = reader.nullable_bytes()?;
                self.partitions.push(PartitionData { index, records });
                reader.end_struct()?;
            }
            reader.end_struct()?;
            self.topics.push(TopicSpan { label, partitions });
        }
        reader.end_struct()
    }
}

/// Cuts the records of all partitions out of a frame, from its front; nothing is copied.
#[derive(Debug)]
pub(crate) struct Cutter {
    frame: BytesMut,
    // Where what is left begins, in the frame as it was.
    at: usize,
    // Cuts to come.
    cuts: usize,
}

impl Cutter {
    /// Of this frame, which is cut so many times.
    pub(crate) fn new(frame: BytesMut, cuts: usize) -> Self {
        Self { frame, at: 0, cuts }
    }

    /// The records of the next partition; none if they were null.
    pub(crate) fn cut(&mut self, records: Option<&Range<usize>>) -> BytesMut {
        assert!(self.cuts > 0, "a frame is cut once per partition");
        self.cuts -= 1;
        let Some(records) = records else {
            return BytesMut::new();
        };
        assert!(records.start >= self.at, "records rise");
        self.frame.advance(records.start - self.at);
        self.at = records.end;
        if self.cuts > 0 {
            return self.frame.split_to(records.len());
        }
        // The last have the handle of the frame, and the few bytes behind them.
        self.frame.truncate(records.len());
        std::mem::take(&mut self.frame)
    }
}

/// One partition's answer. Numbers are as on the wire: -1 means unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionAnswer<'a> {
    /// Index as sent.
    pub(crate) index: i32,
    /// Error code.
    pub(crate) code: i16,
    /// Offset of the first record.
    pub(crate) base_offset: i64,
    /// Broker's time, ms.
    pub(crate) log_append_time: i64,
    /// First readable offset.
    pub(crate) log_start: i64,
    /// Indexes of the records at fault, as far as they are known; from version 8 on.
    pub(crate) faulty_records: &'a [u32],
    /// What is wrong, for the user; from version 8 on.
    pub(crate) message: Option<&'a str>,
}

/// What a response begins with, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The response header.
    pub(crate) header: ResponseHeader,
    /// Version.
    pub(crate) version: i16,
}

/// Writes a whole response frame into `out`, which is empty. There is one answer per partition of the topics.
///
/// # Errors
/// It is too long for a frame.
pub(crate) fn write<'a>(
    head: ResponseHead,
    topics: &[TopicSpan],
    mut answers: impl Iterator<Item = PartitionAnswer<'a>>,
    out: &mut Vec<u8>,
) -> Result<(), ResponseError> {
    assert!(out.is_empty(), "a frame begins its buffer");
    let ResponseHead { header, version } = head;
    header.start_frame(out);
    let writer = Writer::new(out);
    let mut writer = if version >= FIRST_FLEXIBLE {
        writer.flexible()
    } else {
        writer
    };
    writer.length(topics.len());
    for topic in topics {
        topic.label.write(&mut writer);
        writer.length(topic.partitions);
        for _ in 0..topic.partitions {
            let answer = answers.next();
            assert!(answer.is_some(), "every partition is answered");
            if let Some(answer) = answer {
                write_answer(&mut writer, version, &answer);
            }
        }
        writer.end_struct();
    }
    assert!(answers.next().is_none(), "every answer belongs to a topic");
    writer.i32(0); // throttle time
    writer.end_struct();
    finish_frame(out, 0)
}

fn write_answer(writer: &mut Writer<'_>, version: i16, answer: &PartitionAnswer<'_>) {
    writer.i32(answer.index);
    writer.i16(answer.code);
    writer.i64(answer.base_offset);
    writer.i64(answer.log_append_time);
    if version >= 5 {
        writer.i64(answer.log_start);
    }
    if version >= 8 {
        writer.length(answer.faulty_records.len());
        for index in answer.faulty_records {
            writer.i32(i32::try_from(*index).unwrap_or(i32::MAX));
            // The message of the partition says it for all of them.
            writer.nullable_string(None);
            writer.end_struct();
        }
        writer.nullable_string(answer.message);
    }
    writer.end_struct();
}
