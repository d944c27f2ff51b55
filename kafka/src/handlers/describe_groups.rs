//! `DescribeGroups` (15).
//!
//! Owns: how an unknown group looks per version: state "Dead", or an error from version 6 on.
//! Never: interprets subscription or assignment bytes.
//! Invariants: one result per distinct group, in the order of their first mention.
//! Source: kafka.md 4.8; KIP-430 (3), KIP-345 (4), KIP-1043 (6).

use api::error::GroupError;
use api::group::{GroupState, GroupView, MemberView};
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::message::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use crate::codec::message::{DescribeGroupsRequest, DescribeGroupsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Step};

/// First version in which an unknown group is an error.
const FIRST_WITH_NOT_FOUND: i16 = 6;

type Outcome = Result<GroupView, GroupError>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DescribeGroupsRequest = call.decode(request)?;
    let operations = if body.include_authorized_operations {
        values::OPERATIONS_GROUP
    } else {
        values::OPERATIONS_NOT_ASKED
    };
    let groups = values::distinct(body.groups);
    let mut fan = FanOut::new();
    for group in &groups {
        if group.is_empty() {
            fan.known(Err(GroupError::InvalidGroupId));
        } else {
            fan.ask(
                call,
                Command::DescribeGroup {
                    group: values::text(group),
                },
            );
        }
    }
    fan.finish(call, take, move |call, outcomes| {
        let version = call.version();
        let entries = groups.into_iter().zip(outcomes).map(|(group, outcome)| {
            let mut entry = entry(outcome, version);
            entry.group_id = group;
            entry.authorized_operations = operations;
            entry
        });
        let entries = entries.collect();
        call.respond(&build!(DescribeGroupsResponse { groups: entries }))
    })
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::Group(result) = reply else {
        return None;
    };
    Some(result)
}

fn entry(outcome: Outcome, version: i16) -> DescribedGroup {
    match outcome {
        Ok(view) if view.state == GroupState::Dead => unknown(version),
        Err(GroupError::NotFound) => unknown(version),
        Ok(view) => known(view),
        Err(error) => build!(DescribedGroup {
            error_code: error_map::group(error).to_wire()
        }),
    }
}

fn unknown(version: i16) -> DescribedGroup {
    let mut entry = build!(DescribedGroup {
        group_state: StrBytes::from(GroupState::Dead.name())
    });
    if version >= FIRST_WITH_NOT_FOUND {
        entry.error_code = Code::GroupIdNotFound.to_wire();
        entry.error_message = Some(StrBytes::from(GroupError::NotFound.to_string()));
    }
    entry
}

fn known(view: GroupView) -> DescribedGroup {
    build!(DescribedGroup {
        group_state: StrBytes::from(view.state.name()),
        protocol_type: StrBytes::from(view.protocol_type),
        protocol_data: StrBytes::from(view.protocol),
        members: view.members.into_iter().map(member).collect(),
    })
}

fn member(view: MemberView) -> DescribedGroupMember {
    build!(DescribedGroupMember {
        member_id: StrBytes::from(view.member),
        group_instance_id: view.instance.map(StrBytes::from),
        client_id: StrBytes::from(view.client_id),
        client_host: StrBytes::from(view.client_host),
        member_metadata: view.metadata,
        member_assignment: view.assignment,
    })
}
