//! A server's process.
//!
//! Owns: [`Running`]: spawning, the ready file, killing.
//! Never: signals anything but its own child.
//! Invariants: the child is gone when `Running` is dropped, or when this process is killed.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::until;
use crate::error::BenchError;

/// Lines of a server's messages that an error quotes.
const LAST_LINES: usize = 12;

/// A started server.
#[derive(Debug)]
pub struct Running {
    child: Child,
    address: String,
    administration: String,
    name: String,
    log: PathBuf,
}

/// What a server writes once it serves.
#[derive(Deserialize)]
struct Ready {
    kafka: String,
}

/// A command that runs on one CPU and is killed when the thread that starts it ends, however that comes about. Both
/// wrappers replace themselves by what they run.
pub(super) fn pinned(cpu: Option<usize>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(cpu) = cpu {
        command.args(["taskset", "-c", &cpu.to_string()]);
    }
    command.arg(program);
    command
}

/// Starts `command`; its messages go to `server.log` in `directory`.
pub(super) fn spawn(mut command: Command, directory: &Path) -> Result<Running, BenchError> {
    let path = directory.join("server.log");
    let log =
        File::create(&path).map_err(BenchError::local(format!("making {}", path.display())))?;
    let errors = log
        .try_clone()
        .map_err(BenchError::local("sharing a log"))?;
    let name = format!("{:?}", command.get_program());
    let child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(BenchError::local(format!("starting {name}")))?;
    Ok(Running {
        child,
        address: String::new(),
        administration: String::new(),
        name,
        log: path,
    })
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it is administered; empty if that is no address of its own.
    pub(super) fn administration(&self) -> &str {
        &self.administration
    }

    /// Remembers where it is administered.
    pub(super) fn administered_at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.administration);
        self
    }

    /// Its process; the wrappers of [`pinned`] replace themselves by what they run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the ready file and takes the address from it.
    pub(super) fn await_ready(self, path: &Path, limit_ns: u64) -> Result<Self, BenchError> {
        self.await_address(limit_ns, || {
            let text = fs::read_to_string(path).ok()?;
            serde_json::from_str::<Ready>(&text)
                .ok()
                .map(|ready| ready.kafka)
        })
    }

    /// Waits until `probe` gives the address.
    pub(super) fn await_address(
        mut self,
        limit_ns: u64,
        mut probe: impl FnMut() -> Option<String>,
    ) -> Result<Self, BenchError> {
        let name = self.name.clone();
        let child = &mut self.child;
        let found = until(&name, limit_ns, || match child.try_wait() {
            Ok(Some(status)) => Some(Err(status)),
            Ok(None) | Err(_) => probe().map(Ok),
        })?;
        self.address = found.map_err(|status| {
            // The log goes with the directory of the run.
            let said = last_lines(&self.log);
            BenchError::Wrong(format!(
                "{name} ended before it served: {status}; it said: {said}"
            ))
        })?;
        Ok(self)
    }

    /// Asks it to stop, and waits.
    ///
    /// # Errors
    /// It cannot be signalled or does not stop.
    pub fn stop(mut self) -> Result<(), BenchError> {
        let failed = || BenchError::local("stopping a server");
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|errno| failed()(errno.into()))?;
        }
        let child = &mut self.child;
        until(&self.name, 60_000_000_000, || {
            child.try_wait().ok().flatten()
        })
        .map(drop)
    }
}

/// The end of a server's messages.
fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join("\n")
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
