//! Messages between data cores.
//!
//! Owns: one single-producer single-consumer ring per ordered pair of cores.
//! Never: blocks, drops or reorders a message of a pair.
//! Invariants: a sender's overflow is bounded by the unanswered requests of its connections; a peer is
//! woken only if it sleeps.
//! Source: ADR-0009, runtime.md 3 (cross-core).

use std::collections::VecDeque;
use std::sync::Arc;

use api::{Command, Origin, Reply};
use model::ids::ShardId;
use model::limits::pump::MESH_SLOTS;
use rtrb::chunks::ReadChunk;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::waker::Waker;

#[cfg(test)]
mod tests;

/// One message.
#[derive(Debug)]
pub(crate) enum MeshMessage {
    /// To the owner of what the command names.
    Command {
        /// Where the reply goes.
        origin: Origin,
        /// What is asked.
        command: Command,
    },
    /// Back to the core that owns the connection.
    Reply {
        /// Where to.
        origin: Origin,
        /// What.
        reply: Reply,
    },
}

/// Both directions between this core and one peer.
#[derive(Debug)]
struct Link {
    outgoing: Producer<MeshMessage>,
    overflow: VecDeque<MeshMessage>,
    has_sent: bool,
    incoming: Consumer<MeshMessage>,
    waker: Arc<Waker>,
}

impl Link {
    fn flush(&mut self) {
        while let Some(message) = self.overflow.pop_front() {
            if let Err(rtrb::PushError::Full(message)) = self.outgoing.push(message) {
                self.overflow.push_front(message);
                return;
            }
            self.has_sent = true;
        }
    }
}

/// Messages that wait to be received.
pub(crate) struct Waiting<'a>(ReadChunk<'a, MeshMessage>);

impl Waiting<'_> {
    /// The commands among them, oldest first.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command> {
        let (first, rest) = self.0.as_slices();
        let messages = first.iter().chain(rest);
        messages.filter_map(|message| match message {
            MeshMessage::Command { command, .. } => Some(command),
            MeshMessage::Reply { .. } => None,
        })
    }
}

/// One core's end of the mesh.
#[derive(Debug)]
pub(crate) struct Mesh {
    links: Vec<Option<Link>>,
}

impl Mesh {
    /// The ends of a mesh between as many cores as there are wakers, in order.
    pub(crate) fn between(wakers: &[Arc<Waker>]) -> Vec<Self> {
        Self::with_slots(wakers, MESH_SLOTS)
    }

    fn with_slots(wakers: &[Arc<Waker>], slots: usize) -> Vec<Self> {
        let count = wakers.len();
        let mut producers: Vec<Vec<Option<Producer<MeshMessage>>>> = Vec::new();
        let mut consumers: Vec<Vec<Option<Consumer<MeshMessage>>>> = Vec::new();
        for _ in 0..count {
            producers.push((0..count).map(|_| None).collect());
            consumers.push((0..count).map(|_| None).collect());
        }
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let (producer, consumer) = RingBuffer::new(slots);
                producers[from][to] = Some(producer);
                consumers[to][from] = Some(consumer);
            }
        }
        producers
            .into_iter()
            .zip(consumers)
            .map(|(out, into)| Self {
                links: out
                    .into_iter()
                    .zip(into)
                    .zip(wakers)
                    .map(|((outgoing, incoming), waker)| {
                        Some(Link {
                            outgoing: outgoing?,
                            overflow: VecDeque::new(),
                            has_sent: false,
                            incoming: incoming?,
                            waker: Arc::clone(waker),
                        })
                    })
                    .collect(),
            })
            .collect()
    }

    /// How many cores there are, this one included.
    pub(crate) fn cores(&self) -> usize {
        self.links.len()
    }

    /// Queues a message for another core; it is on its way after [`Self::flush`].
    ///
    /// # Panics
    /// If `to` is this core or no core at all: the router never says so.
    pub(crate) fn send(&mut self, to: ShardId, message: MeshMessage) {
        let link = self
            .links
            .get_mut(usize::from(to.get()))
            .and_then(Option::as_mut);
        assert!(link.is_some(), "no link to shard {to}");
        let Some(link) = link else { return };
        if link.overflow.is_empty() {
            match link.outgoing.push(message) {
                Ok(()) => link.has_sent = true,
                Err(rtrb::PushError::Full(message)) => link.overflow.push_back(message),
            }
        } else {
            link.overflow.push_back(message);
        }
    }

    /// Takes the oldest message from one peer.
    pub(crate) fn receive(&mut self, from: usize) -> Option<MeshMessage> {
        self.links.get_mut(from)?.as_mut()?.incoming.pop().ok()
    }

    /// The oldest messages from one peer, so many at most; they stay where they are.
    pub(crate) fn waiting(&mut self, from: usize, count: usize) -> Option<Waiting<'_>> {
        let incoming = &mut self.links.get_mut(from)?.as_mut()?.incoming;
        let count = incoming.slots().min(count);
        incoming.read_chunk(count).ok().map(Waiting)
    }

    /// Moves overflow into the rings and calls `wake` for every peer that got something and sleeps.
    pub(crate) fn flush(&mut self, mut wake: impl FnMut(&Arc<Waker>)) {
        for link in self.links.iter_mut().flatten() {
            link.flush();
            if std::mem::take(&mut link.has_sent) && link.waker.claim() {
                wake(&link.waker);
            }
        }
    }

    /// Whether something waits to be received.
    pub(crate) fn has_incoming(&self) -> bool {
        self.links
            .iter()
            .flatten()
            .any(|link| !link.incoming.is_empty())
    }

    /// Whether a peer's ring was full: it must be tried again soon, nobody wakes us for it.
    pub(crate) fn has_overflow(&self) -> bool {
        self.links
            .iter()
            .flatten()
            .any(|link| !link.overflow.is_empty())
    }
}
