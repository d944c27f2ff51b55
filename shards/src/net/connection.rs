//! One client connection.
//!
//! Owns: its socket, its session, its receive buffer, the message being sent.
//! Never: blocks, or holds more request memory than it reserved (beyond one small buffer).
//! Invariants: bytes are handed to the session only while no receive has the buffer; output is taken
//! from the session only while no send has the message.
//! Source: architecture.md section 6, reliability.md section 5.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use api::{Reply, Session, SessionError, Ticket, TransmitStatus};
use broker::admission::Admission;
use bytes::BytesMut;
use model::fatal::Fatal;
use model::ids::ConnectionId;
use model::limits::RECEIVE_BUFFER_BYTES;
use model::time::Instant;

#[cfg(test)]
mod tests;

use super::Turn;
use crate::ring::{Message, Operation, Ring};

/// A receive with less room than this is not worth its completion: the buffer is replaced instead.
const RECEIVE_SPARE_MIN: usize = 4096;
/// Receive buffer of a connection that did not fill its last one: idle connections are many.
const RECEIVE_SMALL_BYTES: usize = 16 * 1024;
/// Bytes taken from the session per send: enough to fill a socket buffer, small enough to stay fair.
const SEND_BYTES: usize = 1 << 20;
/// Output that may wait in the message before the connection is read no further.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// A connection without any request for this long is closed. Kafka's `connections.max.idle.ms`.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// A connection that takes no byte of its output, or adds none to a large frame that has memory
/// reserved, for this long is closed. reliability.md section 5.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How often a connection is looked at for the two bounds above. Fixed, so that each connection has one
/// such timer in the heap, however often it starts and ends waiting.
const INSPECT_EVERY: Duration = Duration::from_secs(15);

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Everybody is content: the client left, or the session asked for it.
    Ordinary,
    /// The client broke the protocol, or the protocol closes on purpose.
    Session(SessionError),
    /// No output taken, or a frame not continued, for too long.
    Stalled,
    /// Nothing asked for too long.
    Idle,
}

impl Ending {
    /// What to log, if it is worth a line.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Ordinary | Self::Idle => None,
            Self::Session(error) => Some(error.to_string()),
            Self::Stalled => Some("no progress for 30 s".to_owned()),
        }
    }
}

/// How far a connection is.
#[derive(Debug)]
enum Phase {
    /// Requests are read and answered.
    Open,
    /// Nothing is read any more; what is queued is sent, then it ends so.
    Draining(Ending),
}

/// Whether a connection has the memory it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It has.
    Enough,
    /// It must wait until others release some.
    Short,
}

/// What the network side must do for a connection that was served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// Whether it waits for memory.
    pub(crate) memory: Memory,
    /// Arm these timers.
    pub(crate) timers: [Option<Instant>; 2],
    /// Sending made room for requests that wait in its buffer.
    pub(crate) is_hungry: bool,
}

/// One connection.
pub(crate) struct Connection {
    id: ConnectionId,
    socket: Rc<TcpStream>,
    peer: SocketAddr,
    session: Box<dyn Session>,
    phase: Phase,
    // `None` while a receive has it.
    buffer: Option<BytesMut>,
    // `None` while a send has it.
    message: Option<Box<Message>>,
    // Length of the large frame at the front of the buffer for which memory is reserved.
    frame_bytes: usize,
    reserved: usize,
    // The session left bytes in the buffer because too many requests were unanswered.
    has_backlog: bool,
    // The last receive filled its buffer.
    is_busy: bool,
    is_dirty: bool,
    is_waiting: bool,
    received_at: Instant,
    progress_at: Instant,
    session_timer: Option<Instant>,
    inspect_timer: Option<Instant>,
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new(
        id: ConnectionId,
        socket: TcpStream,
        peer: SocketAddr,
        session: Box<dyn Session>,
        now: Instant,
    ) -> Self {
        Self {
            id,
            socket: Rc::new(socket),
            peer,
            session,
            phase: Phase::Open,
            buffer: Some(BytesMut::new()),
            message: Some(Message::new()),
            frame_bytes: 0,
            reserved: 0,
            has_backlog: false,
            is_busy: false,
            is_dirty: false,
            is_waiting: false,
            received_at: now,
            progress_at: now,
            session_timer: None,
            inspect_timer: None,
        }
    }

    /// Its identity.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The client.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Bytes it has reserved.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Marks it as to be served; `true` if it was not marked yet.
    pub(crate) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.is_dirty, true)
    }

    /// It is about to be served.
    pub(crate) fn clear_dirty(&mut self) {
        self.is_dirty = false;
    }

    /// Marks it as waiting for memory; `true` if it was not marked yet.
    pub(crate) fn mark_waiting(&mut self) -> bool {
        !std::mem::replace(&mut self.is_waiting, true)
    }

    /// It is about to try again.
    pub(crate) fn clear_waiting(&mut self) {
        self.is_waiting = false;
    }

    /// Whether the timer that fired is one that counts; it is not armed any more then.
    pub(crate) fn disarm(&mut self, at: Instant) -> bool {
        let is_session = self.session_timer.take_if(|timer| *timer == at).is_some();
        let is_inspect = self.inspect_timer.take_if(|timer| *timer == at).is_some();
        is_session || is_inspect
    }

    /// Ends both directions; what the kernel still has ends soon after.
    pub(crate) fn shut_down(&self) {
        // It fails only if the client was faster.
        drop(self.socket.shutdown(Shutdown::Both));
    }

    /// Stops reading; the connection ends when what is queued is sent.
    pub(crate) fn stop(&mut self) {
        self.drain(Ending::Ordinary);
    }

    fn drain(&mut self, ending: Ending) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Draining(ending);
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Takes the end of a receive.
    pub(crate) fn received(
        &mut self,
        buffer: BytesMut,
        result: Result<usize, i32>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ending> {
        assert!(self.buffer.is_none(), "two receives at a time");
        self.is_busy = buffer.len() == buffer.capacity();
        self.buffer = Some(buffer);
        match result {
            // The client left. What it asked for last has nobody to go to.
            Ok(0) => return Err(Ending::Ordinary),
            Ok(_) => {}
            Err(libc::EINTR | libc::EAGAIN) => return Ok(()),
            Err(errno) => {
                tracing::debug!(peer = %self.peer, errno, "receive failed");
                return Err(Ending::Ordinary);
            }
        }
        self.received_at = turn.now.instant;
        self.feed(turn);
        Ok(())
    }

    /// The client is gone: its session calls back what waits elsewhere.
    pub(crate) fn abandon(&mut self, turn: &mut Turn<'_>) {
        self.session.handle_close(turn.now, turn.commands);
    }

    /// Takes the end of a send.
    pub(crate) fn sent(
        &mut self,
        mut message: Box<Message>,
        result: Result<usize, i32>,
        now: Instant,
    ) -> Result<(), Ending> {
        assert!(self.message.is_none(), "two sends at a time");
        match result {
            Ok(count) => {
                message.sink.consume(count);
                self.progress_at = now;
            }
            Err(libc::EINTR | libc::EAGAIN) => {}
            Err(errno) => {
                tracing::debug!(peer = %self.peer, errno, "send failed");
                return Err(Ending::Ordinary);
            }
        }
        self.message = Some(message);
        Ok(())
    }

    /// Feeds a reply to the session.
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply, turn: &mut Turn<'_>) {
        if let Err(error) = self
            .session
            .handle_reply(turn.now, ticket, reply, turn.commands)
        {
            self.drain(Ending::Session(error));
        }
        self.feed_backlog(turn);
    }

    /// Hands over requests that waited in the buffer.
    pub(crate) fn feed_backlog(&mut self, turn: &mut Turn<'_>) {
        if self.has_backlog {
            self.feed(turn);
        }
    }

    /// Looks at the time.
    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) -> Result<(), Ending> {
        let now = turn.now.instant;
        if self.session.poll_timeout().is_some_and(|at| at <= now)
            && let Err(error) = self.session.handle_timeout(turn.now, turn.commands)
        {
            self.drain(Ending::Session(error));
        }
        self.feed_backlog(turn);
        if self.stalls_at().is_some_and(|at| at <= now) {
            return Err(Ending::Stalled);
        }
        if self.idles_at().is_some_and(|at| at <= now) {
            return Err(Ending::Idle);
        }
        Ok(())
    }

    fn stalls_at(&self) -> Option<Instant> {
        let sending = self
            .message
            .is_none()
            .then(|| self.progress_at.after(STALL_MAX));
        let receiving = (self.frame_bytes > 0 && self.buffer.is_none())
            .then(|| self.received_at.after(STALL_MAX));
        [sending, receiving].into_iter().flatten().min()
    }

    fn idles_at(&self) -> Option<Instant> {
        let is_idle = self.message.is_some() && self.session.bytes_in_flight() == 0;
        is_idle.then(|| self.received_at.after(IDLE_MAX))
    }

    /// Hands whole frames to the session.
    fn feed(&mut self, turn: &mut Turn<'_>) {
        if !self.is_open() {
            return;
        }
        let Some(buffer) = self.buffer.as_mut() else {
            return;
        };
        self.has_backlog = false;
        if self.session.is_full() {
            self.has_backlog = true;
            return;
        }
        match self.session.handle_bytes(turn.now, buffer, turn.commands) {
            Ok(()) => self.has_backlog = self.session.is_full(),
            Err(error) => self.drain(Ending::Session(error)),
        }
    }

    /// Starts whatever can be started: a send, a receive.
    ///
    /// # Errors
    /// Outer: the ring refuses submissions altogether. Inner: the connection ends.
    pub(crate) fn serve(
        &mut self,
        now: Instant,
        memory: &mut Admission,
        ring: &mut Ring,
    ) -> Result<Result<Next, Ending>, Fatal> {
        let was_open = self.is_open();
        if let Err(ending) = self.serve_output(now, ring)? {
            return Ok(Err(ending));
        }
        let state = self.serve_input(memory, now, ring)?;
        if was_open
            && !self.is_open()
            && let Err(ending) = self.serve_output(now, ring)?
        {
            return Ok(Err(ending));
        }
        let is_hungry = self.is_open() && self.has_backlog && !self.session.is_full();
        Ok(Ok(Next {
            memory: state,
            timers: self.arm_timers(now),
            is_hungry,
        }))
    }

    fn serve_output(&mut self, now: Instant, ring: &mut Ring) -> Result<Result<(), Ending>, Fatal> {
        let Some(mut message) = self.message.take() else {
            return Ok(Ok(()));
        };
        let status = self.session.poll_transmit(&mut message.sink, SEND_BYTES);
        if status == TransmitStatus::Close {
            self.drain(Ending::Ordinary);
        }
        if message.sink.bytes() == 0 {
            self.message = Some(message);
            return Ok(match &mut self.phase {
                Phase::Draining(ending) => Err(std::mem::replace(ending, Ending::Ordinary)),
                Phase::Open => Ok(()),
            });
        }
        self.progress_at = now;
        ring.start(Operation::Send {
            connection: self.id,
            socket: Rc::clone(&self.socket),
            message,
        })?;
        Ok(Ok(()))
    }

    fn serve_input(
        &mut self,
        memory: &mut Admission,
        now: Instant,
        ring: &mut Ring,
    ) -> Result<Memory, Fatal> {
        let Some(buffer) = self.buffer.as_ref() else {
            return Ok(self.settle_memory(memory, self.frame_bytes));
        };
        let frame = if self.has_backlog || !self.is_open() {
            None
        } else {
            match self.session.frame_bytes(buffer) {
                Ok(frame) => frame,
                Err(error) => {
                    self.drain(Ending::Session(error));
                    None
                }
            }
        };
        let large = frame
            .filter(|frame| *frame > RECEIVE_BUFFER_BYTES)
            .unwrap_or(0);
        let state = self.settle_memory(memory, large);
        let output = self
            .message
            .as_ref()
            .map_or(0, |message| message.sink.bytes());
        let is_readable = self.is_open() && !self.has_backlog && !self.session.is_full();
        if state == Memory::Short || !is_readable || output > OUTPUT_BYTES_MAX {
            return Ok(state);
        }
        if self.frame_bytes == 0 && large > 0 {
            // The clock of a large frame starts when its memory is there.
            self.received_at = now;
        }
        self.frame_bytes = large;
        self.receive(frame, ring)?;
        Ok(state)
    }

    /// Adjusts the reservation to the large frame being received plus what the session still works on.
    fn settle_memory(&mut self, memory: &mut Admission, frame: usize) -> Memory {
        let wanted = frame.saturating_add(self.session.bytes_in_flight());
        if wanted <= self.reserved {
            memory.release(self.reserved - wanted);
            self.reserved = wanted;
            return Memory::Enough;
        }
        if memory.try_reserve(wanted - self.reserved) {
            self.reserved = wanted;
            return Memory::Enough;
        }
        Memory::Short
    }

    fn receive(&mut self, frame: Option<usize>, ring: &mut Ring) -> Result<(), Fatal> {
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        let spare = buffer.capacity() - buffer.len();
        let rest = frame.unwrap_or(0).saturating_sub(buffer.len());
        if spare < rest || spare < RECEIVE_SPARE_MIN {
            let usual = if self.is_busy {
                RECEIVE_BUFFER_BYTES
            } else {
                RECEIVE_SMALL_BYTES
            };
            let is_large = rest > RECEIVE_BUFFER_BYTES;
            buffer.reserve(if is_large { rest } else { usual.max(rest) });
        }
        ring.start(Operation::Receive {
            connection: self.id,
            socket: Rc::clone(&self.socket),
            buffer,
        })
    }

    /// The timers to arm now. One that is armed for an earlier instant stays: it finds out when it fires.
    fn arm_timers(&mut self, now: Instant) -> [Option<Instant>; 2] {
        let session = self
            .session
            .poll_timeout()
            .filter(|next| self.session_timer.is_none_or(|armed| armed > *next));
        if session.is_some() {
            self.session_timer = session;
        }
        let inspect = self
            .inspect_timer
            .is_none()
            .then(|| now.after(INSPECT_EVERY));
        if inspect.is_some() {
            self.inspect_timer = inspect;
        }
        [session, inspect]
    }
}
