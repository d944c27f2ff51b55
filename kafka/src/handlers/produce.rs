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
use model::ids::PartitionId;
use model::limits::DECOMPRESSED_BYTES_MAX;
use model::time::Instant;

use super::values;
use crate::codec::Few;
use crate::codec::produce::{
    self, Cutter, PartitionAnswer, PartitionData, ProduceRequest, ResponseHead, TopicSpan,
};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, Gather, Refusal, Response, Step, Work, at_index, malformed};
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

impl From<Refusal> for Box<Rejected> {
    fn from(refusal: Refusal) -> Self {
        let records = Vec::new();
        Self::new(Rejected { refusal, records })
    }
}

type Outcome = Result<Appended, Box<Rejected>>;

/// What every batch of one request shares.
struct Terms {
    acks: Acks,
    deadline: Instant,
    version: i16,
    // Bytes besides its own ratio that a compressed batch may have.
    inspect_share: usize,
}

/// One partition of a request.
struct Part {
    index: i32,
    // `None` until there is a reply.
    outcome: Option<Outcome>,
}

/// A request whose batches are on their way.
pub(crate) struct Appends {
    topics: Few<TopicSpan>,
    parts: Few<Part>,
    waiting: usize,
    is_silent: bool,
}

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let Request { frame, header } = request;
    let (api, version) = (header.api, header.version);
    let mut body = ProduceRequest::default();
    body.read(&frame, header.body, version, &mut call.kept.names)
        .map_err(|error| malformed(api, version, &error))?;
    let ProduceRequest {
        transactional_id,
        acks,
        timeout_ms,
        topics,
        partitions,
    } = body;
    let mut appends = Appends {
        topics,
        parts: Few::new(),
        waiting: 0,
        is_silent: acks == 0,
    };
    appends.parts.reserve(partitions.len());
    match admitted(acks, transactional_id) {
        Ok(acks) => {
            let terms = Terms {
                acks,
                deadline: call.deadline(timeout_ms),
                version,
                inspect_share: inspect_share(&frame, &partitions),
            };
            appends.send(call, &terms, (frame, &partitions));
        }
        Err(refusal) => appends.refuse(&refusal, &partitions),
    }
    if appends.waiting == 0 {
        return appends.finish(call).map(Step::Done);
    }
    Ok(Step::Wait(Work::Appends(appends)))
}

impl Appends {
    fn refuse(&mut self, refusal: &Refusal, partitions: &[PartitionData]) {
        for data in partitions {
            self.parts.push(Part {
                index: data.index,
                outcome: Some(Err(refusal.clone().into())),
            });
        }
    }

    fn send(
        &mut self,
        call: &mut Call<'_>,
        terms: &Terms,
        (frame, partitions): (BytesMut, &[PartitionData]),
    ) {
        let mut cutter = Cutter::new(frame, partitions.len());
        let mut partitions = partitions.iter();
        for topic in &self.topics {
            for data in partitions.by_ref().take(topic.partitions) {
                let batch = cutter.cut(data.records.as_ref());
                let outcome = match check(data.index, &batch, terms.version) {
                    Ok((partition, info)) => {
                        let append = Append {
                            topic: topic.label.to_key(),
                            partition,
                            acks: terms.acks,
                            deadline: terms.deadline,
                            batch,
                            info,
                            inspect_bytes_max: inspect_bytes_max(&info, terms.inspect_share),
                        };
                        let index = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
                        call.send(index, Command::Append(append));
                        self.waiting += 1;
                        None
                    }
                    Err(refusal) => Some(Err(refusal.into())),
                };
                let index = data.index;
                self.parts.push(Part { index, outcome });
            }
        }
    }

    fn finish(&self, call: &mut Call<'_>) -> Result<Response, SessionError> {
        if self.is_silent {
            return Ok(self.stay_silent());
        }
        let version = call.version();
        let head = ResponseHead {
            header: call.exchange.response_header(),
            version,
        };
        let answers = self.parts.iter().filter_map(|part| {
            let outcome = part.outcome.as_ref()?;
            Some(answer(part.index, version, outcome))
        });
        call.respond_with(|out| produce::write(head, &self.topics, answers, out))
    }

    // Closing is the only sign of failure a client without acks understands.
    fn stay_silent(&self) -> Response {
        let outcomes = self.parts.iter().filter_map(|part| part.outcome.as_ref());
        let mut rejected = outcomes.filter_map(|outcome| outcome.as_ref().err());
        match rejected.next() {
            None => Response::Silent,
            Some(rejected) => {
                let message = format!("produce with acks=0 failed: {}", rejected.refusal.message);
                Response::Close(SessionError::Closed(message))
            }
        }
    }
}

impl Gather for Appends {
    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        let part = at_index(&mut self.parts, index);
        let outcome = part.map(|part| &mut part.outcome);
        let (Some(outcome @ None), Reply::Appended(result)) = (outcome, reply) else {
            return Err(call.unexpected());
        };
        *outcome = Some(result.map_err(rejected));
        self.waiting -= 1;
        if self.waiting > 0 {
            return Ok(None);
        }
        self.finish(call).map(Some)
    }
}

// Or why the whole request is refused.
fn admitted(acks: i16, transactional_id: Option<&str>) -> Result<Acks, Refusal> {
    let acks = match acks {
        -1 => Acks::All,
        0 => Acks::None,
        1 => Acks::Leader,
        other => {
            let message = format!("acks is {other}, it must be -1, 0 or 1");
            return Err(Refusal::new(Code::InvalidRequiredAcks, message));
        }
    };
    if transactional_id.is_some() {
        let code = Code::TransactionalIdAuthorizationFailed;
        return Err(Refusal::new(code, "transactions are not available"));
    }
    Ok(acks)
}

// What compressed batches of one request may each make a core decompress, besides their own ratio.
fn inspect_share(frame: &[u8], partitions: &[PartitionData]) -> usize {
    if let [_] = partitions {
        return INSPECT_BYTES_BASE;
    }
    let batches = partitions.iter().filter_map(|data| data.records.clone());
    let found = batches.filter_map(|records| frame.get(records));
    let infos = found.filter_map(|batch| BatchInfo::parse_header(batch).ok());
    let sharers = infos.filter(|info| info.compression != Compression::None);
    INSPECT_BYTES_BASE / sharers.count().max(1)
}

fn inspect_bytes_max(info: &BatchInfo, share: usize) -> usize {
    if info.compression == Compression::None {
        return 0;
    }
    let own = info.len().saturating_mul(INSPECT_RATIO_MAX);
    own.saturating_add(share).min(DECOMPRESSED_BYTES_MAX)
}

fn check(index: i32, batch: &[u8], version: i16) -> Result<(PartitionId, BatchInfo), Refusal> {
    let Some(partition) = values::partition(index) else {
        return Err(Refusal::new(
            Code::UnknownTopicOrPartition,
            "negative partition index",
        ));
    };
    check_batch(batch, version).map(|info| (partition, info))
}

// Exactly one acceptable batch.
fn check_batch(records: &[u8], version: i16) -> Result<BatchInfo, Refusal> {
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

fn rejected(error: AppendError) -> Box<Rejected> {
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
    Box::new(Rejected { refusal, records })
}

fn answer(index: i32, version: i16, outcome: &Outcome) -> PartitionAnswer<'_> {
    match outcome {
        Ok(appended) => PartitionAnswer {
            index,
            code: Code::None.to_wire(),
            base_offset: appended.base_offset.to_wire(),
            log_append_time: appended.log_append_time.unwrap_or(-1),
            log_start: appended.log_start.to_wire(),
            faulty_records: &[],
            message: None,
        },
        Err(rejected) => {
            let Rejected { refusal, records } = &**rejected;
            let is_old = version < FIRST_WITH_STORAGE_ERROR;
            let code = if is_old {
                refusal.code.without_storage_error()
            } else {
                refusal.code
            };
            PartitionAnswer {
                index,
                code: code.to_wire(),
                base_offset: -1,
                log_append_time: -1,
                log_start: -1,
                faulty_records: records,
                message: Some(&refusal.message),
            }
        }
    }
}
