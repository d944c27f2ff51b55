//! `DeleteRecords` (21): moves the log start up.
//!
//! Owns: -1 as the high watermark.
//! Never: knows offsets.
//! Invariants: one result per partition, in order.
//! Source: kafka.md 4.12; KIP-107.

use api::command::DeleteRecords;
use api::{Command, Reply, SessionError};
use model::offset::Offset;

use super::values;
use crate::codec::message::delete_records_request::DeleteRecordsPartition;
use crate::codec::message::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use crate::codec::message::{DeleteRecordsRequest, DeleteRecordsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Step};

type Outcome = Result<Offset, Code>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DeleteRecordsRequest = call.decode(request)?;
    let mut fan = FanOut::new();
    let mut shape: Vec<(StrBytes, Vec<i32>)> = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        for partition in &topic.partitions {
            match plan(&topic.name, partition) {
                Ok(deletion) => fan.ask(call, Command::DeleteRecords(deletion)),
                Err(code) => fan.known(Err(code)),
            }
        }
        let indexes = topic
            .partitions
            .iter()
            .map(|partition| partition.partition_index);
        shape.push((topic.name.clone(), indexes.collect()));
    }
    fan.finish(call, take, move |call, outcomes| {
        let mut outcomes = outcomes.into_iter();
        let topics = shape.into_iter().map(|(name, indexes)| {
            let entries = indexes.into_iter().zip(outcomes.by_ref());
            build!(DeleteRecordsTopicResult {
                name,
                partitions: entries
                    .map(|(index, outcome)| entry(index, outcome))
                    .collect(),
            })
        });
        let topics = topics.collect();
        call.respond(&build!(DeleteRecordsResponse { topics }))
    })
}

fn plan(topic: &StrBytes, partition: &DeleteRecordsPartition) -> Result<DeleteRecords, Code> {
    let before = match partition.offset {
        -1 => None,
        offset => Some(Offset::from_wire(offset).ok_or(Code::OffsetOutOfRange)?),
    };
    Ok(DeleteRecords {
        topic: values::by_name(topic),
        partition: values::partition(partition.partition_index)
            .ok_or(Code::UnknownTopicOrPartition)?,
        before,
    })
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::RecordsDeleted(result) = reply else {
        return None;
    };
    Some(result.map_err(|error| error_map::delete_records(&error)))
}

fn entry(index: i32, outcome: Outcome) -> DeleteRecordsPartitionResult {
    let (low_watermark, code) = match outcome {
        Ok(log_start) => (log_start.to_wire(), Code::None),
        Err(code) => (-1, code),
    };
    build!(DeleteRecordsPartitionResult {
        partition_index: index,
        low_watermark,
        error_code: code.to_wire(),
    })
}
