//! `rapidmq group`: list, describe.
//!
//! Owns: the consumer-group verbs.
//! Never: changes a group.
//! Invariants: lag is end minus committed offset, and unknown (not zero) without a commit.
//! Source: features.md 3.2, kafka.md 4.8.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use kafka_wire::describe_groups_request::DescribeGroupsRequest;
use kafka_wire::describe_groups_response::DescribedGroup;
use kafka_wire::list_groups_request::ListGroupsRequest;
use kafka_wire::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use kafka_wire::offset_fetch_response::OffsetFetchResponse;
use kafka_wire_core::StrBytes;
use serde_json::{Value, json};

use super::Remote;
use super::client::{Cluster, Creates};
use super::failure::{Failure, Kind};
use super::offsets::{Bound, offset_of};
use super::output::{self, Format, Listing};
use super::records::leader_of;
use super::wire_error;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List consumer groups.
    List(List),
    /// Show members, committed offsets and lag of a group.
    Describe(Describe),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Group id.
    group: String,
    #[command(flatten)]
    remote: Remote,
}

/// Runs a group verb.
///
/// # Errors
/// What the broker refused, or that it cannot be reached.
pub(crate) fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Describe(args) => describe(args),
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let mut cluster = args.remote.open()?;
    let response = cluster.any().call(&ListGroupsRequest::default())?;
    wire_error::check(response.error_code, "listing groups")?;
    let mut rows: Vec<Vec<Value>> = response
        .groups
        .iter()
        .map(|group| {
            vec![
                json!(group.group_id.as_str()),
                json!(group.group_state.as_str()),
                json!(group.protocol_type.as_str()),
            ]
        })
        .collect();
    rows.sort_by_key(|row| row.first().and_then(Value::as_str).map(str::to_owned));
    output::listing(
        &Listing {
            columns: &["group", "state", "type"],
            rows,
        },
        args.remote.output,
    )
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let mut cluster = args.remote.open()?;
    let group = described(&mut cluster, &args.group)?;
    let offsets = offsets(&mut cluster, &args.group)?;
    if group.group_state.as_str() == "Dead" && offsets.rows.is_empty() {
        return Err(Failure::new(
            Kind::NotFound,
            format!("group `{}` does not exist", args.group),
        )
        .fix("rapidmq group list"));
    }
    let members = Listing {
        columns: &["member", "client", "host"],
        rows: group
            .members
            .iter()
            .map(|member| {
                vec![
                    json!(member.member_id.as_str()),
                    json!(member.client_id.as_str()),
                    json!(member.client_host.as_str()),
                ]
            })
            .collect(),
    };
    match args.remote.output {
        Format::Json => output::json(&json!({
            "group": args.group,
            "state": group.group_state.as_str(),
            "protocol": group.protocol_data.as_str(),
            "members": members.rows,
            "offsets": offsets.rows,
        })),
        Format::Name => output::line(&args.group),
        Format::Table => {
            output::line(&format!(
                "group {}  state {}",
                args.group,
                group.group_state.as_str()
            ))?;
            output::line("")?;
            output::listing(&members, Format::Table)?;
            output::line("")?;
            output::listing(&offsets, Format::Table)
        }
    }
}

fn described(cluster: &mut Cluster, name: &str) -> Result<DescribedGroup, Failure> {
    let mut request = DescribeGroupsRequest::default();
    request.groups = vec![StrBytes::from(name)];
    let mut response = cluster.any().call(&request)?;
    let group = response.groups.pop();
    let mut group =
        group.ok_or_else(|| Failure::new(Kind::Failed, "the broker answered no group"))?;
    // Since version 6 an unknown group is an error of its own; before it is "Dead". Show both alike.
    if group.error_code == 69 {
        group.group_state = StrBytes::from("Dead");
    } else {
        wire_error::check(group.error_code, &format!("describing group `{name}`"))?;
    }
    Ok(group)
}

fn offsets(cluster: &mut Cluster, name: &str) -> Result<Listing, Failure> {
    let response = committed(cluster, name)?;
    let found = committed_by_partition(&response, &topic_names(cluster)?)?;
    let mut rows = Vec::new();
    for ((topic, partition), offset) in found {
        let metadata = cluster.topic(&topic, Creates::Nothing)?;
        let end = offset_of(
            leader_of(cluster, &metadata, partition)?,
            &topic,
            partition,
            Bound::End,
        )?;
        let lag = (offset >= 0).then(|| end.saturating_sub(offset));
        rows.push(vec![
            json!(topic),
            json!(partition),
            json!(offset),
            json!(end),
            json!(lag),
        ]);
    }
    Ok(Listing {
        columns: &["topic", "partition", "committed", "end", "lag"],
        rows,
    })
}

fn committed(cluster: &mut Cluster, name: &str) -> Result<OffsetFetchResponse, Failure> {
    let mut group = OffsetFetchRequestGroup::default();
    group.group_id = StrBytes::from(name);
    group.member_epoch = -1;
    group.topics = None;
    let mut request = OffsetFetchRequest::default();
    request.groups = vec![group];
    cluster.any().call(&request)
}

/// Topic id to name, for answers that name topics by id (version 10).
fn topic_names(cluster: &mut Cluster) -> Result<BTreeMap<[u8; 16], String>, Failure> {
    let response = cluster.metadata(None, Creates::Nothing)?;
    let named = response.topics.iter().filter_map(|topic| {
        Some((
            topic.topic_id.to_bytes(),
            topic.name.as_ref()?.as_str().to_owned(),
        ))
    });
    Ok(named.collect())
}

fn committed_by_partition(
    response: &OffsetFetchResponse,
    names: &BTreeMap<[u8; 16], String>,
) -> Result<BTreeMap<(String, i32), i64>, Failure> {
    let mut found = BTreeMap::new();
    for group in &response.groups {
        wire_error::check(group.error_code, "reading committed offsets")?;
        for topic in &group.topics {
            let name = match topic.name.as_str() {
                "" => names.get(&topic.topic_id.to_bytes()).cloned(),
                name => Some(name.to_owned()),
            };
            let Some(name) = name else { continue };
            for partition in &topic.partitions {
                found.insert(
                    (name.clone(), partition.partition_index),
                    partition.committed_offset,
                );
            }
        }
    }
    Ok(found)
}
