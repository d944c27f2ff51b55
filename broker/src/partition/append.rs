//! What a batch must obey before it may enter a log.
//!
//! Owns: size, timestamp, key and well-formedness rules, in Kafka's order.
//! Never: appends; asks about producers (the store does).
//! Invariants: a refused batch left no trace.
//! Source: kafka.md 3.2, 3.5.

use api::error::AppendError;
use model::batch::{BatchInfo, Compression, KeyRule, deep_check};
use model::time::Timestamp;

/// Which timestamps a topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeRule {
    /// `message.timestamp.type=CreateTime`: the producer's, within these distances from now, ms.
    CreateTime {
        /// `message.timestamp.before.max.ms`.
        before_max_ms: i64,
        /// `message.timestamp.after.max.ms`.
        after_max_ms: i64,
    },
    /// `message.timestamp.type=LogAppendTime`: the broker stamps its own.
    LogAppendTime,
}

/// Which batches have their records walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Uncompressed ones, where it is cheap, and all of a compacted topic.
    Uncompressed,
    /// Compressed ones as well.
    All,
}

/// What an append to one partition must obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// `max.message.bytes`.
    pub batch_bytes_max: u32,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// Timestamps.
    pub time: TimeRule,
    /// Whether records need keys, as compaction demands.
    pub keys: KeyRule,
    /// How deep batches are checked.
    pub depth: Depth,
}

/// Smallest and largest timestamp of a batch, ms; -1 where there is none.
#[derive(Clone, Copy)]
struct TimeSpan {
    earliest: i64,
    latest: i64,
}

impl AppendRules {
    /// Judges one batch from a client.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of kafka.md 3.2.
    pub fn check(
        &self,
        batch: &[u8],
        info: &BatchInfo,
        wall: Timestamp,
    ) -> Result<(), AppendError> {
        if info.bytes > self.batch_bytes_max {
            let limit = self.batch_bytes_max;
            return Err(AppendError::TooLarge {
                bytes: info.bytes,
                limit,
            });
        }
        if u64::from(info.bytes) > self.segment_bytes {
            return Err(AppendError::LargerThanSegment { bytes: info.bytes });
        }
        if info.is_control {
            let what = "clients may not write control batches".to_owned();
            return Err(AppendError::InvalidRecord(what));
        }
        if info.is_transactional {
            return Err(AppendError::NoTransaction);
        }
        let span = self.check_records(batch, info)?;
        self.check_time(span, wall)
    }

    fn is_walked(&self, info: &BatchInfo) -> bool {
        info.compression == Compression::None
            || self.depth == Depth::All
            || self.keys == KeyRule::Required
    }

    fn check_records(&self, batch: &[u8], info: &BatchInfo) -> Result<TimeSpan, AppendError> {
        if !self.is_walked(info) {
            return Ok(TimeSpan {
                earliest: info.base_timestamp,
                latest: info.max_timestamp,
            });
        }
        let found = deep_check(batch, info, self.keys)?;
        if !found.has_required_keys() {
            let what = format!(
                "the topic is compacted and {} records have no key, the first at index {}",
                found.keyless.len(),
                found.keyless.first().copied().unwrap_or(0),
            );
            return Err(AppendError::InvalidRecord(what));
        }
        Ok(TimeSpan {
            earliest: found.min_timestamp,
            latest: found.max_timestamp,
        })
    }

    fn check_time(&self, span: TimeSpan, wall: Timestamp) -> Result<(), AppendError> {
        let TimeRule::CreateTime {
            before_max_ms,
            after_max_ms,
        } = self.time
        else {
            return Ok(());
        };
        let now = wall.as_millis();
        // -1 means "no timestamp" and is legal (kafka.md 3.5).
        if span.earliest >= 0 && now.saturating_sub(span.earliest) > before_max_ms {
            return Err(AppendError::InvalidTimestamp(span.earliest));
        }
        if span.latest >= 0 && span.latest.saturating_sub(now) > after_max_ms {
            return Err(AppendError::InvalidTimestamp(span.latest));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
