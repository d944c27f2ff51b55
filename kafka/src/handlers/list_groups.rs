//! `ListGroups` (16): asks every shard.
//!
//! Owns: the filters by state and type; merging.
//! Never: keeps groups.
//! Invariants: groups are listed by id, whichever shard answered first.
//! Source: kafka.md 4.8; KIP-518 (4), KIP-848 (5).

use api::error::GroupError;
use api::group::GroupListing;
use api::{Command, Reply, SessionError};
use model::ids::ShardId;

use crate::codec::message::list_groups_response::ListedGroup;
use crate::codec::message::{ListGroupsRequest, ListGroupsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map;
use crate::frame::Request;
use crate::gather::{Call, FanOut, Step};

/// The one type of group there is.
const CLASSIC: &str = "classic";

type Outcome = Result<Vec<GroupListing>, GroupError>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: ListGroupsRequest = call.decode(request)?;
    let mut fan = FanOut::new();
    for shard in 0..call.context.shards {
        fan.ask(
            call,
            Command::ListGroups {
                shard: ShardId::new(shard),
            },
        );
    }
    fan.finish(call, take, move |call, outcomes| {
        let response = match outcomes.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(groups) => {
                let mut groups: Vec<_> = groups.into_iter().flatten().collect();
                groups.retain(|group| is_wanted(&body, group));
                groups.sort_by(|left, right| left.group.cmp(&right.group));
                let groups = groups.into_iter().map(entry).collect();
                build!(ListGroupsResponse { groups })
            }
            Err(error) => {
                build!(ListGroupsResponse {
                    error_code: error_map::group(error).to_wire()
                })
            }
        };
        call.respond(&response)
    })
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::Groups(result) = reply else {
        return None;
    };
    Some(result)
}

// No filter means any; names are compared without regard to case, as Kafka does.
fn is_wanted(body: &ListGroupsRequest, group: &GroupListing) -> bool {
    let passes = |filter: &[StrBytes], name: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    passes(&body.states_filter, group.state.name()) && passes(&body.types_filter, CLASSIC)
}

fn entry(group: GroupListing) -> ListedGroup {
    build!(ListedGroup {
        group_id: StrBytes::from(group.group),
        protocol_type: StrBytes::from(group.protocol_type),
        group_state: StrBytes::from(group.state.name()),
        group_type: StrBytes::from(CLASSIC),
    })
}
