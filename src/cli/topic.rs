//! `rapidmq topic`: create, list, describe, alter, delete.
//!
//! Owns: the topic verbs.
//! Never: deletes without `--yes` on a terminal being unnecessary: the verb names the topics itself.
//! Invariants: every requested topic is reported, failed or not.
//! Source: features.md 3.2, kafka.md 4.12.

use clap::{Args, Subcommand};
use kafka_wire::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_wire::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_wire::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_wire::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::metadata_response::MetadataResponseTopic;
use kafka_wire_core::StrBytes;
use serde_json::json;

use super::Remote;
use super::client::{Cluster, Creates};
use super::failure::{Failure, Kind};
use super::offsets::{Bound, offset_of};
use super::output::{self, Format, Listing};
use super::wire_error;

/// Resource type of a topic in config requests.
const TOPIC_RESOURCE: i8 = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create topics.
    Create(Create),
    /// List topics.
    List(List),
    /// Show partitions, offsets and configs of a topic.
    Describe(Describe),
    /// Add partitions or change configs.
    Alter(Alter),
    /// Delete topics with all their records.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Names.
    #[arg(required = true)]
    names: Vec<String>,
    /// Number of partitions; the broker's default if not given.
    #[arg(short, long)]
    partitions: Option<i32>,
    /// Replication factor; the broker's default if not given.
    #[arg(short, long)]
    replicas: Option<i16>,
    /// Config override, repeatable.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    configs: Vec<String>,
    /// Do not fail if the topic exists.
    #[arg(long)]
    if_not_exists: bool,
    /// Only check.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Show internal topics too.
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Name.
    name: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Alter {
    /// Name.
    name: String,
    /// New total number of partitions.
    #[arg(short, long)]
    partitions: Option<i32>,
    /// Set a config, repeatable.
    #[arg(short = 'c', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Return a config to its default, repeatable.
    #[arg(long = "unset", value_name = "KEY")]
    unset: Vec<String>,
    /// Only check.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Names.
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs a topic verb.
///
/// # Errors
/// What the broker refused, or that it cannot be reached.
pub(crate) fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => create(args),
        Verb::List(args) => list(args),
        Verb::Describe(args) => describe(args),
        Verb::Alter(args) => alter(args),
        Verb::Delete(args) => delete(args),
    }
}

fn create(args: &Create) -> Result<(), Failure> {
    let configs = args
        .configs
        .iter()
        .map(|text| key_value(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut cluster = args.remote.open()?;
    let mut request = CreateTopicsRequest::default();
    request.timeout_ms = args.remote.timeout_ms();
    request.validate_only = args.dry_run;
    request.topics = args
        .names
        .iter()
        .map(|name| creatable(name, args, &configs))
        .collect();
    let response = cluster.any().call(&request)?;
    for topic in &response.topics {
        let exists = topic.error_code == 36 && args.if_not_exists;
        if !exists {
            let message = topic.error_message.as_ref().map(StrBytes::as_str);
            let doing = format!("creating topic `{}`", topic.name.as_str());
            wire_error::check_with(topic.error_code, message, &doing)?;
        }
        let verb = match (exists, args.dry_run) {
            (true, _) => "exists",
            (false, true) => "could be created",
            (false, false) => "created",
        };
        output::line(&format!("{} {verb}", topic.name.as_str()))?;
    }
    Ok(())
}

fn creatable(name: &str, args: &Create, configs: &[(String, String)]) -> CreatableTopic {
    let mut topic = CreatableTopic::default();
    topic.name = StrBytes::from(name);
    topic.num_partitions = args.partitions.unwrap_or(-1);
    topic.replication_factor = args.replicas.unwrap_or(-1);
    topic.configs = configs
        .iter()
        .map(|(key, value)| {
            let mut config = CreatableTopicConfig::default();
            config.name = StrBytes::from(key.as_str());
            config.value = Some(StrBytes::from(value.as_str()));
            config
        })
        .collect();
    topic
}

fn key_value(text: &str) -> Result<(String, String), Failure> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| {
            Failure::new(Kind::Usage, format!("`{text}` is not KEY=VALUE"))
                .fix("for example --config retention.ms=60000")
        })
}

fn list(args: &List) -> Result<(), Failure> {
    let mut cluster = args.remote.open()?;
    let response = cluster.metadata(None, Creates::Nothing)?;
    let rows = response
        .topics
        .iter()
        .filter(|topic| args.internal || !topic.is_internal)
        .map(|topic| {
            let replicas = topic
                .partitions
                .first()
                .map_or(0, |partition| partition.replica_nodes.len());
            vec![
                json!(name_of(topic)),
                json!(topic.partitions.len()),
                json!(replicas),
                json!(topic.is_internal),
            ]
        })
        .collect();
    let listing = Listing {
        columns: &["name", "partitions", "replicas", "internal"],
        rows,
    };
    output::listing(&listing, args.remote.output)
}

fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", StrBytes::as_str)
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let mut cluster = args.remote.open()?;
    let topic = cluster.topic(&args.name, Creates::Nothing)?;
    let partitions = partitions(&mut cluster, &args.name, &topic)?;
    let configs = configs(&mut cluster, &args.name)?;
    match args.remote.output {
        Format::Json => output::json(&json!({
            "name": args.name,
            "id": hex(&topic.topic_id.to_bytes()),
            "internal": topic.is_internal,
            "partitions": rows_as_objects(&partitions),
            "configs": rows_as_objects(&configs),
        })),
        Format::Name => output::line(&args.name),
        Format::Table => {
            output::line(&format!(
                "topic {}  id {}",
                args.name,
                hex(&topic.topic_id.to_bytes())
            ))?;
            output::line("")?;
            output::listing(&partitions, Format::Table)?;
            output::line("")?;
            output::listing(&configs, Format::Table)
        }
    }
}

fn partitions(
    cluster: &mut Cluster,
    name: &str,
    topic: &MetadataResponseTopic,
) -> Result<Listing, Failure> {
    let mut rows = Vec::new();
    for partition in &topic.partitions {
        let leader = cluster.broker(partition.leader_id)?;
        let start = offset_of(leader, name, partition.partition_index, Bound::Start)?;
        let end = offset_of(leader, name, partition.partition_index, Bound::End)?;
        rows.push(vec![
            json!(partition.partition_index),
            json!(partition.leader_id),
            json!(partition.leader_epoch),
            json!(partition.replica_nodes),
            json!(partition.isr_nodes),
            json!(start),
            json!(end),
        ]);
    }
    rows.sort_by_key(|row| row.first().and_then(serde_json::Value::as_i64));
    Ok(Listing {
        columns: &[
            "partition",
            "leader",
            "epoch",
            "replicas",
            "isr",
            "start",
            "end",
        ],
        rows,
    })
}

fn configs(cluster: &mut Cluster, name: &str) -> Result<Listing, Failure> {
    let mut resource = DescribeConfigsResource::default();
    resource.resource_type = TOPIC_RESOURCE;
    resource.resource_name = StrBytes::from(name);
    resource.configuration_keys = None;
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![resource];
    let response = cluster.any().call(&request)?;
    let mut rows = Vec::new();
    for result in &response.results {
        let message = result.error_message.as_ref().map(StrBytes::as_str);
        wire_error::check_with(result.error_code, message, "reading configs")?;
        for config in &result.configs {
            let value = config.value.as_ref().map(StrBytes::as_str);
            rows.push(vec![
                json!(config.name.as_str()),
                json!(value),
                json!(source(config.config_source)),
            ]);
        }
    }
    Ok(Listing {
        columns: &["config", "value", "source"],
        rows,
    })
}

fn source(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker (dynamic)",
        3 => "all brokers (dynamic)",
        4 => "broker (configuration)",
        5 => "default",
        _ => "other",
    }
}

fn rows_as_objects(listing: &Listing) -> serde_json::Value {
    let object = |row: &Vec<serde_json::Value>| {
        let pairs = listing.columns.iter().zip(row);
        pairs
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    listing
        .rows
        .iter()
        .map(|row| serde_json::Value::Object(object(row)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn alter(args: &Alter) -> Result<(), Failure> {
    if args.partitions.is_none() && args.set.is_empty() && args.unset.is_empty() {
        return Err(Failure::new(Kind::Usage, "nothing to alter")
            .fix("give --partitions N, --set KEY=VALUE or --unset KEY"));
    }
    let mut cluster = args.remote.open()?;
    if let Some(count) = args.partitions {
        add_partitions(&mut cluster, args, count)?;
    }
    if !args.set.is_empty() || !args.unset.is_empty() {
        alter_configs(&mut cluster, args)?;
    }
    let verb = if args.dry_run {
        "could be altered"
    } else {
        "altered"
    };
    output::line(&format!("{} {verb}", args.name))
}

fn add_partitions(cluster: &mut Cluster, args: &Alter, count: i32) -> Result<(), Failure> {
    let mut topic = CreatePartitionsTopic::default();
    topic.name = StrBytes::from(args.name.as_str());
    topic.count = count;
    topic.assignments = None;
    let mut request = CreatePartitionsRequest::default();
    request.topics = vec![topic];
    request.timeout_ms = args.remote.timeout_ms();
    request.validate_only = args.dry_run;
    let response = cluster.any().call(&request)?;
    response.results.iter().try_for_each(|result| {
        let message = result.error_message.as_ref().map(StrBytes::as_str);
        let doing = format!("adding partitions to `{}`", args.name);
        wire_error::check_with(result.error_code, message, &doing)
    })
}

fn alter_configs(cluster: &mut Cluster, args: &Alter) -> Result<(), Failure> {
    let mut resource = AlterConfigsResource::default();
    resource.resource_type = TOPIC_RESOURCE;
    resource.resource_name = StrBytes::from(args.name.as_str());
    for text in &args.set {
        let (key, value) = key_value(text)?;
        resource.configs.push(alterable(&key, 0, Some(value)));
    }
    resource
        .configs
        .extend(args.unset.iter().map(|key| alterable(key, 1, None)));
    let mut request = IncrementalAlterConfigsRequest::default();
    request.resources = vec![resource];
    request.validate_only = args.dry_run;
    let response = cluster.any().call(&request)?;
    response.responses.iter().try_for_each(|result| {
        let message = result.error_message.as_ref().map(StrBytes::as_str);
        wire_error::check_with(
            result.error_code,
            message,
            &format!("altering `{}`", args.name),
        )
    })
}

fn alterable(key: &str, operation: i8, value: Option<String>) -> AlterableConfig {
    let mut config = AlterableConfig::default();
    config.name = StrBytes::from(key);
    config.config_operation = operation;
    config.value = value.map(StrBytes::from);
    config
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let mut cluster = args.remote.open()?;
    let mut request = DeleteTopicsRequest::default();
    request.timeout_ms = args.remote.timeout_ms();
    request.topics = args
        .names
        .iter()
        .map(|name| {
            let mut state = DeleteTopicState::default();
            state.name = Some(StrBytes::from(name.as_str()));
            state
        })
        .collect();
    let response = cluster.any().call(&request)?;
    for (result, name) in response.responses.iter().zip(&args.names) {
        let message = result.error_message.as_ref().map(StrBytes::as_str);
        wire_error::check_with(
            result.error_code,
            message,
            &format!("deleting topic `{name}`"),
        )?;
        output::line(&format!("{name} deleted"))?;
    }
    Ok(())
}
