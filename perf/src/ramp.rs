//! How much a broker bears: its peak in a closed loop, then an open loop at shares of it.
//!
//! Owns: [`ramp`], the steps, their lines and their table, [`overload`].
//! Never: calls a rate reached that was not answered; forgets what was measured when a step fails.
//! Invariants: every step has the same load but for its rate; a peak is measured before every rate that is a share of
//! it, with the same depth.
//! Source: performance.md section 5; issue of the harness (goodput at twice the capacity).

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::bench::{Target, bench};
use crate::compare::{Standing, judge};
use crate::error::BenchError;
use crate::load::Load;
use crate::report::{Latency, RunReport};
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

impl Step {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.share)
    }

    /// The step in one line, for people who wait for the next.
    #[must_use]
    pub fn line(&self) -> String {
        let asked = match self.share {
            None => String::new(),
            Some(_) => format!("{:.0} asked, ", self.asked),
        };
        let latency = self.report.response.as_ref().map(|latency| {
            let Latency {
                p50_us,
                p99_us,
                max_us,
                ..
            } = latency;
            format!(", p50 {p50_us:.1} us, p99 {p99_us:.1} us, max {max_us:.1} us")
        });
        let unsent = match self.report.unsent {
            0 => String::new(),
            unsent => format!(", {unsent} unsent"),
        };
        format!(
            "{}: {asked}{:.0} requests/s answered{}{unsent}",
            self.name(),
            self.report.requests_per_s,
            latency.unwrap_or_default(),
        )
    }
}

fn name(share: Option<f64>) -> String {
    share.map_or("closed loop".to_owned(), |share| {
        format!("{:.0} % of it", share * 100.0)
    })
}

/// A ramp that broke off, with what was measured until then.
#[derive(Debug, thiserror::Error)]
#[error("{source}: the step \"{step}\", {} of {planned}, broke off", steps.len() + 1)]
pub struct Broken {
    /// The steps that ended.
    pub steps: Vec<Step>,
    /// Steps that were meant to be.
    pub planned: usize,
    /// Name of the step that did not end.
    pub step: String,
    /// Why.
    pub source: BenchError,
}

/// Measures the peak and then each share of it; then the peak and [`OVERLOAD`] in turn, until there are so many
/// `rounds` of these two. Every step is said as soon as it ended.
///
/// # Errors
/// A run fails, or the peak is zero; the steps before it come with the error.
pub fn ramp(
    load: &Load,
    target: &Target,
    rounds: usize,
    say: impl FnMut(&Step),
) -> Result<Vec<Step>, Broken> {
    let run = |rate| {
        let load = Load {
            rate,
            ..load.clone()
        };
        bench(&load, target)
    };
    climb(rounds, run, say)
}

/// The shares of every round, each round behind its closed loop.
fn plan(rounds: usize) -> Vec<Option<f64>> {
    let shares = |round| match round {
        0 => &SHARES[..],
        _ => &[OVERLOAD],
    };
    (0..rounds)
        .flat_map(|round| std::iter::once(None).chain(shares(round).iter().copied().map(Some)))
        .collect()
}

/// Runs every step of the plan at its rate, zero for a closed loop.
fn climb(
    rounds: usize,
    mut run: impl FnMut(f64) -> Result<RunReport, BenchError>,
    mut say: impl FnMut(&Step),
) -> Result<Vec<Step>, Broken> {
    let plan = plan(rounds);
    let (mut steps, mut peak) = (Vec::new(), 0.0);
    for share in &plan {
        let asked = share.map_or(0.0, |share| peak * share);
        let outcome = run(asked).and_then(|report| match share {
            None if report.requests_per_s <= 0.0 => Err(nothing(&report)),
            None | Some(_) => Ok(report),
        });
        let report = match outcome {
            Ok(report) => report,
            Err(source) => {
                return Err(Broken {
                    steps,
                    planned: plan.len(),
                    step: name(*share),
                    source,
                });
            }
        };
        if share.is_none() {
            peak = report.requests_per_s;
        }
        let step = Step {
            share: *share,
            asked,
            report,
        };
        say(&step);
        steps.push(step);
    }
    Ok(steps)
}

/// A closed loop in which nothing was answered, and what was said instead.
fn nothing(report: &RunReport) -> BenchError {
    let refusals: Vec<String> = report
        .refused
        .iter()
        .map(|(code, count)| format!("error code {code} {count} times"))
        .collect();
    let refusals = match refusals.is_empty() {
        true => String::new(),
        false => format!(", it refused with {}", refusals.join(", ")),
    };
    BenchError::Wrong(format!("the broker answered nothing{refusals}"))
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
        let latency = step.report.response.clone().unwrap_or_default();
        let mut row = vec![step.name()];
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
