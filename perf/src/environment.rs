//! The machine and the build that a result belongs to.
//!
//! Owns: [`Environment`].
//! Never: fails a run: what is not known is absent.
//! Invariants: two runs of one build on one machine give the same facts, but for the time.
//! Source: performance.md section 5.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::clock::wall_ms;
use crate::process::device_stat_path;

/// Facts of machine and build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Environment {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Model name of the CPU.
    pub cpu: Option<String>,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Frequency governor of CPU 0; absent on most virtual machines.
    pub governor: Option<String>,
    /// Memory, KiB.
    pub memory_kib: Option<u64>,
    /// Block device of the data directory.
    pub device: Option<String>,
    /// Its scheduler line.
    pub scheduler: Option<String>,
    /// Its write cache mode.
    pub write_cache: Option<String>,
    /// Commit of the working directory.
    pub commit: Option<String>,
    /// Whether tracked files differ from that commit.
    pub is_dirty: Option<bool>,
    /// Version of the generator.
    pub version: String,
    /// Whether the generator was built without optimisation; such results are no results.
    pub is_debug_build: bool,
}

impl Environment {
    /// Looks around; `directory` is where the server keeps its data, if that is on this machine.
    #[must_use]
    pub fn read(directory: Option<&Path>) -> Self {
        let device = directory.and_then(device_stat_path);
        let queue = device
            .as_deref()
            .and_then(Path::parent)
            .map(|at| at.join("queue"));
        let of_queue = |name: &str| queue.as_ref().and_then(|queue| line(&queue.join(name)));
        let name = device
            .as_deref()
            .and_then(Path::parent)
            .and_then(|at| fs::canonicalize(at).ok())
            .and_then(|at| {
                at.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            });
        Self {
            at_ms: wall_ms(),
            kernel: line(Path::new("/proc/sys/kernel/osrelease")),
            cpu: after_colon("/proc/cpuinfo", "model name"),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            governor: line(Path::new(
                "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            )),
            memory_kib: after_colon("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse().ok()),
            device: name,
            scheduler: of_queue("scheduler"),
            write_cache: of_queue("write_cache"),
            commit: git(&["rev-parse", "--short=12", "HEAD"]),
            is_dirty: git(&["status", "--porcelain", "--untracked-files=no"])
                .map(|text| !text.is_empty()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_debug_build: cfg!(debug_assertions),
        }
    }
}

fn line(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

fn after_colon(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let found = text.lines().find(|line| line.starts_with(name))?;
    Some(found.split_once(':')?.1.trim().to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}
