//! The bare grouped durable path: one thread, one ring, group commit, no protocol.
//!
//! Owns: [`serve`].
//! Never: parses batches, keeps an index, or has more than two groups in flight.
//! Invariants: answers leave in the order of the groups, after each group's `RWF_DSYNC` write.
//! Source: performance.md section 2 (the whole durable path, bare).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::{Timespec, epoll};

use super::direct::{Prewritten, round_up};
use super::frames::{Answers, Request};
use super::ring::{Event, Operation, WriteRing};
use super::server::REQUEST_BYTES_MAX;
use crate::error::BenchError;
use crate::wire::inbox::{Inbox, Received};

const GROUPS_IN_FLIGHT: usize = 2;
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    inbox: Inbox,
    outbox: Vec<u8>,
    is_open: bool,
}

/// A request that waits for its group's write.
#[derive(Clone, Copy)]
struct Waiting {
    connection: usize,
    request: Request,
    bytes: usize,
}

struct Group {
    slot: usize,
    is_done: bool,
    requests: Vec<Waiting>,
}

struct Server<'a> {
    answers: &'a Answers,
    poller: OwnedFd,
    ring: WriteRing,
    connections: Vec<Connection>,
    pending: Vec<u8>,
    waiting: VecDeque<Waiting>,
    groups: VecDeque<Group>,
}

/// Serves until the process ends.
///
/// # Errors
/// The listener or the ring fails.
pub fn serve(
    listener: &TcpListener,
    file: Prewritten,
    answers: &Answers,
) -> Result<(), BenchError> {
    let local = || BenchError::local("setting up the grouped ruler");
    listener.set_nonblocking(true).map_err(local())?;
    let poller =
        epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| local()(errno.into()))?;
    let data = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poller, listener, data, epoll::EventFlags::IN)
        .map_err(|errno| local()(errno.into()))?;
    let mut server = Server {
        answers,
        poller,
        ring: WriteRing::new(file, GROUPS_IN_FLIGHT, REQUEST_BYTES_MAX)?,
        connections: Vec::new(),
        pending: Vec::new(),
        waiting: VecDeque::new(),
        groups: VecDeque::new(),
    };
    server.ring.watch(&server.poller)?;
    loop {
        server.turn(listener)?;
    }
}

impl Server<'_> {
    fn turn(&mut self, listener: &TcpListener) -> Result<(), BenchError> {
        let mut is_readable = false;
        let groups = &mut self.groups;
        self.ring.reap(1, |event| match event {
            Event::Readable => is_readable = true,
            Event::Done { slot } => {
                let group = groups
                    .iter_mut()
                    .find(|group| group.slot == slot && !group.is_done);
                if let Some(group) = group {
                    group.is_done = true;
                }
            }
        })?;
        self.release();
        if is_readable {
            self.receive(listener)?;
            self.ring.watch(&self.poller)?;
        }
        self.commit()
    }

    fn receive(&mut self, listener: &TcpListener) -> Result<(), BenchError> {
        let mut events = Vec::with_capacity(256);
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(
            &self.poller,
            rustix::buffer::spare_capacity(&mut events),
            Some(&now),
        )
        .map_err(|errno| BenchError::local("waiting for connections")(errno.into()))?;
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept(listener)?,
                index => self.take(usize::try_from(index).unwrap_or(usize::MAX))?,
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener) -> Result<(), BenchError> {
        let failed = || BenchError::network("accepting");
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(failed()(error)),
        };
        stream.set_nodelay(true).map_err(failed())?;
        stream.set_nonblocking(true).map_err(failed())?;
        let data = epoll::EventData::new_u64(self.connections.len() as u64);
        epoll::add(&self.poller, &stream, data, epoll::EventFlags::IN)
            .map_err(|errno| failed()(errno.into()))?;
        self.connections.push(Connection {
            stream,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            is_open: true,
        });
        Ok(())
    }

    fn take(&mut self, index: usize) -> Result<(), BenchError> {
        let Some(connection) = self.connections.get_mut(index) else {
            return Ok(());
        };
        match connection.inbox.receive(&mut connection.stream) {
            Ok(Received::Bytes(_)) => {}
            Ok(Received::Nothing) => return Ok(()),
            // The generator closes when a run is over.
            Ok(Received::Closed) | Err(_) => {
                connection.is_open = false;
                return epoll::delete(&self.poller, &connection.stream)
                    .map_err(|errno| BenchError::local("closing")(errno.into()));
            }
        }
        while let Some(frame) = connection.inbox.next_frame()? {
            let bytes = connection.inbox.bytes(frame);
            if bytes.len() > REQUEST_BYTES_MAX {
                return Err(BenchError::Usage("a request of more than 8 MiB".to_owned()));
            }
            self.pending.extend_from_slice(bytes);
            self.waiting.push_back(Waiting {
                connection: index,
                request: Request::read(bytes)?,
                bytes: bytes.len(),
            });
        }
        Ok(())
    }

    /// Starts as many groups as may be in flight.
    fn commit(&mut self) -> Result<(), BenchError> {
        while !self.waiting.is_empty() && self.groups.len() < GROUPS_IN_FLIGHT {
            let mut requests = Vec::new();
            let mut len = 0;
            while let Some(next) = self.waiting.front().copied() {
                if len + next.bytes > REQUEST_BYTES_MAX {
                    break;
                }
                len += next.bytes;
                requests.push(next);
                self.waiting.pop_front();
            }
            let Some((_, room)) = self.ring.slot() else {
                return Ok(());
            };
            let taken = room.get_mut(..len).zip(self.pending.get(..len));
            if let Some((room, bytes)) = taken {
                room.copy_from_slice(bytes);
            }
            self.pending.drain(..len);
            let slot = self.ring.submit(round_up(len), Operation::DurableWrite)?;
            self.groups.push_back(Group {
                slot,
                is_done: false,
                requests,
            });
        }
        Ok(())
    }

    /// Answers the groups that are done, oldest first.
    fn release(&mut self) {
        while self.groups.front().is_some_and(|group| group.is_done) {
            let Some(group) = self.groups.pop_front() else {
                return;
            };
            for waiting in group.requests {
                if let Some(connection) = self.connections.get_mut(waiting.connection) {
                    self.answers.put(&mut connection.outbox, waiting.request);
                }
            }
        }
        for connection in &mut self.connections {
            if connection.is_open && !connection.outbox.is_empty() {
                // Answers are small and the generator reads them: a full socket is a generator that is gone.
                connection.is_open = connection.stream.write_all(&connection.outbox).is_ok();
            }
            connection.outbox.clear();
        }
    }
}
