//! One whole run: prepare the topic, carry out the load, look into the books, report.
//!
//! Owns: [`bench`], what `rapidmq bench` and every scenario call.
//! Never: touches the server's process or files.
//! Invariants: a report of a produce run has its books, unless nothing is acknowledged or the server is a ruler.
//! Source: performance.md section 5.

use std::path::PathBuf;

use crate::books::{Books, Ends};
use crate::engine::{self, Positions};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::load::Load;
use crate::process::Accounting;
use crate::report::RunReport;
use crate::setup::{Control, Leaders, LogEnd, resolve};

/// Whom to measure.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Name for the report.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
    /// Process of the server, if it runs on this machine.
    pub pid: Option<u32>,
    /// Directory of its data, if it is on this machine.
    pub directory: Option<PathBuf>,
}

/// Carries out one run.
///
/// # Errors
/// The load makes no sense, the server refuses, or a connection fails.
pub fn bench(load: &Load, target: &Target) -> Result<RunReport, BenchError> {
    load.check()?;
    let address = resolve(&target.address)?;
    let leaders = if load.ruler {
        engine::single_leader(load, address)
    } else {
        Control::open(address)?.prepare(load)?
    };
    let before = ends(load, &leaders, LogEnd::Last)?;
    let consumed = Positions {
        positions: positions(load, &leaders, &before)?,
    };
    let directory = target.directory.as_deref();
    let mut accounting = Accounting::new(target.pid, directory);
    let outcome = engine::run(load, &leaders, &consumed, &mut accounting)?;
    let mut report = RunReport::of(load, &outcome, accounting.usage());
    report.target.clone_from(&target.name);
    report.environment = Environment::read(directory);
    if load.acks != 0 && load.connections > 0 && !load.ruler {
        let held = ends(load, &leaders, LogEnd::Last)?.growth(&before);
        report.books = Some(Books::compare(outcome.measured.acknowledged_all, held));
    }
    Ok(report)
}

fn ends(load: &Load, leaders: &Leaders, end: LogEnd) -> Result<Ends, BenchError> {
    if load.ruler {
        let last = leaders.keys().map(|partition| (*partition, 0)).collect();
        Ok(Ends { last })
    } else {
        Ends::read(&load.topic, leaders, end)
    }
}

fn positions(
    load: &Load,
    leaders: &Leaders,
    last: &Ends,
) -> Result<Vec<crate::wire::fetch::Position>, BenchError> {
    if load.catch_up && !load.ruler {
        let first = ends(load, leaders, LogEnd::First)?;
        Ok(first.reading_until(&last.last))
    } else {
        Ok(last.waiting())
    }
}
