//! The loop of one data core.
//!
//! Owns: the order of work in a round, spinning and parking.
//! Never: decides what a command means; the machine does.
//! Invariants: every source is bounded per round; `RoundEnd` comes once per round after all inputs; the
//! time is read once per round; the core parks only after it re-checked every queue.
//! Source: ADR-0001, architecture.md section 5, runtime.md section 6.2, performance.md section 2.

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api::{Command, CommandSink, Origin, Reply};
use broker::{ControlPort, CoreMessage, Input, Output, Proposal};
use crossbeam_channel::Sender;
use model::fatal::Fatal;
use model::ids::ConnectionId;
use model::limits::pump::{COMMANDS_AHEAD, COMPLETIONS_MAX, CONTROL_MAX, MESH_MAX};
use model::time::{Instant, Now};

mod alarm;
mod park;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::disk::{DirectDisk, Ended, Written};
use crate::mailbox::{Letter, Mailbox};
use crate::mesh::{Mesh, MeshMessage};
use crate::net::{Net, Turn};
use crate::ring::operation::Armed;
use crate::ring::{self, Completed, Operation, Ring};
use crate::router::Router;
use crate::start::Report;
use crate::waker::Waker;
use crate::watch::Beat;
use park::Spin;

/// Pause before accepting again after an accept failed, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers may still be sent after the machine stopped.
const LINGER: Duration = Duration::from_secs(1);

/// The pure machine a core runs; [`broker::Shard`] in production.
pub trait Machine {
    /// Shows what it is about to be fed, of which [`COMMANDS_AHEAD`] count: it may read beforehand what they need.
    fn anticipate<'a>(&self, commands: impl Iterator<Item = &'a Command>) {
        drop(commands);
    }
    /// Feeds one event; runs to completion.
    ///
    /// # Errors
    /// The process must end.
    fn handle(&mut self, now: Now, input: Input) -> Result<(), Fatal>;
    /// Next thing to carry out, oldest first.
    fn poll_output(&mut self) -> Option<Output>;
    /// When `Input::Timeout` is next due.
    fn poll_timeout(&self) -> Option<Instant>;
}

impl Machine for broker::Shard {
    fn anticipate<'a>(&self, commands: impl Iterator<Item = &'a Command>) {
        broker::Shard::anticipate(self, commands);
    }

    fn handle(&mut self, now: Now, input: Input) -> Result<(), Fatal> {
        Self::handle(self, now, input)
    }

    fn poll_output(&mut self) -> Option<Output> {
        Self::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }
}

/// Everything one core works with.
pub(crate) struct Parts<M> {
    pub(crate) machine: M,
    pub(crate) ring: Ring,
    pub(crate) net: Net,
    pub(crate) disk: DirectDisk,
    pub(crate) mesh: Mesh,
    pub(crate) mailbox: Mailbox,
    pub(crate) waker: Arc<Waker>,
    pub(crate) beat: Arc<Beat>,
    pub(crate) router: Router,
    pub(crate) control: Box<dyn ControlPort>,
    pub(crate) listener: TcpListener,
    pub(crate) clock: Clock,
    pub(crate) busy_poll: Duration,
    pub(crate) reports: Sender<Report>,
}

/// How far an orderly stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Nobody asked for it.
    No,
    /// The machine writes what it has.
    Asked,
    /// The machine is done; answers are sent until then at the latest.
    Lingering(Instant),
    /// Reported; other cores may still need this one.
    Reported,
    /// Main said so.
    Leave,
}

/// The loop of one core.
pub(crate) struct Pump<M> {
    machine: M,
    ring: Ring,
    net: Net,
    disk: DirectDisk,
    mesh: Mesh,
    mailbox: Mailbox,
    waker: Arc<Waker>,
    beat: Arc<Beat>,
    router: Router,
    control: Box<dyn ControlPort>,
    clock: Clock,
    spin: Spin,
    now: Now,
    commands: CommandSink,
    // Not taken by the control core yet, oldest first.
    proposals: VecDeque<Proposal>,
    listener: Option<Rc<TcpListener>>,
    accept_at: Option<Instant>,
    // The machine was fed after this round's `RoundEnd`.
    is_behind: bool,
    // A budget of this round was used up.
    has_more: bool,
    stop: Stop,
    reports: Sender<Report>,
}

impl<M: Machine> Pump<M> {
    /// A pump that has not turned yet.
    pub(crate) fn new(parts: Parts<M>) -> Self {
        let now = parts.clock.now();
        Self {
            machine: parts.machine,
            ring: parts.ring,
            net: parts.net,
            disk: parts.disk,
            mesh: parts.mesh,
            mailbox: parts.mailbox,
            waker: parts.waker,
            beat: parts.beat,
            router: parts.router,
            control: parts.control,
            clock: parts.clock,
            spin: Spin::new(parts.busy_poll),
            now,
            commands: CommandSink::default(),
            proposals: VecDeque::new(),
            listener: Some(Rc::new(parts.listener)),
            accept_at: Some(now.instant),
            is_behind: false,
            has_more: true,
            stop: Stop::No,
            reports: parts.reports,
        }
    }

    /// Turns until main says to leave.
    ///
    /// # Errors
    /// The process must end.
    pub(crate) fn run(&mut self) -> Result<(), Fatal> {
        self.ring.start(Operation::Event {
            waker: Arc::clone(&self.waker),
            count: Box::default(),
        })?;
        while self.stop != Stop::Leave {
            self.round()?;
            self.rest()?;
        }
        self.beat.promise(None);
        Ok(())
    }

    fn round(&mut self) -> Result<(), Fatal> {
        self.now = self.clock.now();
        self.beat.promise(Some(self.now.instant));
        self.has_more = false;
        self.take_completions()?;
        self.take_mesh()?;
        self.take_mail()?;
        self.take_timers()?;
        self.carry_out()?;
        self.is_behind = false;
        self.machine.handle(self.now, Input::RoundEnd)?;
        self.carry_out()?;
        self.serve_listener()?;
        self.net.serve_touched(self.now.instant, &mut self.ring)?;
        self.tell_ended()?;
        self.push_mesh()?;
        self.advance_stop();
        Ok(())
    }

    fn take_completions(&mut self) -> Result<(), Fatal> {
        for _ in 0..COMPLETIONS_MAX {
            let Some(completed) = self.ring.complete() else {
                return Ok(());
            };
            self.take_completion(completed)?;
        }
        self.has_more = true;
        Ok(())
    }

    fn take_completion(&mut self, completed: Completed) -> Result<(), Fatal> {
        let now = self.now.instant;
        match completed {
            Completed::Received {
                connection,
                buffer,
                result,
            } => {
                let mut turn = Turn {
                    now: self.now,
                    commands: &mut self.commands,
                };
                self.net.received(connection, buffer, result, &mut turn);
                self.route(connection)
            }
            Completed::Sent {
                connection,
                message,
                result,
            } => {
                self.net.sent(connection, message, result, now);
                Ok(())
            }
            Completed::Written {
                id,
                buffer,
                len,
                started,
                result,
            } => {
                // A write may complete rounds after the clock was read; its duration must not shrink.
                let ended = self.clock.instant();
                let write = Written {
                    id,
                    buffer,
                    len,
                    started,
                };
                let done = self.disk.written(write, result, ended);
                self.feed_io(done)
            }
            Completed::Read { read, result } => {
                match self.disk.read(read, result, &mut self.ring)? {
                    Some(done) => self.feed_io(done),
                    None => Ok(()),
                }
            }
            Completed::Accepted { result, armed } => {
                self.accepted(result, armed);
                Ok(())
            }
            Completed::Event { waker, count } => self.ring.start(Operation::Event { waker, count }),
            Completed::WakeFailed { peer } => {
                peer.wake_by_event();
                Ok(())
            }
            // Only the file thread fills, on a ring of its own.
            Completed::Woken | Completed::Filled { .. } => Ok(()),
        }
    }

    fn accepted(&mut self, result: Result<TcpStream, i32>, armed: Armed) {
        let pause = match result {
            Ok(socket) => {
                self.net.accepted(socket, self.now);
                Duration::ZERO
            }
            Err(libc::ECANCELED) if self.listener.is_none() => return,
            // The client gave up before we came to it.
            Err(libc::ECONNABORTED | libc::EINTR) => Duration::ZERO,
            Err(errno) => {
                tracing::warn!(
                    errno,
                    connections = self.net.count(),
                    "cannot accept; trying on"
                );
                ACCEPT_PAUSE
            }
        };
        if armed == Armed::NoLonger {
            self.accept_at = Some(self.now.instant.after(pause));
        }
    }

    fn serve_listener(&mut self) -> Result<(), Fatal> {
        let is_due = self.accept_at.is_some_and(|at| at <= self.now.instant);
        let Some(listener) = self.listener.as_ref().filter(|_| is_due) else {
            return Ok(());
        };
        self.accept_at = None;
        self.ring.start(Operation::Accept {
            listener: Rc::clone(listener),
        })
    }

    fn take_mesh(&mut self) -> Result<(), Fatal> {
        for peer in 0..self.mesh.cores() {
            for taken in 0..MESH_MAX {
                if taken % COMMANDS_AHEAD == 0
                    && let Some(waiting) = self.mesh.waiting(peer, COMMANDS_AHEAD)
                {
                    self.machine.anticipate(waiting.commands());
                }
                let Some(message) = self.mesh.receive(peer) else {
                    break;
                };
                self.take_message(message)?;
                self.has_more |= taken + 1 == MESH_MAX;
            }
        }
        Ok(())
    }

    fn take_message(&mut self, message: MeshMessage) -> Result<(), Fatal> {
        match message {
            MeshMessage::Command { origin, command } => self
                .machine
                .handle(self.now, Input::Command { origin, command }),
            MeshMessage::Reply { origin, reply } => self.reply_home(origin, reply),
        }
    }

    fn take_mail(&mut self) -> Result<(), Fatal> {
        for _ in 0..CONTROL_MAX {
            match self.mailbox.try_receive() {
                None => return Ok(()),
                Some(Letter::Control(message)) => self.take_control(message)?,
                Some(Letter::File(done)) => {
                    let ended = self.disk.file_done(*done);
                    self.feed_io(ended)?;
                }
                Some(Letter::Leave) => self.stop = Stop::Leave,
            }
        }
        self.has_more = true;
        Ok(())
    }

    fn take_control(&mut self, message: CoreMessage) -> Result<(), Fatal> {
        match &message {
            CoreMessage::Delta { image, .. } => self.router.replace_image(Arc::clone(image)),
            CoreMessage::Shutdown => self.begin_stop()?,
            CoreMessage::Proposed { .. } => {}
        }
        self.machine.handle(self.now, Input::Control(message))
    }

    fn begin_stop(&mut self) -> Result<(), Fatal> {
        if self.stop == Stop::No {
            self.stop = Stop::Asked;
            self.listener = None;
            self.accept_at = None;
            self.ring.cancel_accepts()?;
        }
        Ok(())
    }

    fn take_timers(&mut self) -> Result<(), Fatal> {
        while let Some(ended) = self.disk.poll_ready() {
            self.feed_io(ended)?;
        }
        if self
            .machine
            .poll_timeout()
            .is_some_and(|at| at <= self.now.instant)
        {
            self.machine.handle(self.now, Input::Timeout)?;
        }
        while let Some(connection) = self.net.poll_hungry() {
            let mut turn = Turn {
                now: self.now,
                commands: &mut self.commands,
            };
            self.net.feed(connection, &mut turn);
            self.route(connection)?;
        }
        while let Some(connection) = self.net.poll_due(self.now.instant) {
            let mut turn = Turn {
                now: self.now,
                commands: &mut self.commands,
            };
            self.net.handle_timeout(connection, &mut turn);
            self.route(connection)?;
        }
        while let Some(proposal) = self.proposals.pop_front() {
            if let Err(proposal) = self.control.propose(proposal) {
                self.proposals.push_front(*proposal);
                break;
            }
        }
        Ok(())
    }

    /// Sessions whose connections ended in this round call back what waits elsewhere.
    fn tell_ended(&mut self) -> Result<(), Fatal> {
        loop {
            let mut turn = Turn {
                now: self.now,
                commands: &mut self.commands,
            };
            let Some(connection) = self.net.poll_ended(&mut turn) else {
                return Ok(());
            };
            self.route(connection)?;
        }
    }

    fn feed_io(&mut self, (id, outcome): Ended) -> Result<(), Fatal> {
        self.machine.handle(self.now, Input::Io { id, outcome })
    }

    /// Sends the commands a connection just made to their owners.
    fn route(&mut self, connection: ConnectionId) -> Result<(), Fatal> {
        while !self.commands.is_empty() {
            self.machine.anticipate(self.commands.iter());
            for _ in 0..COMMANDS_AHEAD {
                let Some((ticket, command)) = self.commands.pop() else {
                    break;
                };
                let origin = Origin {
                    shard: self.router.me(),
                    connection,
                    ticket,
                };
                self.send_to_owner(origin, command)?;
            }
        }
        Ok(())
    }

    fn send_to_owner(&mut self, origin: Origin, command: Command) -> Result<(), Fatal> {
        let owner = self.router.owner(&command);
        if owner == self.router.me() {
            self.machine
                .handle(self.now, Input::Command { origin, command })?;
            self.is_behind = true;
        } else {
            self.mesh
                .send(owner, MeshMessage::Command { origin, command });
        }
        Ok(())
    }

    fn reply_home(&mut self, origin: Origin, reply: Reply) -> Result<(), Fatal> {
        let mut turn = Turn {
            now: self.now,
            commands: &mut self.commands,
        };
        self.net
            .reply(origin.connection, origin.ticket, reply, &mut turn);
        self.route(origin.connection)
    }

    fn carry_out(&mut self) -> Result<(), Fatal> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply { origin, reply } if origin.shard == self.router.me() => {
                    self.reply_home(origin, reply)?;
                }
                Output::Reply { origin, reply } => {
                    self.mesh
                        .send(origin.shard, MeshMessage::Reply { origin, reply });
                }
                Output::Io(io) => self.disk.start(io, self.now.instant, &mut self.ring)?,
                Output::Propose(proposal) => self.propose(proposal),
                Output::Applied(index) => self.control.applied(self.router.me(), index),
                Output::Alarm(alarm) => alarm::report(self.router.me(), &alarm),
                Output::Stopped => self.machine_stopped(),
            }
        }
        Ok(())
    }

    fn propose(&mut self, proposal: Proposal) {
        if !self.proposals.is_empty() {
            self.proposals.push_back(proposal);
        } else if let Err(proposal) = self.control.propose(proposal) {
            self.proposals.push_back(*proposal);
        }
    }

    fn push_mesh(&mut self) -> Result<(), Fatal> {
        let Self { mesh, ring, .. } = self;
        let mut outcome = Ok(());
        mesh.flush(|peer| match ring::wake(peer) {
            Some(operation) => {
                if let Err(fatal) = ring.start(operation) {
                    outcome = Err(fatal);
                }
            }
            None => peer.wake_by_event(),
        });
        outcome
    }

    fn machine_stopped(&mut self) {
        if matches!(self.stop, Stop::No | Stop::Asked) {
            self.stop = Stop::Lingering(self.now.instant.after(LINGER));
            self.net.begin_stop();
        }
    }

    fn advance_stop(&mut self) {
        let Stop::Lingering(until) = self.stop else {
            return;
        };
        if self.net.count() == 0 || until <= self.now.instant {
            self.stop = Stop::Reported;
            // Main may be gone already; then nobody waits for the report.
            drop(self.reports.send(Report::Stopped(self.router.me())));
        }
    }
}
