//! `DeleteGroups` (42).
//!
//! Owns: nothing but the translation.
//! Never: keeps groups.
//! Invariants: one result per group, in order.
//! Source: kafka.md 4.8; KIP-229.

use api::error::GroupError;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::build;
use crate::codec::message::delete_groups_response::DeletableGroupResult;
use crate::codec::message::{DeleteGroupsRequest, DeleteGroupsResponse};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{Call, FanOut, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DeleteGroupsRequest = call.decode(request)?;
    let groups = body.groups_names;
    let mut fan = FanOut::new();
    for group in &groups {
        if group.is_empty() {
            fan.known(Err(GroupError::InvalidGroupId));
        } else {
            fan.ask(
                call,
                Command::DeleteGroup {
                    group: values::text(group),
                },
            );
        }
    }
    fan.finish(call, take, move |call, outcomes| {
        let results = groups.into_iter().zip(outcomes).map(|(group, outcome)| {
            let (error_code, error_message) =
                values::outcome(&outcome, |error| error_map::group(*error));
            build!(DeletableGroupResult {
                group_id: group,
                error_code,
                error_message,
            })
        });
        let results = results.collect();
        call.respond(&build!(DeleteGroupsResponse { results }))
    })
}

fn take(reply: Reply) -> Option<Result<(), GroupError>> {
    let Reply::GroupDeleted(result) = reply else {
        return None;
    };
    Some(result)
}
