//! Produce, versions 3 to 13, by hand.
//!
//! Owns: the split of a request frame into owned batches; the response.
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartitionData {
    /// Index as sent.
    pub(crate) index: i32,
    /// Its records field; `None` if it was null.
    pub(crate) records: Option<BytesMut>,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProduceRequest {
    /// Set by transactional producers.
    pub(crate) transactional_id: Option<String>,
    /// As sent: -1, 0, 1, or an error.
    pub(crate) acks: i16,
    /// Milliseconds.
    pub(crate) timeout_ms: i32,
    /// Topics in order.
    pub(crate) topics: Few<TopicSpan>,
    /// Their partitions in order.
    pub(crate) partitions: Few<PartitionData>,
}

struct Layout {
    transactional_id: Option<String>,
    acks: i16,
    timeout_ms: i32,
    topics: Few<TopicSpan>,
    partitions: Few<(i32, Option<Range<usize>>)>,
}

/// Takes a request frame apart. `body` is where the body begins in it.
///
/// # Errors
/// The body is malformed or has too many partitions.
pub(crate) fn parse(
    frame: BytesMut,
    body: usize,
    version: i16,
    names: &mut Names,
) -> Result<ProduceRequest, WireError> {
    let layout = walk(reader(&frame, body, version), version, names)?;
    let partitions = split(frame, layout.partitions);
    Ok(ProduceRequest {
        transactional_id: layout.transactional_id,
        acks: layout.acks,
        timeout_ms: layout.timeout_ms,
        topics: layout.topics,
        partitions,
    })
}

fn reader(frame: &[u8], body: usize, version: i16) -> Reader<'_> {
    let reader = Reader::new(frame, body);
    if version >= FIRST_FLEXIBLE {
        reader.flexible()
    } else {
        reader
    }
}

fn walk(mut reader: Reader<'_>, version: i16, names: &mut Names) -> Result<Layout, WireError> {
    let mut layout = Layout {
        transactional_id: reader.nullable_string()?.map(str::to_owned),
        acks: reader.i16()?,
        timeout_ms: reader.i32()?,
        topics: Few::new(),
        partitions: Few::new(),
    };
    for _ in 0..reader.array()? {
        let label = if version >= FIRST_WITH_IDS {
            TopicLabel::read_id(&mut reader)?
        } else {
            TopicLabel::read_name(&mut reader, names)?
        };
        let partitions = reader.array()?;
        if partitions > REQUEST_PARTITIONS_MAX.saturating_sub(layout.partitions.len()) {
            return Err(WireError::TooMany {
                limit: REQUEST_PARTITIONS_MAX,
            });
        }
        for _ in 0..partitions {
            let index = reader.i32()?;
            layout.partitions.push((index, reader.nullable_bytes()?));
            reader.end_struct()?;
        }
        reader.end_struct()?;
        if layout.topics.len() >= REQUEST_PARTITIONS_MAX {
            return Err(WireError::TooMany {
                limit: REQUEST_PARTITIONS_MAX,
            });
        }
        layout.topics.push(TopicSpan { label, partitions });
    }
    reader.end_struct()?;
    Ok(layout)
}

// The ranges rise, so that the frame can be cut from the front; nothing is copied.
fn split(mut frame: BytesMut, layout: Few<(i32, Option<Range<usize>>)>) -> Few<PartitionData> {
    let mut cut = 0;
    let mut partitions = Few::with_capacity(layout.len());
    let mut rest = layout.len();
    for (index, range) in layout {
        rest -= 1;
        let records = range.map(|range| {
            assert!(range.start >= cut, "records come one after another");
            frame.advance(range.start - cut);
            cut = range.end;
            if rest > 0 {
                return frame.split_to(range.len());
            }
            // The last keeps the handle of the frame, and the few bytes behind it.
            frame.truncate(range.len());
            std::mem::take(&mut frame)
        });
        partitions.push(PartitionData { index, records });
    }
    partitions
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
