//! Fetch, versions 4 to 18, by hand.
//!
//! Owns: the request; the response as pieces of header between references to records.
//! Never: copies records; writes a null records field (kafka.md 4.4.1).
//! Invariants: the pieces sum up to the length prefix that the first of them begins with.
//! Source: kafka.md 2.3, 4.4; KIP-227 (7), KIP-320 (9), KIP-392 (11), KIP-482 (12), KIP-516 (13), KIP-903 (15).

use api::reply::Records;
use bytes::Bytes;

use super::names::{Names, TopicLabel};
use super::produce::TopicSpan;
use super::read::Reader;
use super::write::Writer;
use super::{Few, ResponseError, ResponseHeader, WireError, finish_frame};
use crate::limits::REQUEST_PARTITIONS_MAX;

/// First flexible version.
const FIRST_FLEXIBLE: i16 = 12;
/// First version that names topics by id.
const FIRST_WITH_IDS: i16 = 13;

/// One partition asked for. Numbers are as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionAsked {
    /// Index.
    pub(crate) index: i32,
    /// Epoch for fencing; -1 for none.
    pub(crate) leader_epoch: i32,
    /// First offset wanted.
    pub(crate) offset: i64,
    /// Epoch of the last record the reader has; -1 for none.
    pub(crate) last_fetched_epoch: i32,
    /// Bytes wanted at most.
    pub(crate) bytes_max: i32,
}

/// A request. Numbers are as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchRequest {
    /// Milliseconds to wait for `bytes_min`.
    pub(crate) wait_max_ms: i32,
    /// Bytes worth an answer.
    pub(crate) bytes_min: i32,
    /// Bytes wanted at most.
    pub(crate) bytes_max: i32,
    /// 0 uncommitted, 1 committed.
    pub(crate) isolation: i8,
    /// 0 below version 7.
    pub(crate) session_id: i32,
    /// -1 below version 7.
    pub(crate) session_epoch: i32,
    /// Topics in order.
    pub(crate) topics: Few<TopicSpan>,
    /// Their partitions in order.
    pub(crate) partitions: Few<PartitionAsked>,
}

/// Reads a request body that begins at `body`.
///
/// # Errors
/// The body is malformed or has too many partitions.
pub(crate) fn parse(
    frame: &[u8],
    body: usize,
    version: i16,
    names: &mut Names,
) -> Result<FetchRequest, WireError> {
    let reader = Reader::new(frame, body);
    let mut reader = if version >= FIRST_FLEXIBLE {
        reader.flexible()
    } else {
        reader
    };
    if version <= 14 {
        reader.i32()?; // replica id: every reader is a consumer here
    }
    let mut request = FetchRequest {
        wait_max_ms: reader.i32()?,
        bytes_min: reader.i32()?,
        bytes_max: reader.i32()?,
        isolation: isolation(&mut reader)?,
        session_id: 0,
        session_epoch: -1,
        topics: Few::new(),
        partitions: Few::new(),
    };
    if version >= 7 {
        request.session_id = reader.i32()?;
        request.session_epoch = reader.i32()?;
    }
    parse_topics(&mut reader, version, &mut request, names)?;
    if version >= 7 {
        skip_forgotten(&mut reader, version)?;
    }
    if version >= 11 {
        reader.string()?; // rack
    }
    reader.end_struct()?;
    Ok(request)
}

fn isolation(reader: &mut Reader<'_>) -> Result<i8, WireError> {
    let at = reader.place();
    match reader.i8()? {
        value @ (0 | 1) => Ok(value),
        value => Err(WireError::BadValue { at, value }),
    }
}

fn parse_topics(
    reader: &mut Reader<'_>,
    version: i16,
    request: &mut FetchRequest,
    names: &mut Names,
) -> Result<(), WireError> {
    for _ in 0..reader.array()? {
        let label = if version >= FIRST_WITH_IDS {
            TopicLabel::read_id(reader)?
        } else {
            TopicLabel::read_name(reader, names)?
        };
        let partitions = reader.array()?;
        let room = REQUEST_PARTITIONS_MAX.saturating_sub(request.partitions.len());
        if partitions > room || request.topics.len() >= REQUEST_PARTITIONS_MAX {
            return Err(WireError::TooMany);
        }
        for _ in 0..partitions {
            request.partitions.push(parse_partition(reader, version)?);
        }
        reader.end_struct()?;
        request.topics.push(TopicSpan { label, partitions });
    }
    Ok(())
}

fn parse_partition(reader: &mut Reader<'_>, version: i16) -> Result<PartitionAsked, WireError> {
    let index = reader.i32()?;
    let leader_epoch = if version >= 9 { reader.i32()? } else { -1 };
    let offset = reader.i64()?;
    let last_fetched_epoch = if version >= 12 { reader.i32()? } else { -1 };
    if version >= 5 {
        reader.i64()?; // log start of a follower
    }
    let bytes_max = reader.i32()?;
    reader.end_struct()?;
    Ok(PartitionAsked {
        index,
        leader_epoch,
        offset,
        last_fetched_epoch,
        bytes_max,
    })
}

fn skip_forgotten(reader: &mut Reader<'_>, version: i16) -> Result<(), WireError> {
    for _ in 0..reader.array()? {
        if version >= FIRST_WITH_IDS {
            reader.uuid()?;
        } else {
            reader.string()?;
        }
        for _ in 0..reader.array()? {
            reader.i32()?;
        }
        reader.end_struct()?;
    }
    Ok(())
}

/// One partition's answer. Numbers are as on the wire: -1 means unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionAnswer {
    /// Index as asked.
    pub(crate) index: i32,
    /// Error code.
    pub(crate) code: i16,
    /// High watermark.
    pub(crate) high_watermark: i64,
    /// Last stable offset.
    pub(crate) last_stable: i64,
    /// First readable offset.
    pub(crate) log_start: i64,
    /// Where the reader's log diverged: (epoch, its end offset).
    pub(crate) diverging: Option<(i32, i64)>,
    /// Whole batches.
    pub(crate) records: Records,
}

/// What a response says besides its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The response header.
    pub(crate) header: ResponseHeader,
    /// Version.
    pub(crate) version: i16,
    /// Error of the whole request; from version 7 on.
    pub(crate) code: i16,
    /// The reader wants committed records only: the list of aborted transactions is then not null.
    pub(crate) is_committed: bool,
}

/// Writes a whole response frame as chunks: headers written here, records as they were given.
///
/// # Errors
/// It is too long for a frame.
pub(crate) fn write(
    head: ResponseHead,
    topics: &[TopicSpan],
    answers: Vec<PartitionAnswer>,
) -> Result<Vec<Bytes>, ResponseError> {
    let mut out = Vec::with_capacity(64 + topics.len() * 64 + answers.len() * 64);
    head.header.start_frame(&mut out);
    let mut cuts = Few::with_capacity(answers.len());
    write_body(&mut out, head, (topics, &answers), &mut cuts);
    let records: usize = answers
        .iter()
        .flat_map(|answer| &answer.records)
        .map(Bytes::len)
        .sum();
    finish_frame(&mut out, records)?;
    Ok(interleave(Bytes::from(out), &cuts, answers))
}

fn write_body(
    out: &mut Vec<u8>,
    head: ResponseHead,
    (topics, answers): (&[TopicSpan], &[PartitionAnswer]),
    cuts: &mut Few<usize>,
) {
    let writer = Writer::new(out);
    let is_flexible = head.version >= FIRST_FLEXIBLE;
    let mut writer = if is_flexible {
        writer.flexible()
    } else {
        writer
    };
    writer.i32(0); // throttle time
    if head.version >= 7 {
        writer.i16(head.code);
        writer.i32(0); // session id: sessions are declined.  spec: KIP-227
    }
    let mut rest = answers;
    writer.length(topics.len());
    for topic in topics {
        topic.label.write(&mut writer);
        let (mine, others) = rest.split_at(topic.partitions.min(rest.len()));
        rest = others;
        writer.length(mine.len());
        for answer in mine {
            write_answer(&mut writer, head, answer);
            cuts.push(writer.position());
            write_answer_tags(&mut writer, head.version, answer);
        }
        writer.end_struct();
    }
    assert!(rest.is_empty(), "every answer belongs to a topic");
    writer.end_struct();
}

// Up to and with the length of the records, which follow from elsewhere.
fn write_answer(writer: &mut Writer<'_>, head: ResponseHead, answer: &PartitionAnswer) {
    writer.i32(answer.index);
    writer.i16(answer.code);
    writer.i64(answer.high_watermark);
    writer.i64(answer.last_stable);
    if head.version >= 5 {
        writer.i64(answer.log_start);
    }
    if head.is_committed {
        writer.length(0);
    } else {
        writer.null_array();
    }
    if head.version >= 11 {
        writer.i32(-1); // preferred read replica.  spec: KIP-392
    }
    writer.length(answer.records.iter().map(Bytes::len).sum());
}

fn write_answer_tags(writer: &mut Writer<'_>, version: i16, answer: &PartitionAnswer) {
    let Some((epoch, end)) = answer.diverging.filter(|_| version >= FIRST_FLEXIBLE) else {
        writer.end_struct();
        return;
    };
    writer.varint(1); // one tagged field
    writer.varint(0); // tag of the diverging epoch.  spec: KIP-595
    writer.varint(4 + 8 + 1);
    writer.i32(epoch);
    writer.i64(end);
    writer.end_struct();
}

fn interleave(mut written: Bytes, cuts: &[usize], answers: Vec<PartitionAnswer>) -> Vec<Bytes> {
    let pieces = answers.iter().map(|answer| answer.records.len() + 1);
    let mut chunks = Vec::with_capacity(pieces.sum::<usize>() + 1);
    let mut taken = 0;
    for (cut, answer) in cuts.iter().zip(answers) {
        if answer.records.is_empty() {
            continue;
        }
        assert!(*cut >= taken, "cuts rise");
        chunks.push(written.split_to(cut - taken));
        taken = *cut;
        if answer.records.spilled() {
            // A long list is moved as a whole.
            chunks.append(&mut answer.records.into_vec());
        } else {
            chunks.extend(answer.records);
        }
    }
    chunks.push(written);
    chunks
}
