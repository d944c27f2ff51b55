//! `ListOffsets` (2): positions by special value or by time.
//!
//! Owns: which special timestamps a version may use.
//! Never: answers the log end for a time after the last record (kafka.md 4.7).
//! Invariants: a partition listed twice is refused every time it is listed.
//! Source: kafka.md 4.7; KIP-79, KIP-734 (7), KIP-405 (8), KIP-1005 (9), KIP-1023 (11).

use std::collections::BTreeMap;

use api::command::{Isolation, ListOffset, OffsetQuery};
use api::reply::ListedOffset;
use api::{Command, Reply, SessionError};
use model::offset::LeaderEpoch;

use super::values;
use crate::codec::message::list_offsets_request::ListOffsetsPartition;
use crate::codec::message::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::codec::message::{ListOffsetsRequest, ListOffsetsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Response, Step};

/// First version that returns epochs.
const FIRST_WITH_EPOCH: i16 = 4;

/// What the answer of a partition shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    // The offset alone; special values have no timestamp.
    Offset,
    // Offset and timestamp of a record.
    Record,
    // That there is none: nothing is tiered.  The partition is asked all the same, for its errors.
    Nothing,
}

/// One partition of the response to be.
struct Place {
    index: i32,
    show: Show,
}

type Outcome = Result<ListedOffset, Code>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: ListOffsetsRequest = call.decode(request)?;
    let isolation = match body.isolation_level {
        0 => Isolation::ReadUncommitted,
        1 => Isolation::ReadCommitted,
        other => {
            let message = format!("isolation level {other} has no meaning");
            return Err(SessionError::Protocol(message));
        }
    };
    let listed = count(&body);
    let mut fan = FanOut::new();
    let mut shape: Vec<(StrBytes, Vec<Place>)> = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let mut places = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let times = listed.get(&(topic.name.as_str(), partition.partition_index));
            let query = if times.is_some_and(|times| *times > 1) {
                Err(Code::InvalidRequest)
            } else {
                query(partition.timestamp, call.version())
            };
            places.push(Place {
                index: partition.partition_index,
                show: query.map_or(Show::Nothing, |(_, show)| show),
            });
            let lookup =
                query.and_then(|(query, _)| lookup(&topic.name, partition, isolation, query));
            match lookup {
                Ok(lookup) => fan.ask(call, Command::ListOffset(lookup)),
                Err(code) => fan.known(Err(code)),
            }
        }
        shape.push((topic.name.clone(), places));
    }
    fan.finish(call, take, move |call, outcomes| {
        respond(call, shape, outcomes.into_vec())
    })
}

fn count(body: &ListOffsetsRequest) -> BTreeMap<(&str, i32), u32> {
    let mut listed = BTreeMap::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            *listed
                .entry((topic.name.as_str(), partition.partition_index))
                .or_insert(0) += 1;
        }
    }
    listed
}

fn query(timestamp: i64, version: i16) -> Result<(OffsetQuery, Show), Code> {
    let (first, query, show) = match timestamp {
        -1 => (0, OffsetQuery::Latest, Show::Offset),
        -2 => (0, OffsetQuery::Earliest, Show::Offset),
        -3 => (7, OffsetQuery::MaxTimestamp, Show::Record),
        -4 => (8, OffsetQuery::Earliest, Show::Offset),
        -5 => (9, OffsetQuery::Earliest, Show::Nothing),
        -6 => (11, OffsetQuery::Earliest, Show::Nothing),
        at if at >= 0 => (1, OffsetQuery::AtTimestamp(at), Show::Record),
        _ => return Err(Code::UnsupportedVersion),
    };
    if version < first {
        Err(Code::UnsupportedVersion)
    } else {
        Ok((query, show))
    }
}

fn lookup(
    topic: &StrBytes,
    partition: &ListOffsetsPartition,
    isolation: Isolation,
    query: OffsetQuery,
) -> Result<ListOffset, Code> {
    Ok(ListOffset {
        topic: values::by_name(topic),
        partition: values::partition(partition.partition_index)
            .ok_or(Code::UnknownTopicOrPartition)?,
        leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
        isolation,
        query,
    })
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::Offset(result) = reply else {
        return None;
    };
    Some(result.map_err(|error| error_map::read(&error)))
}

fn respond(
    call: &mut Call<'_>,
    shape: Vec<(StrBytes, Vec<Place>)>,
    outcomes: Vec<Outcome>,
) -> Result<Response, SessionError> {
    let version = call.version();
    let mut outcomes = outcomes.into_iter();
    let topics = shape.into_iter().map(|(name, places)| {
        let entries = places.iter().zip(outcomes.by_ref());
        build!(ListOffsetsTopicResponse {
            name,
            partitions: entries
                .map(|(place, outcome)| entry(place, outcome, version))
                .collect(),
        })
    });
    let topics = topics.collect();
    call.respond(&build!(ListOffsetsResponse { topics }))
}

fn entry(place: &Place, outcome: Outcome, version: i16) -> ListOffsetsPartitionResponse {
    let mut entry = build!(ListOffsetsPartitionResponse {
        partition_index: place.index,
        timestamp: -1,
        offset: -1,
    });
    let listed = match outcome {
        Ok(listed) => listed,
        Err(code) => {
            entry.error_code = code.to_wire();
            return entry;
        }
    };
    if place.show == Show::Nothing {
        return entry;
    }
    entry.offset = values::wire_offset(listed.offset);
    if place.show == Show::Record && listed.offset.is_some() {
        entry.timestamp = listed.timestamp.unwrap_or(-1);
    }
    if version >= FIRST_WITH_EPOCH && listed.offset.is_some() {
        entry.leader_epoch = values::wire_epoch(listed.leader_epoch);
    }
    entry
}
