//! One run of `iggy-bench`.
//!
//! Owns: [`Client`]: starting it, watching its messages for the edges of its window, its report.
//! Never: outlives its time; ends anything but its own child.
//! Invariants: the child is gone when [`Client`] is; a run that failed says what the tool said last.
//! Source: core/bench/src/actors of apache/iggy (the messages).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::engine::Witness;
use crate::error::BenchError;
use crate::rig::until;

/// Lines kept for the message of a failure.
const LAST_LINES: usize = 12;
/// Lines that may wait to be looked at.
const WAITING_LINES: usize = 1_024;
/// How long it may take to end once it has closed its output.
const END_NS: Nanos = 30_000_000_000;

/// A moment that the tool tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// A producer or consumer begins with what it measures.
    Begins,
    /// One has done all that it was to do.
    Ends,
}

/// The moment that a line of the tool's tells of.
fn mark(line: &str) -> Option<Mark> {
    let (_, told) = line.split_once("\u{2192} ")?;
    let begins = (told.starts_with("sending ") && told.contains(" messages per batch (each "))
        || told.starts_with("polling in ");
    let ends = told.starts_with("finished sending ") || told.starts_with("polled ");
    match (begins, ends) {
        (true, _) => Some(Mark::Begins),
        (_, true) => Some(Mark::Ends),
        (false, false) => None,
    }
}

/// A started tool.
#[derive(Debug)]
pub(super) struct Client {
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
    directory: PathBuf,
}

impl Client {
    /// Starts `command`, which is to leave its report below the fresh `directory`.
    pub(super) fn start(mut command: Command, directory: &Path) -> Result<Self, BenchError> {
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(BenchError::local("removing an old report"))?;
        }
        fs::create_dir_all(directory)
            .map_err(BenchError::local(format!("making {}", directory.display())))?;
        let errors = File::create(directory.join("errors"))
            .map_err(BenchError::local("making a file for iggy-bench's errors"))?;
        let mut child = command
            // Its messages tell where its window begins and ends.
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(BenchError::local("starting iggy-bench"))?;
        let output = child.stdout.take();
        // From here on the child ends with its owner.
        let mut client = Self {
            child,
            lines: sync_channel(0).1,
            last: VecDeque::new(),
            directory: directory.to_path_buf(),
        };
        if let Some(output) = output {
            client.lines = reading(output)?;
        }
        Ok(client)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends, tells `witness` of the edges of its window, and gives its report.
    pub(super) fn finish(
        mut self,
        limit_ns: Nanos,
        witness: &mut impl Witness,
    ) -> Result<String, BenchError> {
        let clock = Clock::start();
        let mut has_begun = false;
        loop {
            let left = Duration::from_nanos(limit_ns.saturating_sub(clock.now()));
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failed("took too long"));
                }
            };
            match mark(&line) {
                Some(Mark::Begins) if !has_begun => {
                    has_begun = true;
                    witness.window_begins();
                }
                // The last one to end ends the window.
                Some(Mark::Ends) if has_begun => witness.window_ends(),
                Some(Mark::Begins | Mark::Ends) | None => {}
            }
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
        let child = &mut self.child;
        let status = until("iggy-bench", END_NS, || child.try_wait().ok().flatten())?;
        if !status.success() {
            return Err(self.failed(&format!("failed with {status}")));
        }
        report_below(&self.directory)?.ok_or_else(|| self.failed("left no report"))
    }

    fn failed(&self, how: &str) -> BenchError {
        let said: Vec<&str> = self.last.iter().map(String::as_str).collect();
        let errors = fs::read_to_string(self.directory.join("errors")).unwrap_or_default();
        BenchError::Wrong(format!(
            "iggy-bench {how}; it said: {}\n{errors}",
            said.join("\n")
        ))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of `output`, until it is closed.
fn reading(output: ChildStdout) -> Result<Receiver<String>, BenchError> {
    let (sender, lines) = sync_channel(WAITING_LINES);
    thread::Builder::new()
        .name("iggy-bench".to_owned())
        .spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })
        .map_err(BenchError::local("starting a thread"))?;
    Ok(lines)
}

/// The tool names the directory of its report itself.
fn report_below(directory: &Path) -> Result<Option<String>, BenchError> {
    let failed = || BenchError::local(format!("reading {}", directory.display()));
    for entry in fs::read_dir(directory).map_err(failed())? {
        let path = entry.map_err(failed())?.path().join("report.json");
        if path.exists() {
            return fs::read_to_string(&path).map(Some).map_err(failed());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
