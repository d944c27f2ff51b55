//! The description of a load, as a scenario file or a command line gives it.
//!
//! Owns: [`Load`] and its bounds.
//! Never: connects to anything.
//! Invariants: a `Load` that passed `check` can be carried out by the engine.
//! Source: performance.md section 5.

use std::collections::BTreeMap;
use std::time::Duration;

use model::batch::Compression;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::schedule::Spacing;

/// Connections of one run; each holds a receive buffer.
const CONNECTIONS_MAX: usize = 60_000;
/// Requests in flight on one connection.
const DEPTH_MAX: usize = 65_536;
/// Bytes of the records of one request.
const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Bytes of a record that carries its send time.
pub(crate) const STAMP_BYTES: usize = 8;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the codecs'")]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// One run's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Load {
    /// Topic; made by the run if it does not exist.
    pub topic: String,
    /// Its partitions.
    pub partitions: u32,
    /// Its configuration.
    pub topic_config: BTreeMap<String, String>,
    /// Connections that produce.
    pub connections: usize,
    /// Requests in flight per connection, at most.
    pub depth: usize,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Records of a request; one batch for one partition.
    pub batch_records: u32,
    /// Codec of the batches.
    pub compression: Codec,
    /// -1 all, 1 leader, 0 none.
    pub acks: i16,
    /// Requests per second of all connections together; zero is a closed loop.
    pub rate: f64,
    /// Gaps between requests of an open loop.
    pub spacing: Spacing,
    /// Connections that consume, per copy of the stream.
    pub consumers: usize,
    /// Copies of the stream that are consumed.
    pub fan_out: usize,
    /// Consumers read what is there instead of waiting for new records; nothing is produced.
    pub catch_up: bool,
    /// Bytes of one fetch answer, at most.
    pub fetch_bytes: usize,
    /// How long the broker may hold a fetch.
    pub fetch_wait_ms: u32,
    /// Consumers check every batch's CRC.
    pub verify: bool,
    /// Connections that are opened and then stay silent.
    pub idle: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// CPU of the first thread; the next ones follow. Not pinned if absent.
    pub cpu: Option<usize>,
    /// Poll without sleeping.
    pub spin: bool,
    /// Time before the window.
    pub warmup_ms: u64,
    /// Length of the window.
    pub duration_ms: u64,
    /// Seed of contents and random gaps.
    pub seed: u64,
    /// The other side is a ruler: no topic is made or looked up.
    pub ruler: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            topic: "bench".to_owned(),
            partitions: 1,
            topic_config: BTreeMap::new(),
            connections: 1,
            depth: 1,
            record_bytes: 1024,
            batch_records: 1,
            compression: Codec::None,
            acks: -1,
            rate: 0.0,
            spacing: Spacing::Even,
            consumers: 0,
            fan_out: 1,
            catch_up: false,
            fetch_bytes: 1 << 20,
            fetch_wait_ms: 500,
            verify: false,
            idle: 0,
            threads: 1,
            cpu: None,
            spin: false,
            warmup_ms: 1_000,
            duration_ms: 10_000,
            seed: 1,
            ruler: false,
        }
    }
}

impl Load {
    /// Whether the engine can carry it out.
    ///
    /// # Errors
    /// [`BenchError::Usage`] with the bound that is broken.
    pub fn check(&self) -> Result<(), BenchError> {
        let peers = self.connections + self.consumers.saturating_mul(self.fan_out) + self.idle;
        let request = self
            .record_bytes
            .saturating_mul(self.batch_records as usize);
        let broken = [
            (
                self.topic.is_empty() || self.topic.len() > 249,
                "the topic's name has 1 to 249 bytes",
            ),
            (
                self.partitions == 0 || self.partitions > 100_000,
                "partitions: 1 to 100000",
            ),
            (
                peers == 0 || peers > CONNECTIONS_MAX,
                "connections, consumers and idle ones: 1 to 60000",
            ),
            (
                self.connections + self.consumers == 0,
                "nothing produces or consumes",
            ),
            (
                self.depth == 0 || self.depth > DEPTH_MAX,
                "depth: 1 to 65536",
            ),
            (
                self.batch_records == 0 || request > REQUEST_BYTES_MAX,
                "a request carries 1 record to 64 MiB",
            ),
            (
                self.stamped() && self.record_bytes < STAMP_BYTES,
                "end to end needs records of 8 bytes or more",
            ),
            (!matches!(self.acks, -1..=1), "acks: -1, 0 or 1"),
            (
                !self.rate.is_finite() || self.rate < 0.0,
                "the rate is not negative",
            ),
            (self.threads == 0 || self.threads > 256, "threads: 1 to 256"),
            (
                self.duration_ms == 0 || self.duration_ms > 86_400_000,
                "duration: up to a day",
            ),
            (self.warmup_ms > 3_600_000, "warm-up: up to an hour"),
            (
                self.fan_out == 0 || self.fan_out > 1_000,
                "fan-out: 1 to 1000",
            ),
            (
                self.fetch_bytes < 1 << 10 || self.fetch_bytes > 64 << 20,
                "fetch bytes: 1 KiB to 64 MiB",
            ),
            (
                self.catch_up && self.connections > 0,
                "catching up, nothing is produced",
            ),
        ];
        match broken.iter().find(|(is_broken, _)| *is_broken) {
            Some((_, what)) => Err(BenchError::Usage((*what).to_owned())),
            None => Ok(()),
        }
    }

    /// Whether records carry their intended send time for consumers of the same run.
    #[must_use]
    pub const fn stamped(&self) -> bool {
        self.consumers > 0 && self.connections > 0
    }

    /// Whether the schedule, not the answers, decides when to send.
    #[must_use]
    pub fn is_open_loop(&self) -> bool {
        self.rate > 0.0
    }

    /// Time before the window.
    #[must_use]
    pub const fn warmup(&self) -> Duration {
        Duration::from_millis(self.warmup_ms)
    }

    /// Length of the window.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }
}
