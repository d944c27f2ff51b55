//! Scenarios: one file per number of `performance.md`, what is loaded and what is compared with what.
//!
//! Owns: [`Scenario`], reading of `perf/scenarios/*.toml`.
//! Never: contains a result.
//! Invariants: a file that does not parse, or names an unknown key, is an error with its path.
//! Source: performance.md section 4.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::load::Load;

/// Who makes the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// This crate's engine; for NATS its own client.
    #[default]
    Engine,
    /// Kafka's ProducerPerformance with default settings.
    JavaProducer,
    /// No load: time from the start of the process to the first record produced and consumed.
    Start,
    /// The same after a kill under load.
    Recovery,
    /// No load: CPU and memory of a process that has nothing to do.
    Idle,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// As in `performance.md`, for example `P3`.
    pub number: String,
    /// One line.
    pub title: String,
    /// Fields of the load that both sides share.
    #[serde(default)]
    pub load: toml::Table,
    /// Fields of a load that is carried out first, on the same server, and not measured.
    pub prepare: Option<toml::Table>,
    /// Whether the server is stopped and started again after preparing.
    #[serde(default)]
    pub restart: bool,
    /// Fields of a load that runs beside the measured one, on sides that say so.
    pub background: Option<toml::Table>,
    /// Arguments of `rapidmq serve`, besides directory, listener and ready file.
    #[serde(default)]
    pub serve: Vec<String>,
    /// Who makes the load.
    #[serde(default)]
    pub driver: Driver,
    /// Comparisons, in order.
    pub compare: Vec<Comparison>,
}

/// A ratio, or a figure of ours alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Comparison {
    /// One line, if the scenario's title does not say enough.
    #[serde(default)]
    pub title: String,
    /// Ours.
    pub us: Side,
    /// The others; their figures are added up. Empty: our figure stands alone.
    #[serde(default)]
    pub them: Vec<Side>,
    /// What is to be reached.
    pub reach: Bound,
    /// What one dreams of.
    pub dream: Option<Bound>,
    /// Who makes the load, if not the scenario's driver.
    pub driver: Option<Driver>,
}

/// A subject, what differs in its load, and its figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Side {
    /// Name of a subject.
    pub subject: String,
    /// Name of a figure of the report.
    pub figure: String,
    /// Fields of the load that differ.
    #[serde(default)]
    pub load: toml::Table,
    /// Whether the background load runs beside it.
    #[serde(default)]
    pub with_background: bool,
}

/// A limit of a ratio or figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// No more than.
    AtMost(f64),
    /// No less than.
    AtLeast(f64),
}

impl Bound {
    /// Whether `value` is within.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl Scenario {
    /// Reads `FOLDER/NAME.toml`; the name's case does not matter.
    ///
    /// # Errors
    /// There is no such file, or it is no scenario.
    pub fn read(folder: &Path, name: &str) -> Result<Self, BenchError> {
        let path = folder.join(format!("{}.toml", name.to_lowercase()));
        let text = fs::read_to_string(&path)
            .map_err(BenchError::local(format!("scenario {}", path.display())))?;
        let scenario: Self = toml::from_str(&text)
            .map_err(|error| BenchError::Usage(format!("{}: {error}", path.display())))?;
        for comparison in &scenario.compare {
            for side in std::iter::once(&comparison.us).chain(&comparison.them) {
                scenario.load_of(side)?.check()?;
            }
        }
        Ok(scenario)
    }

    /// The load of one side.
    ///
    /// # Errors
    /// A field is unknown or of another type.
    pub fn load_of(&self, side: &Side) -> Result<Load, BenchError> {
        merged(&[&self.load, &side.load])
    }

    /// The load that comes before the measured one.
    ///
    /// # Errors
    /// As [`Self::load_of`].
    pub fn load_before(&self, side: &Side) -> Result<Option<Load>, BenchError> {
        let prepared = self.prepare.as_ref();
        prepared
            .map(|table| merged(&[&self.load, &side.load, table]))
            .transpose()
    }

    /// The load beside the measured one.
    ///
    /// # Errors
    /// As [`Self::load_of`].
    pub fn load_beside(&self, side: &Side) -> Result<Option<Load>, BenchError> {
        let beside = self.background.as_ref().filter(|_| side.with_background);
        beside.map(|table| merged(&[&self.load, table])).transpose()
    }
}

/// Later tables win.
fn merged(tables: &[&toml::Table]) -> Result<Load, BenchError> {
    let mut all = toml::Table::new();
    for table in tables {
        all.extend(
            table
                .iter()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    all.try_into()
        .map_err(|error| BenchError::Usage(format!("load: {error}")))
}
