//! Apache Iggy, one node, driven by its own `iggy-bench`.
//!
//! Owns: starting the server; which load becomes which run of the tool, and how many batches it sends.
//! Never: speaks its binary protocol; gives a load that the tool cannot carry out to it in part.
//! Invariants: both modes run the same server; what is measured begins after the tool's own warm-up.
//! Source: core/bench/src/args of apache/iggy.

mod client;
mod settings;
mod summary;
mod web;

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use self::client::Client;
use self::summary::Summary;
use self::web::Web;
use super::drive::DIRECTORY;
use super::process::{pinned, spawn};
use super::{Mode, Rig, Running, free_port};
use crate::clock::{Nanos, nanos};
use crate::engine::NoWitness;
use crate::error::BenchError;
use crate::load::{Codec, Load};
use crate::process::Accounting;
use crate::report::RunReport;
use crate::schedule::{float, whole};

const USER: &str = "iggy";
const PASSWORD: &str = "iggy";
const START_NS: Nanos = 60_000_000_000;
/// What the server says if somebody took its port between its choice and its start: it cannot choose one itself.
const PORT_TAKEN: &str = "Cannot bind to socket";
const TRIES_MAX: u32 = 3;
/// Besides three times its load: logging in, sorting of latencies, plots.
const TOOL_NS: Nanos = 180_000_000_000;
/// Shortest and longest time of a probe from which the number of batches is computed, s; between them a quarter of the
/// window: what an empty server takes at first is more than it keeps up.
const PROBE_S: (f64, f64) = (0.5, 3.0);
/// Each probe is at least twice as long as the one before.
const PROBES_MAX: u32 = 12;
/// Payload of one measured run: a device is not filled.
const DATA_BYTES_MAX: u64 = 32 << 30;
/// The tool counts batches of all producers in 32 bits.
const BATCHES_MAX: u64 = 1 << 31;

fn program(rig: &Rig, name: &str) -> Result<PathBuf, BenchError> {
    let path = rig.root.join("perf/out/peers/iggy").join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(BenchError::Usage(format!(
            "{name} is not there, and no package registry has it: get the sources of Apache Iggy \
             (https://github.com/apache/iggy), then run IGGY_SOURCE=/path/to/them perf/peers/iggy/fetch"
        )))
    }
}

pub(super) fn start(rig: &Rig, directory: &Path) -> Result<Running, BenchError> {
    let mut tries = 1;
    loop {
        match start_once(rig, directory, &directory.join(format!("data-{tries}"))) {
            Err(BenchError::Wrong(said)) if said.contains(PORT_TAKEN) && tries < TRIES_MAX => {
                tries += 1;
            }
            started => return started,
        }
    }
}

fn start_once(rig: &Rig, directory: &Path, data: &Path) -> Result<Running, BenchError> {
    let (tcp, http) = (local_address()?, local_address()?);
    let mut command = pinned(rig.server_cpu, &program(rig, "iggy-server")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IGGY_") {
            command.env_remove(name);
        }
    }
    command
        .envs(settings::environment((&tcp, &http), data, rig.server_cpu))
        // There is no core/server/config.toml there, so what is compiled in holds.
        .current_dir(directory);
    spawn(command, directory)?
        .administered_at(&http)
        .await_address(START_NS, || {
            let serves = web::is_up(&http) && TcpStream::connect(&tcp).is_ok();
            serves.then(|| tcp.clone())
        })
}

fn local_address() -> Result<String, BenchError> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

/// Brings in the records that a measured load is to find: as many as the load's rate and length say, one batch in
/// flight per producer.
pub(super) fn fill(
    rig: &Rig,
    mode: Mode,
    load: &Load,
    running: &Running,
) -> Result<(), BenchError> {
    let once = Load {
        depth: 1,
        rate: 0.0,
        ..load.clone()
    };
    suits(&once)?;
    let batches = whole(load.rate * float(load.duration_ms) / 1e3) / load.connections.max(1) as u64;
    if batches == 0 || load.consumers > 0 {
        return Err(BenchError::Usage(
            "Iggy is filled by producers with a rate, which with the length says how many records"
                .to_owned(),
        ));
    }
    let web = make_streams(&once, mode, running)?;
    let bench = Bench::new(rig, &once, running)?;
    bench.run("fill", batches, 0, None)?;
    let (wanted, held) = (
        batches * load.connections as u64 * u64::from(load.batch_records),
        records(&web, load.connections)?,
    );
    if held == wanted {
        Ok(())
    } else {
        Err(BenchError::Wrong(format!(
            "Iggy acknowledged {wanted} records and holds {held}"
        )))
    }
}

/// One measured run.
pub(super) fn drive(
    rig: &Rig,
    mode: Mode,
    load: &Load,
    running: &Running,
) -> Result<RunReport, BenchError> {
    suits(load)?;
    let web = make_streams(load, mode, running)?;
    let bench = Bench::new(rig, load, running)?;
    let (batches, warmup_ms) = if load.consumers > 0 {
        // Read once, like our catching up: it has no warm-up either.
        let held = records(&web, load.consumers)? / load.consumers as u64;
        (held / per_request(load), 0)
    } else {
        (bench.batches()?, load.warmup_ms)
    };
    if batches == 0 {
        return Err(BenchError::Wrong(
            "Iggy's topic holds less than one poll asks for: prepare more".to_owned(),
        ));
    }
    let mut accounting = Accounting::new(Some(running.pid()), Some(&rig.data));
    let summary = bench.run("measured", batches, warmup_ms, Some(&mut accounting))?;
    Ok(summary.into_report(load, accounting.usage()))
}

/// Whether `iggy-bench` can carry out a load; it waits for every answer before it sends the next request.
fn suits(load: &Load) -> Result<(), BenchError> {
    load.check()?;
    let partitions = load.partitions as usize;
    let refused = [
        (load.depth != 1, "it has one request in flight: depth = 1"),
        (load.rate > 0.0, "it is a closed loop: rate = 0"),
        (load.acks != -1, "it waits for every answer: acks = -1"),
        (
            load.compression != Codec::None,
            "it does not compress: compression = \"none\"",
        ),
        (
            load.connections > 0 && load.consumers > 0,
            "here it produces or consumes",
        ),
        (
            load.consumers > 0 && (!load.catch_up || load.fan_out != 1),
            "here it reads once what is there: catch-up = true, fan-out = 1",
        ),
        (
            load.connections + load.consumers != partitions,
            "each of its producers and consumers has a partition: partitions = connections, or consumers",
        ),
        (load.idle > 0, "it opens no silent connections: idle = 0"),
    ];
    match refused.iter().find(|(is_so, _)| *is_so) {
        Some((_, what)) => Err(BenchError::Usage(format!(
            "iggy-bench cannot carry out this load: {what}"
        ))),
        None => Ok(()),
    }
}

/// The stream that the tool's producer or consumer `number`, from 1, uses.
fn stream(number: usize) -> String {
    format!("bench-stream-{number}")
}

fn make_streams(load: &Load, mode: Mode, running: &Running) -> Result<Web, BenchError> {
    let web = Web::log_in(running.administration())?;
    for number in 1..=load.partitions as usize {
        web.make(&stream(number), mode)?;
    }
    Ok(web)
}

fn records(web: &Web, streams: usize) -> Result<u64, BenchError> {
    (1..=streams).try_fold(0, |sum, number| Ok(sum + web.records(&stream(number))?))
}

/// Records of a batch, or those that one poll asks for.
fn per_request(load: &Load) -> u64 {
    if load.consumers > 0 {
        (load.fetch_bytes / load.record_bytes.max(1)).max(1) as u64
    } else {
        u64::from(load.batch_records)
    }
}

/// The tool, its load and its server.
struct Bench<'a> {
    rig: &'a Rig,
    load: &'a Load,
    program: PathBuf,
    address: &'a str,
}

impl<'a> Bench<'a> {
    fn new(rig: &'a Rig, load: &'a Load, running: &'a Running) -> Result<Self, BenchError> {
        Ok(Self {
            rig,
            load,
            program: program(rig, "iggy-bench")?,
            address: running.address(),
        })
    }

    fn actors(&self) -> usize {
        self.load.connections + self.load.consumers
    }

    /// How many batches each producer sends in the load's window, as a probe tells: the tool counts batches, not time.
    fn batches(&self) -> Result<u64, BenchError> {
        let most = most_batches(self.load);
        let window_s = self.load.duration().as_secs_f64();
        let enough_s = (window_s / 4.0).clamp(PROBE_S.0, PROBE_S.1);
        let mut batches = 16.min(most);
        let mut probed = 0;
        loop {
            let seconds = self.run("probe", batches, 0, None)?.seconds;
            probed += 1;
            if seconds >= enough_s || batches == most || probed == PROBES_MAX {
                let wanted = float(batches) * window_s / seconds;
                return Ok(whole(wanted).clamp(1, most));
            }
            batches = next_probe(batches, enough_s / seconds).min(most);
        }
    }

    /// Runs the tool: `batches` per producer or consumer, and what the kernel counts meanwhile.
    fn run(
        &self,
        name: &str,
        batches: u64,
        warmup_ms: u64,
        accounting: Option<&mut Accounting>,
    ) -> Result<Summary, BenchError> {
        let directory = self.rig.data.join(DIRECTORY).join(name);
        let mut command = pinned(self.rig.client_cpu, &self.program);
        command
            .args(arguments(self.load, self.address, batches, warmup_ms))
            .args(["output", "-o"])
            .arg(&directory);
        let client = Client::start(command, &directory)?;
        let expected = self.load.warmup() + self.load.duration();
        let limit = TOOL_NS.saturating_add(nanos(expected).saturating_mul(3));
        let report = match accounting {
            Some(accounting) => {
                accounting.watch_client(client.pid());
                client.finish(limit, accounting)?
            }
            None => client.finish(limit, &mut NoWitness)?,
        };
        Summary::read(&report, self.actors())
    }
}

/// The longest run: of bounded bytes, and of as many batches as the tool can count.
fn most_batches(load: &Load) -> u64 {
    let actors = (load.connections + load.consumers).max(1) as u64;
    let bytes = (load.record_bytes as u64).saturating_mul(per_request(load));
    (DATA_BYTES_MAX / bytes.max(1))
        .min(BATCHES_MAX)
        .div_euclid(actors)
        .max(1)
}

/// Aims a little above `times` as many, and grows by bounds: the first runs are too short to be believed.
fn next_probe(batches: u64, times: f64) -> u64 {
    whole(float(batches) * (1.2 * times).clamp(2.0, 32.0))
}

fn arguments(load: &Load, address: &str, batches: u64, warmup_ms: u64) -> Vec<String> {
    let (kind, option, actors) = if load.consumers > 0 {
        ("pinned-consumer", "-c", load.consumers)
    } else {
        ("pinned-producer", "-p", load.connections)
    };
    let warmup = match warmup_ms {
        0 => "0s".to_owned(),
        ms => format!("{ms}ms"),
    };
    [
        "-m",
        &load.record_bytes.to_string(),
        "-P",
        &per_request(load).to_string(),
        "-b",
        &batches.to_string(),
        "-w",
        &warmup,
        "--reuse-streams",
        kind,
        option,
        &actors.to_string(),
        "tcp",
        // Without it Nagle's algorithm holds its requests back for 40 ms.
        "--nodelay",
        "--server-address",
        address,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests;
