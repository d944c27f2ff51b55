//! Connections of one data core.
//!
//! Owns: every connection accepted by this core, its buffers, its memory reservation and its timers.
//! Never: reads ahead of what was reserved (A9), or keeps a connection that makes no progress.
//! Invariants: at most one receive and one send of a connection are with the kernel; a closed
//! connection is forgotten at once, what the kernel still has keeps its descriptor open until it ends; every session
//! hears of its end once.
//! Source: architecture.md section 6, reliability.md 4.2 and section 5.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Arc;

use api::{CommandSink, ConnectionContext, Reply, SessionFactory, Ticket};
use broker::admission::Admission;
use bytes::BytesMut;
use model::fatal::Fatal;
use model::ids::{ConnectionId, ShardId};
use model::limits::CONNECTIONS_PER_SHARD_MAX;
use model::time::{Instant, Now};

pub(crate) mod connection;
pub(crate) mod farewell;
pub(crate) mod listener;
pub(crate) mod report;
#[cfg(test)]
mod tests;
pub(crate) mod timers;

use crate::ring::{Message, Ring};
use connection::{Connection, Ending, Memory};
use report::Reporter;
use timers::Timers;

/// What a network side is told at birth.
#[derive(Clone)]
pub(crate) struct NetConfig {
    /// This core.
    pub(crate) shard: ShardId,
    /// How many there are.
    pub(crate) shards: u16,
    /// Makes sessions.
    pub(crate) factory: SessionFactory,
    /// Bytes of requests that may be in memory at a time.
    pub(crate) memory_bytes: usize,
}

/// The connections of one core.
pub(crate) struct Net {
    config: NetConfig,
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
    memory: Admission,
    waiting: VecDeque<ConnectionId>,
    dirty: Vec<ConnectionId>,
    hungry: Vec<ConnectionId>,
    timers: Timers,
    reporter: Reporter,
    /// Ended connections whose sessions were not told yet.
    ended: VecDeque<Box<Connection>>,
    is_stopping: bool,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Net {
    /// No connection yet.
    pub(crate) fn new(config: NetConfig) -> Self {
        let memory = Admission::new(config.memory_bytes);
        Self {
            config,
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
            memory,
            waiting: VecDeque::new(),
            dirty: Vec::new(),
            hungry: Vec::new(),
            timers: Timers::default(),
            reporter: Reporter::default(),
            ended: VecDeque::new(),
            is_stopping: false,
        }
    }

    /// Connections now.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes a new connection.
    pub(crate) fn accepted(&mut self, socket: TcpStream, now: Now) {
        if self.is_stopping {
            return;
        }
        if self.count >= CONNECTIONS_PER_SHARD_MAX {
            self.reporter
                .report(now.instant, None, &"connection limit of this core reached");
            return;
        }
        let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else {
            // It was reset before we came to it.
            return;
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        let id = ConnectionId::new(u64::from(slot.generation) << 32 | u64::from(index));
        let context = ConnectionContext {
            connection: id,
            shard: self.config.shard,
            shards: self.config.shards,
            peer,
            local,
        };
        let session = (self.config.factory)(context, now);
        slot.connection = Some(Box::new(Connection::new(
            id,
            socket,
            peer,
            session,
            now.instant,
        )));
        self.count += 1;
        self.touch(id);
    }

    fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let index = usize::try_from(id.get() & u64::from(u32::MAX)).ok()?;
        let connection = self.slots.get_mut(index)?.connection.as_deref_mut()?;
        (connection.id() == id).then_some(connection)
    }

    fn touch(&mut self, id: ConnectionId) {
        if self.get(id).is_some_and(Connection::mark_dirty) {
            self.dirty.push(id);
        }
    }

    /// Takes the end of a receive.
    pub(crate) fn received(
        &mut self,
        id: ConnectionId,
        buffer: BytesMut,
        result: Result<usize, i32>,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.get(id) else {
            return;
        };
        match connection.received(buffer, result, turn) {
            Ok(()) => self.touch(id),
            Err(ending) => self.close(id, &ending, turn.now.instant),
        }
    }

    /// Takes the end of a send.
    pub(crate) fn sent(
        &mut self,
        id: ConnectionId,
        message: Box<Message>,
        result: Result<usize, i32>,
        now: Instant,
    ) {
        let Some(connection) = self.get(id) else {
            return;
        };
        match connection.sent(message, result, now) {
            Ok(()) => self.touch(id),
            Err(ending) => self.close(id, &ending, now),
        }
    }

    /// Feeds a reply to its connection, if that still exists.
    pub(crate) fn reply(
        &mut self,
        id: ConnectionId,
        ticket: Ticket,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.get(id) else {
            return;
        };
        connection.reply(ticket, reply, turn);
        self.touch(id);
    }

    /// The next connection whose timer is due.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<ConnectionId> {
        while let Some((at, id)) = self.timers.pop_due(now) {
            if self.get(id).is_some_and(|connection| connection.disarm(at)) {
                return Some(id);
            }
        }
        None
    }

    /// Lets a connection look at the time.
    pub(crate) fn handle_timeout(&mut self, id: ConnectionId, turn: &mut Turn<'_>) {
        let Some(connection) = self.get(id) else {
            return;
        };
        match connection.handle_timeout(turn) {
            Ok(()) => self.touch(id),
            Err(ending) => self.close(id, &ending, turn.now.instant),
        }
    }

    /// The next connection that has room for requests it received earlier.
    pub(crate) fn poll_hungry(&mut self) -> Option<ConnectionId> {
        self.hungry.pop()
    }

    /// Whether [`Self::poll_hungry`] has something.
    pub(crate) fn has_hungry(&self) -> bool {
        !self.hungry.is_empty()
    }

    /// Hands a connection's waiting requests to its session.
    pub(crate) fn feed(&mut self, id: ConnectionId, turn: &mut Turn<'_>) {
        if let Some(connection) = self.get(id) {
            connection.feed_backlog(turn);
            self.touch(id);
        }
    }

    /// When the next timer is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Ends every connection as soon as what it was already answered is sent; accepts no more.
    pub(crate) fn begin_stop(&mut self) {
        self.is_stopping = true;
        for index in 0..self.slots.len() {
            let connection = self
                .slots
                .get_mut(index)
                .and_then(|slot| slot.connection.as_mut());
            if let Some(connection) = connection {
                connection.stop();
                let id = connection.id();
                self.touch(id);
            }
        }
    }

    /// Starts what the touched connections are ready for: sends, receives, timers.
    ///
    /// # Errors
    /// The ring refuses submissions altogether.
    pub(crate) fn serve_touched(&mut self, now: Instant, ring: &mut Ring) -> Result<(), Fatal> {
        while let Some(id) = self.dirty.pop() {
            if let Some(connection) = self.get(id) {
                connection.clear_dirty();
            }
            self.serve(id, now, ring)?;
        }
        self.serve_waiting(now, ring)
    }

    fn serve(&mut self, id: ConnectionId, now: Instant, ring: &mut Ring) -> Result<(), Fatal> {
        let index = usize::try_from(id.get() & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let Some(connection) = slot.connection.as_deref_mut().filter(|c| c.id() == id) else {
            return Ok(());
        };
        match connection.serve(now, &mut self.memory, ring)? {
            Ok(next) => {
                if next.memory == Memory::Short && connection.mark_waiting() {
                    self.waiting.push_back(id);
                }
                for at in next.timers.into_iter().flatten() {
                    self.timers.arm(at, id);
                }
                if next.is_hungry {
                    self.hungry.push(id);
                }
            }
            Err(ending) => self.close(id, &ending, now),
        }
        Ok(())
    }

    /// Lets connections that wait for memory try again, oldest first, until one must wait on.
    fn serve_waiting(&mut self, now: Instant, ring: &mut Ring) -> Result<(), Fatal> {
        for _ in 0..self.waiting.len() {
            let Some(id) = self.waiting.pop_front() else {
                return Ok(());
            };
            let Some(connection) = self.get(id) else {
                continue;
            };
            connection.clear_waiting();
            self.serve(id, now, ring)?;
            if self.waiting.back() == Some(&id) {
                self.waiting.rotate_right(1);
                return Ok(());
            }
        }
        Ok(())
    }

    fn close(&mut self, id: ConnectionId, ending: &Ending, now: Instant) {
        let index = u32::try_from(id.get() & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(connection) = slot.connection.take_if(|connection| connection.id() == id) else {
            return;
        };
        self.free.push(index);
        self.count -= 1;
        self.memory.release(connection.reserved());
        if let Some(reason) = ending.reason() {
            self.reporter.report(now, Some(connection.peer()), &reason);
        }
        connection.shut_down();
        self.ended.push_back(connection);
    }

    /// Tells the session of the next ended connection, however it ended, that its client is gone; gives the connection
    /// whose commands these are.
    pub(crate) fn poll_ended(&mut self, turn: &mut Turn<'_>) -> Option<ConnectionId> {
        let mut connection = self.ended.pop_front()?;
        connection.abandon(turn);
        Some(connection.id())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for connection in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.connection.take())
        {
            connection.shut_down();
        }
    }
}

/// What a connection needs while it handles one event.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// The time of this round.
    pub(crate) now: Now,
    /// Commands to be routed.
    pub(crate) commands: &'a mut CommandSink,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// Keeps the factory's type out of the way of `Debug`.
impl std::fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetConfig")
            .field("shard", &self.shard)
            .field("factory", &Arc::as_ptr(&self.factory).cast::<()>())
            .finish_non_exhaustive()
    }
}
