//! `rapidmq consume`: records of a topic, from chosen offsets, without a group.
//!
//! Owns: the consume verb and the reading loop that `cat` shares.
//! Never: commits offsets.
//! Invariants: records of one partition come in offset order.
//! Source: features.md 3.2, 3.3.

use clap::Args;
use kafka_wire::metadata_response::MetadataResponseTopic;

use super::Remote;
use super::client::{Cluster, Creates};
use super::failure::{Failure, Kind};
use super::format::{RecordFormat, as_json};
use super::offsets::{Bound, Position, offset_of};
use super::output::{self, Format};
use super::records::{self, ReadRecord, Wanted, leader_of};

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// Topic.
    topic: String,
    /// Where to begin: start, end, 42, -10, +5, @-2h, @2026-11-20T10:00.
    #[arg(short, long, default_value = "end", allow_hyphen_values = true)]
    offset: String,
    /// Stop after so many records.
    #[arg(short, long)]
    number: Option<u64>,
    /// Only these partitions, repeatable.
    #[arg(short, long = "partition")]
    partitions: Vec<i32>,
    /// Stop at the present end of each partition.
    #[arg(short, long)]
    exit: bool,
    /// How to print a record: %t %p %o %k %v %T %h.
    #[arg(short, long, default_value = r"%v\n")]
    format: String,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the verb.
///
/// # Errors
/// What the broker refused, or that it cannot be reached.
pub(crate) fn run(args: &Consume) -> Result<(), Failure> {
    let from = Position::parse(&args.offset)?;
    let format = RecordFormat::parse(&args.format)?;
    let mut cluster = args.remote.open()?;
    let topic = cluster.topic(&args.topic, Creates::Nothing)?;
    let plan = Reading {
        from,
        upto: None,
        partitions: args.partitions.clone(),
        number: args.number,
        exits: args.exit,
    };
    read(&mut cluster, &topic, &plan, &mut |event| match event {
        Event::Record(record) => match args.remote.output {
            Format::Json => output::line(&as_json(&args.topic, record).to_string()),
            Format::Table | Format::Name => output::bytes(&format.render(&args.topic, record)),
        },
        Event::End { .. } => Ok(()),
    })
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Where to begin.
    pub(crate) from: Position,
    /// Where to end (exclusive), if not at `exits`.
    pub(crate) upto: Option<Position>,
    /// Which partitions; empty for all.
    pub(crate) partitions: Vec<i32>,
    /// Stop after so many records.
    pub(crate) number: Option<u64>,
    /// Stop at the present end.
    pub(crate) exits: bool,
}

/// What a reading loop reports.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A record.
    Record(&'a ReadRecord),
    /// The end of a partition was reached for the first time.
    End {
        /// Which.
        partition: i32,
        /// At this offset.
        offset: i64,
    },
}

struct Cursor {
    partition: i32,
    offset: i64,
    stop_at: Option<i64>,
    is_done: bool,
    has_reported_end: bool,
}

/// Reads according to `plan` and hands every event to `sink`.
///
/// # Errors
/// What the broker refused, or what `sink` returned.
pub(crate) fn read(
    cluster: &mut Cluster,
    topic: &MetadataResponseTopic,
    plan: &Reading,
    sink: &mut dyn FnMut(Event<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursors = open_cursors(cluster, topic, plan)?;
    let mut left = plan.number.unwrap_or(u64::MAX);
    while left > 0 && cursors.iter().any(|cursor| !cursor.is_done) {
        let open = cursors.iter().filter(|cursor| !cursor.is_done).count();
        // With several partitions each is asked briefly in turn; one alone may wait long.
        let wait_ms = if open == 1 { 1_000 } else { 50 };
        for cursor in cursors.iter_mut().filter(|cursor| !cursor.is_done) {
            left = advance(cluster, topic, (cursor, wait_ms, left), sink)?;
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

fn open_cursors(
    cluster: &mut Cluster,
    topic: &MetadataResponseTopic,
    plan: &Reading,
) -> Result<Vec<Cursor>, Failure> {
    let mut partitions = plan.partitions.clone();
    if partitions.is_empty() {
        partitions.extend(
            topic
                .partitions
                .iter()
                .map(|partition| partition.partition_index),
        );
        partitions.sort_unstable();
    }
    let name = topic.name.as_ref().map_or("", |name| name.as_str());
    let mut cursors = Vec::new();
    for partition in partitions {
        let leader = leader_of(cluster, topic, partition)?;
        let offset = plan.from.resolve(leader, name, partition)?;
        let stop_at = match (&plan.upto, plan.exits) {
            (Some(upto), _) => Some(upto.resolve(leader, name, partition)?),
            (None, true) => Some(offset_of(leader, name, partition, Bound::End)?),
            (None, false) => None,
        };
        let is_done = stop_at.is_some_and(|stop| offset >= stop);
        cursors.push(Cursor {
            partition,
            offset,
            stop_at,
            is_done,
            has_reported_end: false,
        });
    }
    if cursors.is_empty() {
        return Err(Failure::new(
            Kind::NotFound,
            format!("topic `{name}` has no partitions"),
        ));
    }
    Ok(cursors)
}

fn advance(
    cluster: &mut Cluster,
    topic: &MetadataResponseTopic,
    (cursor, wait_ms, mut left): (&mut Cursor, i32, u64),
    sink: &mut dyn FnMut(Event<'_>) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let leader = leader_of(cluster, topic, cursor.partition)?;
    let wanted = Wanted {
        partition: cursor.partition,
        offset: cursor.offset,
        wait_ms,
    };
    let answer = records::fetch(leader, topic, wanted)?;
    for record in &answer.records {
        let is_past = cursor.stop_at.is_some_and(|stop| record.offset >= stop);
        if is_past || left == 0 {
            break;
        }
        sink(Event::Record(record))?;
        left -= 1;
    }
    cursor.offset = answer.next_offset;
    cursor.is_done = cursor.stop_at.is_some_and(|stop| cursor.offset >= stop);
    if cursor.offset >= answer.high_watermark && !cursor.has_reported_end {
        cursor.has_reported_end = true;
        sink(Event::End {
            partition: cursor.partition,
            offset: cursor.offset,
        })?;
    }
    Ok(left)
}
