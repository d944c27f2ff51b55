//! Records as the client verbs produce and consume them.
//!
//! Owns: partition choice, produce and fetch of one partition, formatting of one record.
//! Never: keeps more than one fetch answer in memory.
//! Invariants: a key goes to the same partition as with the Java client (murmur2).
//! Source: kafka.md 3.1, features.md CM5.

use bytes::Bytes;
use kafka_wire::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::metadata_response::MetadataResponseTopic;
use kafka_wire::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire_core::{StrBytes, Uuid};
use model::batch::{BatchBuilder, Batches, Compression, Records};

use super::client::{Cluster, Connection};
use super::failure::{Failure, Kind};
use super::wire_error;

/// Record names and contents in order; duplicates allowed.
pub(crate) type HeaderList = Vec<(String, Option<Vec<u8>>)>;

/// One record to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewRecord {
    /// Key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Option<Vec<u8>>,
    /// Headers.
    pub(crate) headers: HeaderList,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
}

/// One record that was read.
#[derive(Clone, Debug)]
pub(crate) struct ReadRecord {
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
    /// Milliseconds since the epoch; -1 if none.
    pub(crate) timestamp: i64,
    /// Key.
    pub(crate) key: Option<Vec<u8>>,
    /// Value.
    pub(crate) value: Option<Vec<u8>>,
    /// Headers.
    pub(crate) headers: HeaderList,
}

/// The codec of that name.
///
/// # Errors
/// There is none.
pub(crate) fn compression(name: &str) -> Result<Compression, Failure> {
    match name {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        "snappy" => Ok(Compression::Snappy),
        "lz4" => Ok(Compression::Lz4),
        "zstd" => Ok(Compression::Zstd),
        _ => Err(Failure::new(Kind::Usage, format!("unknown codec `{name}`"))
            .fix("use none, gzip, snappy, lz4 or zstd")),
    }
}

/// Chooses a partition: murmur2 of the key as the Java client does, else `fallback`.
pub(crate) fn partition_for(key: Option<&[u8]>, partitions: usize, fallback: usize) -> i32 {
    let count = u32::try_from(partitions.max(1)).unwrap_or(u32::MAX);
    let index = match key {
        Some(key) => (murmur2(key) & 0x7fff_ffff) % count,
        None => u32::try_from(fallback % partitions.max(1)).unwrap_or(0),
    };
    index.cast_signed()
}

/// Murmur2 with Kafka's seed.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ len;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate().rev() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Where and how records are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// Topic.
    pub(crate) topic: &'a MetadataResponseTopic,
    /// Partition.
    pub(crate) partition: i32,
    /// -1 all, 1 leader, 0 none.
    pub(crate) acks: i16,
    /// Codec.
    pub(crate) compression: Compression,
    /// Give up after this, ms.
    pub(crate) timeout_ms: i32,
}

/// Writes records as one batch; the offset of the first, or `None` with acks=0.
///
/// # Errors
/// The broker refused the batch.
pub(crate) fn produce(
    cluster: &mut Cluster,
    target: Target<'_>,
    records: &[NewRecord],
) -> Result<Option<i64>, Failure> {
    let request = produce_request(target, records)?;
    let leader = leader_of(cluster, target.topic, target.partition)?;
    if target.acks == 0 {
        let version = leader.version_of::<ProduceRequest>()?;
        leader.send(&request, version)?;
        return Ok(None);
    }
    let response = leader.call(&request)?;
    let answer = response
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first());
    let answer =
        answer.ok_or_else(|| Failure::new(Kind::Failed, "the broker answered no partition"))?;
    let message = answer.error_message.as_ref().map(StrBytes::as_str);
    wire_error::check_with(answer.error_code, message, "producing")?;
    Ok(Some(answer.base_offset))
}

fn produce_request(target: Target<'_>, records: &[NewRecord]) -> Result<ProduceRequest, Failure> {
    let first = records.first().map_or(-1, |record| record.timestamp);
    let mut builder = BatchBuilder::new(first).compression(target.compression);
    for record in records {
        let headers: Vec<(&[u8], Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        let record = model::batch::NewRecord {
            timestamp_ms: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        builder.push(&record).map_err(|error| {
            Failure::new(Kind::Failed, format!("records cannot be encoded: {error}"))
        })?;
    }
    let batch = builder.build();
    let mut partition = PartitionProduceData::default();
    partition.index = target.partition;
    partition.records = Some(batch.freeze());
    let mut topic = TopicProduceData::default();
    topic.name = target.topic.name.clone().unwrap_or_default();
    topic.topic_id = target.topic.topic_id;
    topic.partition_data = vec![partition];
    let mut request = ProduceRequest::default();
    request.acks = target.acks;
    request.timeout_ms = target.timeout_ms;
    request.topic_data = vec![topic];
    Ok(request)
}

/// The connection to a partition's leader.
///
/// # Errors
/// The partition does not exist or has no leader.
pub(crate) fn leader_of<'c>(
    cluster: &'c mut Cluster,
    topic: &MetadataResponseTopic,
    partition: i32,
) -> Result<&'c mut Connection, Failure> {
    let found = topic
        .partitions
        .iter()
        .find(|candidate| candidate.partition_index == partition);
    let found = found.ok_or_else(|| {
        let name = topic.name.as_ref().map_or("", StrBytes::as_str);
        let count = topic.partitions.len();
        Failure::new(
            Kind::NotFound,
            format!("topic `{name}` has no partition {partition}"),
        )
        .fix(format!(
            "it has partitions 0 to {}",
            count.saturating_sub(1)
        ))
    })?;
    cluster.broker(found.leader_id)
}

/// What a fetch asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Partition.
    pub(crate) partition: i32,
    /// First offset.
    pub(crate) offset: i64,
    /// How long the broker may wait for data, ms.
    pub(crate) wait_ms: i32,
}

/// What a fetch gave.
pub(crate) struct Answer {
    /// Records from the wanted offset on.
    pub(crate) records: Vec<ReadRecord>,
    /// Where to go on.
    pub(crate) next_offset: i64,
    /// End of what may be read now.
    pub(crate) high_watermark: i64,
}

/// Reads some records of one partition.
///
/// # Errors
/// The broker refused, or sent bytes that are no record batches.
pub(crate) fn fetch(
    leader: &mut Connection,
    topic: &MetadataResponseTopic,
    wanted: Wanted,
) -> Result<Answer, Failure> {
    let response = leader.call(&fetch_request(topic, wanted))?;
    wire_error::check(response.error_code, "fetching")?;
    let answer = response
        .responses
        .first()
        .and_then(|topic| topic.partitions.first());
    let answer =
        answer.ok_or_else(|| Failure::new(Kind::Failed, "the broker answered no partition"))?;
    wire_error::check(
        answer.error_code,
        &format!("reading partition {}", wanted.partition),
    )?;
    let bytes = answer.records.clone().unwrap_or_default();
    let mut found = Answer {
        records: Vec::new(),
        next_offset: wanted.offset,
        high_watermark: answer.high_watermark,
    };
    decode(&bytes, wanted, &mut found).map_err(|error| {
        Failure::new(
            Kind::Failed,
            format!("the broker sent damaged records: {error}"),
        )
    })?;
    Ok(found)
}

fn fetch_request(topic: &MetadataResponseTopic, wanted: Wanted) -> FetchRequest {
    let mut partition = FetchPartition::default();
    partition.partition = wanted.partition;
    partition.current_leader_epoch = -1;
    partition.fetch_offset = wanted.offset;
    partition.last_fetched_epoch = -1;
    partition.log_start_offset = -1;
    partition.partition_max_bytes = 4 * 1024 * 1024;
    let mut of_topic = FetchTopic::default();
    of_topic.topic = topic.name.clone().unwrap_or_default();
    of_topic.topic_id = Uuid::from_bytes(topic.topic_id.to_bytes());
    of_topic.partitions = vec![partition];
    let mut request = FetchRequest::default();
    request.replica_id = -1;
    request.max_wait_ms = wanted.wait_ms;
    request.min_bytes = 1;
    request.max_bytes = 16 * 1024 * 1024;
    request.session_id = 0;
    request.session_epoch = -1;
    request.topics = vec![of_topic];
    request
}

fn decode(
    bytes: &Bytes,
    wanted: Wanted,
    found: &mut Answer,
) -> Result<(), model::batch::BatchError> {
    let mut scratch = Vec::new();
    for batch in Batches::new(bytes) {
        // The last batch of an answer may be cut short: it comes whole with the next fetch.
        let Ok((info, batch)) = batch else { break };
        found.next_offset = info.last_offset().to_wire() + 1;
        if info.is_control {
            continue;
        }
        for record in Records::open(batch, &info, &mut scratch)? {
            let record = record?;
            let offset = record.offset(&info).to_wire();
            if offset < wanted.offset {
                continue;
            }
            let timestamp = record.timestamp(&info);
            found.records.push(ReadRecord {
                partition: wanted.partition,
                offset,
                timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .map(|(name, value)| {
                        (
                            String::from_utf8_lossy(name).into_owned(),
                            value.map(<[u8]>::to_vec),
                        )
                    })
                    .collect(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
