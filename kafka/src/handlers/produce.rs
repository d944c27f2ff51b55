//! `Produce` (0): batches into partitions.
//!
//! Owns: what can be refused without asking the partition; silence and closing with acks=0; how far each batch may
//! be decompressed.
//! Never: copies a batch.
//! Invariants: one `Append` per acceptable batch, emitted in the order of the request, which keeps
//! pipelined requests of an idempotent producer in sequence.
//! Source: kafka.md 3.2, 4.3; KIP-98, KIP-467 (8), KIP-516 (13).

#[cfg(test)]
mod tests;

use api::command::{Acks, Append};
use api::error::AppendError;
use api::reply::Appended;
use api::{Command, Reply, SessionError};
use bytes::BytesMut;
use model::batch::{BatchInfo, Compression};
use model::limits::DECOMPRESSED_BYTES_MAX;
use model::time::Instant;

use super::values;
use crate::codec::Few;
use crate::codec::produce::{self, PartitionAnswer, PartitionData, ProduceRequest, TopicSpan};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Refusal, Response, Step, malformed};
use crate::limits::{INSPECT_BYTES_BASE, INSPECT_RATIO_MAX};

/// First version that may carry zstd.  spec: KIP-110
const FIRST_WITH_ZSTD: i16 = 7;
/// First version that knows storage errors.  spec: KIP-112
const FIRST_WITH_STORAGE_ERROR: i16 = 4;

/// A batch that was refused, and the records at fault if they are known.  spec: KIP-467
struct Rejected {
    refusal: Refusal,
    records: Vec<u32>,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        let records = Vec::new();
        Self { refusal, records }
    }
}

type Outcome = Result<Appended, Rejected>;

/// What every batch of one request shares.
struct Terms {
    acks: Acks,
    deadline: Instant,
    version: i16,
}

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let (api, version) = (request.header.api, request.header.version);
    let body = produce::parse(request.frame, request.header.body, version)
        .map_err(|error| malformed(api, version, &error))?;
    let terms = admit(call, &body);
    let is_silent = body.acks == 0;
    let ProduceRequest {
        topics, partitions, ..
    } = body;
    let indexes: Few<i32> = partitions.iter().map(|partition| partition.index).collect();
    let mut planned = Few::with_capacity(partitions.len());
    let mut partitions = partitions.into_iter();
    for topic in &topics {
        for partition in partitions.by_ref().take(topic.partitions) {
            planned.push(match &terms {
                Ok(terms) => plan(terms, topic, partition),
                Err(refusal) => Err(refusal.clone()),
            });
        }
    }
    share_inspection(&mut planned);
    let mut fan = FanOut::new();
    for append in planned {
        match append {
            Ok(append) => fan.ask(call, Command::Append(append)),
            Err(refusal) => fan.known(Err(refusal.into())),
        }
    }
    fan.finish(call, take, move |call, outcomes| {
        if is_silent {
            return Ok(stay_silent(&outcomes));
        }
        respond(call, &topics, &indexes, outcomes)
    })
}

// Why the whole request is refused, if it is.
fn admit(call: &Call<'_>, body: &ProduceRequest) -> Result<Terms, Refusal> {
    let acks = match body.acks {
        -1 => Acks::All,
        0 => Acks::None,
        1 => Acks::Leader,
        other => {
            let message = format!("acks is {other}, it must be -1, 0 or 1");
            return Err(Refusal::new(Code::InvalidRequiredAcks, message));
        }
    };
    if body.transactional_id.is_some() {
        let code = Code::TransactionalIdAuthorizationFailed;
        return Err(Refusal::new(code, "transactions are not available"));
    }
    Ok(Terms {
        acks,
        deadline: call.deadline(body.timeout_ms),
        version: call.version(),
    })
}

fn plan(terms: &Terms, topic: &TopicSpan, data: PartitionData) -> Result<Append, Refusal> {
    let Some(partition) = values::partition(data.index) else {
        return Err(Refusal::new(
            Code::UnknownTopicOrPartition,
            "negative partition index",
        ));
    };
    let batch = data.records.unwrap_or_default();
    let info = check(&batch, terms.version)?;
    Ok(Append {
        topic: topic.key.clone(),
        partition,
        acks: terms.acks,
        deadline: terms.deadline,
        batch,
        info,
        inspect_bytes_max: 0, // until it is known how many share
    })
}

// Compressed batches share what one request may make a core decompress.
fn share_inspection(planned: &mut [Result<Append, Refusal>]) {
    let is_compressed = |append: &Append| append.info.compression != Compression::None;
    let appends = planned.iter().flatten();
    let sharers = appends.filter(|append| is_compressed(append)).count();
    let share = INSPECT_BYTES_BASE / sharers.max(1);
    for append in planned.iter_mut().flatten() {
        if is_compressed(append) {
            let own = append.info.len().saturating_mul(INSPECT_RATIO_MAX);
            append.inspect_bytes_max = own.saturating_add(share).min(DECOMPRESSED_BYTES_MAX);
        }
    }
}

// Exactly one acceptable batch.
fn check(records: &BytesMut, version: i16) -> Result<BatchInfo, Refusal> {
    if records.is_empty() {
        return Err(Refusal::new(Code::InvalidRecord, "no record batch"));
    }
    let refuse = |error| Refusal::new(error_map::batch(&error), error.to_string());
    let info = BatchInfo::parse(records).map_err(refuse)?;
    if info.len() != records.len() {
        return Err(Refusal::new(
            Code::InvalidRecord,
            "more than one record batch",
        ));
    }
    if info.compression == Compression::Zstd && version < FIRST_WITH_ZSTD {
        let message = "zstd needs version 7 of the produce request";
        return Err(Refusal::new(Code::UnsupportedCompressionType, message));
    }
    info.check_produced().map_err(refuse)?;
    Ok(info)
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::Appended(result) = reply else {
        return None;
    };
    Some(result.map_err(rejected))
}

fn rejected(error: AppendError) -> Rejected {
    let refusal = Refusal::new(error_map::append(&error), error.to_string());
    let records = match error {
        AppendError::KeylessRecords(records) | AppendError::InvalidTimestamp { records, .. } => {
            records
        }
        AppendError::Partition(_)
        | AppendError::TooLarge { .. }
        | AppendError::LargerThanSegment { .. }
        | AppendError::Batch(_)
        | AppendError::InvalidRecord(_)
        | AppendError::OutOfOrder { .. }
        | AppendError::ProducerFenced
        | AppendError::NoTransaction
        | AppendError::InternalTopic
        | AppendError::TimedOut
        | AppendError::DiskFull => Vec::new(),
    };
    Rejected { refusal, records }
}

// Closing is the only sign of failure a client without acks understands.
fn stay_silent(outcomes: &[Outcome]) -> Response {
    match outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
        None => Response::Silent,
        Some(rejected) => {
            let message = format!("produce with acks=0 failed: {}", rejected.refusal.message);
            Response::Close(SessionError::Closed(message))
        }
    }
}

fn respond(
    call: &mut Call<'_>,
    topics: &[TopicSpan],
    indexes: &[i32],
    outcomes: Few<Outcome>,
) -> Result<Response, SessionError> {
    assert_eq!(indexes.len(), outcomes.len(), "one outcome per partition");
    let version = call.version();
    let answers: Few<_> = indexes
        .iter()
        .zip(outcomes)
        .map(|(index, outcome)| answer(*index, version, outcome))
        .collect();
    produce::write(call.exchange.response_header(), version, topics, &answers)
        .map(Response::One)
        .map_err(|error| call.unwritable(&error))
}

fn answer(index: i32, version: i16, outcome: Outcome) -> PartitionAnswer {
    match outcome {
        Ok(appended) => PartitionAnswer {
            index,
            code: Code::None.to_wire(),
            base_offset: appended.base_offset.to_wire(),
            log_append_time: appended.log_append_time.unwrap_or(-1),
            log_start: appended.log_start.to_wire(),
            faulty_records: Vec::new(),
            message: None,
        },
        Err(Rejected { refusal, records }) => {
            let Refusal { code, message } = refusal;
            let is_old = version < FIRST_WITH_STORAGE_ERROR;
            let code = if is_old {
                code.without_storage_error()
            } else {
                code
            };
            PartitionAnswer {
                index,
                code: code.to_wire(),
                base_offset: -1,
                log_append_time: -1,
                log_start: -1,
                faulty_records: records,
                message: Some(message),
            }
        }
    }
}
