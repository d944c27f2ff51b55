//! `SyncGroup` (14).
//!
//! Owns: nothing but the translation.
//! Never: interprets assignment bytes.
//! Invariants: what is kept by the group has its own memory, not the receive buffer's.
//! Source: kafka.md 4.8; KIP-345 (3), KIP-559 (5).

use api::error::GroupError;
use api::group::{MemberKey, Sync, Synced};
use api::{Command, Reply, SessionError};
use bytes::Bytes;

use super::values;
use crate::codec::message::{SyncGroupRequest, SyncGroupResponse};
use crate::codec::{StrBytes, build};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: SyncGroupRequest = call.decode(request)?;
    if body.group_id.is_empty() {
        return respond(call, Err(GroupError::InvalidGroupId)).map(Step::Done);
    }
    let Some(generation) = values::generation(body.generation_id) else {
        return respond(call, Err(GroupError::IllegalGeneration)).map(Step::Done);
    };
    let assignments = body.assignments.iter().map(|assigned| {
        (
            values::text(&assigned.member_id),
            Bytes::copy_from_slice(&assigned.assignment),
        )
    });
    let command = Command::SyncGroup(Sync {
        key: MemberKey {
            group: values::text(&body.group_id),
            generation: Some(generation),
            member: values::text(&body.member_id),
            instance: values::optional_text(body.group_instance_id.as_ref()),
        },
        protocol_type: values::optional_text(body.protocol_type.as_ref()),
        protocol: values::optional_text(body.protocol_name.as_ref()),
        assignments: assignments.collect(),
    });
    Ok(gather::ask(call, command, |call, reply| {
        let Reply::Synced(result) = reply else {
            return Err(call.unexpected());
        };
        respond(call, result)
    }))
}

fn respond(
    call: &mut Call<'_>,
    result: Result<Synced, GroupError>,
) -> Result<Response, SessionError> {
    let response = match result {
        Ok(synced) => build!(SyncGroupResponse {
            protocol_type: Some(StrBytes::from(synced.protocol_type)),
            protocol_name: Some(StrBytes::from(synced.protocol)),
            assignment: synced.assignment,
        }),
        Err(error) => {
            build!(SyncGroupResponse {
                error_code: error_map::group(error).to_wire()
            })
        }
    };
    call.respond(&response)
}
