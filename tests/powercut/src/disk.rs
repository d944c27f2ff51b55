//! The disk: one thread that owns contents, recording and injected faults.
//!
//! Owns: the order of events, and what a flush covers.
//! Never: answers a write or flush before it is recorded.
//! Invariants: a flush covers the events that were answered before it arrived, and nothing else: what was
//! still on its way then may be lost.
//! Source: reliability.md 2.1 and 3.7.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use fuser::{Errno, ReplyData, ReplyEmpty, ReplyWrite};

use crate::answered::Answered;
use crate::faults::{Command, Faults, IoKind};
use crate::recording::{Recorder, What};

/// How long the disk waits for work at once.
const IDLE: Duration = Duration::from_secs(3600);

/// A request of the kernel, or a command of the driver.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write bytes.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Vec<u8>,
        /// Answer.
        reply: ReplyWrite,
    },
    /// Read bytes.
    Read {
        /// Where.
        offset: u64,
        /// How many.
        len: usize,
        /// Answer.
        reply: ReplyData,
    },
    /// Make everything below `covered` durable.
    Flush {
        /// Events answered when the flush arrived.
        covered: u64,
        /// Answer.
        reply: ReplyEmpty,
    },
    /// From the control socket.
    Command {
        /// What to do.
        command: Command,
        /// Where the answer goes.
        answer: Sender<String>,
    },
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    contents: File,
    size: u64,
    recorder: Recorder,
    answered: Arc<Answered>,
    faults: Faults,
    waiting: VecDeque<Job>,
    flushing: VecDeque<Flushing>,
}

/// A flush that takes its time.
#[derive(Debug)]
struct Flushing {
    due: Instant,
    covered: u64,
    reply: ReplyEmpty,
}

impl Disk {
    /// A disk of `size` bytes over the file `contents`.
    pub(crate) fn new(
        contents: File,
        size: u64,
        recorder: Recorder,
        answered: Arc<Answered>,
    ) -> Self {
        Self {
            contents,
            size,
            recorder,
            answered,
            faults: Faults::default(),
            waiting: VecDeque::new(),
            flushing: VecDeque::new(),
        }
    }

    /// Serves until every sender is gone.
    ///
    /// # Errors
    /// The recording cannot be written.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let stall = self.faults.stall_left(now);
            if stall.is_zero() {
                self.catch_up(now)?;
            }
            let wait = match self.flushing.front() {
                _ if !stall.is_zero() => stall,
                Some(flushing) => flushing.due.saturating_duration_since(now),
                None => IDLE,
            };
            match jobs.recv_timeout(wait) {
                Ok(Job::Command { command, answer }) => self.obey(command, &answer)?,
                Ok(job) if stall.is_zero() => self.serve(job)?,
                Ok(job) => self.waiting.push_back(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.recorder.publish(),
            }
        }
    }

    /// Ends the flushes that are due, then serves what a stall held up.
    fn catch_up(&mut self, now: Instant) -> io::Result<()> {
        while let Some(flushing) = self.flushing.pop_front_if(|flushing| flushing.due <= now) {
            self.flush(flushing.covered, flushing.reply)?;
        }
        while let Some(job) = self.waiting.pop_front() {
            self.serve(job)?;
        }
        Ok(())
    }

    fn serve(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Write {
                offset,
                data,
                reply,
            } => self.write(offset, &data, reply),
            Job::Read { offset, len, reply } => {
                self.read(offset, len, reply);
                Ok(())
            }
            Job::Flush { covered, reply } => {
                let due = Instant::now() + self.faults.flush_time();
                self.flushing.push_back(Flushing {
                    due,
                    covered,
                    reply,
                });
                Ok(())
            }
            Job::Command { command, answer } => self.obey(command, &answer),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8], reply: ReplyWrite) -> io::Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        let len = u32::try_from(data.len()).map_err(io::Error::other)?;
        if self.faults.strikes(IoKind::Write) || end > self.size {
            reply.error(Errno::EIO);
            return Ok(());
        }
        self.contents.write_all_at(data, offset)?;
        self.recorder.record(What::Write { offset }, data)?;
        self.answered
            .answer(self.recorder.count(), || reply.written(len));
        Ok(())
    }

    fn read(&mut self, offset: u64, len: usize, reply: ReplyData) {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        let failed = self.faults.strikes(IoKind::Read)
            || self.contents.read_exact_at(&mut bytes, offset).is_err();
        if failed {
            reply.error(Errno::EIO);
        } else {
            reply.data(&bytes);
        }
    }

    fn flush(&mut self, covered: u64, reply: ReplyEmpty) -> io::Result<()> {
        if self.faults.strikes(IoKind::Flush) {
            reply.error(Errno::EIO);
            return Ok(());
        }
        if !self.faults.lies() {
            self.recorder.record(What::Flush { covered }, &[])?;
        }
        self.answered.answer(self.recorder.count(), || reply.ok());
        Ok(())
    }

    fn obey(&mut self, command: Command, answer: &Sender<String>) -> io::Result<()> {
        match command {
            Command::Mark(text) => {
                self.recorder.record(What::Mark, text.as_bytes())?;
                if self.waiting.is_empty() {
                    self.answered.answer(self.recorder.count(), || ());
                }
            }
            Command::Publish => self.recorder.publish()?,
            Command::Fault(fault) => self.faults.apply(fault, Instant::now()),
        }
        let text = format!("{} {}", self.recorder.count(), self.faults.struck());
        // The driver may have hung up; that is its affair.
        drop(answer.send(text));
        Ok(())
    }
}
