//! Apache Kafka, one node, and its Java producer.
//!
//! Owns: formatting and starting it; ProducerPerformance.
//! Never: changes settings beyond ports, paths and the durable ones.
//! Invariants: serves when it answers ApiVersions.
//! Source: kafka.md 5.3; bin/kafka-run-class.sh of its distribution.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{pinned, spawn};
use super::{Mode, Rig, Running, free_port};
use crate::error::BenchError;
use crate::load::Load;
use crate::report::RunReport;
use crate::schedule::{float, whole};
use crate::setup::{Control, resolve};

/// A minute: a cold machine loads some thousand classes.
const START_NS: u64 = 60_000_000_000;
/// Any 22 letters are a cluster id.
const CLUSTER: &str = "cmFwaWRtcS1wZXJmLWtmaw";

fn libs(rig: &Rig) -> Result<PathBuf, BenchError> {
    let libs = rig.root.join("perf/out/peers/kafka/libs");
    if libs.join("pom.stamp").exists() {
        Ok(libs)
    } else {
        Err(BenchError::Usage(
            "Kafka is not there: run perf/peers/kafka/fetch".to_owned(),
        ))
    }
}

pub(super) fn start(rig: &Rig, mode: Mode, directory: &Path) -> Result<Running, BenchError> {
    let jars = format!("{}/*", libs(rig)?.display());
    let settings = rig.root.join("perf/peers/kafka");
    let (port, controller) = (free_port()?, free_port()?);
    let properties = directory.join("server.properties");
    let text = properties_text(&settings, mode, (port, controller), directory)?;
    fs::write(&properties, text).map_err(BenchError::local("writing Kafka's properties"))?;
    let formatted = Command::new("java")
        .args([
            "-cp",
            &jars,
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "-t",
            CLUSTER,
            "-c",
        ])
        .arg(&properties)
        .output()
        .map_err(BenchError::local("formatting Kafka's storage"))?;
    if !formatted.status.success() {
        let said = String::from_utf8_lossy(&formatted.stderr).into_owned();
        return Err(BenchError::Wrong(format!(
            "formatting Kafka's storage: {said}"
        )));
    }
    let mut command = pinned(rig.server_cpu, Path::new("java"));
    command
        .args([
            "-Xms4g",
            "-Xmx4g",
            "-server",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
        ])
        .args([
            "-XX:InitiatingHeapOccupancyPercent=35",
            "-XX:+ExplicitGCInvokesConcurrent",
        ])
        .arg("-Djava.awt.headless=true")
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            settings.join("log4j2.properties").display()
        ))
        .args(["-cp", &jars, "kafka.Kafka"])
        .arg(&properties);
    let address = format!("127.0.0.1:{port}");
    spawn(command, directory)?.await_address(START_NS, || {
        Control::open(resolve(&address).ok()?)
            .ok()
            .map(|_| address.clone())
    })
}

fn properties_text(
    settings: &Path,
    mode: Mode,
    (port, controller): (u16, u16),
    directory: &Path,
) -> Result<String, BenchError> {
    let read = |name: &str| {
        fs::read_to_string(settings.join(name))
            .map_err(BenchError::local(format!("Kafka's {name}")))
    };
    let mut text = read("server.properties")?;
    if mode == Mode::Durable {
        text.push_str(&read("durable.properties")?);
    }
    let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
    for line in [
        format!("listeners={listeners}"),
        format!("advertised.listeners={listeners}"),
        format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
        format!("log.dirs={}", directory.join("data").display()),
    ] {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Runs ProducerPerformance against any Kafka broker: as many records as the engine's load would be at most.
pub(super) fn java_producer(
    rig: &Rig,
    load: &Load,
    address: &str,
) -> Result<RunReport, BenchError> {
    let jars = format!("{}/*", libs(rig)?.display());
    Control::open(resolve(address)?)?.prepare(load)?;
    let rate = if load.rate > 0.0 {
        whole(load.rate).to_string()
    } else {
        "-1".to_owned()
    };
    // A closed loop has no length in time; a minute's worth of records at 20,000/s is what the tool is given per 10 s.
    let records = if load.rate > 0.0 {
        whole(load.rate * float(load.duration_ms) / 1e3)
    } else {
        load.duration_ms * 100
    };
    let mut command = pinned(rig.client_cpu, Path::new("java"));
    let output = command
        .args([
            "-Xmx1g",
            "-cp",
            &jars,
            "org.apache.kafka.tools.ProducerPerformance",
        ])
        .args([
            "--topic",
            &load.topic,
            "--num-records",
            &records.to_string(),
        ])
        .args([
            "--record-size",
            &load.record_bytes.to_string(),
            "--throughput",
            &rate,
        ])
        .args(["--producer-props", &format!("bootstrap.servers={address}")])
        .output()
        .map_err(BenchError::local("running ProducerPerformance"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text
        .lines()
        .rfind(|line| line.contains("99.9th"))
        .unwrap_or_default();
    read_summary(last).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        BenchError::Wrong(format!(
            "ProducerPerformance gave no summary: {text} {said}"
        ))
    })
}

/// Reads "N records sent, R records/sec (M MB/sec), A ms avg latency, X ms max latency, P ms 50th, ...".
pub(super) fn read_summary(line: &str) -> Option<RunReport> {
    let mut report = RunReport::default();
    for part in line.split(", ") {
        let number = part.split(' ').next()?.parse::<f64>().ok()?;
        let name = match part {
            _ if part.contains("records/sec") => "records-per-s",
            _ if part.contains("avg latency") => "response.mean-us",
            _ if part.contains("max latency") => "response.max-us",
            _ if part.contains("50th") => "response.p50-us",
            _ if part.contains("99.9th") => "response.p999-us",
            _ if part.contains("99th") => "response.p99-us",
            _ => continue,
        };
        let factor = if name == "records-per-s" { 1.0 } else { 1e3 };
        report.figures.insert(name.to_owned(), number * factor);
        if let Some((_, rest)) = part.split_once('(') {
            // The tool's MB are MiB.
            let mib = rest.split(' ').next()?.parse::<f64>().ok()?;
            report
                .figures
                .insert("mb-per-s".to_owned(), mib * 1_048_576.0 / 1e6);
        }
    }
    report
        .figures
        .contains_key("response.p50-us")
        .then_some(report)
}

#[cfg(test)]
mod tests;
