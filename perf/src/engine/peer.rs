//! What one connection does: produce, consume, or nothing.
//!
//! Owns: [`Producer`], [`Consumer`].
//! Never: blocks or sleeps.
//! Invariants: answers come in the order of requests (Kafka promises it), so times wait in a queue.
//! Source: performance.md section 5, kafka.md 4.2.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::link::Link;
use crate::clock::Nanos;
use crate::error::BenchError;
use crate::load::Load;
use crate::measure::{Measured, Timing, Window};
use crate::schedule::{Arrivals, Share};
use crate::wire::fetch::{Fetch, Position};
use crate::wire::produce::{Produce, read_acknowledgement};

/// A producing connection.
#[derive(Debug)]
pub(super) struct Producer {
    request: Produce,
    partitions: Vec<i32>,
    turn: usize,
    depth: usize,
    is_answered: bool,
    correlation: i32,
    in_flight: VecDeque<Timing>,
    arrivals: Option<Arrivals>,
}

/// Moment and window of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) now: Nanos,
    pub(super) window: Window,
}

impl Producer {
    pub(super) fn new(
        load: &Load,
        index: usize,
        partitions: Vec<i32>,
        start: Nanos,
    ) -> Result<Self, BenchError> {
        let share = Share {
            connection: index,
            connections: load.connections,
            per_second: load.rate,
            start,
        };
        let arrivals = load
            .is_open_loop()
            .then(|| Arrivals::new(share, load.spacing, load.seed));
        Ok(Self {
            request: Produce::new(load)?,
            partitions,
            turn: 0,
            depth: load.depth,
            is_answered: load.acks != 0,
            correlation: 0,
            in_flight: VecDeque::with_capacity(load.depth),
            arrivals,
        })
    }

    /// When this connection wants to send next, if only time keeps it from sending.
    pub(super) fn due(&self, link: &Link) -> Option<Nanos> {
        let may_send = self.in_flight.len() < self.depth && link.has_room();
        match &self.arrivals {
            Some(arrivals) if may_send => Some(arrivals.peek()),
            Some(_) | None => None,
        }
    }

    /// Whether answers, not the schedule, decide when to send.
    pub(super) const fn is_closed_loop(&self) -> bool {
        self.arrivals.is_none()
    }

    /// Whether answers are outstanding.
    pub(super) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends what is due. Once the window is over nothing is.
    pub(super) fn pump(
        &mut self,
        link: &mut Link,
        step: Step,
        measured: &mut Measured,
    ) -> Result<(), BenchError> {
        if step.now >= step.window.end {
            return link.flush();
        }
        self.send_due(link, step, measured)
    }

    /// To be called once, at the first look at the clock after the window: sends what fell due between the last look
    /// and the end. Only the generator's own sleep kept it back; what a full pipeline keeps back stays unsent.
    pub(super) fn last_call(
        &mut self,
        link: &mut Link,
        step: Step,
        measured: &mut Measured,
    ) -> Result<(), BenchError> {
        if self.is_closed_loop() {
            return Ok(());
        }
        self.send_due(link, step, measured)
    }

    fn send_due(
        &mut self,
        link: &mut Link,
        step: Step,
        measured: &mut Measured,
    ) -> Result<(), BenchError> {
        let until = step.now.min(step.window.end.saturating_sub(1));
        while self.in_flight.len() < self.depth && link.has_room() {
            let intended = match &mut self.arrivals {
                None => step.now,
                Some(arrivals) => {
                    if arrivals.peek() > until {
                        break;
                    }
                    arrivals.take()
                }
            };
            self.send(link, intended)?;
            measured.sent_all += 1;
            let timing = Timing {
                intended,
                sent: step.now,
            };
            if self.is_answered {
                self.in_flight.push_back(timing);
            } else {
                // Nothing comes back: what counts is that the socket took it.
                link.flush()?;
                measured.acknowledged(step.window, step.now, self.request.size());
                if link.is_blocked() {
                    break;
                }
            }
            if self.arrivals.is_none() && !self.is_answered && self.turn.is_multiple_of(64) {
                break;
            }
        }
        link.flush()
    }

    fn send(&mut self, link: &mut Link, intended: Nanos) -> Result<(), BenchError> {
        let partition = self.partitions.get(self.turn % self.partitions.len());
        let partition = partition.copied().unwrap_or(0);
        self.turn = self.turn.wrapping_add(1);
        self.correlation = self.correlation.wrapping_add(1);
        link.queue(self.request.frame(self.correlation, partition, intended)?);
        Ok(())
    }

    /// Takes one answer.
    pub(super) fn answer(
        &mut self,
        frame: &[u8],
        step: Step,
        measured: &mut Measured,
    ) -> Result<(), BenchError> {
        let answer = read_acknowledgement(frame)?;
        let in_flight = i32::try_from(self.in_flight.len()).unwrap_or(i32::MAX);
        let timing = self.in_flight.pop_front();
        let timing = timing
            .filter(|_| answer.correlation == self.correlation.wrapping_sub(in_flight - 1))
            .ok_or_else(|| BenchError::Garbage("an answer to no request".to_owned()))?;
        measured.answered(step.window, timing, step.now);
        if answer.error == 0 {
            measured.acknowledged(step.window, step.now, self.request.size());
        } else {
            *measured.refused.entry(answer.error).or_default() += 1;
        }
        Ok(())
    }

    /// Counts what the end of the run left unanswered or unsent.
    pub(super) fn settle(&mut self, step: Step, measured: &mut Measured) {
        for timing in self.in_flight.drain(..) {
            measured.outstanding(step.window, timing.intended, step.now);
            measured.unanswered += u64::from(step.window.holds(timing.intended));
        }
        let Some(arrivals) = &mut self.arrivals else {
            return;
        };
        while arrivals.peek() < step.window.end {
            let intended = arrivals.take();
            if step.window.holds(intended) {
                measured.outstanding(step.window, intended, step.now);
                measured.unsent += 1;
            }
        }
    }
}

/// A consuming connection: one fetch in flight.
#[derive(Debug)]
pub(super) struct Consumer {
    request: Fetch,
    correlation: i32,
    is_waiting: bool,
}

impl Consumer {
    pub(super) fn new(load: &Load, positions: Vec<Position>) -> Self {
        Self {
            request: Fetch::new(load, positions),
            correlation: 0,
            is_waiting: false,
        }
    }

    /// Whether everything wanted was read.
    pub(super) fn is_done(&self) -> bool {
        self.request.is_done()
    }

    /// Asks for more.
    pub(super) fn pump(&mut self, link: &mut Link) -> Result<(), BenchError> {
        if !self.is_waiting && !self.request.is_done() {
            self.correlation = self.correlation.wrapping_add(1);
            link.queue(self.request.frame(self.correlation));
            self.is_waiting = true;
        }
        link.flush()
    }

    /// Takes one answer.
    pub(super) fn answer(
        &mut self,
        frame: &[u8],
        step: Step,
        measured: &mut Measured,
    ) -> Result<(), BenchError> {
        self.is_waiting = false;
        let latency = &mut measured.end_to_end;
        let fetched = self.request.read(frame, |intended| {
            if step.window.holds(intended) {
                latency.saturating_record(step.now.saturating_sub(intended).max(1));
            }
        })?;
        measured.fetched_all += fetched.records;
        if step.window.holds(step.now) {
            measured.fetches += 1;
            measured.fetched_records += fetched.records;
            measured.fetched_bytes += fetched.bytes;
        }
        Ok(())
    }
}
