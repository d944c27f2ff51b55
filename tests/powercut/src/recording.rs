//! The recording: every event of the disk in the order in which the disk took it.
//!
//! Owns: the bytes of the file, one header of 32 bytes and the payload per event.
//! Never: drops or merges events.
//! Invariants: event numbers are dense from 0; the position file holds the number of events recorded, and is
//! raised before the event is answered, so whoever saw an answer finds its event below the position.
//! Source: reliability.md 3.7.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of an event's header.
const HEADER_BYTES: usize = 32;

/// Longest payload of an event, bytes; the kernel sends at most 1 MiB at once.
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Bytes were written at an offset of the disk; in the cache of the disk only.
    Write {
        /// Where.
        offset: u64,
    },
    /// All events below `covered` are durable from here on.
    Flush {
        /// First event that need not be durable.
        covered: u64,
    },
    /// A note of the driver; the payload is its text.
    Mark,
    /// A change of a strict file system; the payload is the operation.
    Change,
}

/// One event with the place of its payload in the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) what: What,
    /// Where the payload starts in the file.
    pub(crate) payload_at: u64,
    /// Bytes of the payload.
    pub(crate) payload_len: u32,
}

/// Writes a recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: BufWriter<File>,
    position: File,
    count: u64,
}

impl Recorder {
    /// An empty recording.
    ///
    /// # Errors
    /// A file cannot be made.
    pub(crate) fn create(path: &Path, position: &Path) -> io::Result<Self> {
        let position = File::create(position)?;
        position.write_all_at(&0_u64.to_le_bytes(), 0)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, File::create(path)?),
            position,
            count: 0,
        })
    }

    /// Number of events so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Records one event.
    ///
    /// # Errors
    /// The recording cannot be written; the run is worthless.
    pub(crate) fn record(&mut self, what: What, payload: &[u8]) -> io::Result<()> {
        self.file.write_all(&encode(what, payload.len())?)?;
        self.file.write_all(payload)?;
        self.count += 1;
        self.position.write_all_at(&self.count.to_le_bytes(), 0)
    }

    /// Makes all events visible to readers of the file.
    ///
    /// # Errors
    /// The recording cannot be written.
    pub(crate) fn publish(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn encode(what: What, len: usize) -> io::Result<[u8; HEADER_BYTES]> {
    let (kind, number) = match what {
        What::Write { offset } => (1_u8, offset),
        What::Flush { covered } => (2, covered),
        What::Mark => (3, 0),
        What::Change => (4, 0),
    };
    let len = u32::try_from(len).map_err(io::Error::other)?;
    let mut header = [0; HEADER_BYTES];
    header[0] = kind;
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    Ok(header)
}

fn decode(header: &[u8; HEADER_BYTES]) -> io::Result<(What, u32)> {
    let mut len = [0; 4];
    len.copy_from_slice(&header[4..8]);
    let mut number = [0; 8];
    number.copy_from_slice(&header[8..16]);
    let number = u64::from_le_bytes(number);
    let what = match header[0] {
        1 => What::Write { offset: number },
        2 => What::Flush { covered: number },
        3 => What::Mark,
        4 => What::Change,
        other => return Err(invalid(&format!("event of kind {other}"))),
    };
    Ok((what, u32::from_le_bytes(len)))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A recording that is complete.
#[derive(Debug)]
pub(crate) struct Recording {
    file: File,
    events: Vec<Event>,
}

impl Recording {
    /// Reads the headers of all events; an event that is cut off ends the recording.
    ///
    /// # Errors
    /// The file cannot be read or is no recording.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let mut reader = BufReader::new(File::open(path)?);
        let mut events = Vec::new();
        let mut at = 0;
        while at + HEADER_BYTES as u64 <= end {
            let mut header = [0; HEADER_BYTES];
            reader.read_exact(&mut header)?;
            let (what, payload_len) = decode(&header)?;
            let payload_at = at + HEADER_BYTES as u64;
            at = payload_at + u64::from(payload_len);
            if u64::from(payload_len) > PAYLOAD_BYTES_MAX {
                return Err(invalid("an event is too long"));
            }
            if at > end {
                break;
            }
            reader.seek(SeekFrom::Start(at))?;
            events.push(Event {
                what,
                payload_at,
                payload_len,
            });
        }
        Ok(Self { file, events })
    }

    /// All events.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The payload of an event.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn payload(&self, event: &Event) -> io::Result<Vec<u8>> {
        let len = usize::try_from(event.payload_len).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, event.payload_at)?;
        Ok(bytes)
    }
}
