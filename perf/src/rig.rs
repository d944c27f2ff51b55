//! Subjects of a measurement: how each is started on this machine, and stopped.
//!
//! Owns: [`Subject`], [`Rig`], [`Running`].
//! Never: ends a process that it did not start; uses a fixed port.
//! Invariants: a started process is killed and waited for when its `Running` goes, whatever failed in between.
//! Source: performance.md section 5, kafka.md 5.3.

pub mod drive;
mod iggy;
mod kafka;
mod nats;
mod process;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::bench::Target;
use crate::clock::Clock;
use crate::error::BenchError;
use crate::ruler::server::Kind;
pub use process::Running;

/// How long a subject may take until it serves.
const START_NS: u64 = 120_000_000_000;

/// Somebody to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This broker.
    Rapidmq,
    /// A server without a broker.
    Ruler(Kind),
    /// The device, by durable writes of a block at a depth.
    DeviceWrite,
    /// The device, by sequential reads.
    DeviceRead,
    /// Apache Kafka.
    Kafka(Mode),
    /// NATS with JetStream.
    Nats(Mode),
    /// Apache Iggy.
    Iggy(Mode),
}

/// What a peer's acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What it ships with.
    Shipped,
    /// On the device.
    Durable,
}

impl FromStr for Subject {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Self, BenchError> {
        Ok(match name {
            "rapidmq" => Self::Rapidmq,
            "ruler-echo" => Self::Ruler(Kind::Echo),
            "ruler-durable" => Self::Ruler(Kind::Durable),
            "ruler-grouped" => Self::Ruler(Kind::Grouped),
            "device-write" => Self::DeviceWrite,
            "device-read" => Self::DeviceRead,
            "kafka" => Self::Kafka(Mode::Shipped),
            "kafka-durable" => Self::Kafka(Mode::Durable),
            "nats" => Self::Nats(Mode::Shipped),
            "nats-durable" => Self::Nats(Mode::Durable),
            "iggy" => Self::Iggy(Mode::Shipped),
            "iggy-durable" => Self::Iggy(Mode::Durable),
            other => {
                return Err(BenchError::Usage(format!(
                    "`{other}` is no subject: see perf/peers/README.md"
                )));
            }
        })
    }
}

/// Where things are and which CPUs they get.
#[derive(Clone, Debug)]
pub struct Rig {
    /// The repository.
    pub root: PathBuf,
    /// The broker's binary.
    pub rapidmq: PathBuf,
    /// Directory for data; each server gets one below it, removed after its run.
    pub data: PathBuf,
    /// CPU of the server.
    pub server_cpu: Option<usize>,
    /// Command that runs the client on its CPU is prefixed with this.
    pub client_cpu: Option<usize>,
}

impl Rig {
    /// Starts `subject` in the fresh directory `name`, and waits until it serves.
    ///
    /// # Errors
    /// It cannot be started, or does not serve in time.
    pub fn start(
        &self,
        subject: Subject,
        name: &str,
        serve: &[String],
    ) -> Result<Running, BenchError> {
        let directory = self.data.join(name);
        make(&directory)?;
        match subject {
            Subject::Rapidmq => self.start_rapidmq(&directory, serve),
            Subject::Ruler(kind) => self.start_ruler(kind, &directory),
            Subject::Kafka(mode) => kafka::start(self, mode, &directory),
            Subject::Nats(mode) => nats::start(self, mode, &directory),
            Subject::Iggy(_) => iggy::start(self, &directory),
            Subject::DeviceWrite | Subject::DeviceRead => {
                Err(BenchError::Usage("a device is not started".to_owned()))
            }
        }
    }

    /// Starts the broker on a directory that may hold data already.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_rapidmq(&self, directory: &Path, serve: &[String]) -> Result<Running, BenchError> {
        let ready = directory.join("ready.json");
        // One that was killed has left its file.
        drop(fs::remove_file(&ready));
        let mut command = process::pinned(self.server_cpu, &self.rapidmq);
        command
            .args(["serve", "--kafka-listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.join("data"))
            .arg("--ready-file")
            .arg(&ready);
        if !serve.iter().any(|argument| argument.starts_with("--cores")) {
            command.args(["--cores", "1"]);
        }
        command.args(serve);
        let running = process::spawn(command, directory)?;
        running.await_ready(&ready, START_NS)
    }

    fn start_ruler(&self, kind: Kind, directory: &Path) -> Result<Running, BenchError> {
        let ready = directory.join("ready.json");
        let own = std::env::current_exe().map_err(BenchError::local("finding this program"))?;
        let name = match kind {
            Kind::Echo => "echo",
            Kind::Durable => "durable",
            Kind::Grouped => "grouped",
        };
        let mut command = process::pinned(self.server_cpu, &own);
        command
            .args(["ruler", name, "--directory"])
            .arg(directory)
            .arg("--ready-file")
            .arg(&ready);
        let running = process::spawn(command, directory)?;
        running.await_ready(&ready, START_NS)
    }

    /// Whom the generator is to measure.
    #[must_use]
    pub fn target(&self, name: &str, running: &Running) -> Target {
        Target {
            name: name.to_owned(),
            address: running.address().to_owned(),
            pid: Some(running.pid()),
            directory: Some(self.data.clone()),
        }
    }

    /// Removes the directory `name`.
    pub fn clean(&self, name: &str) {
        // Whoever left it there may have removed it already.
        drop(fs::remove_dir_all(self.data.join(name)));
    }
}

fn make(directory: &Path) -> Result<(), BenchError> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(BenchError::local(format!(
            "emptying {}",
            directory.display()
        )))?;
    }
    fs::create_dir_all(directory)
        .map_err(BenchError::local(format!("making {}", directory.display())))
}

/// A port that was free a moment ago, for peers that cannot take one themselves.
fn free_port() -> Result<u16, BenchError> {
    let failed = || BenchError::local("finding a free port");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed())?;
    Ok(listener.local_addr().map_err(failed())?.port())
}

/// Polls `probe` until it gives something.
fn until<T>(
    what: &str,
    limit_ns: u64,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, BenchError> {
    let clock = Clock::start();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if clock.now() > limit_ns {
            return Err(BenchError::Wrong(format!("{what} took too long")));
        }
        clock.sleep_until(clock.now() + 2_000_000);
    }
}
