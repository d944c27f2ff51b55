//! `rapidmq produce`: records from arguments or lines of standard input.
//!
//! Owns: the produce verb.
//! Never: reports a record before the broker acknowledged it.
//! Invariants: records of one partition keep the order of the input.
//! Source: features.md 3.3.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use kafka_wire::metadata_response::MetadataResponseTopic;

use super::client::{Cluster, Creates};
use super::failure::{Failure, Kind};
use super::format::delimiter;
use super::records::{self, HeaderList, NewRecord, Target};
use super::{Remote, clock, output};

/// Records of one batch.
const BATCH_RECORDS: usize = 1_000;
/// Bytes of keys and values of one batch, so that it stays below the default `max.message.bytes`.
const BATCH_BYTES: usize = 512 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// Topic; created if the broker allows it.
    topic: String,
    /// Values, one record each; lines of standard input if none is given.
    values: Vec<String>,
    /// Key of every record.
    #[arg(short, long)]
    key: Option<String>,
    /// Split each input line into key and value at the first of these characters.
    #[arg(short = 'K', long, value_name = "CHAR")]
    key_delimiter: Option<String>,
    /// Header of every record, repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Partition; chosen by key (murmur2) or in turn if not given.
    #[arg(short, long)]
    partition: Option<i32>,
    /// Codec: none, gzip, snappy, lz4, zstd.
    #[arg(short = 'z', long, default_value = "none")]
    compression: String,
    /// When the broker answers: all, 1 or 0.
    #[arg(long, default_value = "all")]
    acks: String,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the verb.
///
/// # Errors
/// What the broker refused, or that it cannot be reached.
pub(crate) fn run(args: &Produce) -> Result<(), Failure> {
    let mut writer = Writer::open(args)?;
    let headers = args
        .headers
        .iter()
        .map(|text| header(text))
        .collect::<Result<HeaderList, _>>()?;
    let key = args.key.clone().map(String::into_bytes);
    if args.values.is_empty() {
        let split = args.key_delimiter.as_deref().map(delimiter).transpose()?;
        if io::stdin().is_terminal() {
            output::remark("reading records from standard input, one a line; end with Ctrl-D");
        }
        for line in io::stdin().lock().split(b'\n') {
            let (line_key, value) = split_line(line?, split);
            let key = line_key.or_else(|| key.clone());
            writer.push(NewRecord {
                key,
                value: Some(value),
                headers: headers.clone(),
                timestamp: clock::wall_ms(),
            })?;
        }
    } else {
        for value in &args.values {
            let value = Some(value.clone().into_bytes());
            writer.push(NewRecord {
                key: key.clone(),
                value,
                headers: headers.clone(),
                timestamp: clock::wall_ms(),
            })?;
        }
    }
    writer.finish()
}

/// `NAME=VALUE`; without `=` the header has a null value.
///
/// # Errors
/// The name is empty.
pub(crate) fn header(text: &str) -> Result<(String, Option<Vec<u8>>), Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(Failure::new(
            Kind::Usage,
            format!("`{text}` is not NAME=VALUE"),
        ));
    }
    Ok((name.to_owned(), value))
}

/// Splits a line into key and value at the first delimiter; without one the whole line is the value.
pub(crate) fn split_line(line: Vec<u8>, delimiter: Option<u8>) -> (Option<Vec<u8>>, Vec<u8>) {
    let at = delimiter.and_then(|delimiter| line.iter().position(|byte| *byte == delimiter));
    match at {
        Some(at) => {
            let value = line.get(at + 1..).unwrap_or_default().to_vec();
            (Some(line.get(..at).unwrap_or_default().to_vec()), value)
        }
        None => (None, line),
    }
}

struct Writer<'a> {
    args: &'a Produce,
    cluster: Cluster,
    topic: MetadataResponseTopic,
    acks: i16,
    pending: BTreeMap<i32, (usize, Vec<NewRecord>)>,
    turn: usize,
}

impl<'a> Writer<'a> {
    fn open(args: &'a Produce) -> Result<Self, Failure> {
        let acks = match args.acks.as_str() {
            "all" | "-1" => -1,
            "1" => 1,
            "0" => 0,
            other => {
                return Err(Failure::new(
                    Kind::Usage,
                    format!("acks `{other}` is not all, 1 or 0"),
                ));
            }
        };
        let mut cluster = args.remote.open()?;
        let topic = cluster.topic(&args.topic, Creates::Missing)?;
        Ok(Self {
            args,
            cluster,
            topic,
            acks,
            pending: BTreeMap::new(),
            turn: 0,
        })
    }

    fn push(&mut self, record: NewRecord) -> Result<(), Failure> {
        let partition = self.args.partition.unwrap_or_else(|| {
            records::partition_for(
                record.key.as_deref(),
                self.topic.partitions.len(),
                self.turn,
            )
        });
        let bytes =
            record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        let entry = self.pending.entry(partition).or_default();
        entry.0 += bytes;
        entry.1.push(record);
        if entry.0 >= BATCH_BYTES || entry.1.len() >= BATCH_RECORDS {
            self.turn += 1;
            self.flush(partition)?;
        }
        Ok(())
    }

    fn flush(&mut self, partition: i32) -> Result<(), Failure> {
        let Some((_, batch)) = self.pending.remove(&partition) else {
            return Ok(());
        };
        let target = Target {
            topic: &self.topic,
            partition,
            acks: self.acks,
            compression: records::compression(&self.args.compression)?,
            timeout_ms: self.args.remote.timeout_ms(),
        };
        let started = clock::now();
        let base = records::produce(&mut self.cluster, target, &batch)?;
        let took = started.elapsed().as_micros();
        let name = &self.args.topic;
        match base {
            None => output::line(&format!(
                "{name}/{partition} {} sent, not acknowledged",
                batch.len()
            )),
            Some(base) if batch.len() == 1 => output::line(&format!(
                "{name}/{partition}@{base} acknowledged in {took} us"
            )),
            Some(base) => {
                let last = base + i64::try_from(batch.len()).unwrap_or(i64::MAX) - 1;
                output::line(&format!(
                    "{name}/{partition}@{base}..{last} acknowledged in {took} us"
                ))
            }
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        let partitions: Vec<i32> = self.pending.keys().copied().collect();
        partitions
            .into_iter()
            .try_for_each(|partition| self.flush(partition))
    }
}
