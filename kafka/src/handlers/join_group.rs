//! `JoinGroup` (11).
//!
//! Owns: what versions add: rebalance timeout (1), member id round trip (4), static members (5), nullable
//! protocol (7), skipped assignment (9).
//! Never: interprets subscription bytes.
//! Invariants: what is kept by the group has its own memory, not the receive buffer's.
//! Source: kafka.md 4.8; KIP-62, KIP-394, KIP-345, KIP-559, KIP-814.

use api::error::GroupError;
use api::group::{Join, JoinRefused, Joined};
use api::{Command, Reply, SessionError};
use bytes::Bytes;

use super::values;
use crate::codec::message::join_group_response::JoinGroupResponseMember;
use crate::codec::message::{JoinGroupRequest, JoinGroupResponse};
use crate::codec::{StrBytes, build};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

/// First version with a rebalance timeout of its own.
const FIRST_WITH_REBALANCE_TIMEOUT: i16 = 1;
/// First version in which a new member must come back with its id.
const FIRST_WITH_KNOWN_MEMBER: i16 = 4;
/// First version whose answer may have no protocol.
const FIRST_WITH_NULL_PROTOCOL: i16 = 7;
/// First version whose leader may be told to keep the assignment.
const FIRST_WITH_SKIP: i16 = 9;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let client_id = request.client_id().to_owned();
    let body: JoinGroupRequest = call.decode(request)?;
    let join = match join(call, &body, client_id) {
        Ok(join) => join,
        Err(error) => {
            let member = values::text(&body.member_id);
            return refuse(call, JoinRefused { error, member }).map(Step::Done);
        }
    };
    Ok(gather::ask(
        call,
        Command::JoinGroup(join),
        |call, reply| {
            let Reply::Joined(result) = reply else {
                return Err(call.unexpected());
            };
            match result {
                Ok(joined) => welcome(call, joined),
                Err(refused) => refuse(call, refused),
            }
        },
    ))
}

fn join(call: &Call<'_>, body: &JoinGroupRequest, client_id: String) -> Result<Join, GroupError> {
    if body.group_id.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let version = call.version();
    let session_timeout_ms =
        u32::try_from(body.session_timeout_ms).map_err(|_| GroupError::InvalidSessionTimeout)?;
    let rebalance_timeout_ms = if version >= FIRST_WITH_REBALANCE_TIMEOUT {
        u32::try_from(body.rebalance_timeout_ms).unwrap_or(0)
    } else {
        session_timeout_ms
    };
    let protocols = body.protocols.iter().map(|protocol| {
        (
            values::text(&protocol.name),
            Bytes::copy_from_slice(&protocol.metadata),
        )
    });
    Ok(Join {
        group: values::text(&body.group_id),
        member: values::text(&body.member_id),
        instance: values::optional_text(body.group_instance_id.as_ref()),
        client_id,
        // As Java prints an address, which tools show.
        client_host: format!("/{}", call.context.peer.ip()),
        session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: values::text(&body.protocol_type),
        protocols: protocols.collect(),
        requires_known_member: version >= FIRST_WITH_KNOWN_MEMBER,
        can_skip_assignment: version >= FIRST_WITH_SKIP,
    })
}

fn welcome(call: &mut Call<'_>, joined: Joined) -> Result<Response, SessionError> {
    let members = joined
        .members
        .into_iter()
        .map(|(member, instance, metadata)| {
            build!(JoinGroupResponseMember {
                member_id: StrBytes::from(member),
                group_instance_id: instance.map(StrBytes::from),
                metadata,
            })
        });
    call.respond(&build!(JoinGroupResponse {
        generation_id: values::wire_generation(joined.generation),
        protocol_type: Some(StrBytes::from(joined.protocol_type)),
        protocol_name: Some(StrBytes::from(joined.protocol)),
        leader: StrBytes::from(joined.leader),
        skip_assignment: joined.skip_assignment && call.version() >= FIRST_WITH_SKIP,
        member_id: StrBytes::from(joined.member),
        members: members.collect(),
    }))
}

fn refuse(call: &mut Call<'_>, refused: JoinRefused) -> Result<Response, SessionError> {
    let has_null = call.version() >= FIRST_WITH_NULL_PROTOCOL;
    call.respond(&build!(JoinGroupResponse {
        error_code: error_map::group(refused.error).to_wire(),
        generation_id: -1,
        protocol_name: (!has_null).then(StrBytes::default),
        member_id: StrBytes::from(refused.member),
    }))
}
