//! One non-blocking connection with its buffers.
//!
//! Owns: [`Link`].
//! Never: knows what the frames say.
//! Invariants: bytes leave in the order they were queued; what the socket did not take stays queued.
//! Source: performance.md section 5.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use crate::error::BenchError;
use crate::setup::connect;
use crate::wire::inbox::{Inbox, Received};

/// Bytes that may wait for the socket before no further request is made.
const BACKLOG_MAX: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    address: SocketAddr,
    outbox: Vec<u8>,
    sent: usize,
    inbox: Inbox,
}

impl Link {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = connect(address)?;
        stream
            .set_nonblocking(true)
            .map_err(BenchError::network(format!("setting up {address}")))?;
        Ok(Self {
            stream,
            address,
            outbox: Vec::new(),
            sent: 0,
            inbox: Inbox::default(),
        })
    }

    /// The socket, for the poller.
    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether another request may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() - self.sent < BACKLOG_MAX
    }

    /// Whether bytes wait for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.sent < self.outbox.len()
    }

    /// Queues a frame.
    pub(super) fn queue(&mut self, frame: &[u8]) {
        self.outbox.extend_from_slice(frame);
    }

    /// Hands queued bytes to the socket, as many as it takes.
    pub(super) fn flush(&mut self) -> Result<(), BenchError> {
        while self.is_blocked() {
            let pending = self.outbox.get(self.sent..).unwrap_or_default();
            match self.stream.write(pending) {
                Ok(0) => return Err(self.lost(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
        if self.sent == self.outbox.len() {
            self.outbox.clear();
            self.sent = 0;
        } else if self.sent > BACKLOG_MAX {
            self.outbox.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Receives once; whether anything came.
    pub(super) fn receive(&mut self) -> Result<bool, BenchError> {
        match self.inbox.receive(&mut self.stream) {
            Ok(Received::Bytes(_)) => Ok(true),
            Ok(Received::Nothing) => Ok(false),
            Ok(Received::Closed) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// The next whole frame.
    pub(super) fn next_frame(&mut self) -> Result<Option<Range<usize>>, BenchError> {
        self.inbox.next_frame()
    }

    /// Its bytes.
    pub(super) fn bytes(&self, frame: Range<usize>) -> &[u8] {
        self.inbox.bytes(frame)
    }

    fn lost(&self, source: io::Error) -> BenchError {
        BenchError::Network {
            what: format!("the connection to {}", self.address),
            source,
        }
    }
}
