//! The blocking rulers: bare echo and bare durable path, one thread per connection.
//!
//! Owns: [`Prepared`] and the choice of [`Kind`].
//! Never: batches, waits for company or polls: it is the simplest server that keeps its word.
//! Invariants: one answer per request, in order.
//! Source: performance.md section 2 (bare echo, bare durable path).

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::io::ReadWriteFlags;

use super::direct::{Aligned, BLOCK, Prewritten, round_up};
use super::frames::{Answers, Request};
use super::grouped;
use crate::error::BenchError;
use crate::wire::inbox::{Inbox, Received};

/// Bytes of a ruler's prewritten file.
const FILE_BYTES: u64 = 256 << 20;
/// Bytes of one request, at most.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Which ruler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Reads a request, answers. Fetch is answered with 1 MiB of batches.
    Echo,
    /// Reads a request, writes it with RWF_DSYNC, answers; one thread per connection.
    Durable,
    /// One thread, one ring, group commit with two groups in flight.
    Grouped,
}

/// A ruler that is ready to serve: its file is prewritten, its answers are built.
#[derive(Debug)]
pub struct Prepared {
    kind: Kind,
    answers: Answers,
    file: Option<Prewritten>,
}

impl Prepared {
    /// Prepares a ruler that keeps its file in `directory`.
    ///
    /// # Errors
    /// The file cannot be prewritten.
    pub fn new(kind: Kind, directory: &Path) -> Result<Self, BenchError> {
        let file = match kind {
            Kind::Echo => None,
            Kind::Durable | Kind::Grouped => Some(Prewritten::create(directory, FILE_BYTES)?),
        };
        Ok(Self {
            kind,
            answers: Answers::new(1 << 20)?,
            file,
        })
    }

    /// Serves until the process ends; connections that fail are dropped.
    ///
    /// # Errors
    /// The listener or the ring fails.
    pub fn serve(self, listener: &TcpListener) -> Result<(), BenchError> {
        match (self.kind, self.file) {
            (Kind::Grouped, Some(file)) => grouped::serve(listener, file, &self.answers),
            (Kind::Echo | Kind::Durable | Kind::Grouped, file) => {
                let log = file.map(|file| Arc::new(Log::new(file)));
                serve_each(listener, &Arc::new(self.answers), log.as_ref())
            }
        }
    }
}

fn serve_each(
    listener: &TcpListener,
    answers: &Arc<Answers>,
    log: Option<&Arc<Log>>,
) -> Result<(), BenchError> {
    for stream in listener.incoming() {
        let stream = stream.map_err(BenchError::network("accepting"))?;
        let answers = Arc::clone(answers);
        let log = log.map(Arc::clone);
        thread::Builder::new()
            .name("ruler".to_owned())
            .spawn(move || {
                // The generator closes its connections when a run is over.
                drop(converse(stream, &answers, log.as_deref()));
            })
            .map_err(BenchError::local("starting a thread"))?;
    }
    Ok(())
}

fn converse(mut stream: TcpStream, answers: &Answers, log: Option<&Log>) -> Result<(), BenchError> {
    let failed = || BenchError::network("a ruler's connection");
    stream.set_nodelay(true).map_err(failed())?;
    let mut memory = Aligned::new(0);
    let mut inbox = Inbox::default();
    let mut out = Vec::new();
    loop {
        match inbox.receive(&mut stream).map_err(failed())? {
            Received::Closed => return Ok(()),
            Received::Nothing => continue,
            Received::Bytes(_) => {}
        }
        out.clear();
        while let Some(frame) = inbox.next_frame()? {
            let bytes = inbox.bytes(frame);
            if let Some(log) = log {
                log.commit(bytes, &mut memory)?;
            }
            answers.put(&mut out, Request::read(bytes)?);
        }
        write_all(&mut stream, &out).map_err(failed())?;
    }
}

fn write_all(stream: &mut TcpStream, out: &[u8]) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    stream.write_all(out)
}

/// The file of all connections: every request is written before it is answered.
#[derive(Debug)]
struct Log {
    file: Prewritten,
    next: AtomicU64,
}

impl Log {
    const fn new(file: Prewritten) -> Self {
        Self {
            file,
            next: AtomicU64::new(0),
        }
    }

    fn commit(&self, bytes: &[u8], memory: &mut Aligned) -> Result<(), BenchError> {
        let len = round_up(bytes.len());
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(BenchError::Usage("a request of more than 8 MiB".to_owned()));
        }
        if memory.bytes().len() < len {
            *memory = Aligned::new(len);
        }
        let (room, _) = memory.bytes_mut().split_at_mut(bytes.len());
        room.copy_from_slice(bytes);
        // Each request goes after the one before it, whoever sent that; past the end the file begins again.
        let lap = self.file.len() - REQUEST_BYTES_MAX as u64;
        let at = self.next.fetch_add(len as u64, Ordering::Relaxed) % lap;
        let at = at / BLOCK as u64 * BLOCK as u64;
        let (block, _) = memory.bytes().split_at(len);
        self.file.write(block, at, ReadWriteFlags::DSYNC)
    }
}
