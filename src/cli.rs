//! The command line: one file per noun.
//!
//! Owns: the tree of verbs, the flags every client verb shares, exit codes.
//! Never: holds logic of the broker.
//! Invariants: every verb works without a terminal and ends with the documented exit codes.
//! Source: features.md 3.2.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod consume;
pub(crate) mod doctor;
pub(crate) mod failure;
pub(crate) mod format;
pub(crate) mod group;
mod logging;
pub(crate) mod offsets;
pub(crate) mod output;
pub(crate) mod produce;
pub(crate) mod records;
pub(crate) mod serve;
mod start_failure;
pub(crate) mod topic;
pub(crate) mod wire_error;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use client::Cluster;
use failure::{Failure, Kind};
use output::Format;

/// A message broker for Linux: thread-per-core, io_uring, Kafka protocol, durable by default.
#[derive(Debug, Parser)]
#[command(name = "rapidmq", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 unavailable, 6 timeout, 7 repairable (check)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a broker for development: loopback only, topics created on demand.
    Dev(serve::Dev),
    /// Start a broker.
    Serve(serve::Serve),
    /// Create, list, describe, alter and delete topics.
    #[command(subcommand)]
    Topic(topic::Verb),
    /// Write records.
    Produce(produce::Produce),
    /// Read records.
    Consume(consume::Consume),
    /// Read, write and query with kcat's flags.
    Cat(cat::Cat),
    /// List and describe consumer groups.
    #[command(subcommand)]
    Group(group::Verb),
    /// Measure a broker under load: rate, latency percentiles, what it bears.
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Verify the data directory of a stopped broker.
    Check(check::Check),
    /// Look at this machine: kernel, io_uring, memlock, O_DIRECT, flush latency.
    Doctor(doctor::Doctor),
    /// Show configuration keys.
    #[command(subcommand)]
    Config(serve::ConfigVerb),
}

/// Runs what the command line asks for.
///
/// # Errors
/// The verb failed.
pub(crate) fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Dev(args) => serve::dev(args),
        Verb::Serve(args) => serve::serve(args),
        Verb::Topic(verb) => topic::run(verb),
        Verb::Produce(args) => produce::run(args),
        Verb::Consume(args) => consume::run(args),
        Verb::Cat(args) => cat::run(args),
        Verb::Group(verb) => group::run(verb),
        Verb::Bench(verb) => bench::run(verb),
        Verb::Check(args) => check::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Config(verb) => serve::config(verb),
    }
}

/// Flags of every verb that talks to a broker.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Broker addresses, comma separated.
    #[arg(
        short = 'b',
        long,
        env = "RAPIDMQ_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    bootstrap: String,
    /// Give up after this time, for example 500ms, 30s.
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

impl Remote {
    /// Connects.
    ///
    /// # Errors
    /// No broker answers, or the timeout is no duration.
    pub(crate) fn open(&self) -> Result<Cluster, Failure> {
        let ms = offsets::duration_ms(&self.timeout).and_then(|ms| u64::try_from(ms).ok());
        let ms = ms.filter(|ms| *ms > 0).ok_or_else(|| {
            Failure::new(Kind::Usage, format!("`{}` is not a duration", self.timeout))
                .fix("for example --timeout 500ms or --timeout 30s")
        })?;
        Cluster::open(&self.bootstrap, "rapidmq-cli", Duration::from_millis(ms))
    }

    /// The timeout in milliseconds, as requests carry it.
    pub(crate) fn timeout_ms(&self) -> i32 {
        let ms = offsets::duration_ms(&self.timeout).unwrap_or(30_000);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }
}
