//! Requests of one connection, from their frame to their last byte.
//!
//! Owns: their order and the sums that bound them.
//! Never: talks to handlers.
//! Invariants: slots are contiguous in sequence; `Sums` are over the slots that are there; at most
//! one slot is `Polling`.
//! Source: kafka.md 4.2.

use std::collections::VecDeque;

use api::{ChunkSink, TransmitStatus};
use bytes::Bytes;
use model::time::Instant;

use crate::gather::{Exchange, RequestSeq, Response, Work};

/// A request that is not answered yet.
pub(super) struct Pending {
    /// What never changes about it.
    pub(super) exchange: Exchange,
    /// What collects its answer.
    pub(super) work: Work,
    /// Bytes of its frame.
    pub(super) frame_bytes: usize,
}

/// How far a request is.
pub(super) enum Slot {
    /// Waits for replies.
    Working(Pending),
    /// A long poll whose turn has not come.
    Deferred(Pending),
    /// The long poll whose turn it is.
    Polling(Pending),
    /// Answered; leaves when all before it have left.
    Ready(Response),
}

impl Slot {
    /// What is still to be answered.
    pub(super) fn pending_mut(&mut self) -> Option<&mut Pending> {
        match self {
            Self::Working(pending) | Self::Deferred(pending) | Self::Polling(pending) => {
                Some(pending)
            }
            Self::Ready(_) => None,
        }
    }

    fn short_frame(&self) -> Option<&[u8]> {
        match self {
            Self::Ready(Response::Short(frame)) => Some(frame),
            Self::Ready(_) | Self::Working(_) | Self::Deferred(_) | Self::Polling(_) => None,
        }
    }
}

/// What is known of all slots together.
#[derive(Default)]
struct Sums {
    in_flight: usize,
    ready: usize,
    deferred: usize,
    polling: Option<RequestSeq>,
}

impl Sums {
    fn forget(&mut self, slot: &Slot) {
        match slot {
            Slot::Working(pending) => self.in_flight -= pending.frame_bytes,
            Slot::Deferred(pending) => {
                self.in_flight -= pending.frame_bytes;
                self.deferred -= 1;
            }
            Slot::Polling(pending) => {
                assert_eq!(
                    self.polling,
                    Some(pending.exchange.seq),
                    "the long poll that runs"
                );
                self.in_flight -= pending.frame_bytes;
                self.polling = None;
            }
            Slot::Ready(response) => self.ready -= response.bytes(),
        }
    }
}

/// The requests of a connection, oldest first.
#[derive(Default)]
pub(super) struct Slots {
    queue: VecDeque<Slot>,
    first: u64,
    sums: Sums,
}

impl Slots {
    /// Requests that are not wholly handed over for sending.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of frames not answered yet.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.sums.in_flight
    }

    /// Bytes of responses not handed over yet.
    pub(super) fn ready_bytes(&self) -> usize {
        self.sums.ready
    }

    /// Whether a long poll waits for its turn.
    pub(super) fn has_deferred(&self) -> bool {
        self.sums.deferred > 0
    }

    /// The long poll that runs.
    pub(super) fn polling(&self) -> Option<RequestSeq> {
        self.sums.polling
    }

    /// When the long poll that runs wants to be told of the time.
    pub(super) fn polling_timeout(&self) -> Option<Instant> {
        match self.queue.get(self.place(self.sums.polling?)?)? {
            Slot::Polling(pending) => pending.work.poll_timeout(),
            Slot::Working(_) | Slot::Deferred(_) | Slot::Ready(_) => None,
        }
    }

    /// The sequence of the next request.
    pub(super) fn next_seq(&self) -> RequestSeq {
        RequestSeq(self.first + u64::try_from(self.queue.len()).unwrap_or(u64::MAX))
    }

    /// Adds a request at the end.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot) {
        match &slot {
            Slot::Ready(response) => self.sums.ready += response.bytes(),
            Slot::Working(pending) => self.sums.in_flight += pending.frame_bytes,
            Slot::Deferred(pending) => {
                self.sums.deferred += 1;
                self.sums.in_flight += pending.frame_bytes;
            }
            Slot::Polling(pending) => {
                assert!(self.sums.polling.is_none(), "one long poll at a time");
                self.sums.polling = Some(pending.exchange.seq);
                self.sums.in_flight += pending.frame_bytes;
            }
        }
        self.queue.push_back(slot);
    }

    fn place(&self, seq: RequestSeq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.first)?).ok()
    }

    /// The request `seq`, if it has not left.
    pub(super) fn get_mut(&mut self, seq: RequestSeq) -> Option<&mut Slot> {
        let place = self.place(seq)?;
        self.queue.get_mut(place)
    }

    /// The oldest long poll that waits for its turn.
    pub(super) fn next_deferred(&self) -> Option<RequestSeq> {
        self.queue.iter().find_map(|slot| match slot {
            Slot::Deferred(pending) => Some(pending.exchange.seq),
            Slot::Working(_) | Slot::Polling(_) | Slot::Ready(_) => None,
        })
    }

    /// A long poll that waited has begun; others stay as they are.
    pub(super) fn mark_begun(&mut self, seq: RequestSeq) {
        let Some(slot @ Slot::Deferred(_)) = self.get_mut(seq) else {
            return;
        };
        if let Slot::Deferred(pending) = std::mem::replace(slot, Slot::Ready(Response::Silent)) {
            *slot = Slot::Polling(pending);
            assert!(self.sums.polling.is_none(), "one long poll at a time");
            self.sums.polling = Some(seq);
            self.sums.deferred -= 1;
        }
    }

    /// The request `seq` is answered.
    pub(super) fn answer(&mut self, seq: RequestSeq, response: Response) {
        let Some(place) = self.place(seq) else {
            return;
        };
        let Some(slot) = self.queue.get_mut(place) else {
            return;
        };
        assert!(
            !matches!(slot, Slot::Ready(_)),
            "a request is answered once"
        );
        self.sums.forget(slot);
        self.sums.ready += response.bytes();
        *slot = Slot::Ready(response);
    }

    /// Forgets every request after `seq`: they will not be answered.
    pub(super) fn drop_after(&mut self, seq: RequestSeq) {
        let Some(place) = self.place(seq) else { return };
        while self.queue.len() > place + 1 {
            let Some(slot) = self.queue.pop_back() else {
                return;
            };
            self.sums.forget(&slot);
        }
    }

    /// The oldest request that cannot simply be sent: unanswered, or one that closes.
    pub(super) fn first_obstacle(&self) -> Option<&Slot> {
        self.queue.iter().find(|slot| match slot {
            Slot::Ready(
                Response::Short(_) | Response::One(_) | Response::Many(_) | Response::Silent,
            ) => false,
            Slot::Ready(Response::Close(_))
            | Slot::Working(_)
            | Slot::Deferred(_)
            | Slot::Polling(_) => true,
        })
    }

    /// Hands answered requests over, oldest first, until about `budget` bytes are queued in `out`.
    pub(super) fn transmit(&mut self, out: &mut ChunkSink, budget: usize) -> TransmitStatus {
        loop {
            match self.queue.front() {
                None | Some(Slot::Working(_) | Slot::Deferred(_) | Slot::Polling(_)) => {
                    return TransmitStatus::Idle;
                }
                Some(Slot::Ready(Response::Close(_))) => return TransmitStatus::Close,
                Some(Slot::Ready(_)) if out.bytes() >= budget => return TransmitStatus::More,
                Some(Slot::Ready(Response::Short(_))) => self.transmit_short(out),
                Some(Slot::Ready(_)) => self.transmit_front(out),
            }
        }
    }

    // Short answers that follow each other leave as one chunk. The number of requests bounds how many they are.
    fn transmit_short(&mut self, out: &mut ChunkSink) {
        let run = self.queue.iter().map_while(Slot::short_frame);
        let mut joined = Vec::with_capacity(run.clone().map(<[u8]>::len).sum());
        let mut count = 0;
        for frame in run {
            joined.extend_from_slice(frame);
            count += 1;
        }
        self.queue.drain(..count);
        self.first += u64::try_from(count).unwrap_or(u64::MAX);
        self.sums.ready -= joined.len();
        out.push(joined.into());
    }

    fn transmit_front(&mut self, out: &mut ChunkSink) {
        let Some(slot) = self.queue.pop_front() else {
            return;
        };
        self.first += 1;
        self.sums.forget(&slot);
        let mut push = |chunk: Bytes| out.push(chunk);
        match slot {
            Slot::Ready(Response::One(frame)) => push(frame),
            Slot::Ready(Response::Many(chunks)) => chunks.into_iter().for_each(push),
            Slot::Ready(Response::Short(_) | Response::Silent | Response::Close(_))
            | Slot::Working(_)
            | Slot::Deferred(_)
            | Slot::Polling(_) => {}
        }
    }
}
