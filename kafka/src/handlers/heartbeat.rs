//! `Heartbeat` (12).
//!
//! Owns: nothing but the translation.
//! Never: keeps members.
//! Invariants: a negative generation never names a member.
//! Source: kafka.md 4.8.

use api::error::GroupError;
use api::group::MemberKey;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::build;
use crate::codec::message::{HeartbeatRequest, HeartbeatResponse};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: HeartbeatRequest = call.decode(request)?;
    if body.group_id.is_empty() {
        return respond(call, Err(GroupError::InvalidGroupId)).map(Step::Done);
    }
    let Some(generation) = values::generation(body.generation_id) else {
        return respond(call, Err(GroupError::IllegalGeneration)).map(Step::Done);
    };
    let command = Command::Heartbeat(MemberKey {
        group: values::text(&body.group_id),
        generation: Some(generation),
        member: values::text(&body.member_id),
        instance: values::optional_text(body.group_instance_id.as_ref()),
    });
    Ok(gather::ask(call, command, |call, reply| {
        let Reply::Heartbeat(result) = reply else {
            return Err(call.unexpected());
        };
        respond(call, result)
    }))
}

fn respond(call: &mut Call<'_>, result: Result<(), GroupError>) -> Result<Response, SessionError> {
    let code = result.map_or_else(|error| error_map::group(error).to_wire(), |()| 0);
    call.respond(&build!(HeartbeatResponse { error_code: code }))
}
