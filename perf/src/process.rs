//! What the kernel counts: CPU time, memory, device writes, load of others.
//!
//! Owns: [`Accounting`], the snapshots around a window; pinning.
//! Never: guesses: what cannot be read is absent from the report.
//! Invariants: both snapshots read the same counters in the same order.
//! Source: performance.md section 5; proc(5), Documentation/block/stat.

#[cfg(test)]
mod tests;

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::engine::Witness;
use crate::error::BenchError;
use crate::schedule::float;

/// Kernel ticks per second in /proc/stat; 100 on every Linux that user space sees.
const TICKS_PER_SECOND: f64 = 100.0;

/// Binds the calling thread to one CPU.
///
/// # Errors
/// There is no such CPU.
pub fn pin(cpu: usize) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(BenchError::Usage(format!("there is no CPU {cpu}")));
    }
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|errno| BenchError::local(format!("pinning to CPU {cpu}"))(errno.into()))
}

/// Has the calling thread, and those it starts, run only while nobody else wants their CPU: what is measured beside them
/// must wait in the server, not in the client.
///
/// # Errors
/// `chrt` (util-linux) is missing or refuses.
pub fn yield_to_others() -> Result<(), BenchError> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .status()
        .map_err(BenchError::local("running chrt"))?;
    match status.success() {
        true => Ok(()),
        false => Err(BenchError::Usage(format!(
            "chrt could not lower the priority of thread {thread}: {status}"
        ))),
    }
}

/// CPU time of all threads of a process, ns.
#[must_use]
pub fn cpu_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(total)
}

/// Resident memory of a process now and at its highest, KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((field(&text, "VmRSS:")?, field(&text, "VmHWM:")?))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Counters of a block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCounters {
    /// Completed reads.
    pub reads: u64,
    /// 512-byte sectors read.
    pub sectors_read: u64,
    /// Completed writes.
    pub writes: u64,
    /// 512-byte sectors written.
    pub sectors_written: u64,
    /// Completed flushes.
    pub flushes: u64,
}

impl DeviceCounters {
    /// Parses a line of /sys/dev/block/M:m/stat.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        Some(Self {
            reads: *numbers.first()?,
            sectors_read: *numbers.get(2)?,
            writes: *numbers.get(4)?,
            sectors_written: *numbers.get(6)?,
            flushes: numbers.get(15).copied().unwrap_or(0),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            sectors_read: self.sectors_read.saturating_sub(before.sectors_read),
            writes: self.writes.saturating_sub(before.writes),
            sectors_written: self.sectors_written.saturating_sub(before.sectors_written),
            flushes: self.flushes.saturating_sub(before.flushes),
        }
    }
}

/// The counters' file of the device that holds `path`.
#[must_use]
pub fn device_stat_path(path: &Path) -> Option<PathBuf> {
    let device = fs::metadata(path).ok()?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    stat.exists().then_some(stat)
}

/// Time of all CPUs, in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    busy: u64,
    steal: u64,
    total: u64,
}

impl Machine {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        // user nice system idle iowait irq softirq steal
        let total: u64 = ticks.iter().take(8).sum();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let steal = *ticks.get(7)?;
        Some(Self {
            busy: total - idle - steal,
            steal,
            total,
        })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Snapshot {
    server_ns: Option<u64>,
    client_ns: Option<u64>,
    device: Option<DeviceCounters>,
    machine: Option<Machine>,
}

/// What was used between two moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// CPU time of the server's process, ns.
    pub server_cpu_ns: Option<u64>,
    /// CPU time of the generator, or of the peer's own client, ns.
    pub client_cpu_ns: Option<u64>,
    /// What the device did.
    pub device: Option<DeviceCounters>,
    /// Share of the machine that neither the server nor the generator used, percent of one CPU.
    pub foreign_cpu_percent: Option<f64>,
    /// Share of time that the host took, percent of one CPU.
    pub steal_percent: Option<f64>,
    /// Resident memory of the server at the end, KiB.
    pub server_resident_kib: Option<u64>,
    /// The most it had, KiB.
    pub server_resident_peak_kib: Option<u64>,
}

/// Takes snapshots at the edges of the window.
#[derive(Debug, Default)]
pub struct Accounting {
    server: Option<u32>,
    client: Option<u32>,
    device: Option<PathBuf>,
    before: Snapshot,
    usage: Usage,
}

impl Accounting {
    /// Watches the process `server` and the device that holds `directory`, as far as each is given.
    #[must_use]
    pub fn new(server: Option<u32>, directory: Option<&Path>) -> Self {
        Self {
            server,
            device: directory.and_then(device_stat_path),
            ..Self::default()
        }
    }

    /// Takes the process `client` for the one that makes the load, in place of this one.
    pub fn watch_client(&mut self, client: u32) {
        self.client = Some(client);
    }

    /// What was used in the window.
    #[must_use]
    pub fn usage(self) -> Usage {
        self.usage
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            server_ns: self.server.and_then(cpu_ns),
            client_ns: cpu_ns(self.client.unwrap_or_else(std::process::id)),
            device: self
                .device
                .as_deref()
                .and_then(|path| fs::read_to_string(path).ok())
                .and_then(|text| DeviceCounters::parse(&text)),
            machine: Machine::read(),
        }
    }
}

impl Witness for Accounting {
    fn window_begins(&mut self) {
        self.before = self.snapshot();
    }

    fn window_ends(&mut self) {
        let (before, after) = (self.before, self.snapshot());
        let spent = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        let resident = self.server.and_then(resident_kib);
        self.usage = Usage {
            server_cpu_ns: spent(before.server_ns, after.server_ns),
            client_cpu_ns: spent(before.client_ns, after.client_ns),
            device: match (before.device, after.device) {
                (Some(before), Some(after)) => Some(after.since(before)),
                (None, _) | (_, None) => None,
            },
            foreign_cpu_percent: None,
            steal_percent: None,
            server_resident_kib: resident.map(|(now, _)| now),
            server_resident_peak_kib: resident.map(|(_, peak)| peak),
        };
        if let (Some(before), Some(after)) = (before.machine, after.machine) {
            self.judge_machine(before, after);
        }
    }
}

impl Accounting {
    fn judge_machine(&mut self, before: Machine, after: Machine) {
        let cpus = float(std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64));
        let total = float(after.total.saturating_sub(before.total)) / TICKS_PER_SECOND;
        let seconds = total / cpus;
        if seconds <= 0.0 {
            return;
        }
        let busy = float(after.busy.saturating_sub(before.busy)) / TICKS_PER_SECOND;
        let ours = self.usage.server_cpu_ns.unwrap_or(0) + self.usage.client_cpu_ns.unwrap_or(0);
        let foreign = (busy - float(ours) / 1e9).max(0.0);
        self.usage.foreign_cpu_percent = Some(100.0 * foreign / seconds);
        let steal = float(after.steal.saturating_sub(before.steal)) / TICKS_PER_SECOND;
        self.usage.steal_percent = Some(100.0 * steal / seconds);
    }
}
