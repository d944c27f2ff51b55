//! Offsets by time, ends of epochs, and how far records may be deleted.
//!
//! Owns: the rules of ListOffsets, OffsetForLeaderEpoch and DeleteRecords for one partition.
//! Never: parks.
//! Invariants: no answer names an offset above the high watermark, except the end of the present epoch.
//! Source: kafka.md 4.5, 4.7, 4.12.

use api::command::{EpochEnd, ListOffset, OffsetQuery};
use api::error::ReadError;
use api::reply::{DeleteRecordsError, ListedOffset};
use model::offset::{LeaderEpoch, Offset};
use model::time::Now;
use storage::log::LogBounds;
use storage::{Store, TimeLookup};

use super::Partition;
use super::fetch::LOG_GONE;

/// No record qualifies.
const NOTHING: ListedOffset = ListedOffset {
    offset: None,
    timestamp: None,
    leader_epoch: None,
};

/// Whether records may have to be read for it.
#[must_use]
pub const fn is_search(query: OffsetQuery) -> bool {
    match query {
        OffsetQuery::MaxTimestamp | OffsetQuery::AtTimestamp(_) => true,
        OffsetQuery::Latest | OffsetQuery::Earliest => false,
    }
}

/// How far a lookup is.
#[derive(Debug)]
pub enum LookupStep {
    /// Answered.
    Done(Result<ListedOffset, ReadError>),
    /// The device is read.
    Wait,
    /// It used up its turn.
    Again,
}

/// Looks an offset up.
pub fn try_lookup(
    partition: &Partition,
    store: &mut Store,
    now: Now,
    query: &ListOffset,
) -> LookupStep {
    let bounds = match check(partition, store, query.leader_epoch) {
        Ok(bounds) => bounds,
        Err(error) => return LookupStep::Done(Err(error)),
    };
    let upto = bounds.high_watermark;
    let found = match query.query {
        OffsetQuery::Latest => {
            return LookupStep::Done(Ok(at(upto, Some(bounds.leader_epoch))));
        }
        OffsetQuery::Earliest => {
            let epoch = store.epoch_at(partition.log, bounds.log_start);
            return LookupStep::Done(Ok(at(bounds.log_start, epoch)));
        }
        OffsetQuery::MaxTimestamp => store.find_max_timestamp(now, partition.log, upto),
        OffsetQuery::AtTimestamp(timestamp) => {
            store.find_timestamp(now, partition.log, timestamp, upto)
        }
    };
    LookupStep::Done(match found {
        TimeLookup::Found(offset, timestamp) => Ok(ListedOffset {
            offset: Some(offset),
            timestamp: Some(timestamp),
            leader_epoch: store.epoch_at(partition.log, offset),
        }),
        TimeLookup::NotFound => Ok(NOTHING),
        TimeLookup::Damaged(offset) => Err(ReadError::Damaged { offset }),
        TimeLookup::Pending => return LookupStep::Wait,
        TimeLookup::Yielded => return LookupStep::Again,
    })
}

/// The largest known epoch not above the one asked for, and its end.
///
/// # Errors
/// The epoch fence of the request.
pub fn epoch_end(
    partition: &Partition,
    store: &Store,
    query: &EpochEnd,
) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
    let bounds = check(partition, store, query.current_epoch)?;
    if query.epoch == partition.leader_epoch {
        return Ok(Some((query.epoch, bounds.log_end)));
    }
    Ok(store.epoch_end(partition.log, query.epoch))
}

/// Up to where records are to be deleted.
///
/// # Errors
/// `Policy` without the delete policy; `OutOfRange` above the high watermark.
pub fn deletion_target(
    partition: &Partition,
    store: &Store,
    before: Option<Offset>,
) -> Result<(Offset, LogBounds), DeleteRecordsError> {
    let bounds = store
        .bounds(partition.log)
        .ok_or(ReadError::Partition(LOG_GONE))?;
    if !partition.is_delete_policy {
        return Err(DeleteRecordsError::Policy);
    }
    let before = before.unwrap_or(bounds.high_watermark);
    if before > bounds.high_watermark {
        return Err(DeleteRecordsError::Read(ReadError::OutOfRange {
            offset: before,
            log_start: bounds.log_start,
            log_end: bounds.high_watermark,
        }));
    }
    Ok((before, bounds))
}

fn check(
    partition: &Partition,
    store: &Store,
    epoch: Option<LeaderEpoch>,
) -> Result<LogBounds, ReadError> {
    partition.check_epoch(epoch)?;
    Ok(store.bounds(partition.log).ok_or(LOG_GONE)?)
}

fn at(offset: Offset, leader_epoch: Option<LeaderEpoch>) -> ListedOffset {
    ListedOffset {
        offset: Some(offset),
        timestamp: None,
        leader_epoch,
    }
}
