//! Faults that the driver injects while the disk serves.
//!
//! Owns: the commands of the control socket and what they do to later requests.
//! Never: changes a recorded event.
//! Invariants: every fault is off until asked for; a counted fault ends by itself.
//! Source: reliability.md 2.7 and 3.7.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// Kinds of requests that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IoKind {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Flushing.
    Flush,
}

/// A command of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `mark TEXT`: record a note.
    Mark(String),
    /// `publish`: make the recording readable up to here.
    Publish,
    /// One of the fault commands.
    Fault(Fault),
}

/// A fault to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `fail read|write|flush COUNT`: the next so many requests of the kind end with EIO.
    Fail(IoKind, u64),
    /// `stall MILLISECONDS`: nothing is answered for so long.
    Stall(Duration),
    /// `delay MICROSECONDS`: every flush takes so long; writes go on meanwhile.
    Delay(Duration),
    /// `lie on`: flushes are answered and not done.
    Lie,
    /// `heal`: no more faults; what a delay set stays.
    Heal,
}

impl Command {
    /// Reads a line of the control socket.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match (verb, words.as_slice()) {
            ("mark", _) => Some(Self::Mark(rest.to_owned())),
            ("publish", []) => Some(Self::Publish),
            ("fail", [kind, count]) => {
                let kind = match *kind {
                    "read" => IoKind::Read,
                    "write" => IoKind::Write,
                    "flush" => IoKind::Flush,
                    _ => return None,
                };
                Some(Self::Fault(Fault::Fail(kind, count.parse().ok()?)))
            }
            ("stall", [millis]) => {
                let time = Duration::from_millis(millis.parse().ok()?);
                Some(Self::Fault(Fault::Stall(time)))
            }
            ("delay", [micros]) => {
                let time = Duration::from_micros(micros.parse().ok()?);
                Some(Self::Fault(Fault::Delay(time)))
            }
            ("lie", ["on"]) => Some(Self::Fault(Fault::Lie)),
            ("heal", []) => Some(Self::Fault(Fault::Heal)),
            _ => None,
        }
    }
}

/// Faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    reads: u64,
    writes: u64,
    flushes: u64,
    stalled_until: Option<Instant>,
    flush_time: Duration,
    is_lying: bool,
    struck: u64,
}

impl Faults {
    /// Begins a fault, or ends all.
    pub(crate) fn apply(&mut self, fault: Fault, now: Instant) {
        match fault {
            Fault::Fail(kind, count) => *self.left(kind) = count,
            Fault::Stall(time) => self.stalled_until = Some(now + time),
            Fault::Delay(time) => self.flush_time = time,
            Fault::Lie => self.is_lying = true,
            Fault::Heal => {
                *self = Self {
                    struck: self.struck,
                    flush_time: self.flush_time,
                    ..Self::default()
                };
            }
        }
    }

    fn left(&mut self, kind: IoKind) -> &mut u64 {
        match kind {
            IoKind::Read => &mut self.reads,
            IoKind::Write => &mut self.writes,
            IoKind::Flush => &mut self.flushes,
        }
    }

    /// Whether this request is to fail; counts it.
    pub(crate) fn strikes(&mut self, kind: IoKind) -> bool {
        let left = self.left(kind);
        let is_due = *left > 0;
        *left = left.saturating_sub(1);
        self.struck += u64::from(is_due);
        is_due
    }

    /// Requests failed so far.
    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    /// How long a flush takes.
    pub(crate) fn flush_time(&self) -> Duration {
        self.flush_time
    }

    /// Whether flushes are only pretended.
    pub(crate) fn lies(&self) -> bool {
        self.is_lying
    }

    /// How long nothing is to be answered.
    pub(crate) fn stall_left(&self, now: Instant) -> Duration {
        self.stalled_until
            .map(|until| until.saturating_duration_since(now))
            .unwrap_or_default()
    }
}
