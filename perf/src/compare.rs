//! Runs both sides of a comparison in turn and tells how they stand.
//!
//! Owns: [`compare`], [`Standing`]: medians, ratios, the file of results.
//! Never: leaves a run out: all are written, a losing one like a winning one.
//! Invariants: sides alternate A B A B; the ratio is that of the medians, its range that of the single rounds.
//! Source: performance.md sections 4 and 5.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::BenchError;
use crate::report::{Place, RunReport};
use crate::rig::Rig;
use crate::rig::drive::run_side;
use crate::scenario::{Bound, Comparison, Scenario, Side};

/// Fewer rounds are only good for seeing that the tools work.
pub const ROUNDS_MIN: usize = 5;

/// How and where to compare.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Runs per side.
    pub rounds: usize,
    /// File that gets one JSON line per run.
    pub results: &'a Path,
    /// Marks the runs as ones that only show that the tools work.
    pub is_smoke: bool,
}

/// How one comparison stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Median of ours.
    pub ours: f64,
    /// Median of theirs; 1 if our figure stands alone.
    pub theirs: f64,
    /// Ratio of the medians.
    pub ratio: f64,
    /// Smallest and largest ratio of a single round.
    pub range: (f64, f64),
    /// Whether what is to be reached was reached.
    pub is_reached: bool,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// Carries out one comparison.
///
/// # Errors
/// A run fails, or a report lacks the figure.
pub fn compare(
    rig: &Rig,
    scenario: &Scenario,
    comparison: &Comparison,
    plan: Plan<'_>,
    mut say: impl FnMut(&str),
) -> Result<Standing, BenchError> {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    let mut warnings = Vec::new();
    for round in 1..=plan.rounds.max(1) {
        let mut take = |number: usize, side: &Side| -> Result<f64, BenchError> {
            let place = Place {
                title: scenario.title.clone(),
                comparison: comparison.clone(),
                side: number,
                round,
            };
            let report = run(rig, scenario, place, (side, plan))?;
            let value = figure(side, &report)?;
            say(&format!(
                "  round {round}: {:<14} {} = {value:.2}",
                side.subject, side.figure
            ));
            for warning in report.warnings() {
                warnings.push(format!("round {round}, {}: {warning}", side.subject));
            }
            Ok(value)
        };
        ours.push(take(0, &comparison.us)?);
        if comparison.them.is_empty() {
            theirs.push(1.0);
        } else {
            let mut sum = 0.0;
            for (number, side) in (1..).zip(&comparison.them) {
                sum += take(number, side)?;
            }
            theirs.push(sum);
        }
    }
    if plan.rounds < ROUNDS_MIN {
        warnings.push(format!(
            "{} rounds: no result, {ROUNDS_MIN} are",
            plan.rounds
        ));
    }
    let mut standing = judge(&ours, &theirs, comparison.reach)?;
    standing.warnings = warnings;
    Ok(standing)
}

/// Medians, ratio and range of rounds that belong together pairwise.
///
/// # Errors
/// There is no round, or a figure of theirs is zero.
pub fn judge(ours: &[f64], theirs: &[f64], reach: Bound) -> Result<Standing, BenchError> {
    let nothing = || BenchError::Wrong("there is nothing to compare".to_owned());
    if theirs.iter().any(|value| *value <= 0.0) || ours.len() != theirs.len() {
        return Err(nothing());
    }
    let (our_median, their_median) = (
        median(ours).ok_or_else(nothing)?,
        median(theirs).ok_or_else(nothing)?,
    );
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = ratios.iter().copied().fold(0.0, f64::max);
    let ratio = our_median / their_median;
    Ok(Standing {
        ours: our_median,
        theirs: their_median,
        ratio,
        range: (smallest, largest),
        is_reached: reach.holds(ratio),
        warnings: Vec::new(),
    })
}

/// The value in the middle, or between the two in the middle; `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

fn run(
    rig: &Rig,
    scenario: &Scenario,
    place: Place,
    (side, plan): (&Side, Plan<'_>),
) -> Result<RunReport, BenchError> {
    let mut report = run_side(rig, scenario, &place.comparison, side)?;
    report.is_smoke = plan.is_smoke;
    report.place = Some(place);
    append(plan.results, &report)?;
    Ok(report)
}

fn append(path: &Path, report: &RunReport) -> Result<(), BenchError> {
    let failed = || BenchError::local(format!("writing {}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed())?;
    }
    let mut line =
        serde_json::to_string(report).map_err(|error| BenchError::Wrong(error.to_string()))?;
    line.push('\n');
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed())?;
    file.write_all(line.as_bytes()).map_err(failed())
}

fn figure(side: &Side, report: &RunReport) -> Result<f64, BenchError> {
    report.figure(&side.figure).ok_or_else(|| {
        BenchError::Wrong(format!(
            "the run of {} has no figure {}",
            side.subject, side.figure
        ))
    })
}

impl Standing {
    /// The lines that stand in a table of results.
    #[must_use]
    pub fn text(&self, comparison: &Comparison) -> String {
        let verdict = if self.is_reached {
            "reached"
        } else {
            "NOT reached"
        };
        let them: Vec<&str> = comparison
            .them
            .iter()
            .map(|side| side.subject.as_str())
            .collect();
        if them.is_empty() {
            return format!(
                "{} {} = {:.3} ({:.3} to {:.3}), to reach {}: {verdict}",
                comparison.us.subject,
                comparison.us.figure,
                self.ours,
                self.range.0,
                self.range.1,
                comparison.reach
            );
        }
        format!(
            "{} {:.2} / {} {:.2} = {:.3} ({:.3} to {:.3}), to reach {}: {verdict}",
            comparison.us.subject,
            self.ours,
            them.join(" + "),
            self.theirs,
            self.ratio,
            self.range.0,
            self.range.1,
            comparison.reach
        )
    }
}
