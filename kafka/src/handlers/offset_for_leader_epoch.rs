//! `OffsetForLeaderEpoch` (23): where a leader epoch ended.
//!
//! Owns: -1 for an epoch that is not known.
//! Never: knows epochs.
//! Invariants: one result per partition, in order.
//! Source: kafka.md 4.5; KIP-101, KIP-279, KIP-320 (2).

use api::command::EpochEnd;
use api::{Command, Reply, SessionError};
use model::offset::{LeaderEpoch, Offset};

use super::values;
use crate::codec::message::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use crate::codec::message::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use crate::codec::message::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Step};

type Outcome = Result<Option<(LeaderEpoch, Offset)>, Code>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: OffsetForLeaderEpochRequest = call.decode(request)?;
    let mut fan = FanOut::new();
    let mut shape: Vec<(StrBytes, Vec<i32>)> = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        for partition in &topic.partitions {
            match plan(&topic.topic, partition) {
                Ok(Some(lookup)) => fan.ask(call, Command::EpochEnd(lookup)),
                Ok(None) => fan.known(Ok(None)),
                Err(code) => fan.known(Err(code)),
            }
        }
        let indexes = topic.partitions.iter().map(|partition| partition.partition);
        shape.push((topic.topic.clone(), indexes.collect()));
    }
    fan.finish(call, take, move |call, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let topics = shape.into_iter().map(|(name, indexes)| {
            let entries = indexes.into_iter().zip(outcomes.by_ref());
            build!(OffsetForLeaderTopicResult {
                topic: name,
                partitions: entries
                    .map(|(index, outcome)| entry(index, outcome))
                    .collect(),
            })
        });
        let topics = topics.collect();
        call.respond(&build!(OffsetForLeaderEpochResponse { topics }))
    })
}

// `None` if a negative epoch is asked about, of which nothing is known.
fn plan(topic: &StrBytes, partition: &OffsetForLeaderPartition) -> Result<Option<EpochEnd>, Code> {
    let index = values::partition(partition.partition).ok_or(Code::UnknownTopicOrPartition)?;
    let Some(epoch) = LeaderEpoch::from_wire(partition.leader_epoch) else {
        return Ok(None);
    };
    Ok(Some(EpochEnd {
        topic: values::by_name(topic),
        partition: index,
        current_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
        epoch,
    }))
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::EpochEnd(result) = reply else {
        return None;
    };
    Some(result.map_err(|error| error_map::read(&error)))
}

fn entry(index: i32, outcome: Outcome) -> EpochEndOffset {
    let (code, found) = match outcome {
        Ok(found) => (Code::None, found),
        Err(code) => (code, None),
    };
    build!(EpochEndOffset {
        error_code: code.to_wire(),
        partition: index,
        leader_epoch: values::wire_epoch(found.map(|(epoch, _)| epoch)),
        end_offset: values::wire_offset(found.map(|(_, end)| end)),
    })
}
