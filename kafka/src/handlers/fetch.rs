//! `Fetch` (1): records out of partitions.
//!
//! Owns: admission of a request, the refusal of fetch sessions, the response.
//! Never: copies records, answers a null records field.
//! Invariants: every partition asked for is answered, in order; at most `max_bytes` of records leave, except that
//! the first batch leaves whole.
//! Source: kafka.md 4.4; KIP-74, KIP-227, KIP-320, KIP-392, KIP-516.

mod long_poll;
#[cfg(test)]
mod tests;

use api::SessionError;
use api::command::Isolation;
use api::reply::Records;

use self::long_poll::{LongPoll, Progress, Terms};
use crate::codec::fetch::{self, FetchRequest, PartitionAnswer, ResponseHead};
use crate::codec::produce::TopicSpan;
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, Response, Step, malformed};
use crate::limits::LONG_POLL_WAIT_MS_MAX;

/// Up to this version a storage error is not known.  spec: KIP-112
const LAST_WITHOUT_STORAGE_ERROR: i16 = 5;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let (api, version) = (request.header.api, request.header.version);
    let names = &mut call.kept.names;
    let body = fetch::parse(&request.frame, request.header.body, version, names)
        .map_err(|error| malformed(api, version, &error))?;
    if body.session_epoch > 0 {
        // Every session was declined with id 0, so that there is none to continue.
        let head = head(
            call,
            Code::FetchSessionIdNotFound,
            Isolation::ReadUncommitted,
        );
        return write(call, head, &[], Vec::new()).map(Step::Done);
    }
    Ok(Step::Poll(Box::new(LongPoll::new(
        terms(call, &body),
        body.topics,
        &body.partitions,
    ))))
}

fn terms(call: &Call<'_>, body: &FetchRequest) -> Terms {
    let ceiling = call.config.fetch_bytes_max;
    let bytes_max = u32::try_from(body.bytes_max).unwrap_or(0).clamp(1, ceiling);
    Terms {
        wait_max_ms: u32::try_from(body.wait_max_ms)
            .unwrap_or(0)
            .min(LONG_POLL_WAIT_MS_MAX),
        bytes_min: u32::try_from(body.bytes_min).unwrap_or(0).min(bytes_max),
        bytes_max,
        isolation: match body.isolation {
            0 => Isolation::ReadUncommitted,
            _ => Isolation::ReadCommitted,
        },
    }
}

fn head(call: &Call<'_>, code: Code, isolation: Isolation) -> ResponseHead {
    ResponseHead {
        header: call.exchange.response_header(),
        version: call.version(),
        code: code.to_wire(),
        is_committed: isolation == Isolation::ReadCommitted,
    }
}

fn write(
    call: &Call<'_>,
    head: ResponseHead,
    topics: &[TopicSpan],
    answers: Vec<PartitionAnswer>,
) -> Result<Response, SessionError> {
    fetch::write(head, topics, answers)
        .map(Response::Many)
        .map_err(|error| call.unwritable(&error))
}

/// Writes what a long poll has gathered.
fn respond(
    call: &Call<'_>,
    terms: Terms,
    topics: &[TopicSpan],
    progress: Vec<Progress>,
) -> Result<Response, SessionError> {
    let version = call.version();
    // What was asked for in parallel may together be more than was wanted.
    let mut room = usize::try_from(terms.bytes_max).unwrap_or(usize::MAX);
    let mut is_first = true;
    let answers = progress.into_iter().map(|part| {
        let mut answer = answer(part, version);
        let bytes: usize = answer.records.iter().map(bytes::Bytes::len).sum();
        if bytes > 0 && !is_first && bytes > room {
            answer.records.clear();
            return answer;
        }
        is_first &= bytes == 0;
        room = room.saturating_sub(bytes);
        answer
    });
    let answers = answers.collect();
    write(
        call,
        head(call, Code::None, terms.isolation),
        topics,
        answers,
    )
}

fn answer(part: Progress, version: i16) -> PartitionAnswer {
    let failed = |code: Code| {
        let is_old = version <= LAST_WITHOUT_STORAGE_ERROR;
        let code = if is_old {
            code.without_storage_error()
        } else {
            code
        };
        PartitionAnswer {
            index: part.asked.index,
            code: code.to_wire(),
            high_watermark: -1,
            last_stable: -1,
            log_start: -1,
            diverging: None,
            records: Records::new(),
        }
    };
    match part.view {
        None => failed(Code::UnknownTopicOrPartition),
        Some(Err(error)) => failed(error_map::read(&error)),
        Some(Ok(view)) => PartitionAnswer {
            index: part.asked.index,
            code: Code::None.to_wire(),
            high_watermark: view.high_watermark.to_wire(),
            last_stable: view.last_stable.to_wire(),
            log_start: view.log_start.to_wire(),
            diverging: view
                .diverging
                .map(|(epoch, end)| (epoch.to_wire(), end.to_wire())),
            records: part.records,
        },
    }
}
