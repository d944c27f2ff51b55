//! One run of one side: start the subject, make the load, stop it.
//!
//! Owns: [`run_side`]: which driver suits which subject; start, recovery and idle measurements.
//! Never: compares.
//! Invariants: every run begins with an empty data directory; a load for another broker has no settings of ours.
//! Source: performance.md sections 4 and 5.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::{Rig, Running, Subject, iggy, kafka, nats};
use crate::bench::{Target, bench};
use crate::clock::{Clock, pause};
use crate::engine::Witness;
use crate::environment::Environment;
use crate::error::BenchError;
use crate::load::Load;
use crate::process::{Accounting, yield_to_others};
use crate::report::RunReport;
use crate::ruler::device::{Plan, measure};
use crate::ruler::ring::Operation;
use crate::scenario::{Comparison, Driver, Scenario, Side};
use crate::schedule::float;

/// Size of the file on which the device is measured.
const DEVICE_FILE_BYTES: u64 = 1 << 30;
/// Below the directory of all data; one server runs at a time.
pub(super) const DIRECTORY: &str = "server";

/// Carries out one side of a comparison once.
///
/// # Errors
/// The subject cannot be started, or the run fails.
pub fn run_side(
    rig: &Rig,
    scenario: &Scenario,
    comparison: &Comparison,
    side: &Side,
) -> Result<RunReport, BenchError> {
    let subject: Subject = side.subject.parse()?;
    let driver = comparison.driver.unwrap_or(scenario.driver);
    needs_kafka(subject, driver, side)?;
    let mut load = scenario.load_of(side)?;
    load.cpu = rig.client_cpu;
    let report = match (subject, driver) {
        (Subject::DeviceWrite, _) => device(rig, &load, Operation::DurableWrite),
        (Subject::DeviceRead, _) => device(rig, &load, Operation::Read),
        (_, Driver::Start) => start_time(rig, scenario, subject),
        (_, Driver::Recovery) => recovery_time(rig, scenario, side),
        (_, Driver::Idle) => idle(rig, scenario, subject, &load),
        (_, Driver::Engine | Driver::JavaProducer) => {
            loaded(rig, scenario, (subject, side), (driver, load))
        }
    };
    rig.clean(DIRECTORY);
    let mut report = report?;
    report.target.clone_from(&side.subject);
    report.scenario = Some(scenario.number.clone());
    report.environment = Environment::read(Some(&rig.data));
    Ok(report)
}

/// Refuses what a peer with a protocol of its own cannot be asked for.
fn needs_kafka(subject: Subject, driver: Driver, side: &Side) -> Result<(), BenchError> {
    let is_apart = matches!(subject, Subject::Nats(_) | Subject::Iggy(_));
    let wants_kafka = match driver {
        Driver::JavaProducer | Driver::Start | Driver::Recovery => true,
        Driver::Engine => side.with_background,
        Driver::Idle => false,
    };
    if is_apart && wants_kafka {
        return Err(BenchError::Usage(format!(
            "{} does not speak Kafka's protocol: it takes a load of its own client, or none",
            side.subject
        )));
    }
    Ok(())
}

fn loaded(
    rig: &Rig,
    scenario: &Scenario,
    (subject, side): (Subject, &Side),
    (driver, mut load): (Driver, Load),
) -> Result<RunReport, BenchError> {
    suit(subject, &mut load);
    let mut running = rig.start(subject, DIRECTORY, &scenario.serve)?;
    if let Some(mut before) = scenario.load_before(side)?.filter(|_| !load.ruler) {
        suit(subject, &mut before);
        if let Subject::Iggy(mode) = subject {
            iggy::fill(rig, mode, &before, &running)?;
        } else {
            bench(&before, &rig.target(&side.subject, &running))?;
        }
        if scenario.restart {
            running = restart(rig, subject, scenario, running)?;
        }
    }
    let target = rig.target(&side.subject, &running);
    let beside = scenario.load_beside(side)?;
    let beside = beside
        .map(|load| background(load, target.clone()))
        .transpose()?;
    let report = match (subject, driver) {
        (Subject::Nats(_), _) => nats::drive(rig, &load, running.address()),
        (Subject::Iggy(mode), _) => iggy::drive(rig, mode, &load, &running),
        (_, Driver::JavaProducer) => kafka::java_producer(rig, &load, running.address()),
        (_, _) => bench(&load, &target),
    };
    if let Some(beside) = beside {
        let ended = beside.join();
        ended.map_err(|_| BenchError::Wrong("the background load ended early".to_owned()))??;
    }
    let report = report?;
    running.stop()?;
    Ok(report)
}

/// Takes out of a load what a subject does not know.
fn suit(subject: Subject, load: &mut Load) {
    match subject {
        Subject::Ruler(_) => load.ruler = true,
        Subject::Kafka(_) => load
            .topic_config
            .retain(|key, _| !key.starts_with("rapidmq.")),
        Subject::Iggy(_) => load.topic_config.clear(),
        Subject::Rapidmq | Subject::Nats(_) | Subject::DeviceWrite | Subject::DeviceRead => {}
    }
}

fn background(
    load: Load,
    target: Target,
) -> Result<thread::JoinHandle<Result<RunReport, BenchError>>, BenchError> {
    thread::Builder::new()
        .name("background".to_owned())
        .spawn(move || {
            yield_to_others()?;
            bench(&load, &target)
        })
        .map_err(BenchError::local("starting a thread"))
}

fn restart(
    rig: &Rig,
    subject: Subject,
    scenario: &Scenario,
    running: Running,
) -> Result<Running, BenchError> {
    if subject != Subject::Rapidmq {
        return Err(BenchError::Usage("only rapidmq is restarted".to_owned()));
    }
    running.stop()?;
    rig.start_rapidmq(&directory(rig), &scenario.serve)
}

fn directory(rig: &Rig) -> PathBuf {
    rig.data.join(DIRECTORY)
}

fn device(rig: &Rig, load: &Load, operation: Operation) -> Result<RunReport, BenchError> {
    let plan = Plan {
        block: load
            .record_bytes
            .saturating_mul(load.batch_records as usize),
        depth: load.depth,
        operation,
        file_bytes: DEVICE_FILE_BYTES,
        duration: load.duration(),
    };
    measure(&rig.data, &plan)
}

/// A load that is over with its first record.
fn first_record() -> Load {
    Load {
        topic: "first".to_owned(),
        consumers: 1,
        rate: 20.0,
        warmup_ms: 0,
        duration_ms: 50,
        ..Load::default()
    }
}

/// Milliseconds from starting the process until a record was produced and consumed; the generator's own 20 ms of lead
/// and its window are taken off.
fn first_record_ms(
    rig: &Rig,
    start: impl FnOnce() -> Result<Running, BenchError>,
) -> Result<(RunReport, Running), BenchError> {
    let clock = Clock::start();
    let running = start()?;
    let served_at = clock.now();
    let target = rig.target("rapidmq", &running);
    let mut report = bench(&first_record(), &target)?;
    let latency = report
        .end_to_end
        .as_ref()
        .map_or(0.0, |latency| latency.max_us);
    let served_ms = float(served_at) / 1e6;
    report.figures.insert("start-ms".to_owned(), served_ms);
    report
        .figures
        .insert("first-record-ms".to_owned(), served_ms + latency / 1e3);
    Ok((report, running))
}

fn start_time(rig: &Rig, scenario: &Scenario, subject: Subject) -> Result<RunReport, BenchError> {
    let (report, running) =
        first_record_ms(rig, || rig.start(subject, DIRECTORY, &scenario.serve))?;
    running.stop()?;
    Ok(report)
}

/// Kills the broker under the scenario's load and measures its next start.
fn recovery_time(rig: &Rig, scenario: &Scenario, side: &Side) -> Result<RunReport, BenchError> {
    let running = rig.start(Subject::Rapidmq, DIRECTORY, &scenario.serve)?;
    let load = scenario.load_of(side)?;
    bench(&load, &rig.target("rapidmq", &running))?;
    // Dropping kills.
    drop(running);
    let (report, running) =
        first_record_ms(rig, || rig.start_rapidmq(&directory(rig), &scenario.serve))?;
    running.stop()?;
    Ok(report)
}

fn idle(
    rig: &Rig,
    scenario: &Scenario,
    subject: Subject,
    load: &Load,
) -> Result<RunReport, BenchError> {
    let running = rig.start(subject, DIRECTORY, &scenario.serve)?;
    pause(load.warmup().max(Duration::from_secs(1)));
    let mut accounting = Accounting::new(Some(running.pid()), Some(&rig.data));
    accounting.window_begins();
    pause(load.duration());
    accounting.window_ends();
    let usage = accounting.usage();
    let mut report = RunReport {
        window_s: float(load.duration_ms) / 1e3,
        ..RunReport::default()
    };
    if let Some(ns) = usage.server_cpu_ns {
        let percent = 100.0 * float(ns) / 1e6 / float(load.duration_ms);
        report
            .figures
            .insert("idle-cpu-percent".to_owned(), percent);
    }
    if let Some(kib) = usage.server_resident_kib {
        report
            .figures
            .insert("idle-resident-mib".to_owned(), float(kib) / 1024.0);
    }
    report.usage = usage;
    running.stop()?;
    Ok(report)
}
