//! How much a broker bears: its peak in a closed loop, then an open loop at shares of it.
//!
//! Owns: [`ramp`], the steps and their table, [`overload`].
//! Never: calls a rate reached that was not answered.
//! Invariants: every step has the same load but for its rate; a peak is measured before every rate that is a share of
//! it, with the same depth.
//! Source: performance.md section 5; issue of the harness (goodput at twice the capacity).

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::bench::{Target, bench};
use crate::compare::{Standing, judge};
use crate::error::BenchError;
use crate::load::Load;
use crate::report::RunReport;
use crate::scenario::Bound;

/// Shares of the peak at which the open loop runs.
pub const SHARES: [f64; 6] = [0.25, 0.5, 0.75, 0.9, 1.0, OVERLOAD];
/// Share of the peak that is too much.
pub const OVERLOAD: f64 = 2.0;
/// Share of the peak that must still be answered then.
const GOODPUT: Bound = Bound::AtLeast(0.9);

#[cfg(test)]
mod tests;

/// One step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Share of the peak; absent for the closed loop that found it.
    pub share: Option<f64>,
    /// Requests per second that were asked for; zero for the closed loop.
    pub asked: f64,
    /// What came.
    pub report: RunReport,
}

/// Measures the peak and then each share of it; then the peak and [`OVERLOAD`] in turn, until there are so many
/// `rounds` of these two.
///
/// # Errors
/// A run fails, or the peak is zero.
pub fn ramp(
    load: &Load,
    target: &Target,
    rounds: usize,
    mut say: impl FnMut(&Step),
) -> Result<Vec<Step>, BenchError> {
    let mut steps = Vec::new();
    for round in 0..rounds {
        let shares: &[f64] = match round {
            0 => &SHARES,
            _ => &[OVERLOAD],
        };
        climb(load, target, shares, &mut |step| {
            say(&step);
            steps.push(step);
        })?;
    }
    Ok(steps)
}

/// One peak and shares of it.
fn climb(
    load: &Load,
    target: &Target,
    shares: &[f64],
    done: &mut impl FnMut(Step),
) -> Result<(), BenchError> {
    let closed = Load {
        rate: 0.0,
        ..load.clone()
    };
    let report = bench(&closed, target)?;
    let peak = report.requests_per_s;
    if peak <= 0.0 {
        return Err(BenchError::Wrong("the broker answered nothing".to_owned()));
    }
    done(Step {
        share: None,
        asked: 0.0,
        report,
    });
    for &share in shares {
        let asked = peak * share;
        let open = Load {
            rate: asked,
            ..load.clone()
        };
        let report = bench(&open, target)?;
        let share = Some(share);
        done(Step {
            share,
            asked,
            report,
        });
    }
    Ok(())
}

/// What was answered at [`OVERLOAD`] (ours) beside the peak measured before it (theirs).
///
/// # Errors
/// No step was an overload, or a peak was zero.
pub fn overload(steps: &[Step]) -> Result<Standing, BenchError> {
    let mut peak = 0.0;
    let (mut answered, mut peaks) = (Vec::new(), Vec::new());
    for step in steps {
        match step.share {
            None => peak = step.report.requests_per_s,
            Some(share) if share >= OVERLOAD => {
                answered.push(step.report.requests_per_s);
                peaks.push(peak);
            }
            Some(_) => {}
        }
    }
    judge(&answered, &peaks, GOODPUT)
}

/// The steps as a table for people.
#[must_use]
pub fn table(steps: &[Step]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "step",
        "asked/s",
        "answered/s",
        "MB/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "unsent",
    ]);
    for step in steps {
        let name = step.share.map_or("closed loop".to_owned(), |share| {
            format!("{:.0} % of it", share * 100.0)
        });
        let latency = step.report.response.clone().unwrap_or_default();
        let mut row = vec![name];
        for value in [step.asked, step.report.requests_per_s, step.report.mb_per_s] {
            row.push(format!("{value:.0}"));
        }
        for value in [
            latency.p50_us,
            latency.p99_us,
            latency.p999_us,
            latency.max_us,
        ] {
            row.push(format!("{value:.1}"));
        }
        row.push(step.report.unsent.to_string());
        table.add_row(row);
    }
    table.trim_fmt()
}
