//! `rapidmq-perf`: rulers, scenarios, comparisons.
//!
//! Owns: the command line of the measuring tools.
//! Never: is shipped to users; `rapidmq bench` is.
//! Invariants: exit code 0 only if the run was carried out and its books are in order.
//! Source: performance.md sections 4 and 5.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rapidmq_perf::bench::{Target, bench};
use rapidmq_perf::books::Verdict;
use rapidmq_perf::error::BenchError;
use rapidmq_perf::load::Load;

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
    Load {
        /// The load's fields, for example 'connections = 8'; repeatable.
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
    },
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
        Verb::Load {
            set,
            bootstrap,
            pid,
            directory,
            output,
        } => {
            let load: Load = toml::from_str(&set.join("\n"))
                .map_err(|error| BenchError::Usage(error.to_string()))?;
            let target = Target {
                name: bootstrap.clone(),
                address: bootstrap.clone(),
                pid: *pid,
                directory: directory.clone(),
            };
            let report = bench(&load, &target)?;
            say(&report.text());
            if let Some(path) = output {
                let text = serde_json::to_string(&report)
                    .map_err(|error| BenchError::Wrong(error.to_string()))?;
                std::fs::write(path, text)
                    .map_err(BenchError::local(format!("writing {}", path.display())))?;
            }
            Ok(report
                .books
                .is_none_or(|books| books.verdict != Verdict::Lost))
        }
    }
}

fn say(text: &str) {
    // Nothing sensible is left to do if standard output is gone.
    drop(write!(std::io::stdout().lock(), "{text}"));
}
