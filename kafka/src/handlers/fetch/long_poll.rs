//! Waiting for enough records of many partitions.
//!
//! Owns: the order in which partitions are asked, the bytes they may return, when to park and when to stop.
//! Never: reads a clock or polls: shards wake parked fetches.
//! Invariants: while probing, what is asked for and not answered plus what is there is at most `bytes_max`; a
//! partition has at most one command unanswered; after the first cancellation nothing is asked again.
//! Source: kafka.md 4.4.2; KIP-74 (order and one whole batch).

use std::time::Duration;

use api::command::{Fetch, Isolation};
use api::error::{PartitionError, ReadError};
use api::reply::{Fetched, Records};
use api::{Command, Reply, SessionError};
use bytes::Bytes;
use model::limits::BATCH_BYTES_DEFAULT;
use model::offset::{LeaderEpoch, Offset};
use model::time::Instant;

use crate::codec::Few;
use crate::codec::fetch::PartitionAsked;
use crate::codec::produce::TopicSpan;
use crate::gather::{Call, Gather, Response};
use crate::handlers::values;
use crate::limits::LONG_POLL_GRACE_MS;

/// What the reader wants of the whole request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Milliseconds to wait for `bytes_min`.
    pub(super) wait_max_ms: u32,
    /// Bytes worth an answer; at most `bytes_max`.
    pub(super) bytes_min: u32,
    /// Bytes wanted at most.
    pub(super) bytes_max: u32,
    /// Visibility.
    pub(super) isolation: Isolation,
}

model::transitions! {
    /// How far a long poll is.
    enum Phase {
        /// Each partition is asked what it has now, in order, as far as the bytes reach.
        Probing => [Parked, Finishing],
        /// Too little: the partitions wait for more.
        Parked => [Finishing],
        /// Enough, or an error, or too late: what is still parked comes back.
        Finishing => [],
    }
}

/// One partition.
#[derive(Debug)]
pub(super) struct Progress {
    /// As asked.
    pub(super) asked: PartitionAsked,
    /// What the last answer said, without its records.
    pub(super) view: Option<Result<Fetched, ReadError>>,
    /// Records of all its answers.
    pub(super) records: Records,
    bytes: u64,
    topic: usize,
    // Bytes the unanswered command may return.
    reserved: Option<u64>,
}

/// The state of one Fetch request.
pub(super) struct LongPoll {
    terms: Terms,
    topics: Few<TopicSpan>,
    parts: Vec<Progress>,
    phase: Phase,
    deadline: Instant,
    // Partitions asked at least once.
    probed: usize,
    unanswered: usize,
    reserved: u64,
    bytes: u64,
    // An error or a divergence: the reader wants to know at once.
    is_urgent: bool,
}

/// What a command asks of one partition.
struct Ask {
    bytes_max: u64,
    wait_until: Option<Instant>,
}

impl LongPoll {
    /// A request for these partitions, grouped by topic.
    pub(super) fn new(terms: Terms, topics: Few<TopicSpan>, asked: &[PartitionAsked]) -> Self {
        let owners = topics
            .iter()
            .enumerate()
            .flat_map(|(index, topic)| std::iter::repeat_n(index, topic.partitions));
        let parts: Vec<_> = asked
            .iter()
            .zip(owners)
            .map(|(asked, topic)| Progress {
                asked: asked.clone(),
                view: None,
                records: Records::new(),
                bytes: 0,
                topic,
                reserved: None,
            })
            .collect();
        assert_eq!(parts.len(), asked.len(), "every partition has a topic");
        Self {
            terms,
            topics,
            parts,
            phase: Phase::Probing,
            deadline: Instant::ZERO,
            probed: 0,
            unanswered: 0,
            reserved: 0,
            bytes: 0,
            is_urgent: false,
        }
    }

    fn may_wait(&self) -> bool {
        self.terms.wait_max_ms > 0 && self.terms.bytes_min > 0
    }

    fn is_satisfied(&self) -> bool {
        self.is_urgent || self.bytes >= u64::from(self.terms.bytes_min)
    }

    fn room(&self) -> u64 {
        u64::from(self.terms.bytes_max)
            .saturating_sub(self.bytes)
            .saturating_sub(self.reserved)
    }

    // Asks further partitions, as far as the bytes that were promised reach.
    fn probe(&mut self, call: &mut Call<'_>) {
        while self.probed < self.parts.len() {
            let room = self.room();
            // With all bytes promised, later answers may free some. With all bytes there, the others are
            // still asked for their state.
            if room == 0 && self.reserved > 0 {
                return;
            }
            let place = self.probed;
            self.probed += 1;
            self.ask(
                call,
                place,
                &Ask {
                    bytes_max: room,
                    wait_until: None,
                },
            );
        }
    }

    // Lets every partition wait for more.
    fn park(&mut self, call: &mut Call<'_>) {
        self.phase.become_next(Phase::Parked);
        for place in 0..self.parts.len() {
            self.park_one(call, place);
        }
    }

    fn park_one(&mut self, call: &mut Call<'_>, place: usize) {
        let left = u64::from(self.terms.bytes_max).saturating_sub(self.bytes);
        if left > 0 {
            self.ask(
                call,
                place,
                &Ask {
                    bytes_max: left,
                    wait_until: Some(self.deadline),
                },
            );
        }
    }

    fn ask(&mut self, call: &mut Call<'_>, place: usize, ask: &Ask) {
        let is_nothing_there = self.bytes == 0;
        let Some(part) = self.parts.get_mut(place) else {
            return;
        };
        assert!(
            part.reserved.is_none(),
            "one command per partition at a time"
        );
        let (Some(partition), Some(topic)) = (
            values::partition(part.asked.index),
            self.topics.get(part.topic),
        ) else {
            part.fail(PartitionError::UnknownTopicOrPartition.into());
            self.is_urgent = true;
            return;
        };
        let Some(offset) = next_offset(part) else {
            part.fail(out_of_range());
            self.is_urgent = true;
            return;
        };
        let own = u64::try_from(part.asked.bytes_max)
            .unwrap_or(0)
            .saturating_sub(part.bytes);
        let bytes_max = own.min(ask.bytes_max);
        if bytes_max == 0 && ask.wait_until.is_some() {
            return; // it could wait for ever
        }
        let has_records = !part.records.is_empty();
        let command = Command::Fetch(Fetch {
            topic: topic.label.to_key(),
            partition,
            offset,
            leader_epoch: LeaderEpoch::from_wire(part.asked.leader_epoch),
            // Records that were read here a moment ago cannot have diverged.
            last_fetched_epoch: LeaderEpoch::from_wire(part.asked.last_fetched_epoch)
                .filter(|_| !has_records),
            isolation: self.terms.isolation,
            bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            at_least_one: is_nothing_there,
            wait_until: ask.wait_until,
        });
        // A whole batch may come instead of the few bytes wanted.
        let whole = if is_nothing_there {
            BATCH_BYTES_DEFAULT.into()
        } else {
            0
        };
        let reserved = bytes_max.max(whole).min(ask.bytes_max);
        part.reserved = Some(reserved);
        self.reserved += reserved;
        self.unanswered += 1;
        call.send(u32::try_from(place).unwrap_or(u32::MAX), command);
    }

    // Whether the answer brought records.
    fn take(&mut self, place: usize, result: Result<Fetched, ReadError>) -> Option<u64> {
        let part = self.parts.get_mut(place)?;
        let reserved = part.reserved.take()?;
        self.reserved -= reserved;
        self.unanswered -= 1;
        let bytes = match result {
            Ok(mut fetched) => {
                self.is_urgent |= fetched.diverging.is_some();
                let mut records = std::mem::take(&mut fetched.records);
                let bytes: usize = records.iter().map(Bytes::len).sum();
                // To retain all is not free.
                if records.iter().any(Bytes::is_empty) {
                    records.retain(|chunk| !chunk.is_empty());
                }
                if part.records.is_empty() {
                    part.records = records;
                } else {
                    part.records.append(&mut records);
                }
                part.view = Some(Ok(fetched));
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
            Err(error) => {
                self.is_urgent = true;
                part.fail(error);
                0
            }
        };
        part.bytes += bytes;
        self.bytes += bytes;
        Some(bytes)
    }

    // Calls back whatever is parked.
    fn stop(&mut self, call: &mut Call<'_>) {
        if self.phase != Phase::Parked {
            return;
        }
        self.phase.become_next(Phase::Finishing);
        for (place, part) in self.parts.iter().enumerate() {
            let (Some(_), Some(partition), Some(topic)) = (
                part.reserved,
                values::partition(part.asked.index),
                self.topics.get(part.topic),
            ) else {
                continue;
            };
            let index = u32::try_from(place).unwrap_or(u32::MAX);
            let ticket = crate::gather::ticket(call.exchange.seq, index);
            let topic = topic.label.to_key();
            call.send(
                index,
                Command::CancelFetch {
                    topic,
                    partition,
                    ticket,
                },
            );
        }
    }

    fn advance(
        &mut self,
        call: &mut Call<'_>,
        place: usize,
        bytes: u64,
    ) -> Result<Option<Response>, SessionError> {
        match self.phase {
            Phase::Probing => self.advance_probing(call),
            Phase::Parked => self.advance_parked(call, place, bytes),
            Phase::Finishing => self.finish_if_done(call),
        }
    }

    fn advance_probing(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        self.probe(call);
        if self.unanswered > 0 {
            return Ok(None);
        }
        if self.may_wait() && !self.is_satisfied() && call.now.instant < self.deadline {
            self.park(call);
        }
        self.finish_if_done(call)
    }

    fn advance_parked(
        &mut self,
        call: &mut Call<'_>,
        place: usize,
        bytes: u64,
    ) -> Result<Option<Response>, SessionError> {
        if self.is_satisfied() {
            self.stop(call);
        } else if bytes > 0 && call.now.instant < self.deadline {
            // Some, but not enough: go on behind what came.
            self.park_one(call, place);
        }
        self.finish_if_done(call)
    }

    fn finish_if_done(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        if self.unanswered > 0 {
            return Ok(None);
        }
        let parts = std::mem::take(&mut self.parts);
        super::respond(call, self.terms, &self.topics, parts).map(Some)
    }
}

impl Progress {
    fn fail(&mut self, error: ReadError) {
        // Records that came before are good; the reader meets the error when it comes back.
        if self.records.is_empty() {
            self.view = Some(Err(error));
        }
    }
}

impl Gather for LongPoll {
    fn begin(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        let wait = Duration::from_millis(self.terms.wait_max_ms.into());
        self.deadline = call.now.instant.after(wait);
        if let [part] = self.parts.as_slice()
            && part.asked.bytes_max > 0
            && self.may_wait()
        {
            // One partition answers at once if it has something; there is nothing to be gained by a probe.
            self.probed = 1;
            self.park(call);
            return self.finish_if_done(call);
        }
        self.probe(call);
        self.finish_if_done(call)
    }

    fn handle_reply(
        &mut self,
        call: &mut Call<'_>,
        index: u32,
        reply: Reply,
    ) -> Result<Option<Response>, SessionError> {
        let Reply::Fetched(result) = reply else {
            return Err(call.unexpected());
        };
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(bytes) = self.take(place, result) else {
            return Err(call.unexpected());
        };
        self.advance(call, place, bytes)
    }

    fn handle_timeout(&mut self, call: &mut Call<'_>) -> Result<Option<Response>, SessionError> {
        self.stop(call);
        Ok(None)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let grace = Duration::from_millis(LONG_POLL_GRACE_MS);
        (self.phase == Phase::Parked).then(|| self.deadline.after(grace))
    }
}

fn out_of_range() -> ReadError {
    ReadError::OutOfRange {
        offset: Offset::ZERO,
        log_start: Offset::ZERO,
        log_end: Offset::ZERO,
    }
}

// Where the next answer has to begin: behind the last batch that came. `None` if there is no such offset.
fn next_offset(part: &Progress) -> Option<Offset> {
    let Some(last) = part.records.last() else {
        return Offset::from_wire(part.asked.offset);
    };
    let mut rest: &[u8] = last;
    let mut next = None;
    while let Some(bytes) = model::batch::view::batch_len(rest) {
        let info = model::batch::BatchInfo::parse_header(rest).ok()?;
        next = info.last_offset().checked_add(1);
        rest = rest.get(bytes..)?;
    }
    next
}
