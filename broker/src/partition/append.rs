//! What a batch must obey before it may enter a log.
//!
//! Owns: size, timestamp, key and well-formedness rules, in Kafka's order.
//! Never: appends; asks about producers (the store does).
//! Invariants: a refused batch left no trace.
//! Source: kafka.md 3.2, 3.5.

use api::error::{AppendError, FAULTY_RECORDS_MAX};
use model::batch::{BatchInfo, Compression, KeyRule, Records, deep_check_within};
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

/// A batch from a client and how far it may be looked into.
#[derive(Clone, Copy, Debug)]
pub struct Examined<'a> {
    /// The bytes.
    pub batch: &'a [u8],
    /// What its header says.
    pub info: &'a BatchInfo,
    /// Bytes its records may decompress to.
    pub bytes_max: usize,
}

/// Smallest and largest timestamp of a batch, ms; -1 where there is none.
#[derive(Clone, Copy)]
struct TimeSpan {
    earliest: i64,
    latest: i64,
}

/// Timestamps that a topic takes now, ms. -1 means "no timestamp" and is legal (kafka.md 3.5).
#[derive(Clone, Copy)]
struct TimeRange {
    first: i64,
    last: i64,
}

impl TimeRange {
    const fn has(self, timestamp: i64) -> bool {
        timestamp < 0 || (self.first <= timestamp && timestamp <= self.last)
    }
}

impl AppendRules {
    /// Judges one batch from a client; gives the largest timestamp of its records if they were walked, which
    /// its header may have wrong.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of kafka.md 3.2.
    pub fn check(
        &self,
        examined: Examined<'_>,
        wall: Timestamp,
    ) -> Result<Option<i64>, AppendError> {
        let info = examined.info;
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
        let span = self.check_records(examined)?;
        if let TimeRule::CreateTime {
            before_max_ms,
            after_max_ms,
        } = self.time
        {
            let now = wall.as_millis();
            let range = TimeRange {
                first: now.saturating_sub(before_max_ms),
                last: now.saturating_add(after_max_ms),
            };
            self.check_time(examined, span, range)?;
        }
        Ok(self.is_walked(info).then_some(span.latest))
    }

    fn is_walked(&self, info: &BatchInfo) -> bool {
        info.compression == Compression::None
            || self.depth == Depth::All
            || self.keys == KeyRule::Required
    }

    fn check_records(&self, examined: Examined<'_>) -> Result<TimeSpan, AppendError> {
        let Examined {
            batch,
            info,
            bytes_max,
        } = examined;
        if !self.is_walked(info) {
            return Ok(TimeSpan {
                earliest: info.base_timestamp,
                latest: info.max_timestamp,
            });
        }
        let found = deep_check_within(batch, info, self.keys, bytes_max)?;
        if !found.has_required_keys() {
            let mut keyless = found.keyless;
            keyless.truncate(FAULTY_RECORDS_MAX);
            return Err(AppendError::KeylessRecords(keyless));
        }
        Ok(TimeSpan {
            earliest: found.min_timestamp,
            latest: found.max_timestamp,
        })
    }

    fn check_time(
        &self,
        examined: Examined<'_>,
        span: TimeSpan,
        range: TimeRange,
    ) -> Result<(), AppendError> {
        let ends = [span.earliest, span.latest];
        let Some(timestamp) = ends.into_iter().find(|end| !range.has(*end)) else {
            return Ok(());
        };
        let records = if self.is_walked(examined.info) {
            records_outside(examined, range)?
        } else {
            Vec::new()
        };
        Err(AppendError::InvalidTimestamp { timestamp, records })
    }
}

/// Indexes of the records whose timestamps the topic does not take.
fn records_outside(examined: Examined<'_>, range: TimeRange) -> Result<Vec<u32>, AppendError> {
    let Examined {
        batch,
        info,
        bytes_max,
    } = examined;
    let mut scratch = Vec::new();
    let records = Records::open_within(batch, info, &mut scratch, bytes_max)?;
    let outside = (0_u32..).zip(records).filter_map(|(index, record)| {
        let timestamp = record.ok()?.timestamp(info);
        (!range.has(timestamp)).then_some(index)
    });
    Ok(outside.take(FAULTY_RECORDS_MAX).collect())
}

#[cfg(test)]
mod tests;
