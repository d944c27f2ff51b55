//! The blocking rulers: bare echo and bare durable path, one thread per connection.
//!
//! Owns: [`serve`] and the choice of [`Kind`].
//! Never: batches, waits for company or polls: it is the simplest server that keeps its word.
//! Invariants: one answer per request, in order.
//! Source: performance.md section 2 (bare echo, bare durable path).

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::io::ReadWriteFlags;

use super::direct::{Aligned, Prewritten, round_up};
use super::frames::{Answers, Request};
use super::grouped;
use crate::error::BenchError;
use crate::wire::inbox::{Inbox, Received};

/// Bytes of a prewritten file per connection of the durable ruler.
pub const FILE_BYTES: u64 = 64 << 20;
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

/// Serves until the process ends; connections that fail are dropped.
///
/// # Errors
/// The listener or the file fails.
pub fn serve(kind: Kind, listener: &TcpListener, directory: &Path) -> Result<(), BenchError> {
    let answers = Arc::new(Answers::new(1 << 20)?);
    if kind == Kind::Grouped {
        return grouped::serve(listener, directory, &answers);
    }
    for (index, stream) in listener.incoming().enumerate() {
        let stream = stream.map_err(BenchError::network("accepting"))?;
        let answers = Arc::clone(&answers);
        let directory = directory.join(format!("connection-{index}"));
        thread::Builder::new()
            .name("ruler".to_owned())
            .spawn(move || {
                // The generator closes its connections when a run is over.
                drop(converse(kind, stream, &directory, &answers));
            })
            .map_err(BenchError::local("starting a thread"))?;
    }
    Ok(())
}

fn converse(
    kind: Kind,
    mut stream: TcpStream,
    directory: &Path,
    answers: &Answers,
) -> Result<(), BenchError> {
    let failed = || BenchError::network("a ruler's connection");
    stream.set_nodelay(true).map_err(failed())?;
    let mut log = match kind {
        Kind::Durable => Some(Log::create(directory)?),
        Kind::Echo | Kind::Grouped => None,
    };
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
            if let Some(log) = &mut log {
                log.commit(bytes)?;
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

/// A log of one connection: every request is written before it is answered.
struct Log {
    file: Prewritten,
    memory: Aligned,
}

impl Log {
    fn create(directory: &Path) -> Result<Self, BenchError> {
        std::fs::create_dir_all(directory)
            .map_err(BenchError::local(format!("making {}", directory.display())))?;
        Ok(Self {
            file: Prewritten::create(directory, FILE_BYTES)?,
            memory: Aligned::new(REQUEST_BYTES_MAX),
        })
    }

    fn commit(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        let len = round_up(bytes.len());
        let too_large = || BenchError::Usage("a request of more than 8 MiB".to_owned());
        let room = self
            .memory
            .bytes_mut()
            .get_mut(..bytes.len())
            .ok_or_else(too_large)?;
        room.copy_from_slice(bytes);
        let at = self.file.advance(len);
        let block = self.memory.bytes().get(..len).ok_or_else(too_large)?;
        self.file.write(block, at, ReadWriteFlags::DSYNC)
    }
}
