//! `rapidmq doctor`: what of this machine helps or hinders a broker.
//!
//! Owns: the findings, each with its fix.
//! Never: changes the machine; removes the one file it writes.
//! Invariants: exit code 1 if something prevents the broker from running.
//! Source: features.md B3, runtime.md section 4 (memlock).

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;

use super::clock;
use super::failure::{Failure, Kind};
use super::output::{self, Format, Listing};

/// Durable 4 KiB writes measured.
const WRITES: usize = 200;

/// Longest write that is told apart, us.
const WRITE_US_MAX: u64 = 60_000_000;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Directory that would hold the data.
    #[arg(default_value = ".")]
    data_dir: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warning,
    Blocking,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Blocking => "blocking",
        }
    }
}

struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    fix: &'static str,
}

/// Runs the verb.
///
/// # Errors
/// Something prevents the broker from running.
pub(crate) fn run(args: &Doctor) -> Result<(), Failure> {
    let mut findings = vec![kernel(), io_uring(), memlock(), open_files()];
    findings.extend(data_directory(&args.data_dir));
    let rows = findings
        .iter()
        .map(|finding| {
            let fix = if finding.verdict == Verdict::Ok {
                ""
            } else {
                finding.fix
            };
            vec![
                json!(finding.what),
                json!(finding.verdict.name()),
                json!(finding.found),
                json!(fix),
            ]
        })
        .collect();
    output::listing(
        &Listing {
            columns: &["check", "verdict", "found", "fix"],
            rows,
        },
        args.output,
    )?;
    match findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Blocking)
        .count()
    {
        0 => Ok(()),
        count => Err(Failure::new(
            Kind::Failed,
            format!("{count} finding(s) prevent the broker from running"),
        )),
    }
}

fn read_trimmed(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let release = read_trimmed("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Finding {
        what: "kernel",
        verdict: if version >= (6, 1) {
            Verdict::Ok
        } else {
            Verdict::Warning
        },
        found: release,
        fix: "use Linux 6.1 or newer: older kernels lack deferred task work and halve small-request throughput",
    }
}

fn io_uring() -> Finding {
    let disabled =
        read_trimmed("/proc/sys/kernel/io_uring_disabled").unwrap_or_else(|| "0".to_owned());
    let works = shards::probe_ring();
    let (verdict, found) = match &works {
        Ok(()) => (Verdict::Ok, format!("works (io_uring_disabled={disabled})")),
        Err(error) => (
            Verdict::Blocking,
            format!("{error} (io_uring_disabled={disabled})"),
        ),
    };
    Finding {
        what: "io_uring",
        verdict,
        found,
        fix: "sysctl kernel.io_uring_disabled=0; in a container allow io_uring_setup in the seccomp profile",
    }
}

fn limit(name: &str) -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with(name))?;
    let soft = line.get(name.len()..)?.split_whitespace().next()?;
    if soft == "unlimited" {
        Some(u64::MAX)
    } else {
        soft.parse().ok()
    }
}

fn memlock() -> Finding {
    let bytes = limit("Max locked memory").unwrap_or(0);
    Finding {
        what: "memlock",
        verdict: if bytes >= 8 << 20 {
            Verdict::Ok
        } else {
            Verdict::Warning
        },
        found: shown_limit(bytes),
        fix: "ulimit -l 65536, or LimitMEMLOCK=64M in the systemd unit: rings are locked memory",
    }
}

fn open_files() -> Finding {
    let count = limit("Max open files").unwrap_or(0);
    Finding {
        what: "open files",
        verdict: if count >= 10_000 {
            Verdict::Ok
        } else {
            Verdict::Warning
        },
        found: shown_limit(count),
        fix: "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
    }
}

fn shown_limit(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".to_owned()
    } else {
        value.to_string()
    }
}

fn data_directory(dir: &Path) -> Vec<Finding> {
    let path = dir.join(format!(".rapidmq-doctor-{}", std::process::id()));
    let findings = probe(&path);
    // The probe file may never have been created.
    drop(fs::remove_file(&path));
    findings
}

/// O_DIRECT and O_DSYNC of Linux on x86-64 and most others (asm-generic/fcntl.h).
const O_DSYNC: i32 = 0o10_000;
#[cfg(target_arch = "aarch64")]
const O_DIRECT: i32 = 0o200_000;
#[cfg(not(target_arch = "aarch64"))]
const O_DIRECT: i32 = 0o40_000;

fn probe(path: &Path) -> Vec<Finding> {
    let blocking = |what, error: &std::io::Error, fix| {
        vec![Finding {
            what,
            verdict: Verdict::Blocking,
            found: error.to_string(),
            fix,
        }]
    };
    let len = WRITES * 4096;
    let zeroed = File::create(path).and_then(|file| {
        file.write_all_at(&vec![0; len], 0)?;
        file.sync_all()
    });
    if let Err(error) = zeroed {
        return blocking(
            "data directory",
            &error,
            "choose a directory this user may write to",
        );
    }
    let direct = File::options()
        .read(true)
        .write(true)
        .custom_flags(O_DIRECT | O_DSYNC)
        .open(path);
    let file = match direct {
        Ok(file) => file,
        Err(error) => {
            return blocking(
                "O_DIRECT",
                &error,
                "use a file system with direct I/O such as ext4 or XFS",
            );
        }
    };
    let ok = Finding {
        what: "O_DIRECT",
        verdict: Verdict::Ok,
        found: "works".to_owned(),
        fix: "",
    };
    match flush_latency(&file) {
        Ok(histogram) => vec![ok, flush_finding(&histogram)],
        Err(error) => blocking(
            "O_DIRECT",
            &error,
            "use a file system with direct I/O such as ext4 or XFS",
        ),
    }
}

fn flush_latency(file: &File) -> std::io::Result<Histogram<u64>> {
    let mut histogram = Histogram::<u64>::new_with_max(WRITE_US_MAX, 3)
        .map_err(|error| std::io::Error::other(format!("histogram: {error}")))?;
    let buffer = vec![0_u8; 8192];
    // Direct I/O wants aligned memory: a 4 KiB window of a buffer twice that size always contains one.
    let start = buffer.as_ptr().align_offset(4096);
    let block = buffer
        .get(start..start + 4096)
        .ok_or_else(|| std::io::Error::other("alignment"))?;
    for index in 0..WRITES {
        let started = clock::now();
        let position = u64::try_from(index).unwrap_or(0) * 4096;
        file.write_all_at(block, position)?;
        histogram
            .saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(histogram)
}

fn flush_finding(histogram: &Histogram<u64>) -> Finding {
    let p99 = histogram.value_at_quantile(0.99);
    let found = format!(
        "4 KiB durable write: p50 {} us, p99 {p99} us, max {} us",
        histogram.value_at_quantile(0.5),
        histogram.max(),
    );
    Finding {
        what: "flush latency",
        verdict: if p99 <= 20_000 {
            Verdict::Ok
        } else {
            Verdict::Warning
        },
        found,
        fix: "use a local SSD with power-loss protection; network disks add milliseconds to every acknowledgement",
    }
}
