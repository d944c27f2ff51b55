//! What a reader may see.
//!
//! Owns: fencing, divergence, range and visibility of a fetch.
//! Never: parks; says what the fetch would have to wait for.
//! Invariants: nothing at or above the high watermark leaves.
//! Source: kafka.md 3.3 (read rules), 4.4, 4.5; KIP-320.

use api::command::Fetch;
use api::error::{PartitionError, ReadError};
use api::reply::{Fetched, Records};
use model::limits;
use model::time::Now;
use storage::log::LogBounds;
use storage::store::ReadBudget;
use storage::{ReadOutcome, Store};

use super::{FetchNeed, Partition};

/// How far one try of a fetch got.
#[derive(Debug)]
pub enum FetchStep {
    /// Answer it.
    Done(Result<Fetched, ReadError>),
    /// Nothing to return yet; the bounds are for an empty answer.
    Wait(FetchNeed, LogBounds),
}

/// Why a partition without a log in the store cannot be served.
pub(super) const LOG_GONE: PartitionError = PartitionError::NotLeader;

/// Tries a fetch once.
pub fn try_fetch(partition: &Partition, store: &mut Store, now: Now, fetch: &Fetch) -> FetchStep {
    let bounds = match check(partition, store, fetch) {
        Ok(Visible::Upto(bounds)) => bounds,
        Ok(Visible::Nothing(fetched)) => return FetchStep::Done(Ok(fetched)),
        Err(error) => return FetchStep::Done(Err(error)),
    };
    let upto = bounds.high_watermark;
    if fetch.offset >= upto {
        return FetchStep::Wait(FetchNeed::Data, bounds);
    }
    let budget = ReadBudget {
        bytes_max: fetch.bytes_max.min(limits::FETCH_BYTES_MAX) as usize,
        at_least_one: fetch.at_least_one,
    };
    match store.read(now, partition.log, fetch.offset, upto, budget) {
        ReadOutcome::Ready { records, bytes } => FetchStep::Done(Ok(Fetched {
            records,
            bytes,
            ..empty(&bounds)
        })),
        ReadOutcome::Pending => FetchStep::Wait(FetchNeed::Device, bounds),
        ReadOutcome::Damaged(offset) => FetchStep::Done(Err(ReadError::Damaged { offset })),
    }
}

/// An answer without records.
#[must_use]
pub fn empty(bounds: &LogBounds) -> Fetched {
    Fetched {
        records: Records::new(),
        bytes: 0,
        high_watermark: bounds.high_watermark,
        // There are no transactions, so nothing is unstable below the high watermark.
        last_stable: bounds.high_watermark,
        log_start: bounds.log_start,
        diverging: None,
    }
}

enum Visible {
    Upto(LogBounds),
    Nothing(Fetched),
}

fn check(partition: &Partition, store: &Store, fetch: &Fetch) -> Result<Visible, ReadError> {
    partition.check_epoch(fetch.leader_epoch)?;
    let bounds = store.bounds(partition.log).ok_or(LOG_GONE)?;
    let out_of_range = ReadError::OutOfRange {
        offset: fetch.offset,
        log_start: bounds.log_start,
        log_end: bounds.log_end,
    };
    // Divergence comes before range: a reader ahead of a shorter log must be told where to cut.
    if let Some(epoch) = fetch.last_fetched_epoch {
        let (known, end) = store
            .epoch_end(partition.log, epoch)
            .ok_or(out_of_range.clone())?;
        if known < epoch || end < fetch.offset {
            return Ok(Visible::Nothing(Fetched {
                diverging: Some((known, end)),
                ..empty(&bounds)
            }));
        }
    }
    if fetch.offset < bounds.log_start || fetch.offset > bounds.log_end {
        return Err(out_of_range);
    }
    Ok(Visible::Upto(bounds))
}
