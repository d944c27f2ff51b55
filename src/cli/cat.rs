//! `rapidmq cat`: kcat's common flags against any Kafka broker.
//!
//! Owns: the translation of kcat's flags.
//! Never: accepts a kcat flag that it then ignores.
//! Invariants: metadata, produce, consume and query modes exclude each other.
//! Source: features.md 3.2 point 2.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use clap::Args;
use kafka_wire::metadata_response::MetadataResponse;
use kafka_wire_core::StrBytes;
use serde_json::json;

use super::client::{Cluster, Creates};
use super::consume::{Event, Reading, read};
use super::failure::{Failure, Kind};
use super::format::{RecordFormat, as_json, delimiter};
use super::offsets::{Bound, Position, offset_of};
use super::records::{self, HeaderList, NewRecord, Target, leader_of};
use super::{clock, output, produce};

/// Records of one batch in produce mode.
const BATCH_RECORDS: usize = 1_000;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("mode").required(true).args(["produce", "consume", "list", "query"]))]
pub(crate) struct Cat {
    /// Bootstrap brokers, comma separated.
    #[arg(
        short = 'b',
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    brokers: String,
    /// Topic (in query mode TOPIC:PARTITION:TIMESTAMP).
    #[arg(short = 't')]
    topic: Option<String>,
    /// Partition.
    #[arg(short = 'p')]
    partition: Option<i32>,
    /// Produce.
    #[arg(short = 'P')]
    produce: bool,
    /// Consume.
    #[arg(short = 'C')]
    consume: bool,
    /// List metadata.
    #[arg(short = 'L')]
    list: bool,
    /// Query an offset by timestamp.
    #[arg(short = 'Q')]
    query: bool,
    /// Where to begin; given twice as s@TIME and e@TIME it is a range.
    #[arg(short = 'o', allow_hyphen_values = true)]
    offsets: Vec<String>,
    /// Exit at the end of the partitions.
    #[arg(short = 'e')]
    exit: bool,
    /// Stop after so many records.
    #[arg(short = 'c')]
    count: Option<u64>,
    /// Print JSON.
    #[arg(short = 'J')]
    json: bool,
    /// Print by format: %t %p %o %k %K %s %S %T %h.
    #[arg(short = 'f')]
    format: Option<String>,
    /// Key delimiter.
    #[arg(short = 'K')]
    key_delimiter: Option<String>,
    /// Record delimiter.
    #[arg(short = 'D', default_value = r"\n")]
    delimiter: String,
    /// Key of every record.
    #[arg(short = 'k')]
    key: Option<String>,
    /// Header of every record, repeatable.
    #[arg(short = 'H')]
    headers: Vec<String>,
    /// Produce empty values (with -K: keys without value) as null; print null values as NULL.
    #[arg(short = 'Z')]
    null: bool,
    /// Codec.
    #[arg(short = 'z', default_value = "none")]
    compression: String,
    /// Read records from a file, one a line.
    #[arg(short = 'l')]
    file: bool,
    /// Say less.
    #[arg(short = 'q')]
    quiet: bool,
    /// Unbuffered output; output is always unbuffered here.
    #[arg(short = 'u')]
    unbuffered: bool,
    /// Files to produce: one record each, or with -l one record a line.
    files: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// What the broker refused, or that it cannot be reached.
pub(crate) fn run(args: &Cat) -> Result<(), Failure> {
    let mut cluster = Cluster::open(&args.brokers, "rapidmq-cat", Duration::from_secs(30))?;
    if args.list {
        list(args, &mut cluster)
    } else if args.query {
        query(args, &mut cluster)
    } else if args.consume {
        consume(args, &mut cluster)
    } else {
        produce_all(args, &mut cluster)
    }
}

fn topic_name(args: &Cat) -> Result<&str, Failure> {
    args.topic
        .as_deref()
        .ok_or_else(|| Failure::new(Kind::Usage, "no topic given").fix("add -t TOPIC"))
}

fn list(args: &Cat, cluster: &mut Cluster) -> Result<(), Failure> {
    let only = args.topic.as_deref().map(|name| vec![name]);
    let response = cluster.metadata(only.as_deref(), Creates::Nothing)?;
    if args.json {
        return output::json(&metadata_json(&response));
    }
    output::line(&format!(" {} brokers:", response.brokers.len()))?;
    for broker in &response.brokers {
        let controller = if broker.node_id == response.controller_id {
            " (controller)"
        } else {
            ""
        };
        output::line(&format!(
            "  broker {} at {}:{}{controller}",
            broker.node_id,
            broker.host.as_str(),
            broker.port
        ))?;
    }
    output::line(&format!(" {} topics:", response.topics.len()))?;
    for topic in &response.topics {
        let name = topic.name.as_ref().map_or("", StrBytes::as_str);
        let error = if topic.error_code == 0 {
            String::new()
        } else {
            format!(" error {}", topic.error_code)
        };
        output::line(&format!(
            "  topic \"{name}\" with {} partitions:{error}",
            topic.partitions.len()
        ))?;
        for partition in &topic.partitions {
            let text = format!(
                "    partition {}, leader {}, replicas: {}, isrs: {}",
                partition.partition_index,
                partition.leader_id,
                joined(&partition.replica_nodes),
                joined(&partition.isr_nodes),
            );
            output::line(&text)?;
        }
    }
    Ok(())
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn metadata_json(response: &MetadataResponse) -> serde_json::Value {
    let brokers: Vec<_> = response
        .brokers
        .iter()
        .map(|broker| json!({"id": broker.node_id, "name": format!("{}:{}", broker.host.as_str(), broker.port)}))
        .collect();
    let topics: Vec<_> = response
        .topics
        .iter()
        .map(|topic| {
            let partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|partition| {
                    let ids = |nodes: &[i32]| nodes.iter().map(|id| json!({"id": id})).collect::<Vec<_>>();
                    json!({"partition": partition.partition_index, "leader": partition.leader_id,
                           "replicas": ids(&partition.replica_nodes), "isrs": ids(&partition.isr_nodes)})
                })
                .collect();
            json!({"topic": topic.name.as_ref().map(StrBytes::as_str), "partitions": partitions})
        })
        .collect();
    json!({"controllerid": response.controller_id, "brokers": brokers, "topics": topics})
}

fn query(args: &Cat, cluster: &mut Cluster) -> Result<(), Failure> {
    let text = topic_name(args)?;
    let mut parts = text.rsplitn(3, ':');
    let parsed = (|| {
        let timestamp = parts.next()?.parse::<i64>().ok()?;
        let partition = parts.next()?.parse::<i32>().ok()?;
        Some((parts.next()?, partition, timestamp))
    })();
    let (name, partition, timestamp) = parsed.ok_or_else(|| {
        Failure::new(
            Kind::Usage,
            format!("`{text}` is not TOPIC:PARTITION:TIMESTAMP"),
        )
    })?;
    let topic = cluster.topic(name, Creates::Nothing)?;
    let bound = match timestamp {
        -1 => Bound::End,
        -2 => Bound::Start,
        at => Bound::Time(at),
    };
    let offset = offset_of(
        leader_of(cluster, &topic, partition)?,
        name,
        partition,
        bound,
    )?;
    output::line(&format!("{name} [{partition}] offset {offset}"))
}

fn consume(args: &Cat, cluster: &mut Cluster) -> Result<(), Failure> {
    let name = topic_name(args)?;
    let format = args
        .format
        .as_deref()
        .map(RecordFormat::parse)
        .transpose()?;
    let end = delimiter(&args.delimiter)?;
    let key_end = args.key_delimiter.as_deref().map(delimiter).transpose()?;
    let topic = cluster.topic(name, Creates::Nothing)?;
    let (from, upto) = range(&args.offsets)?;
    let plan = Reading {
        from,
        upto,
        partitions: args.partition.into_iter().collect(),
        number: args.count,
        exits: args.exit,
    };
    read(cluster, &topic, &plan, &mut |event| match event {
        Event::Record(record) if args.json => output::line(&as_json(name, record).to_string()),
        Event::Record(record) => match &format {
            Some(format) => output::bytes(&format.render(name, record)),
            None => {
                let mut line = Vec::new();
                if let Some(key_end) = key_end {
                    line.extend_from_slice(record.key.as_deref().unwrap_or_default());
                    line.push(key_end);
                }
                let null: &[u8] = if args.null { b"NULL" } else { b"" };
                line.extend_from_slice(record.value.as_deref().unwrap_or(null));
                line.push(end);
                output::bytes(&line)
            }
        },
        Event::End { partition, offset } => {
            if !args.quiet {
                output::remark(&format!(
                    "% Reached end of topic {name} [{partition}] at offset {offset}"
                ));
            }
            Ok(())
        }
    })
}

fn range(offsets: &[String]) -> Result<(Position, Option<Position>), Failure> {
    let mut from = Position::Start;
    let mut upto = None;
    for text in offsets {
        match text.strip_prefix("e@") {
            Some(time) => upto = Some(Position::parse(&format!("@{time}"))?),
            None => from = Position::parse(text)?,
        }
    }
    Ok((from, upto))
}

fn produce_all(args: &Cat, cluster: &mut Cluster) -> Result<(), Failure> {
    let name = topic_name(args)?;
    let topic = cluster.topic(name, Creates::Missing)?;
    let headers = args
        .headers
        .iter()
        .map(|text| produce::header(text))
        .collect::<Result<HeaderList, _>>()?;
    let end = delimiter(&args.delimiter)?;
    let mut batches: std::collections::BTreeMap<i32, Vec<NewRecord>> =
        std::collections::BTreeMap::new();
    let mut turn = 0_usize;
    let mut sink = |key: Option<Vec<u8>>, value: Vec<u8>| -> Result<(), Failure> {
        let key = key.or_else(|| args.key.clone().map(String::into_bytes));
        let partition = args.partition.unwrap_or_else(|| {
            records::partition_for(key.as_deref(), topic.partitions.len(), turn / BATCH_RECORDS)
        });
        turn += 1;
        let value = (!(args.null && value.is_empty())).then_some(value);
        let batch = batches.entry(partition).or_default();
        batch.push(NewRecord {
            key,
            value,
            headers: headers.clone(),
            timestamp: clock::wall_ms(),
        });
        if batch.len() >= BATCH_RECORDS {
            let full = std::mem::take(batch);
            send(args, cluster, (&topic, partition), &full)?;
        }
        Ok(())
    };
    feed(args, end, &mut sink)?;
    for (partition, batch) in batches.iter().filter(|(_, batch)| !batch.is_empty()) {
        send(args, cluster, (&topic, *partition), batch)?;
    }
    Ok(())
}

type Sink<'a> = dyn FnMut(Option<Vec<u8>>, Vec<u8>) -> Result<(), Failure> + 'a;

fn feed(args: &Cat, end: u8, sink: &mut Sink<'_>) -> Result<(), Failure> {
    let split = args.key_delimiter.as_deref().map(delimiter).transpose()?;
    if args.files.is_empty() {
        return feed_lines(&mut io::stdin().lock(), (end, split), sink);
    }
    for path in &args.files {
        let mut file = BufReader::new(File::open(path)?);
        if args.file {
            feed_lines(&mut file, (end, split), sink)?;
        } else {
            let mut whole = Vec::new();
            file.read_to_end(&mut whole)?;
            sink(None, whole)?;
        }
    }
    Ok(())
}

fn feed_lines(
    input: &mut dyn BufRead,
    (end, split): (u8, Option<u8>),
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    for line in input.split(end) {
        let (key, value) = produce::split_line(line?, split);
        sink(key, value)?;
    }
    Ok(())
}

fn send(
    args: &Cat,
    cluster: &mut Cluster,
    (topic, partition): (&kafka_wire::metadata_response::MetadataResponseTopic, i32),
    batch: &[NewRecord],
) -> Result<(), Failure> {
    let compression = records::compression(&args.compression)?;
    let target = Target {
        topic,
        partition,
        acks: -1,
        compression,
        timeout_ms: 30_000,
    };
    records::produce(cluster, target, batch).map(drop)
}
