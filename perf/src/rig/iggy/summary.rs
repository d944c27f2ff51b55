//! What `iggy-bench` reports.
//!
//! Owns: [`Summary`], reading of its `report.json`.
//! Never: takes its `max` (of a smoothed series, at times below its own p99.9) nor its throughput (a mean of means).
//! Invariants: a report without the expected actors, requests or time is an error.
//! Source: core/bench/report and core/bench/src/analytics of apache/iggy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::BenchError;
use crate::load::Load;
use crate::process::Usage;
use crate::report::RunReport;
use crate::schedule::float;

#[derive(Deserialize)]
struct Document {
    individual_metrics: Vec<Individual>,
}

#[derive(Deserialize)]
struct Individual {
    summary: Actor,
}

/// One producer or consumer. Times are rounded to 1 ms, latencies to 1 us.
#[derive(Deserialize)]
struct Actor {
    total_time_secs: f64,
    total_user_data_bytes: u64,
    total_messages: u64,
    total_message_batches: u64,
    p50_latency_ms: f64,
    p90_latency_ms: f64,
    p99_latency_ms: f64,
    p999_latency_ms: f64,
    p9999_latency_ms: f64,
    avg_latency_ms: f64,
}

/// All actors of a run together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// Time of the actor that took longest, s.
    pub(super) seconds: f64,
    /// Batches sent, or polls that gave something.
    pub(super) requests: u64,
    /// Sum of the actors' own rates.
    pub(super) requests_per_s: f64,
    records_per_s: f64,
    /// Payloads alone, in units of 10^6.
    mb_per_s: f64,
    /// Mean of the actors' percentiles, us, by the names of our figures.
    latency: BTreeMap<&'static str, f64>,
}

impl Summary {
    pub(super) fn read(text: &str, actors: usize) -> Result<Self, BenchError> {
        let document: Document = serde_json::from_str(text)
            .map_err(|error| BenchError::Garbage(format!("the report of iggy-bench: {error}")))?;
        let found = document.individual_metrics.len();
        if found != actors || actors == 0 {
            return Err(BenchError::Wrong(format!(
                "iggy-bench reports {found} producers or consumers, {actors} were asked for"
            )));
        }
        let mut summary = Self::default();
        for individual in &document.individual_metrics {
            summary.add(&individual.summary, float(actors as u64))?;
        }
        Ok(summary)
    }

    fn add(&mut self, actor: &Actor, actors: f64) -> Result<(), BenchError> {
        let seconds = actor.total_time_secs;
        if seconds <= 0.0 || actor.total_message_batches == 0 {
            return Err(BenchError::Wrong(format!(
                "iggy-bench reports {} requests in {seconds} s: too few to tell a rate",
                actor.total_message_batches
            )));
        }
        self.seconds = self.seconds.max(seconds);
        self.requests += actor.total_message_batches;
        self.requests_per_s += float(actor.total_message_batches) / seconds;
        self.records_per_s += float(actor.total_messages) / seconds;
        self.mb_per_s += float(actor.total_user_data_bytes) / seconds / 1e6;
        for (name, ms) in [
            ("mean-us", actor.avg_latency_ms),
            ("p50-us", actor.p50_latency_ms),
            ("p90-us", actor.p90_latency_ms),
            ("p99-us", actor.p99_latency_ms),
            ("p999-us", actor.p999_latency_ms),
            ("p9999-us", actor.p9999_latency_ms),
        ] {
            *self.latency.entry(name).or_default() += ms * 1e3 / actors;
        }
        Ok(())
    }

    /// As a report, with what the kernel counted between the tool's own first and last request.
    pub(super) fn into_report(self, load: &Load, usage: Usage) -> RunReport {
        let per_request = |total: f64| total / float(self.requests);
        let mut report = RunReport {
            load: Some(load.clone()),
            window_s: self.seconds,
            server_cpu_us_per_request: usage.server_cpu_ns.map(|ns| per_request(float(ns) / 1e3)),
            device_writes_per_request: usage.device.map(|device| per_request(float(device.writes))),
            usage,
            ..RunReport::default()
        };
        let kind = if load.consumers > 0 {
            report.fetched_records_per_s = self.records_per_s;
            report.fetched_mb_per_s = self.mb_per_s;
            "poll"
        } else {
            report.requests_per_s = self.requests_per_s;
            report.records_per_s = self.records_per_s;
            report.mb_per_s = self.mb_per_s;
            "response"
        };
        let named = self.latency.into_iter();
        report.figures = named
            .map(|(name, us)| (format!("{kind}.{name}"), us))
            .collect();
        report
    }
}
