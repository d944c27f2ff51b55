//! The raw device: reads and writes of one size at one depth, past the page cache.
//!
//! Owns: [`measure`].
//! Never: measures blocks that were never written.
//! Invariants: a durable write is one `RWF_DSYNC` write, as the broker's are.
//! Source: performance.md section 2 (raw device).

use std::path::Path;

use hdrhistogram::Histogram;

use super::direct::{Prewritten, round_up};
use super::ring::{Event, Operation, WriteRing};
use crate::clock::{Clock, nanos};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::measure::Measured;
use crate::report::{Latency, RunReport, seconds};
use crate::schedule::float;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of one operation.
    pub block: usize,
    /// Operations in flight.
    pub depth: usize,
    /// Read, write, durable write.
    pub operation: Operation,
    /// Bytes of the prewritten file.
    pub file_bytes: u64,
    /// Length of the measurement, after a tenth of it for warming up.
    pub duration: std::time::Duration,
}

/// Measures in `directory`.
///
/// # Errors
/// The device, the file system or the kernel refuses.
pub fn measure(directory: &Path, plan: &Plan) -> Result<RunReport, BenchError> {
    let len = round_up(plan.block);
    let file = Prewritten::create(directory, plan.file_bytes.max(len as u64))?;
    let mut ring = WriteRing::new(file, plan.depth, len)?;
    let clock = Clock::start();
    let mut started = vec![0; plan.depth];
    let mut latency: Histogram<u64> = Measured::default().response;
    let begins = nanos(plan.duration) / 10;
    let ends = begins + nanos(plan.duration);
    let mut operations = 0_u64;
    while clock.now() < ends {
        while ring.slot().is_some() {
            let slot = ring.submit(len, plan.operation)?;
            if let Some(time) = started.get_mut(slot) {
                *time = clock.now();
            }
        }
        ring.reap(1, |event| {
            let now = clock.now();
            if let Event::Done { slot } = event
                && (begins..ends).contains(&now)
            {
                let time = started.get(slot).copied().unwrap_or(now);
                latency.saturating_record((now - time).max(1));
                operations += 1;
            }
        })?;
    }
    let window = seconds(ends - begins);
    let mut report = RunReport {
        target: "device".to_owned(),
        environment: Environment::read(Some(directory)),
        window_s: window,
        response: Latency::of(&latency),
        ..RunReport::default()
    };
    let per_second = float(operations) / window;
    report
        .figures
        .insert("operations-per-s".to_owned(), per_second);
    let megabytes = per_second * float(len as u64) / 1e6;
    report.figures.insert("mb-per-s".to_owned(), megabytes);
    Ok(report)
}
