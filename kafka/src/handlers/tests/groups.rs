//! Groups and their members.
//!
//! Owns: the APIs of the classic group protocol but for offsets.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.8.

use api::error::GroupError;
use api::group::{GroupListing, GroupState, GroupView, JoinRefused, Joined, MemberView, Synced};
use api::{Command, Reply};
use bytes::Bytes;
use kafka_wire::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::leave_group_request::MemberIdentity;
use kafka_wire::sync_group_request::SyncGroupRequestAssignment;
use kafka_wire::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest,
};
use model::ids::Generation;

use crate::codec::build;
use crate::conversation::{Conversation, text};
use crate::handlers::values;

fn join(version: i16) -> JoinGroupRequest {
    let protocol = build!(JoinGroupRequestProtocol {
        name: text("range"),
        metadata: Bytes::from_static(b"subscription"),
    });
    build!(JoinGroupRequest {
        group_id: text("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: if version >= 1 { 60_000 } else { -1 },
        group_instance_id: (version >= 5).then(|| text("i")),
        protocol_type: text("consumer"),
        protocols: vec![protocol],
    })
}

#[test]
fn members_join_at_every_version() {
    for version in 0..=9 {
        let response = Conversation::new().round(&join(version), version, |command| {
            let Command::JoinGroup(join) = command else {
                panic!("{command:?}")
            };
            assert_eq!((join.group.as_str(), join.member.as_str()), ("g", ""));
            assert_eq!(join.client_id, "tester");
            assert_eq!(join.client_host, "/10.0.0.7");
            assert_eq!(join.session_timeout_ms, 10_000);
            assert_eq!(
                join.rebalance_timeout_ms,
                if version >= 1 { 60_000 } else { 10_000 }
            );
            assert_eq!(join.instance.is_some(), version >= 5);
            assert_eq!(join.requires_known_member, version >= 4);
            assert_eq!(join.can_skip_assignment, version >= 9);
            assert_eq!(join.protocols[0].1, "subscription");
            Reply::Joined(Ok(Joined {
                generation: Generation::new(3),
                protocol_type: "consumer".into(),
                protocol: "range".into(),
                leader: "m".into(),
                member: "m".into(),
                skip_assignment: true,
                members: vec![("m".into(), Some("i".into()), Bytes::from_static(b"s"))],
            }))
        });
        assert_eq!((response.error_code, response.generation_id), (0, 3));
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
        assert_eq!(
            (response.leader.as_str(), response.member_id.as_str()),
            ("m", "m")
        );
        assert_eq!(response.skip_assignment, version >= 9);
        assert_eq!(response.members[0].metadata, "s");
    }
}

#[test]
fn a_refused_join_has_the_member_id_and_no_protocol() {
    for version in 0..=9 {
        let response = Conversation::new().round(&join(version), version, |_| {
            let error = GroupError::MemberIdRequired;
            Reply::Joined(Err(JoinRefused {
                error,
                member: "tester-1".into(),
            }))
        });
        assert_eq!((response.error_code, response.generation_id), (79, -1));
        assert_eq!(
            (response.leader.as_str(), response.member_id.as_str()),
            ("", "tester-1")
        );
        assert_eq!(response.protocol_name.is_none(), version >= 7);
        assert!(response.members.is_empty());
    }
}

#[test]
fn joins_that_make_no_sense_are_refused_here() {
    let mut nameless = join(5);
    nameless.group_id = text("");
    assert_eq!(Conversation::new().local(&nameless, 5).error_code, 24);
    let mut timeless = join(5);
    timeless.session_timeout_ms = -1;
    timeless.member_id = text("m");
    let response = Conversation::new().local(&timeless, 5);
    assert_eq!(
        (response.error_code, response.member_id.as_str()),
        (26, "m")
    );
}

fn sync(version: i16) -> SyncGroupRequest {
    let assignment = build!(SyncGroupRequestAssignment {
        member_id: text("m"),
        assignment: Bytes::from_static(b"partitions"),
    });
    let mut request = build!(SyncGroupRequest {
        group_id: text("g"),
        generation_id: 3,
        member_id: text("m"),
        assignments: vec![assignment],
    });
    if version >= 5 {
        request.protocol_type = Some(text("consumer"));
        request.protocol_name = Some(text("range"));
    }
    request
}

#[test]
fn members_sync_at_every_version() {
    for version in 0..=5 {
        let mut talk = Conversation::new();
        let response = talk.round(&sync(version), version, |command| {
            let Command::SyncGroup(sync) = command else {
                panic!("{command:?}")
            };
            assert_eq!(sync.key.generation, Some(Generation::new(3)));
            assert_eq!(sync.protocol.is_some(), version >= 5);
            assert_eq!(
                sync.assignments,
                [("m".to_owned(), Bytes::from_static(b"partitions"))]
            );
            Reply::Synced(Ok(Synced {
                protocol_type: "consumer".into(),
                protocol: "range".into(),
                assignment: Bytes::from_static(b"mine"),
            }))
        });
        assert_eq!(
            (response.error_code, &response.assignment[..]),
            (0, &b"mine"[..])
        );
        assert_eq!(response.protocol_name.is_some(), version >= 5);
        let response = talk.round(&sync(version), version, |_| {
            Reply::Synced(Err(GroupError::RebalanceInProgress))
        });
        assert_eq!((response.error_code, response.assignment.len()), (27, 0));
    }
}

#[test]
fn members_beat_at_every_version() {
    for version in 0..=4 {
        let request = build!(HeartbeatRequest {
            group_id: text("g"),
            generation_id: 3,
            member_id: text("m"),
            group_instance_id: (version >= 3).then(|| text("i")),
        });
        let mut talk = Conversation::new();
        let answer = |command| {
            let Command::Heartbeat(key) = command else {
                panic!("{command:?}")
            };
            assert_eq!(key.instance.is_some(), version >= 3);
            Reply::Heartbeat(Err(GroupError::FencedInstance))
        };
        assert_eq!(talk.round(&request, version, answer).error_code, 82);
        assert_eq!(
            talk.round(&request, version, |_| Reply::Heartbeat(Ok(())))
                .error_code,
            0
        );
    }
}

#[test]
fn a_generation_below_zero_is_illegal_and_an_empty_group_invalid() {
    let beat = build!(HeartbeatRequest {
        group_id: text("g"),
        generation_id: -1
    });
    assert_eq!(Conversation::new().local(&beat, 0).error_code, 22);
    let mut late = sync(0);
    late.generation_id = -1;
    assert_eq!(Conversation::new().local(&late, 0).error_code, 22);
    assert_eq!(
        Conversation::new()
            .local(&HeartbeatRequest::default(), 0)
            .error_code,
        24
    );
    assert_eq!(
        Conversation::new()
            .local(&SyncGroupRequest::default(), 0)
            .error_code,
        24
    );
    assert_eq!(
        Conversation::new()
            .local(&LeaveGroupRequest::default(), 0)
            .error_code,
        24
    );
}

#[test]
fn one_member_leaves_in_old_versions() {
    for version in 0..=2 {
        let request = build!(LeaveGroupRequest {
            group_id: text("g"),
            member_id: text("m")
        });
        let response = Conversation::new().round(&request, version, |command| {
            let Command::LeaveGroup(leave) = command else {
                panic!("{command:?}")
            };
            assert_eq!(leave.members, [("m".to_owned(), None)]);
            Reply::Left(Ok(vec![Err(GroupError::UnknownMember)]))
        });
        assert_eq!(response.error_code, 25);
    }
}

#[test]
fn several_members_leave_in_new_versions() {
    for version in 3..=5 {
        let member = |member: &str, instance: Option<&str>| {
            build!(MemberIdentity {
                member_id: text(member),
                group_instance_id: instance.map(text),
            })
        };
        let request = build!(LeaveGroupRequest {
            group_id: text("g"),
            members: vec![member("m", None), member("", Some("i"))],
        });
        let mut talk = Conversation::new();
        let response = talk.round(&request, version, |_| {
            Reply::Left(Ok(vec![Ok(()), Err(GroupError::UnknownMember)]))
        });
        assert_eq!(response.error_code, 0);
        let shown: Vec<_> = response
            .members
            .iter()
            .map(|member| (member.member_id.as_str(), member.error_code))
            .collect();
        assert_eq!(shown, [("m", 0), ("", 25)]);
        let failed = |_| Reply::Left(Err(GroupError::NotCoordinator));
        assert_eq!(talk.round(&request, version, failed).error_code, 16);
    }
}

fn group_view(state: GroupState) -> GroupView {
    GroupView {
        group: "g".into(),
        state,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        members: vec![MemberView {
            member: "m".into(),
            instance: Some("i".into()),
            client_id: "c".into(),
            client_host: "/10.0.0.7".into(),
            metadata: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        }],
    }
}

#[test]
fn groups_are_described_at_every_version() {
    for version in 0..=6 {
        let request = build!(DescribeGroupsRequest {
            groups: vec![text("live"), text("dead"), text("gone"), text("")],
            include_authorized_operations: version >= 3,
        });
        let response = Conversation::new().converse(&request, version, |command| match command {
            Command::DescribeGroup { group } if group == "live" => {
                Reply::Group(Ok(group_view(GroupState::Stable)))
            }
            Command::DescribeGroup { group } if group == "dead" => Reply::Group(Ok(GroupView {
                members: Vec::new(),
                ..group_view(GroupState::Dead)
            })),
            _ => Reply::Group(Err(GroupError::NotFound)),
        });
        let missing = if version >= 6 { 69 } else { 0 };
        let shown: Vec<_> = response
            .groups
            .iter()
            .map(|group| {
                (
                    group.group_id.as_str(),
                    group.group_state.as_str(),
                    group.error_code,
                )
            })
            .collect();
        let expected = [
            ("live", "Stable", 0),
            ("dead", "Dead", missing),
            ("gone", "Dead", missing),
            ("", "", 24),
        ];
        assert_eq!(shown, expected);
        assert_eq!(response.groups[0].members[0].member_assignment, "a");
        let operations = if version >= 3 {
            values::OPERATIONS_GROUP
        } else {
            i32::MIN
        };
        assert_eq!(response.groups[0].authorized_operations, operations);
    }
}

fn listing(group: &str, state: GroupState) -> GroupListing {
    GroupListing {
        group: group.into(),
        protocol_type: "consumer".into(),
        state,
    }
}

#[test]
fn groups_of_every_shard_are_listed_at_every_version() {
    for version in 0..=5 {
        let mut asked = Vec::new();
        let response =
            Conversation::new().converse(&ListGroupsRequest::default(), version, |command| {
                let Command::ListGroups { shard } = command else {
                    panic!("{command:?}")
                };
                asked.push(shard.get());
                let name = ["c", "a", "b"][usize::from(shard.get())];
                Reply::Groups(Ok(vec![listing(name, GroupState::Stable)]))
            });
        assert_eq!(asked, [0, 1, 2]);
        let names = response.groups.iter().map(|group| group.group_id.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"]);
        if version >= 5 {
            assert_eq!(response.groups[0].group_type.as_str(), "classic");
        }
    }
}

#[test]
fn listed_groups_are_filtered_by_state_and_type() {
    let list = |states: &[&str], types: &[&str]| {
        let request = build!(ListGroupsRequest {
            states_filter: states.iter().copied().map(text).collect(),
            types_filter: types.iter().copied().map(text).collect(),
        });
        let response = Conversation::new().converse(&request, 5, |command| match command {
            Command::ListGroups { shard } if shard.get() == 0 => Reply::Groups(Ok(vec![
                listing("a", GroupState::Stable),
                listing("b", GroupState::Empty),
            ])),
            _ => Reply::Groups(Ok(Vec::new())),
        });
        response.groups.len()
    };
    assert_eq!(list(&[], &[]), 2);
    assert_eq!(list(&["stable"], &["Classic"]), 1);
    assert_eq!(list(&["Stable", "Empty"], &[]), 2);
    assert_eq!(list(&[], &["consumer"]), 0);
}

#[test]
fn one_shard_that_cannot_answer_fails_the_list() {
    let response =
        Conversation::new().converse(&ListGroupsRequest::default(), 4, |command| match command {
            Command::ListGroups { shard } if shard.get() == 1 => {
                Reply::Groups(Err(GroupError::Loading))
            }
            _ => Reply::Groups(Ok(Vec::new())),
        });
    assert_eq!(response.error_code, 14);
}

#[test]
fn groups_are_deleted_at_every_version() {
    for version in 0..=2 {
        let request = build!(DeleteGroupsRequest {
            groups_names: vec![text("a"), text(""), text("b")]
        });
        let response = Conversation::new().converse(&request, version, |command| match command {
            Command::DeleteGroup { group } if group == "a" => Reply::GroupDeleted(Ok(())),
            _ => Reply::GroupDeleted(Err(GroupError::NonEmpty)),
        });
        let codes = response.results.iter().map(|result| result.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 24, 68]);
    }
}
