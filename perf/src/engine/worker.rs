//! One thread of the generator: a poller, its connections, a heap of due times.
//!
//! Owns: [`Worker`].
//! Never: shares a connection or a histogram with another thread.
//! Invariants: the clock is read after waking, before what woke it is looked at; the last stretch before a due
//! time is polled, so that the generator's own wake-up is not measured.
//! Source: performance.md section 5.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::event::{Timespec, epoll};

use super::assign::{Part, Task};
use super::link::Link;
use super::peer::{Consumer, Producer, Step};
use super::{Shared, window_of};
use crate::clock::{Clock, Nanos};
use crate::error::BenchError;
use crate::load::Load;
use crate::measure::{Measured, Window};

/// How long answers are waited for after the window.
const GRACE_NS: Nanos = 15_000_000_000;
/// A due time nearer than this is polled for.
const POLL_NS: Nanos = 60_000;
/// Longest sleep: flags of other threads are looked at this often.
const NAP_NS: Nanos = 20_000_000;
/// Receives per connection and turn, so that one does not starve the others.
const RECEIVES_MAX: u32 = 16;

enum Role {
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
    Idle,
}

struct Peer {
    link: Link,
    role: Role,
    is_armed: bool,
    waits_to_write: bool,
}

/// One thread's state.
pub(super) struct Worker<'a> {
    load: &'a Load,
    clock: Clock,
    shared: &'a Shared,
    window: Window,
    poller: OwnedFd,
    peers: Vec<Peer>,
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    measured: Measured,
    finished_at: Nanos,
    published: Published,
    has_ended: bool,
}

/// What this thread has told the others.
#[derive(Default)]
struct Published {
    fetched: u64,
    producing: Option<()>,
}

impl<'a> Worker<'a> {
    /// Opens the connections of `part` and waits for the other threads.
    pub(super) fn open(
        load: &'a Load,
        part: Part,
        (clock, shared): (Clock, &'a Shared),
    ) -> Result<Self, BenchError> {
        let local = || BenchError::local("setting up a poller");
        let poller =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| local()(errno.into()))?;
        // Sleeping is meant to be exact; the default slack is 50 us.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))
            .map_err(|errno| local()(errno.into()))?;
        let produces = part.produces();
        let mut links = Vec::with_capacity(part.seats.len());
        for seat in part.seats {
            links.push((Link::open(seat.address)?, seat.task));
        }
        shared.opening.fetch_sub(1, Ordering::AcqRel);
        let start = loop {
            let start = shared.start.load(Ordering::Acquire);
            if start > 0 {
                break start;
            }
            if shared.failed.load(Ordering::Acquire) {
                return Err(BenchError::Wrong("another thread failed".to_owned()));
            }
            clock.sleep_until(clock.now() + 500_000);
        };
        let mut worker = Self {
            load,
            clock,
            shared,
            window: window_of(load, start),
            poller,
            peers: Vec::with_capacity(links.len()),
            due: BinaryHeap::new(),
            measured: Measured::default(),
            finished_at: start,
            published: Published {
                fetched: 0,
                producing: produces.then_some(()),
            },
            has_ended: false,
        };
        for (link, task) in links {
            worker.seat(link, task, start)?;
        }
        clock.sleep_until(start);
        Ok(worker)
    }

    fn seat(&mut self, link: Link, task: Task, start: Nanos) -> Result<(), BenchError> {
        let role = match task {
            Task::Produce { index, partitions } => {
                let producer = Producer::new(self.load, index, partitions, start)?;
                Role::Producer(Box::new(producer))
            }
            Task::Consume { positions } => {
                Role::Consumer(Box::new(Consumer::new(self.load, positions)))
            }
            Task::Idle => Role::Idle,
        };
        let data = epoll::EventData::new_u64(self.peers.len() as u64);
        epoll::add(&self.poller, link.stream(), data, epoll::EventFlags::IN)
            .map_err(|errno| BenchError::local("watching a connection")(errno.into()))?;
        self.peers.push(Peer {
            link,
            role,
            is_armed: false,
            waits_to_write: false,
        });
        Ok(())
    }

    /// Runs to the end of the window and then until everything is answered.
    pub(super) fn run(mut self) -> Result<(Measured, Nanos), BenchError> {
        // Consumers first, so that they wait when the first record comes.
        for index in 0..self.peers.len() {
            if matches!(self.peers.get(index), Some(peer) if matches!(peer.role, Role::Consumer(_)))
            {
                self.pump(index)?;
            }
        }
        for index in 0..self.peers.len() {
            self.pump(index)?;
        }
        let mut events = Vec::with_capacity(256);
        while !self.is_over()? {
            self.wait(&mut events)?;
            self.look_at_end()?;
            for event in events.drain(..) {
                let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                self.serve(index, event.flags)?;
            }
            self.send_due()?;
        }
        self.settle();
        Ok((self.measured, self.finished_at))
    }

    fn step(&self) -> Step {
        Step {
            now: self.clock.now(),
            window: self.window,
        }
    }

    fn wait(&mut self, events: &mut Vec<epoll::Event>) -> Result<(), BenchError> {
        let now = self.clock.now();
        let until = match self.due.peek() {
            Some(Reverse((at, _))) => *at,
            None => now + NAP_NS,
        };
        let edge = if now < self.window.end {
            self.window.end
        } else {
            now + NAP_NS
        };
        let left = until.min(edge).saturating_sub(now).min(NAP_NS);
        let sleep = if self.load.spin || left < POLL_NS {
            0
        } else {
            left - POLL_NS / 2
        };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(sleep).unwrap_or(0),
        };
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.poller, room, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(BenchError::local("waiting for connections")(errno.into())),
        }
    }

    fn serve(&mut self, index: usize, flags: epoll::EventFlags) -> Result<(), BenchError> {
        let step = self.step();
        let readable = epoll::EventFlags::IN | epoll::EventFlags::ERR | epoll::EventFlags::HUP;
        if flags.intersects(readable) {
            for _ in 0..RECEIVES_MAX {
                let Some(peer) = self.peers.get_mut(index) else {
                    return Ok(());
                };
                if !peer.link.receive()? {
                    break;
                }
                let took = peer.take_answers(step, &mut self.measured)?;
                if took > 0 {
                    self.finished_at = step.now;
                    break;
                }
            }
        }
        self.pump(index)
    }

    /// Sends what is due on one connection, then arms its next time and its write interest.
    fn pump(&mut self, index: usize) -> Result<(), BenchError> {
        let step = self.step();
        let Some(peer) = self.peers.get_mut(index) else {
            return Ok(());
        };
        let mut due = None;
        match &mut peer.role {
            Role::Producer(producer) => {
                producer.pump(&mut peer.link, step, &mut self.measured)?;
                due = producer.due(&peer.link);
            }
            Role::Consumer(consumer) => consumer.pump(&mut peer.link)?,
            Role::Idle => {}
        }
        // What is due when the window is over is not sent any more.
        let may_send = !peer.is_armed && step.now < step.window.end;
        if let Some(at) = due.filter(|at| may_send && *at < step.window.end) {
            peer.is_armed = true;
            self.due.push(Reverse((at, index)));
        }
        // A closed loop without answers goes on as soon as the socket takes more.
        let wants = peer.link.is_blocked() || (self.load.acks == 0 && peer.is_closed_loop());
        if wants != peer.waits_to_write {
            peer.waits_to_write = wants;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, wants);
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.poller, peer.link.stream(), data, flags)
                .map_err(|errno| BenchError::local("watching a connection")(errno.into()))?;
        }
        Ok(())
    }

    fn send_due(&mut self) -> Result<(), BenchError> {
        let now = self.clock.now();
        while let Some(Reverse((at, index))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            if let Some(peer) = self.peers.get_mut(index) {
                peer.is_armed = false;
            }
            self.pump(index)?;
        }
        Ok(())
    }

    /// Ends the window once it is over, before any answer that came with the same look at the clock is taken.
    fn look_at_end(&mut self) -> Result<(), BenchError> {
        let step = self.step();
        if self.has_ended || step.now < self.window.end {
            return Ok(());
        }
        self.has_ended = true;
        for peer in &mut self.peers {
            if let Role::Producer(producer) = &mut peer.role {
                producer.last_call(&mut peer.link, step, &mut self.measured)?;
            }
        }
        Ok(())
    }

    fn is_over(&mut self) -> Result<bool, BenchError> {
        self.look_at_end()?;
        if self.shared.failed.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if !self.has_ended {
            return Ok(self.load.catch_up && self.peers.iter().all(Peer::has_caught_up));
        }
        if self.clock.now() >= self.window.end + GRACE_NS || self.load.catch_up {
            return Ok(true);
        }
        self.publish();
        if self.peers.iter().any(Peer::is_waiting)
            || self.shared.producing.load(Ordering::Acquire) > 0
        {
            return Ok(false);
        }
        // Consumers stay until every acknowledged record has come to each copy.
        let copies = if self.load.consumers > 0 {
            self.load.fan_out as u64
        } else {
            0
        };
        let wanted = self.shared.acknowledged.load(Ordering::Acquire) * copies;
        Ok(self.shared.fetched.load(Ordering::Acquire) >= wanted)
    }

    fn publish(&mut self) {
        let new = self.measured.fetched_all - self.published.fetched;
        self.published.fetched = self.measured.fetched_all;
        self.shared.fetched.fetch_add(new, Ordering::AcqRel);
        let is_settled = !self.peers.iter().any(Peer::is_waiting);
        if is_settled && self.published.producing.take().is_some() {
            let acknowledged = self.measured.acknowledged_all;
            self.shared
                .acknowledged
                .fetch_add(acknowledged, Ordering::AcqRel);
            self.shared.producing.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn settle(&mut self) {
        let step = self.step();
        for peer in &mut self.peers {
            if let Role::Producer(producer) = &mut peer.role {
                producer.settle(step, &mut self.measured);
            }
        }
    }
}

impl Peer {
    fn take_answers(&mut self, step: Step, measured: &mut Measured) -> Result<u32, BenchError> {
        let mut took = 0;
        while let Some(frame) = self.link.next_frame()? {
            let bytes = self.link.bytes(frame);
            match &mut self.role {
                Role::Producer(producer) => producer.answer(bytes, step, measured)?,
                Role::Consumer(consumer) => consumer.answer(bytes, step, measured)?,
                Role::Idle => {
                    return Err(BenchError::Garbage(
                        "bytes on a connection that asked for nothing".to_owned(),
                    ));
                }
            }
            took += 1;
        }
        Ok(took)
    }

    /// Whether a producer waits for answers.
    fn is_waiting(&self) -> bool {
        match &self.role {
            Role::Producer(producer) => producer.is_waiting() || self.link.is_blocked(),
            Role::Consumer(_) | Role::Idle => false,
        }
    }

    fn is_closed_loop(&self) -> bool {
        match &self.role {
            Role::Producer(producer) => producer.is_closed_loop(),
            Role::Consumer(_) | Role::Idle => false,
        }
    }

    fn has_caught_up(&self) -> bool {
        match &self.role {
            Role::Consumer(consumer) => consumer.is_done(),
            Role::Producer(_) | Role::Idle => true,
        }
    }
}
