//! nats-server with JetStream, and the client that drives it.
//!
//! Owns: its configuration, starting it, one run of the client.
//! Never: speaks its protocol; `perf/peers/nats/client` does.
//! Invariants: the durable mode differs by `sync_interval: always` only.
//! Source: docs.nats.io (JetStream configuration).

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::process::{pinned, spawn};
use super::{Mode, Rig, Running, free_port};
use crate::error::BenchError;
use crate::load::Load;
use crate::report::RunReport;
use crate::schedule::float;

const START_NS: u64 = 20_000_000_000;

fn program(rig: &Rig, name: &str) -> Result<PathBuf, BenchError> {
    let path = rig.root.join("perf/out/peers/nats").join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(BenchError::Usage(format!(
            "{name} is not there: run perf/peers/nats/fetch"
        )))
    }
}

pub(super) fn start(rig: &Rig, mode: Mode, directory: &Path) -> Result<Running, BenchError> {
    let port = free_port()?;
    let sync = match mode {
        Mode::Shipped => "",
        Mode::Durable => "  sync_interval: always\n",
    };
    let store = directory.join("data");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: \"{}\"\n{sync}}}\n",
        store.display()
    );
    let config = directory.join("nats.conf");
    fs::write(&config, text).map_err(BenchError::local("writing the configuration of NATS"))?;
    let mut command = pinned(rig.server_cpu, &program(rig, "nats-server")?);
    command.arg("-c").arg(&config);
    let address = format!("127.0.0.1:{port}");
    spawn(command, directory)?.await_address(START_NS, || {
        TcpStream::connect(&address).ok().map(|_| address.clone())
    })
}

/// One run of its client, with the fields of the load that it knows.
pub(super) fn drive(rig: &Rig, load: &Load, address: &str) -> Result<RunReport, BenchError> {
    if load.batch_records != 1 || load.consumers > 0 {
        return Err(BenchError::Usage(
            "the client for NATS publishes single records and does not consume".to_owned(),
        ));
    }
    let mut command = pinned(rig.client_cpu, &program(rig, "nats-client")?);
    let output = command
        .args(["-url", &format!("nats://{address}")])
        .args(["-connections", &load.connections.to_string()])
        .args(["-depth", &load.depth.to_string()])
        .args(["-bytes", &load.record_bytes.to_string()])
        .args(["-rate", &load.rate.to_string()])
        .args(["-warmup", &format!("{}ms", load.warmup_ms)])
        .args(["-duration", &format!("{}ms", load.duration_ms)])
        .output()
        .map_err(BenchError::local("running the client for NATS"))?;
    let figures: BTreeMap<String, f64> =
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            BenchError::Wrong(format!("the client for NATS: {error}: {said}"))
        })?;
    Ok(RunReport {
        load: Some(load.clone()),
        window_s: float(load.duration_ms) / 1e3,
        figures,
        ..RunReport::default()
    })
}
