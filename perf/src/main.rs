//! `rapidmq-perf`: rulers, scenarios, comparisons.
//!
//! Owns: the command line of the measuring tools.
//! Never: is shipped to users; `rapidmq bench` is.
//! Invariants: exit code 0 only if the run was carried out and its books are in order.
//! Source: performance.md sections 4 and 5.

mod commands;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rapidmq_perf::error::BenchError;
use rapidmq_perf::ruler::server::Kind;

/// Measures brokers, rulers and peers.
#[derive(Debug, Parser)]
#[command(name = "rapidmq-perf", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Carry out one load, described in TOML, against a server that runs already.
    Load(LoadArgs),
    /// Serve as a ruler until killed.
    Ruler(RulerArgs),
    /// Measure the raw device.
    Device(DeviceArgs),
    /// Start, load and stop both sides of every comparison of a scenario, in turn.
    Run {
        /// The number, for example P3.
        scenario: String,
        #[command(flatten)]
        rig: RigArgs,
    },
    /// Compare two subjects of perf/peers/README.md under the load of a scenario.
    Compare {
        /// Ours.
        us: String,
        /// Theirs.
        them: String,
        /// The number, for example P3.
        scenario: String,
        /// Figure to compare; that of the scenario's first comparison if not given.
        #[arg(long)]
        figure: Option<String>,
        #[command(flatten)]
        rig: RigArgs,
    },
    /// Make one page, with tables and plots, of the runs in a file of results.
    Report {
        /// JSON lines that `run` and `compare` wrote.
        #[arg(default_value = "perf/out/results.jsonl")]
        file: PathBuf,
        /// Where the page goes; beside the file if not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// List the scenarios.
    Scenarios {
        /// Repository.
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Fields of the load, for example 'connections = 8'; repeatable.
    #[arg(short, long = "set", value_name = "TOML")]
    set: Vec<String>,
    /// Address of the server.
    #[arg(short, long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Process of the server, for its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// Data directory of the server, for its device's counters.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Write the whole report here as JSON.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RulerArgs {
    /// Which.
    kind: Kind,
    /// Where durable rulers keep their files.
    #[arg(long)]
    directory: PathBuf,
    /// File that receives the address as JSON.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DeviceArgs {
    /// Directory on the device.
    #[arg(long, default_value = "perf/out")]
    directory: PathBuf,
    /// Bytes of one operation.
    #[arg(long, default_value_t = 4096)]
    block: usize,
    /// Operations in flight.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// What: write, durable (RWF_DSYNC), read.
    #[arg(long, default_value = "durable")]
    operation: String,
    /// Seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Debug, Args)]
struct RigArgs {
    /// Runs per side; a result needs five.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One short round that only shows that the tools work; goes to perf/out.
    #[arg(long)]
    smoke: bool,
    /// Name of this machine for the file of results; without it they go to perf/out.
    #[arg(long)]
    machine: Option<String>,
    /// Repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The broker.
    #[arg(long, default_value = "target/release/rapidmq")]
    rapidmq: PathBuf,
    /// Where servers keep their data.
    #[arg(long, default_value = "perf/out/data")]
    data: PathBuf,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the client.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Pin nothing.
    #[arg(long)]
    unpinned: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing sensible is left to do if standard error is gone.
            drop(writeln!(std::io::stderr().lock(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool, BenchError> {
    match &cli.verb {
        Verb::Load(args) => commands::load(args),
        Verb::Ruler(args) => commands::ruler(args),
        Verb::Device(args) => commands::device(args),
        Verb::Run { scenario, rig } => commands::run(scenario, rig),
        Verb::Compare {
            us,
            them,
            scenario,
            figure,
            rig,
        } => commands::compare_two((us, them), scenario, figure.as_deref(), rig),
        Verb::Report { file, out } => commands::report(file, out.as_deref()),
        Verb::Scenarios { root } => commands::scenarios(root),
    }
}

fn say(text: &str) {
    // Nothing sensible is left to do if standard output is gone.
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}
