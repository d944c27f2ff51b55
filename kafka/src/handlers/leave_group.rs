//! `LeaveGroup` (13): one member in old versions, several in new ones.
//!
//! Owns: where the errors of members go in each.
//! Never: keeps members.
//! Invariants: one result per member, in order.
//! Source: kafka.md 4.8; KIP-345 (3), KIP-800 (5).

use api::error::GroupError;
use api::group::Leave;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::build;
use crate::codec::message::leave_group_request::MemberIdentity;
use crate::codec::message::leave_group_response::MemberResponse;
use crate::codec::message::{LeaveGroupRequest, LeaveGroupResponse};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

/// First version with a list of members.
const FIRST_WITH_LIST: i16 = 3;

type Left = Result<Vec<Result<(), GroupError>>, GroupError>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: LeaveGroupRequest = call.decode(request)?;
    let members = if call.version() >= FIRST_WITH_LIST {
        body.members
    } else {
        vec![build!(MemberIdentity {
            member_id: body.member_id
        })]
    };
    if body.group_id.is_empty() {
        return respond(call, members, Err(GroupError::InvalidGroupId)).map(Step::Done);
    }
    let leaving = members.iter().map(|member| {
        let instance = values::optional_text(member.group_instance_id.as_ref());
        (values::text(&member.member_id), instance)
    });
    let command = Command::LeaveGroup(Leave {
        group: values::text(&body.group_id),
        members: leaving.collect(),
    });
    Ok(gather::ask(call, command, move |call, reply| {
        let Reply::Left(result) = reply else {
            return Err(call.unexpected());
        };
        respond(call, members, result)
    }))
}

fn wire(result: Result<(), GroupError>) -> i16 {
    result.map_or_else(|error| error_map::group(error).to_wire(), |()| 0)
}

fn respond(
    call: &mut Call<'_>,
    members: Vec<MemberIdentity>,
    result: Left,
) -> Result<Response, SessionError> {
    let results = match result {
        Ok(results) => results,
        Err(error) => {
            let error_code = error_map::group(error).to_wire();
            return call.respond(&build!(LeaveGroupResponse { error_code }));
        }
    };
    if call.version() < FIRST_WITH_LIST {
        let error_code = results.into_iter().next().map_or(0, wire);
        return call.respond(&build!(LeaveGroupResponse { error_code }));
    }
    if results.len() != members.len() {
        return Err(call.unexpected());
    }
    let entries = members.into_iter().zip(results).map(|(member, result)| {
        build!(MemberResponse {
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            error_code: wire(result),
        })
    });
    let entries = entries.collect();
    call.respond(&build!(LeaveGroupResponse { members: entries }))
}
