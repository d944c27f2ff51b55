//! What one thread of the generator measures.
//!
//! Owns: [`Measured`]: histograms, counters, acknowledgements over time.
//! Never: drops a slow request: what was due and not answered counts with the time it has waited so far.
//! Invariants: only requests whose intended time lies in the window enter the histograms.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::clock::Nanos;

/// Longest latency that is told apart: an hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;
/// Width of one slot of the time series.
pub const SLOT_NS: Nanos = 100_000_000;
/// Slots kept: a day would be too many, an hour is enough for a plot.
const SLOTS_MAX: usize = 36_000;

/// The part of a run that counts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First moment.
    pub start: Nanos,
    /// Moment after the last.
    pub end: Nanos,
}

impl Window {
    /// Whether `at` counts.
    #[must_use]
    pub fn holds(&self, at: Nanos) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// Totals of one thread, or of all after merging.
#[derive(Clone, Debug)]
pub struct Measured {
    /// From the intended send time to the answer, ns.
    pub response: Histogram<u64>,
    /// From the moment the request was handed to the socket to the answer, ns.
    pub service: Histogram<u64>,
    /// From the intended send time of a record to its arrival at a consumer, ns.
    pub end_to_end: Histogram<u64>,
    /// Answers without error that arrived in the window.
    pub answers: u64,
    /// Records of those.
    pub records: u64,
    /// Bytes of record batches of those.
    pub bytes: u64,
    /// Fetch answers that arrived in the window.
    pub fetches: u64,
    /// Records that consumers received in the window.
    pub fetched_records: u64,
    /// Bytes of record batches that consumers received in the window.
    pub fetched_bytes: u64,
    /// Requests sent over the whole run.
    pub sent_all: u64,
    /// Records acknowledged over the whole run, warm-up and tail included.
    pub acknowledged_all: u64,
    /// Records received by consumers over the whole run.
    pub fetched_all: u64,
    /// Requests that were due in the window and could not be sent before it ended.
    pub unsent: u64,
    /// Requests of the window that were sent and never answered.
    pub unanswered: u64,
    /// Refusals by error code.
    pub refused: BTreeMap<i16, u64>,
    /// Answers per slot of [`SLOT_NS`] since the window began.
    pub series: Vec<u64>,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            response: empty(),
            service: empty(),
            end_to_end: empty(),
            answers: 0,
            records: 0,
            bytes: 0,
            fetches: 0,
            fetched_records: 0,
            fetched_bytes: 0,
            sent_all: 0,
            acknowledged_all: 0,
            fetched_all: 0,
            unsent: 0,
            unanswered: 0,
            refused: BTreeMap::new(),
            series: Vec::new(),
        }
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants and valid")]
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("valid bounds")
}

impl Measured {
    /// A request of the window was answered.
    pub fn answered(&mut self, window: Window, request: Timing, answered: Nanos) {
        if window.holds(request.intended) {
            self.response
                .saturating_record(answered.saturating_sub(request.intended).max(1));
            self.service
                .saturating_record(answered.saturating_sub(request.sent).max(1));
        }
    }

    /// Counts what an answer that arrived at `at` acknowledged.
    pub fn acknowledged(&mut self, window: Window, at: Nanos, batch: BatchSize) {
        self.acknowledged_all += batch.records;
        if !window.holds(at) {
            return;
        }
        self.answers += 1;
        self.records += batch.records;
        self.bytes += batch.bytes;
        let slot = usize::try_from((at - window.start) / SLOT_NS).unwrap_or(SLOTS_MAX);
        if slot < SLOTS_MAX {
            if self.series.len() <= slot {
                self.series.resize(slot + 1, 0);
            }
            if let Some(count) = self.series.get_mut(slot) {
                *count += 1;
            }
        }
    }

    /// A request of the window that was not answered when the run ended: it took at least this long.
    pub fn outstanding(&mut self, window: Window, intended: Nanos, now: Nanos) {
        if window.holds(intended) {
            self.response
                .saturating_record(now.saturating_sub(intended).max(1));
        }
    }

    /// Adds what another thread measured.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.end_to_end, &other.end_to_end),
        ] {
            let added = ours.add(theirs);
            debug_assert_eq!(added, Ok(()), "both have the same bounds");
        }
        self.answers += other.answers;
        self.records += other.records;
        self.bytes += other.bytes;
        self.fetches += other.fetches;
        self.fetched_records += other.fetched_records;
        self.fetched_bytes += other.fetched_bytes;
        self.sent_all += other.sent_all;
        self.acknowledged_all += other.acknowledged_all;
        self.fetched_all += other.fetched_all;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_default() += count;
        }
        if self.series.len() < other.series.len() {
            self.series.resize(other.series.len(), 0);
        }
        for (ours, theirs) in self.series.iter_mut().zip(&other.series) {
            *ours += theirs;
        }
    }
}

/// When a request was meant to go and when it went.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The schedule's time; the sending time in a closed loop.
    pub intended: Nanos,
    /// Handed to the socket.
    pub sent: Nanos,
}

/// What one request carries.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    /// Records.
    pub records: u64,
    /// Bytes of the record batch.
    pub bytes: u64,
}
