//! One run as a JSON document and as a table.
//!
//! Owns: [`RunReport`], percentiles, the text that people read; in `page` the same for a browser.
//! Never: rounds in the JSON; leaves a bad sign out of the text.
//! Invariants: histograms are written whole, so any percentile can be computed later.
//! Source: performance.md section 5.

pub mod page;
mod plot;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::books::{Books, Verdict};
use crate::clock::Nanos;
use crate::engine::Outcome;
use crate::environment::Environment;
use crate::load::Load;
use crate::process::Usage;
use crate::scenario::Comparison;
use crate::schedule::float;

/// Foreign load above which a run is to be repeated, percent of one CPU.
pub const FOREIGN_PERCENT_MAX: f64 = 15.0;

/// Percentiles of a histogram, µs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "percentiles")]
pub struct Latency {
    /// Values.
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
    /// The whole histogram: upper end of a bucket in ns, and how many values it has.
    pub histogram: Vec<(u64, u64)>,
}

impl Latency {
    /// Of a histogram of nanoseconds; `None` if it is empty.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| float(histogram.value_at_quantile(quantile)) / 1e3;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: float(histogram.max()) / 1e3,
            histogram: histogram
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect(),
        })
    }
}

/// Where a run stands in a comparison, so that a line of results needs no other file to be understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Title of the scenario.
    pub title: String,
    /// Both sides, their figures, what is to be reached.
    pub comparison: Comparison,
    /// Which side: 0 is ours, the others count from 1.
    pub side: usize,
    /// From 1.
    pub round: usize,
}

/// What a run measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// Who was measured: rapidmq, a ruler, a peer.
    pub target: String,
    /// Scenario, if the run belongs to one.
    pub scenario: Option<String>,
    /// Comparison, if the run belongs to one.
    pub place: Option<Place>,
    /// Set for runs that only show that the tools work.
    pub is_smoke: bool,
    /// Machine and build.
    pub environment: Environment,
    /// Load, if the engine made it.
    pub load: Option<Load>,
    /// Length of the window, s.
    pub window_s: f64,
    /// Answers per second.
    pub requests_per_s: f64,
    /// Acknowledged records per second.
    pub records_per_s: f64,
    /// Bytes of acknowledged batches per second, in units of 10^6.
    pub mb_per_s: f64,
    /// Records per second that consumers received.
    pub fetched_records_per_s: f64,
    /// Bytes per second that consumers received, in units of 10^6.
    pub fetched_mb_per_s: f64,
    /// From the intended send time to the answer.
    pub response: Option<Latency>,
    /// From the socket to the answer.
    pub service: Option<Latency>,
    /// From the intended send time to the consumer.
    pub end_to_end: Option<Latency>,
    /// Requests of the window that were due and never sent.
    pub unsent: u64,
    /// Requests of the window that were never answered.
    pub unanswered: u64,
    /// Refusals by error code, over the whole run.
    pub refused: BTreeMap<i16, u64>,
    /// Acknowledged against held.
    pub books: Option<Books>,
    /// What the kernel counted.
    pub usage: Usage,
    /// CPU of the server per answer, µs.
    pub server_cpu_us_per_request: Option<f64>,
    /// Device writes per answer.
    pub device_writes_per_request: Option<f64>,
    /// Answers per 100 ms.
    pub series: Vec<u64>,
    /// Figures that a ruler or a peer's own client gives, by name.
    pub figures: BTreeMap<String, f64>,
}

impl RunReport {
    /// Of a run of the engine.
    #[must_use]
    pub fn of(load: &Load, outcome: &Outcome, usage: Usage) -> Self {
        let measured = &outcome.measured;
        let seconds = float(outcome.window_ns) / 1e9;
        let per_second = |count: u64| float(count) / seconds;
        let answers = measured.answers + measured.fetches;
        let per_answer = |total: f64| (answers > 0).then(|| total / float(answers));
        let server_us = usage.server_cpu_ns.map(|ns| float(ns) / 1e3);
        let writes = usage.device.map(|device| float(device.writes));
        Self {
            load: Some(load.clone()),
            window_s: seconds,
            requests_per_s: per_second(measured.answers),
            records_per_s: per_second(measured.records),
            mb_per_s: per_second(measured.bytes) / 1e6,
            fetched_records_per_s: per_second(measured.fetched_records),
            fetched_mb_per_s: per_second(measured.fetched_bytes) / 1e6,
            response: Latency::of(&measured.response),
            service: Latency::of(&measured.service),
            end_to_end: Latency::of(&measured.end_to_end),
            unsent: measured.unsent,
            unanswered: measured.unanswered,
            refused: measured.refused.clone(),
            server_cpu_us_per_request: server_us.and_then(per_answer),
            device_writes_per_request: writes.and_then(per_answer),
            series: measured.series.clone(),
            usage,
            ..Self::default()
        }
    }

    /// A figure by the name that scenarios use.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        let of = |latency: &Option<Latency>, part: &str| {
            let latency = latency.as_ref()?;
            match part {
                "mean-us" => Some(latency.mean_us),
                "p50-us" => Some(latency.p50_us),
                "p90-us" => Some(latency.p90_us),
                "p99-us" => Some(latency.p99_us),
                "p999-us" => Some(latency.p999_us),
                "p9999-us" => Some(latency.p9999_us),
                "max-us" => Some(latency.max_us),
                _ => None,
            }
        };
        let direct = match name {
            "requests-per-s" => Some(self.requests_per_s),
            "records-per-s" => Some(self.records_per_s),
            "mb-per-s" => Some(self.mb_per_s),
            "fetched-records-per-s" => Some(self.fetched_records_per_s),
            "fetched-mb-per-s" => Some(self.fetched_mb_per_s),
            "server-cpu-us-per-request" => self.server_cpu_us_per_request,
            "server-resident-peak-kib" => self.usage.server_resident_peak_kib.map(float),
            _ => None,
        };
        let of_latency = || match name.split_once('.') {
            Some(("response", part)) => of(&self.response, part),
            Some(("service", part)) => of(&self.service, part),
            Some(("end-to-end", part)) => of(&self.end_to_end, part),
            Some(_) | None => None,
        };
        // What a ruler or a peer's own client states comes first: it has no other.
        self.figures
            .get(name)
            .copied()
            .or(direct.filter(|value| *value > 0.0))
            .or_else(of_latency)
    }

    /// What a reader must know before believing the figures.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.environment.is_debug_build {
            warnings.push("the generator was built without optimisation".to_owned());
        }
        if let Some(foreign) = self.usage.foreign_cpu_percent
            && self.usage.server_cpu_ns.is_some()
            && foreign > FOREIGN_PERCENT_MAX
        {
            warnings.push(format!(
                "other programs used {foreign:.0} % of a CPU: repeat the run"
            ));
        }
        if let Some(steal) = self.usage.steal_percent
            && steal > FOREIGN_PERCENT_MAX
        {
            warnings.push(format!(
                "the host took {steal:.0} % of a CPU: repeat the run"
            ));
        }
        if self.unsent + self.unanswered > 0 {
            warnings.push(format!(
                "{} requests were due and not sent, {} not answered; they count with the time waited so far",
                self.unsent, self.unanswered
            ));
        }
        for (code, count) in &self.refused {
            warnings.push(format!(
                "{count} requests were refused with error code {code}"
            ));
        }
        if let Some(books) = &self.books {
            match books.verdict {
                Verdict::Equal => {}
                Verdict::MoreHeld => warnings.push(format!(
                    "the logs grew by {} records, {} were acknowledged",
                    books.held, books.acknowledged
                )),
                Verdict::Lost => warnings.push(format!(
                    "LOST: {} records were acknowledged, the logs grew by {}",
                    books.acknowledged, books.held
                )),
            }
        }
        warnings
    }

    /// The text for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut say = |line: String| {
            out.push_str(&line);
            out.push('\n');
        };
        if self.requests_per_s > 0.0 {
            say(format!(
                "produced   {:>12.0} requests/s  {:>12.0} records/s  {:>9.1} MB/s",
                self.requests_per_s, self.records_per_s, self.mb_per_s
            ));
        }
        if self.fetched_records_per_s > 0.0 {
            say(format!(
                "consumed   {:>12}             {:>12.0} records/s  {:>9.1} MB/s",
                "", self.fetched_records_per_s, self.fetched_mb_per_s
            ));
        }
        for (name, value) in &self.figures {
            say(format!("{name:<28} {value:.3}"));
        }
        let table = self.latency_table();
        if !table.is_empty() {
            say(table);
        }
        if let Some(us) = self.server_cpu_us_per_request {
            say(format!("server CPU {us:.2} us per request"));
        }
        if let Some(books) = self.books.filter(|books| books.verdict == Verdict::Equal) {
            say(format!(
                "books      {} records acknowledged, the logs hold exactly these",
                books.acknowledged
            ));
        }
        for warning in self.warnings() {
            say(format!("warning: {warning}"));
        }
        out
    }

    fn latency_table(&self) -> String {
        let rows = [
            ("response", &self.response),
            ("service", &self.service),
            ("end to end", &self.end_to_end),
        ];
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "latency, us",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p99.99",
            "max",
            "mean",
            "count",
        ]);
        let mut is_empty = true;
        for (name, latency) in rows {
            let Some(latency) = latency else { continue };
            is_empty = false;
            let mut row = vec![name.to_owned()];
            for value in [
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p999_us,
                latency.p9999_us,
                latency.max_us,
                latency.mean_us,
            ] {
                row.push(format!("{value:.1}"));
            }
            row.push(latency.count.to_string());
            table.add_row(row);
        }
        if is_empty {
            String::new()
        } else {
            table.trim_fmt()
        }
    }
}

/// Seconds as a duration of the engine.
#[must_use]
pub fn seconds(duration_ns: Nanos) -> f64 {
    float(duration_ns) / 1e9
}
