//! Which files of the strict file system find no room.
//!
//! Owns: the commands of its control socket, the pattern, the count of refused requests.
//! Never: touches the tree.
//! Invariants: there is room until told otherwise, and again after `heal`; overwriting never needs room.
//! Source: reliability.md 2.7.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

/// What needs room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A new name.
    Name,
    /// More bytes in a file.
    Bytes,
}

/// A command of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `enospc create|grow PATTERN`: new files, or more bytes in files, whose path matches find no room.
    Full(Need, String),
    /// `heal`: there is room.
    Heal,
    /// `struck`: nothing but the answer, which every command gets: requests refused so far.
    Struck,
}

impl Command {
    /// Reads a line of the control socket.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["enospc", "create", pattern] => Some(Self::Full(Need::Name, (*pattern).to_owned())),
            ["enospc", "grow", pattern] => Some(Self::Full(Need::Bytes, (*pattern).to_owned())),
            ["heal"] => Some(Self::Heal),
            ["struck"] => Some(Self::Struck),
            _ => None,
        }
    }
}

/// What there is room for.
#[derive(Debug, Default)]
pub(crate) struct Room {
    full: Option<(Need, String)>,
    struck: u64,
}

impl Room {
    fn apply(&mut self, command: Command) -> u64 {
        match command {
            Command::Full(need, pattern) => self.full = Some((need, pattern)),
            Command::Heal => self.full = None,
            Command::Struck => {}
        }
        self.struck
    }

    /// Whether a request for the file at `path` is to be refused; counts it.
    pub(crate) fn refuses(&mut self, need: Need, path: &str) -> bool {
        let is_full = self
            .full
            .as_ref()
            .is_some_and(|(kind, pattern)| *kind == need && matches(pattern, path));
        self.struck += u64::from(is_full);
        is_full
    }
}

/// Whether `path` is as `pattern` says, in which `*` stands for anything, slashes included.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    let Some(left) = path.strip_prefix(front) else {
        return false;
    };
    let mut ends = (0..=left.len()).filter(|at| left.is_char_boundary(*at));
    ends.any(|at| left.get(at..).is_some_and(|tail| matches(rest, tail)))
}

/// Takes commands at `socket` from now on.
///
/// # Errors
/// The socket or the thread cannot be made.
pub(crate) fn listen(socket: &Path, room: Arc<Mutex<Room>>) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // One driver at a time; a connection that breaks is its own affair.
                drop(converse(stream, &room));
            }
        })
        .map(drop)
}

fn converse(stream: UnixStream, room: &Mutex<Room>) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        match Command::parse(&line?) {
            Some(command) => {
                let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
                let struck = room.apply(command);
                drop(room);
                writeln!(out, "{struck}")?;
            }
            None => out.write_all(b"error\n")?,
        }
    }
    Ok(())
}
