//! `rapidmq bench`: puts load on a broker and tells what it bore.
//!
//! Owns: the flags and their translation into a load; the engine is the crate `rapidmq-perf`.
//! Never: leaves a topic behind that it made, unless told to.
//! Invariants: latency counts from the time a request was meant to be sent; a run whose acknowledged records are not
//! all held by the broker ends with exit code 1.
//! Source: performance.md section 5, features.md CM1, CM25.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rapidmq_perf::bench::{self as engine, Target};
use rapidmq_perf::books::Verdict as Books;
use rapidmq_perf::error::BenchError;
use rapidmq_perf::load::{Codec, Load};
use rapidmq_perf::ramp;
use rapidmq_perf::report::RunReport;
use rapidmq_perf::schedule::Spacing;
use rapidmq_perf::setup::{Control, resolve};

use super::Remote;
use super::failure::{Failure, Kind};
use super::offsets;
use super::output::{self, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Produce: rate and latency of acknowledgements.
    ///
    /// Without --rate every connection sends as soon as an answer makes room (closed loop). With --rate requests are
    /// due at fixed times and their latency counts from then, however long they had to wait (open loop).
    Produce(Produce),
    /// Produce and consume: latency from the intended send time to each waiting consumer.
    E2e(EndToEnd),
    /// Read a topic from its start to its end: bytes and records per second.
    Consume(Consume),
    /// Find the peak of a closed loop, then run an open loop at a quarter of it up to twice it.
    ///
    /// Every step is a line on standard error when it ends, so that a run that is cut short has told what it measured. The
    /// result on standard output, and in --report, has all steps; if a step fails, those before it.
    Capacity(Capacity),
}

/// Which durability the topic of the run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Durability {
    /// Acknowledged once on the device.
    Disk,
    /// Acknowledged once in memory; a crash loses what was not written.
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Flags of every run.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Topic; without it one is made for the run and removed after it.
    #[arg(short, long)]
    topic: Option<String>,
    /// Length of the measurement, for example 10s.
    #[arg(short, long, default_value = "10s", value_name = "DURATION")]
    duration: String,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Pin the generator's threads, from this CPU on.
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
    /// Poll instead of sleeping; costs a CPU and takes the generator's own wake-ups out of the latency.
    #[arg(long)]
    spin: bool,
    /// Connections that are opened and stay silent.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Process of a broker on this machine, for its CPU time and memory.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write the whole report here as JSON, histograms included.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// Flags of producers.
#[derive(Debug, Args)]
pub(crate) struct Producers {
    /// Producing connections.
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// Partitions of the topic if it is made; connections share them out.
    #[arg(short, long, default_value_t = 1)]
    partitions: u32,
    /// Requests in flight per connection, at most.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Bytes of a record's value.
    #[arg(short = 's', long, default_value_t = 1024, value_name = "BYTES")]
    record_size: usize,
    /// Records per request.
    #[arg(short = 'n', long, default_value_t = 1, value_name = "RECORDS")]
    batch: u32,
    /// Requests per second of all connections together; a closed loop without it.
    #[arg(short, long)]
    rate: Option<f64>,
    /// Random gaps between requests instead of equal ones.
    #[arg(long)]
    random: bool,
    /// Acknowledgement: all, 1 or 0.
    #[arg(short, long, default_value = "all")]
    acks: String,
    /// Codec of the batches.
    #[arg(long, value_enum, default_value = "none")]
    compression: Compression,
    /// Durability of the topic if it is made.
    #[arg(long, value_enum, default_value = "disk")]
    durability: Durability,
    /// Time before the measurement.
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    warmup: String,
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    #[command(flatten)]
    producers: Producers,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Capacity {
    /// How often the peak and twice the peak are measured in turn; five or more tell a slow device from a slow broker.
    #[arg(long, default_value_t = 1, value_name = "ROUNDS", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    #[command(flatten)]
    produce: Produce,
}

#[derive(Debug, Args)]
pub(crate) struct EndToEnd {
    #[command(flatten)]
    producers: Producers,
    /// Consuming connections per copy of the stream.
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// Copies of the stream that are consumed.
    #[arg(long, default_value_t = 1)]
    fan_out: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// Consuming connections.
    #[arg(short, long, default_value_t = 1)]
    consumers: usize,
    /// Bytes of one fetch answer, at most.
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    fetch_size: usize,
    /// Check every batch's CRC.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs `bench`.
///
/// # Errors
/// The load makes no sense, the broker refuses or is gone, or acknowledged records are missing.
pub(crate) fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Produce(args) => {
            let load = producing(&args.producers, &args.common)?;
            single(&load, &args.common)
        }
        Verb::E2e(args) => {
            let load = Load {
                consumers: args.consumers,
                fan_out: args.fan_out,
                ..producing(&args.producers, &args.common)?
            };
            single(&load, &args.common)
        }
        Verb::Consume(args) => single(&consuming(args)?, &args.common),
        Verb::Capacity(args) => {
            let Capacity { rounds, produce } = args;
            let load = producing(&produce.producers, &produce.common)?;
            capacity(&load, &produce.common, usize::from(*rounds))
        }
    }
}

fn producing(producers: &Producers, common: &Common) -> Result<Load, Failure> {
    let mut load = Load {
        connections: producers.connections,
        partitions: producers.partitions,
        depth: producers.depth,
        record_bytes: producers.record_size,
        batch_records: producers.batch,
        rate: producers.rate.unwrap_or(0.0),
        acks: acks(&producers.acks)?,
        warmup_ms: milliseconds(&producers.warmup)?,
        ..of_common(common)?
    };
    if producers.random {
        load.spacing = Spacing::Random;
    }
    load.compression = match producers.compression {
        Compression::None => Codec::None,
        Compression::Gzip => Codec::Gzip,
        Compression::Snappy => Codec::Snappy,
        Compression::Lz4 => Codec::Lz4,
        Compression::Zstd => Codec::Zstd,
    };
    if producers.durability == Durability::Memory {
        let value = "memory".to_owned();
        load.topic_config
            .insert("rapidmq.durability".to_owned(), value);
    }
    Ok(load)
}

fn consuming(args: &Consume) -> Result<Load, Failure> {
    let Some(topic) = &args.common.topic else {
        return Err(Failure::new(Kind::Usage, "there is nothing to consume")
            .fix("name a topic with --topic; fill one with `rapidmq bench produce --topic T`"));
    };
    let address = resolve(&args.common.remote.bootstrap).map_err(failure)?;
    let partitions = Control::open(address)
        .and_then(|mut control| control.partitions(topic))
        .map_err(failure)?;
    if partitions == 0 {
        return Err(Failure::new(
            Kind::NotFound,
            format!("there is no topic `{topic}`"),
        ));
    }
    Ok(Load {
        partitions,
        connections: 0,
        consumers: args.consumers,
        catch_up: true,
        fetch_bytes: args.fetch_size,
        verify: args.verify,
        ..of_common(&args.common)?
    })
}

fn of_common(common: &Common) -> Result<Load, Failure> {
    let made = || format!("rapidmq-bench-{}", std::process::id());
    Ok(Load {
        topic: common.topic.clone().unwrap_or_else(made),
        threads: common.threads,
        cpu: common.cpu,
        spin: common.spin,
        idle: common.idle,
        duration_ms: milliseconds(&common.duration)?,
        ..Load::default()
    })
}

fn acks(text: &str) -> Result<i16, Failure> {
    match text {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        "0" => Ok(0),
        other => Err(Failure::new(
            Kind::Usage,
            format!("acks `{other}` is not all, 1 or 0"),
        )),
    }
}

fn milliseconds(text: &str) -> Result<u64, Failure> {
    let parsed = offsets::duration_ms(text).and_then(|ms| u64::try_from(ms).ok());
    parsed.ok_or_else(|| {
        Failure::new(Kind::Usage, format!("`{text}` is not a duration"))
            .fix("for example 500ms or 10s")
    })
}

fn target(common: &Common) -> Target {
    Target {
        name: "rapidmq".to_owned(),
        address: common.remote.bootstrap.clone(),
        pid: common.pid,
        directory: None,
    }
}

fn single(load: &Load, common: &Common) -> Result<(), Failure> {
    let report = engine::bench(load, &target(common));
    let removed = remove(load, common);
    // Why the run failed counts more than that its topic is still there.
    let report = report.map_err(failure)?;
    removed?;
    if let Some(path) = &common.report {
        std::fs::write(path, json(&report)?)?;
    }
    match common.remote.output {
        Format::Table | Format::Name => output::bytes(report.text().as_bytes())?,
        Format::Json => output::line(&json(&report)?)?,
    }
    judge(&report)
}

fn capacity(load: &Load, common: &Common, rounds: usize) -> Result<(), Failure> {
    let outcome = ramp::ramp(load, &target(common), rounds, |step| {
        output::remark(&step.line());
    });
    match outcome {
        Ok(steps) => {
            let removed = remove(load, common);
            // What was measured counts, also when its topic is still there.
            show(&steps, common)?;
            removed?;
            say_overload(&steps)?;
            steps.iter().try_for_each(|step| judge(&step.report))
        }
        // Why it broke off counts more than what else fails because of it.
        Err(broken) => {
            if !broken.steps.is_empty()
                && let Err(error) = show(&broken.steps, common)
            {
                output::remark(&error.to_string());
            }
            if remove(load, common).is_err() {
                output::remark(&format!("topic `{}` may be left behind", load.topic));
            }
            Err(broken_off(broken))
        }
    }
}

/// The steps that ended, as the result of the command.
fn show(steps: &[ramp::Step], common: &Common) -> Result<(), Failure> {
    let all = || serde_json::to_string(steps).map_err(|error| wrong(&error));
    if let Some(path) = &common.report {
        std::fs::write(path, all()?)?;
    }
    match common.remote.output {
        Format::Table | Format::Name => output::line(&ramp::table(steps)),
        Format::Json => output::line(&all()?),
    }
}

fn say_overload(steps: &[ramp::Step]) -> Result<(), Failure> {
    let goodput = ramp::overload(steps).map_err(failure)?;
    let (least, most) = goodput.range;
    output::remark(&format!(
        "at twice the peak {:.2} of it was answered ({least:.2} to {most:.2}): {}",
        goodput.ratio,
        if goodput.is_reached {
            "overload costs little"
        } else {
            "overload costs too much"
        }
    ));
    Ok(())
}

/// Why a ramp has no more steps.
fn broken_off(broken: ramp::Broken) -> Failure {
    let ramp::Broken {
        steps,
        planned,
        step,
        source,
    } = broken;
    let why = match steps.len() {
        0 => format!("step 1 of {planned}, \"{step}\", broke off: nothing was measured"),
        ended => format!(
            "step {} of {planned}, \"{step}\", broke off: what was measured before it is above",
            ended + 1
        ),
    };
    failure(source).why(why)
}

/// Removes the topic that was made for the run.
fn remove(load: &Load, common: &Common) -> Result<(), Failure> {
    if common.topic.is_some() {
        return Ok(());
    }
    let removed = resolve(&common.remote.bootstrap)
        .and_then(Control::open)
        .and_then(|mut control| control.remove(&load.topic));
    match removed {
        // It may not have come to be: the run's own error says why.
        Ok(()) | Err(BenchError::Refused { .. }) => Ok(()),
        Err(error) => Err(failure(error)),
    }
}

fn json(report: &RunReport) -> Result<String, Failure> {
    serde_json::to_string(report).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> Failure {
    Failure::new(
        Kind::Failed,
        format!("the report cannot be written: {error}"),
    )
}

fn judge(report: &RunReport) -> Result<(), Failure> {
    match report.books {
        Some(books) if books.verdict == Books::Lost => Err(Failure::new(
            Kind::Failed,
            format!(
                "{} records were acknowledged and {} are held",
                books.acknowledged, books.held
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn failure(error: BenchError) -> Failure {
    match error {
        BenchError::Usage(what) => Failure::new(Kind::Usage, what),
        BenchError::Network { .. } => Failure::new(Kind::Unavailable, error.to_string())
            .fix("check that the broker runs and that --bootstrap names its Kafka port"),
        BenchError::Garbage(_)
        | BenchError::Refused { .. }
        | BenchError::Local { .. }
        | BenchError::Wrong(_) => Failure::new(Kind::Failed, error.to_string()),
    }
}
