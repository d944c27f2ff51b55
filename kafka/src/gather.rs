//! From one request to its commands, and from their replies to one response.
//!
//! Owns: [`Call`] (what a handler may touch), [`Gather`] (a request that waits for replies), and the two
//! shapes nearly every API has: one command, or one per element.
//! Never: knows what an API means.
//! Invariants: a ticket names one command of one request; a request is answered once.
//! Source: architecture.md section 5, kafka.md 4.2.

use api::{Command, CommandSink, ConnectionContext, Reply, SessionError, Ticket};
use bytes::Bytes;
use kafka_wire::{KafkaMessage, KafkaRequest, KafkaResponse};
use model::time::{Instant, Now};
use smallvec::SmallVec;

use crate::codec::names::Names;
use crate::codec::{self, Few, ResponseError, ResponseHeader};
use crate::config::KafkaConfig;
use crate::error_map::Code;
use crate::frame::Request;
use crate::handlers::Appends;
use crate::versions::Api;

/// Bits of a ticket that count the commands of one request; the rest counts requests.
const INDEX_BITS: u32 = 24;
/// Commands of one request at most. Requests are bounded far below by their frame.
const COMMANDS_MAX: u32 = 1 << INDEX_BITS;

/// Bytes of a response that is kept in its slot, and sent together with its neighbours. The answer to a produce
/// request of one partition is about 60 bytes long.
const SHORT_BYTES_MAX: usize = 96;

/// Names one request of a connection; rises by one per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestSeq(pub(crate) u64);

/// The ticket of a request's command.
pub(crate) fn ticket(seq: RequestSeq, index: u32) -> Ticket {
    assert!(index < COMMANDS_MAX, "too many commands for one request");
    Ticket((seq.0 << INDEX_BITS) | u64::from(index))
}

/// The request and the index that make up a ticket.
pub(crate) fn split_ticket(ticket: Ticket) -> (RequestSeq, u32) {
    let index = u32::try_from(ticket.0 & u64::from(COMMANDS_MAX - 1)).unwrap_or(u32::MAX);
    (RequestSeq(ticket.0 >> INDEX_BITS), index)
}

/// The place of the command `index` of a request; `None` if it made no such command.
pub(crate) fn at_index<T>(places: &mut [T], index: u32) -> Option<&mut T> {
    places.get_mut(usize::try_from(index).ok()?)
}

/// What never changes while a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// Which request of the connection.
    pub(crate) seq: RequestSeq,
    /// Its API.
    pub(crate) api: &'static Api,
    /// Its version.
    pub(crate) version: i16,
    /// To be echoed.
    pub(crate) correlation: i32,
}

impl Exchange {
    /// The header of its response.
    pub(crate) fn response_header(&self) -> ResponseHeader {
        ResponseHeader {
            correlation: self.correlation,
            is_tagged: self.api.has_tagged_response_header(self.version),
        }
    }
}

/// What a connection keeps from one request to the next, so that most need no memory for it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Names of topics.
    pub(crate) names: Names,
    // Where a response is written; never of more capacity than a short one needed.
    scratch: Vec<u8>,
}

/// What the handler of a request may touch.
pub(crate) struct Call<'a> {
    /// The request.
    pub(crate) exchange: Exchange,
    /// Both clocks.
    pub(crate) now: Now,
    /// Bounds.
    pub(crate) config: &'a KafkaConfig,
    /// The connection.
    pub(crate) context: &'a ConnectionContext,
    /// Where commands go.
    pub(crate) sink: &'a mut CommandSink,
    /// What outlives the request.
    pub(crate) kept: &'a mut Kept,
}

impl Call<'_> {
    /// The request's version.
    pub(crate) fn version(&self) -> i16 {
        self.exchange.version
    }

    /// Asks for something; its reply comes back with `index`.
    pub(crate) fn send(&mut self, index: u32, command: Command) {
        self.sink.push(ticket(self.exchange.seq, index), command);
    }

    /// `timeout_ms` from now; a negative number is none.
    pub(crate) fn deadline(&self, timeout_ms: i32) -> Instant {
        let millis = u64::try_from(timeout_ms).unwrap_or(0);
        self.now
            .instant
            .after(std::time::Duration::from_millis(millis))
    }

    /// Decodes the body of a request.
    pub(crate) fn decode<T: KafkaRequest>(&self, request: Request) -> Result<T, SessionError> {
        let Exchange { api, version, .. } = self.exchange;
        codec::decode(request.into_body(), version).map_err(|error| malformed(api, version, &error))
    }

    /// Encodes the response.
    pub(crate) fn respond<T>(&self, body: &T) -> Result<Response, SessionError>
    where
        T: KafkaResponse + KafkaMessage,
    {
        let Exchange { version, .. } = self.exchange;
        codec::encode(self.exchange.response_header(), body, version)
            .map(Response::One)
            .map_err(|error| self.unwritable(&error))
    }

    /// The response that `write` writes.
    pub(crate) fn respond_with<F>(&mut self, write: F) -> Result<Response, SessionError>
    where
        F: FnOnce(&mut Vec<u8>) -> Result<(), ResponseError>,
    {
        let scratch = &mut self.kept.scratch;
        scratch.clear();
        match write(scratch) {
            Ok(()) if scratch.len() <= SHORT_BYTES_MAX => {
                Ok(Response::Short(ShortFrame::from_slice(scratch)))
            }
            Ok(()) => Ok(Response::One(std::mem::take(scratch).into())),
            Err(error) => Err(self.unwritable(&error)),
        }
    }

    /// A response that the codec refuses: a defect here, which must not take other connections along.
    pub(crate) fn unwritable(&self, error: &ResponseError) -> SessionError {
        let Exchange { api, version, .. } = self.exchange;
        SessionError::Closed(format!("{} v{version} response: {error}", api.name))
    }

    /// A reply of another kind than was asked for: a defect behind the door.
    pub(crate) fn unexpected(&self) -> SessionError {
        SessionError::Closed(format!(
            "{} got a reply of another kind",
            self.exchange.api.name
        ))
    }
}

/// A body that does not parse.
pub(crate) fn malformed(api: &Api, version: i16, error: &dyn std::error::Error) -> SessionError {
    SessionError::Protocol(format!("{} v{version}: {error}", api.name))
}

/// A frame of a few bytes.
pub(crate) type ShortFrame = SmallVec<[u8; SHORT_BYTES_MAX]>;

/// The end of a request.
#[derive(Debug)]
pub(crate) enum Response {
    /// Send this frame of a few bytes.
    Short(ShortFrame),
    /// Send this frame.
    One(Bytes),
    /// Send these pieces of a frame.
    Many(Vec<Bytes>),
    /// Say nothing (acks=0).
    Silent,
    /// Close in its place.
    Close(SessionError),
}

impl Response {
    /// Bytes to be sent.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Short(frame) => frame.len(),
            Self::One(bytes) => bytes.len(),
            Self::Many(chunks) => chunks.iter().map(Bytes::len).sum(),
            Self::Silent | Self::Close(_) => 0,
        }
    }
}

/// What a handler did with a request.
pub(crate) enum Step {
    /// It is answered.
    Done(Response),
    /// It waits for replies.
    Wait(Work),
    /// It is a long poll or has a large answer, of which one runs at a time: to be begun when its turn comes.
    Poll(Box<dyn Gather>),
}

/// What collects the answer of a request: in place for the one that comes most often.
pub(crate) enum Work {
    /// Of a produce request.
    Appends(Appends),
    /// Of any other.
    Other(Box<dyn Gather>),
}

impl Work {
    /// What it is, whichever it is.
    pub(crate) fn as_gather(&mut self) -> &mut dyn Gather {
        match self {
            Self::Appends(appends) => appends,
            Self::Other(gather) => gather.as_mut(),
        }
    }

    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Appends(appends) => appends.poll_timeout(),
            Self::Other(gather) => gather.poll_timeout(),
        }
    }
}

/// A request that waits for replies.
pub(crate) trait Gather {
    /// Begins a long poll.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn begin(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        let Call { .. } = call;
        Ok(None)
    }

    /// Takes the reply to the command with this index; the response if it was the last that was needed.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError>;

    /// `poll_timeout` is due.
    ///
    /// # Errors
    /// The connection is to be closed.
    fn handle_timeout(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        let Call { .. } = call;
        Ok(None)
    }

    /// When `handle_timeout` is due.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// What makes a response of one reply.
type Finish<T> = Box<dyn FnOnce(&mut Call<'_>, T) -> Result<Response, SessionError>>;

struct Single {
    finish: Option<Finish<Reply>>,
}

impl Gather for Single {
    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        _index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        match self.finish.take() {
            Some(finish) => finish(call, reply).map(Some),
            None => Err(call.unexpected()),
        }
    }
}

/// Asks for one thing and answers with what `finish` makes of the reply.
pub(crate) fn ask<F>(call: &mut Call<'_>, command: Command, finish: F) -> Step
where
    F: FnOnce(&mut Call<'_>, Reply) -> Result<Response, SessionError> + 'static,
{
    call.send(0, command);
    Step::Wait(Work::Other(Box::new(Single {
        finish: Some(Box::new(finish)),
    })))
}

/// A request that asks only when its turn comes.
struct InTurn {
    held: CommandSink,
    work: Work,
}

impl Gather for InTurn {
    fn begin(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        while let Some((ticket, command)) = self.held.pop() {
            call.sink.push(ticket, command);
        }
        Ok(None)
    }

    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        self.work.as_gather().handle_reply(call, index, reply)
    }
}

/// Holds back what `start` asks until no other long request of the connection runs and the client takes what it is
/// sent. For requests of a few bytes with answers of megabytes, of which a client may send many at once.
///
/// # Errors
/// Those of `start`.
pub(crate) fn in_turn(
    call: &mut Call<'_>,
    request: Request,
    start: fn(&mut Call<'_>, Request) -> Result<Step, SessionError>,
) -> Result<Step, SessionError> {
    let mut held = CommandSink::default();
    let mut aside = Call {
        exchange: call.exchange,
        now: call.now,
        config: call.config,
        context: call.context,
        sink: &mut held,
        kept: call.kept,
    };
    let step = start(&mut aside, request)?;
    Ok(match step {
        Step::Wait(work) => Step::Poll(Box::new(InTurn { held, work })),
        Step::Done(_) | Step::Poll(_) => step,
    })
}

/// An element that is refused here, without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why, for the client.
    pub(crate) code: Code,
    /// Why, for the user.
    pub(crate) message: String,
}

impl Refusal {
    /// A refusal; `message` is one sentence for the user.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Asks for the elements that were not refused with one command, and answers with all of them in order.
///
/// `command` is `None` if every element was refused. `take` gets the list of answers out of the reply.
///
/// # Errors
/// Those of `finish`, if nothing had to be asked.
pub(crate) fn ask_rest<T, F>(
    call: &mut Call<'_>,
    refused: Vec<Option<Refusal>>,
    command: Option<Command>,
    take: fn(Reply) -> Option<Vec<T>>,
    finish: F,
) -> Result<Step, SessionError>
where
    T: 'static,
    F: FnOnce(&mut Call<'_>, Vec<Result<T, Refusal>>) -> Result<Response, SessionError> + 'static,
{
    let merged = move |call: &mut Call<'_>, answers: Vec<T>| {
        let asked = refused.iter().filter(|refusal| refusal.is_none()).count();
        if asked != answers.len() {
            return Err(call.unexpected());
        }
        let mut answers = answers.into_iter();
        let all = refused.into_iter().filter_map(|refusal| match refusal {
            Some(refusal) => Some(Err(refusal)),
            None => answers.next().map(Ok),
        });
        let all = all.collect();
        finish(call, all)
    };
    let Some(command) = command else {
        return merged(call, Vec::new()).map(Step::Done);
    };
    Ok(ask(call, command, move |call, reply| match take(reply) {
        Some(answers) => merged(call, answers),
        None => Err(call.unexpected()),
    }))
}

/// Collects one answer per element, some known at once, some from replies.
pub(crate) struct FanOut<T> {
    answers: Few<Option<T>>,
    waiting: usize,
}

impl<T: 'static> FanOut<T> {
    /// Without elements.
    pub(crate) fn new() -> Self {
        Self {
            answers: Few::new(),
            waiting: 0,
        }
    }

    /// The next element is answered already.
    pub(crate) fn known(&mut self, answer: T) {
        self.answers.push(Some(answer));
    }

    /// The next element needs a reply.
    pub(crate) fn ask(&mut self, call: &mut Call<'_>, command: Command) {
        let index = u32::try_from(self.answers.len()).unwrap_or(u32::MAX);
        call.send(index, command);
        self.answers.push(None);
        self.waiting += 1;
    }

    /// `take` turns a reply into an answer (or `None` if it is of another kind); `finish` gets all
    /// answers, in the order of the elements.
    ///
    /// # Errors
    /// Those of `finish`, if nothing had to be asked.
    pub(crate) fn finish<F>(
        self,
        call: &mut Call<'_>,
        take: fn(Reply) -> Option<T>,
        finish: F,
    ) -> Result<Step, SessionError>
    where
        F: FnOnce(&mut Call<'_>, Few<T>) -> Result<Response, SessionError> + 'static,
    {
        if self.waiting == 0 {
            let answers = self.answers.into_iter().flatten().collect();
            return finish(call, answers).map(Step::Done);
        }
        let gather = Collecting {
            fan: self,
            take,
            finish: Some(finish),
        };
        Ok(Step::Wait(Work::Other(Box::new(gather))))
    }
}

struct Collecting<T, F> {
    fan: FanOut<T>,
    take: fn(Reply) -> Option<T>,
    finish: Option<F>,
}

impl<T, F> Gather for Collecting<T, F>
where
    T: 'static,
    F: FnOnce(&mut Call<'_>, Few<T>) -> Result<Response, SessionError> + 'static,
{
    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        let place = at_index(&mut self.fan.answers, index);
        let (Some(place @ None), Some(answer)) = (place, (self.take)(reply)) else {
            return Err(call.unexpected());
        };
        *place = Some(answer);
        self.fan.waiting -= 1;
        if self.fan.waiting > 0 {
            return Ok(None);
        }
        let answers = std::mem::take(&mut self.fan.answers)
            .into_iter()
            .flatten()
            .collect();
        match self.finish.take() {
            Some(finish) => finish(call, answers).map(Some),
            None => Err(call.unexpected()),
        }
    }
}
