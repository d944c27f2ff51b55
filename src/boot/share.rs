//! What one core gets of the machine: memory for records that wait for their segment, descriptors for segment files.
//!
//! Owns: the memory this process may use, and the shares that follow from it.
//! Never: fails: what cannot be read counts as the least.
//! Invariants: a share lies within its bounds, whatever the machine.
//! Source: reliability.md 2.2 (open files) and 5 (memory per core: a tenth for tails).

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Least memory of a core for records that wait.
const TAIL_BYTES_MIN: u64 = 64 << 20;
/// Most: half of what journal files of the usual size hold, for what waits lies in them too.
const TAIL_BYTES_MAX: u64 = 512 << 20;
/// Segment files open at once: least and most of a core.
const OPEN_FILES: (u64, u64) = (128, 16_384);

/// Bytes of one of `cores` for records that wait: a tenth of its part of the memory, of which the system keeps a tenth.
pub(super) fn tail_bytes(memory: Option<u64>, cores: u16) -> usize {
    let memory = memory.unwrap_or(0);
    let part = (memory - memory / 10) / u64::from(cores.max(1));
    let bytes = (part / 10).clamp(TAIL_BYTES_MIN, TAIL_BYTES_MAX);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Segment files that one of `cores` may have open: half of the descriptors are for connections.
pub(super) fn open_files(limit: u64, cores: u16) -> usize {
    let part = limit / 2 / u64::from(cores.max(1));
    let files = part.clamp(OPEN_FILES.0, OPEN_FILES.1);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// Bytes this process may use: what the machine has, or its control group if that allows less.
pub(super) fn memory() -> Option<u64> {
    let read = |path: &Path| read_to_string(path).ok();
    let machine = total(&read(Path::new("/proc/meminfo"))?)?;
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|path| read(&path)?.trim().parse::<u64>().ok());
    limits.chain([machine]).min()
}

/// The total in the text of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    kib.checked_mul(1_024)
}

/// Files that may hold a limit, from the text of `/proc/self/cgroup`: of the group and of every one above it.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        let above = group.ancestors();
        files.extend(above.map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests;
