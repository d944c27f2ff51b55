//! One connection: frames in, responses out, in request order.
//!
//! Owns: the slots of unanswered and unsent requests, their bounds, the turn of long polls and large answers.
//! Never: knows an API; `handlers` do.
//! Invariants: responses leave in the order of their requests; one long poll runs at a time; nothing is
//! read after a protocol violation.
//! Source: kafka.md 4.1, 4.2.

mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{
    ChunkSink, CommandSink, ConnectionContext, Reply, Session, SessionError, SessionFactory,
    Ticket, TransmitStatus,
};
use bytes::BytesMut;
use model::time::{Instant, Now};

use self::slots::{Pending, Slot, Slots};
use crate::config::KafkaConfig;
use crate::frame::{self, Parsed, Request};
use crate::gather::{Call, Exchange, Gather, Kept, RequestSeq, Response, Step, Work, split_ticket};
use crate::handlers;
use crate::limits::{IN_FLIGHT_BYTES_MAX, READY_BYTES_MAX};

/// Whether more requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    // A slot has failed; it and those before it are all that is still answered.
    Ended,
}

/// The Kafka protocol of one connection.
pub struct KafkaSession {
    config: Arc<KafkaConfig>,
    context: ConnectionContext,
    slots: Slots,
    kept: Kept,
    reading: Reading,
    // The last transmission made room that somebody waits for: frames left unread, or a long poll.
    is_woken: bool,
}

/// Makes sessions with this configuration.
///
/// # Panics
/// If a bound is zero or above its ceiling in `model::limits`.
#[must_use]
pub fn session_factory(config: KafkaConfig) -> SessionFactory {
    config.assert_valid();
    let config = Arc::new(config);
    Arc::new(move |context, _now| Box::new(KafkaSession::new(Arc::clone(&config), context)))
}

impl KafkaSession {
    /// The session of a new connection.
    ///
    /// # Panics
    /// If a bound is zero or above its ceiling in `model::limits`.
    #[must_use]
    pub fn new(config: Arc<KafkaConfig>, context: ConnectionContext) -> Self {
        config.assert_valid();
        Self {
            config,
            context,
            slots: Slots::default(),
            kept: Kept::default(),
            reading: Reading::Open,
            is_woken: false,
        }
    }

    fn take_frame(
        &mut self,
        now: Now,
        frame: BytesMut,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        match frame::parse(&frame)? {
            Parsed::Request(header) => self.take_request(now, Request { frame, header }, out),
            Parsed::UnknownApiVersions { correlation } => {
                let response = handlers::refuse_api_versions(correlation)?;
                self.slots.push(Slot::Ready(response));
                Ok(())
            }
        }
    }

    fn take_request(
        &mut self,
        now: Now,
        request: Request,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let exchange = Exchange {
            seq: self.slots.next_seq(),
            api: request.header.api,
            version: request.header.version,
            correlation: request.header.correlation,
        };
        let frame_bytes = request.frame.len();
        let mut call = Call {
            exchange,
            now,
            config: &self.config,
            context: &self.context,
            sink: out,
            kept: &mut self.kept,
        };
        let slot = match handlers::start(&mut call, request)? {
            Step::Done(response) => Slot::Ready(response),
            Step::Wait(work) => Slot::Working(Pending {
                exchange,
                work,
                frame_bytes,
            }),
            Step::Poll(gather) => Slot::Deferred(Pending {
                exchange,
                work: Work::Other(gather),
                frame_bytes,
            }),
        };
        let is_closing = matches!(slot, Slot::Ready(Response::Close(_)));
        self.slots.push(slot);
        self.begin_polls(now, out);
        if is_closing {
            self.end_behind(now, exchange.seq, out);
        }
        Ok(())
    }

    // A response that says to close is the last one; a fetch parked behind it is called back.
    fn end_behind(&mut self, now: Now, seq: RequestSeq, out: &mut CommandSink) {
        self.reading = Reading::Ended;
        if let Some(poll) = self.slots.polling().filter(|poll| *poll > seq) {
            self.drive(now, poll, out, |gather, call| gather.handle_timeout(call));
        }
        self.slots.drop_after(seq);
    }

    // Ends the connection behind what was asked before.
    fn fail(&mut self, error: SessionError) {
        self.slots.push(Slot::Ready(Response::Close(error)));
        self.reading = Reading::Ended;
    }

    /// The error to be reported once everything before it is answered.
    fn verdict(&self) -> Result<(), SessionError> {
        if self.reading == Reading::Open {
            return Ok(());
        }
        match self.slots.first_obstacle() {
            Some(Slot::Ready(Response::Close(error))) => Err(error.clone()),
            Some(_) | None => Ok(()),
        }
    }

    // Begins the next long poll if none runs and the client takes what it is sent.
    #[inline]
    fn begin_polls(&mut self, now: Now, out: &mut CommandSink) {
        if self.slots.has_deferred() {
            self.begin_deferred(now, out);
        }
    }

    fn begin_deferred(&mut self, now: Now, out: &mut CommandSink) {
        while self.may_poll() {
            let Some(seq) = self.slots.next_deferred() else {
                return;
            };
            self.drive(now, seq, out, |gather, call| gather.begin(call));
        }
    }

    fn may_poll(&self) -> bool {
        self.slots.has_deferred()
            && self.slots.polling().is_none()
            && self.slots.ready_bytes() < READY_BYTES_MAX
    }

    // Lets the request `seq` do something and files what comes of it.
    fn drive<F>(&mut self, now: Now, seq: RequestSeq, out: &mut CommandSink, act: F)
    where
        F: FnOnce(&mut dyn Gather, &mut Call<'_>) -> Result<Option<Response>, SessionError>,
    {
        let Some(pending) = self.slots.get_mut(seq).and_then(Slot::pending_mut) else {
            return;
        };
        let mut call = Call {
            exchange: pending.exchange,
            now,
            config: &self.config,
            context: &self.context,
            sink: out,
            kept: &mut self.kept,
        };
        let response = match act(pending.work.as_gather(), &mut call) {
            Ok(None) => return self.slots.mark_begun(seq),
            Ok(Some(response)) => response,
            Err(error) => Response::Close(error),
        };
        let is_closing = matches!(response, Response::Close(_));
        self.slots.answer(seq, response);
        if is_closing {
            self.end_behind(now, seq, out);
        }
    }
}

impl Session for KafkaSession {
    fn handle_bytes(
        &mut self,
        now: Now,
        received: &mut BytesMut,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        while self.reading == Reading::Open && !self.is_full() {
            let outcome = match frame::length(received, self.config.frame_bytes_max) {
                Ok(Some(total)) if received.len() >= total => {
                    let frame = received.split_to(total);
                    self.take_frame(now, frame, out)
                }
                Ok(_) => break,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.fail(error);
            }
        }
        if self.reading == Reading::Ended {
            received.clear();
        }
        self.verdict()
    }

    fn handle_reply(
        &mut self,
        now: Now,
        ticket: Ticket,
        reply: Reply,
        out: &mut CommandSink,
    ) -> Result<(), SessionError> {
        let (seq, index) = split_ticket(ticket);
        self.drive(now, seq, out, |gather, call| {
            gather.handle_reply(call, index, reply)
        });
        self.begin_polls(now, out);
        self.verdict()
    }

    fn handle_timeout(&mut self, now: Now, out: &mut CommandSink) -> Result<(), SessionError> {
        self.is_woken = false;
        let due = self
            .slots
            .polling_timeout()
            .is_some_and(|at| at <= now.instant);
        if due && let Some(seq) = self.slots.polling() {
            self.drive(now, seq, out, |gather, call| gather.handle_timeout(call));
        }
        self.begin_polls(now, out);
        self.verdict()
    }

    // Appends end by themselves; parked fetches are called back.
    fn handle_close(&mut self, now: Now, out: &mut CommandSink) {
        self.reading = Reading::Ended;
        if let Some(seq) = self.slots.polling() {
            self.slots.drop_after(seq);
            self.drive(now, seq, out, |gather, call| gather.handle_timeout(call));
        }
    }

    fn poll_transmit(&mut self, out: &mut ChunkSink, budget: usize) -> TransmitStatus {
        let was_full = self.is_full();
        let could_poll = self.may_poll();
        let status = self.slots.transmit(out, budget);
        let has_room = was_full && !self.is_full() && self.reading == Reading::Open;
        self.is_woken |= has_room || (!could_poll && self.may_poll());
        status
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.is_woken {
            Some(Instant::ZERO)
        } else {
            self.slots.polling_timeout()
        }
    }

    fn frame_bytes(&self, received: &[u8]) -> Result<Option<usize>, SessionError> {
        frame::length(received, self.config.frame_bytes_max)
    }

    fn is_full(&self) -> bool {
        self.reading == Reading::Ended
            || self.slots.len() >= self.config.requests_max
            || self.slots.in_flight_bytes() >= IN_FLIGHT_BYTES_MAX
            || self.slots.ready_bytes() >= READY_BYTES_MAX
    }

    fn bytes_in_flight(&self) -> usize {
        self.slots.in_flight_bytes()
    }
}
