//! Which APIs and versions are spoken: one table.
//!
//! Owns: [`TABLE`], the source of `ApiVersions`, of dispatch and of `docs/kafka-compatibility.md`.
//! Never: lists an API whose semantics are not complete (kafka.md 1.2, 6).
//! Invariants: keys rise; every served version is advertised; only Produce is advertised below what is served.
//! Source: kafka.md 1.1, 1.2; KIP-35, KIP-482, KIP-896.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::limits::{BULK_FRAME_BYTES_MAX, SMALL_FRAME_BYTES_MAX};

/// Every API that is served, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
#[expect(missing_docs, reason = "the names are Kafka's own")]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    CreatePartitions = 37,
    DeleteGroups = 42,
    IncrementalAlterConfigs = 44,
    OffsetDelete = 47,
    DescribeCluster = 60,
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> i16 {
        self as i16
    }
}

/// How large a request of an API may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameClass {
    /// Carries record batches: up to the connection's frame limit.
    Records,
    /// Carries an element per partition or member.
    Bulk,
    /// Anything else.
    Small,
}

impl FrameClass {
    /// Bytes of a frame of this class after its length prefix, on a connection with the limit `ceiling`.
    #[must_use]
    pub fn bytes_max(self, ceiling: usize) -> usize {
        match self {
            Self::Records => ceiling,
            Self::Bulk => ceiling.min(BULK_FRAME_BYTES_MAX),
            Self::Small => ceiling.min(SMALL_FRAME_BYTES_MAX),
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Which API.
    pub key: ApiKey,
    /// Its name in Kafka's documentation.
    pub name: &'static str,
    /// Lowest version `ApiVersions` announces.
    pub advertised_min: i16,
    /// Lowest version that is answered; a lower one closes the connection.
    pub min: i16,
    /// Highest version, announced and answered.
    pub max: i16,
    /// First version with compact types and tagged fields, if there is one.
    pub first_flexible: Option<i16>,
    /// Size of its requests.
    pub frame: FrameClass,
    /// What a user should know, for the compatibility page.
    pub note: &'static str,
}

impl Api {
    /// Whether this version uses compact types and tagged fields.  spec: KIP-482
    #[must_use]
    pub fn is_flexible(&self, version: i16) -> bool {
        self.first_flexible.is_some_and(|first| version >= first)
    }

    /// Whether the response header of this version has tagged fields.
    ///
    /// Never for `ApiVersions`: the client does not know yet what is spoken here.  spec: KIP-511
    #[must_use]
    pub fn has_tagged_response_header(&self, version: i16) -> bool {
        self.key != ApiKey::ApiVersions && self.is_flexible(version)
    }

    /// Whether requests of this version are answered.
    #[must_use]
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

const fn api(
    key: ApiKey,
    name: &'static str,
    versions: (i16, i16),
    first_flexible: Option<i16>,
    frame: FrameClass,
) -> Api {
    Api {
        key,
        name,
        advertised_min: versions.0,
        min: versions.0,
        max: versions.1,
        first_flexible,
        frame,
        note: "",
    }
}

impl Api {
    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// librdkafka before 2.11 sends uncompressed data unless version 0 is in the range (KAFKA-18659).
    const fn advertised_from(mut self, version: i16) -> Self {
        self.advertised_min = version;
        self
    }
}

const RECORDS: FrameClass = FrameClass::Records;
const BULK: FrameClass = FrameClass::Bulk;
const SMALL: FrameClass = FrameClass::Small;

/// The table. Ranges are those of Apache Kafka 4.3.
pub const TABLE: &[Api] = &[
    api(ApiKey::Produce, "Produce", (3, 13), Some(9), RECORDS)
        .advertised_from(0)
        .note("0-2 are announced for old librdkafka and close the connection, as in Kafka 4; one batch of format v2 per partition; no transactions yet"),
    api(ApiKey::Fetch, "Fetch", (4, 18), Some(12), BULK)
        .note("fetch sessions are declined (id 0), which clients answer with full requests"),
    api(ApiKey::ListOffsets, "ListOffsets", (1, 11), Some(6), BULK)
        .note("nothing is tiered: earliest local is the log start, latest tiered and earliest pending upload are -1"),
    api(ApiKey::Metadata, "Metadata", (0, 13), Some(9), BULK),
    api(ApiKey::OffsetCommit, "OffsetCommit", (2, 10), Some(8), BULK)
        .note("retention time of versions 2-4 is ignored"),
    api(ApiKey::OffsetFetch, "OffsetFetch", (1, 10), Some(6), BULK),
    api(ApiKey::FindCoordinator, "FindCoordinator", (0, 6), Some(3), SMALL)
        .note("groups only; a transactional id is answered with TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    api(ApiKey::JoinGroup, "JoinGroup", (0, 9), Some(6), BULK).note("classic protocol"),
    api(ApiKey::Heartbeat, "Heartbeat", (0, 4), Some(4), SMALL),
    api(ApiKey::LeaveGroup, "LeaveGroup", (0, 5), Some(4), SMALL),
    api(ApiKey::SyncGroup, "SyncGroup", (0, 5), Some(4), BULK),
    api(ApiKey::DescribeGroups, "DescribeGroups", (0, 6), Some(5), SMALL),
    api(ApiKey::ListGroups, "ListGroups", (0, 5), Some(3), SMALL),
    api(ApiKey::ApiVersions, "ApiVersions", (0, 4), Some(3), SMALL)
        .note("an unknown version is answered with version 0 and UNSUPPORTED_VERSION; no features are announced"),
    api(ApiKey::CreateTopics, "CreateTopics", (2, 7), Some(5), SMALL),
    api(ApiKey::DeleteTopics, "DeleteTopics", (1, 6), Some(4), SMALL),
    api(ApiKey::DeleteRecords, "DeleteRecords", (0, 2), Some(2), BULK),
    api(ApiKey::InitProducerId, "InitProducerId", (0, 5), Some(2), SMALL)
        .note("idempotent producers; a transactional id is answered with TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    api(ApiKey::OffsetForLeaderEpoch, "OffsetForLeaderEpoch", (2, 4), Some(4), BULK),
    api(ApiKey::DescribeConfigs, "DescribeConfigs", (1, 4), Some(4), SMALL)
        .note("topics and brokers"),
    api(ApiKey::AlterConfigs, "AlterConfigs", (0, 2), Some(2), SMALL).note("topics and brokers"),
    api(ApiKey::CreatePartitions, "CreatePartitions", (0, 3), Some(2), SMALL),
    api(ApiKey::DeleteGroups, "DeleteGroups", (0, 2), Some(2), SMALL),
    api(ApiKey::IncrementalAlterConfigs, "IncrementalAlterConfigs", (0, 1), Some(1), SMALL)
        .note("topics and brokers"),
    api(ApiKey::OffsetDelete, "OffsetDelete", (0, 0), None, BULK),
    api(ApiKey::DescribeCluster, "DescribeCluster", (0, 2), Some(0), SMALL)
        .note("brokers only; controllers are not an endpoint of their own"),
];

/// The line of the API with this number, if it is served.
#[must_use]
pub fn find(key: i16) -> Option<&'static Api> {
    TABLE.iter().find(|api| api.key.to_wire() == key)
}

/// The compatibility page, `docs/kafka-compatibility.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(PAGE_HEAD);
    for api in TABLE {
        let flexible = api
            .first_flexible
            .map_or_else(|| "never".to_owned(), |first| format!("{first}+"));
        // Writing to a `String` cannot fail.
        let written = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            api.key.to_wire(),
            api.name,
            range(api.advertised_min, api.max),
            range(api.min, api.max),
            flexible,
            api.note,
        );
        debug_assert!(written.is_ok());
    }
    page.push_str(PAGE_TAIL);
    page
}

fn range(min: i16, max: i16) -> String {
    if min == max {
        min.to_string()
    } else {
        format!("{min}-{max}")
    }
}

const PAGE_HEAD: &str = "# Kafka compatibility

Generated from `kafka/src/versions.rs`; a test compares the two. Change the table, not this page.

RapidMQ announces the version ranges of Apache Kafka 4.3 for the APIs below and nothing else. An API
is listed only when its semantics are complete; a request for another API, or for a version outside
the served range, closes the connection, as Kafka does. `ApiVersions` is the exception: an unknown
version of it is answered with version 0 and error 35, so that a newer client can try a lower one.

| Key | API | Announced | Served | Flexible | Notes |
| ---: | --- | --- | --- | --- | --- |
";

const PAGE_TAIL: &str = "
## Not available

- Transactions: `AddPartitionsToTxn`, `AddOffsetsToTxn`, `EndTxn`, `TxnOffsetCommit` are not announced. A
  producer with a transactional id gets `TRANSACTIONAL_ID_AUTHORIZATION_FAILED` (53), which clients
  report at once instead of retrying.
- Compaction: `cleanup.policy=compact` is accepted and demands keys, but older records of a key are not removed
  yet; a topic with `compact` alone keeps everything.
- Recompression: batches are stored as they were sent, whatever `compression.type` says.
- Quotas: the throttle time of every response is 0.
- Replication: a topic has one replica, on this broker.
- The consumer protocol of KIP-848, share groups (KIP-932) and streams groups (KIP-1071).
- SASL and ACLs.
- Message formats v0 and v1 (removed in Kafka 4.0 as well).
- Fetch from a follower (KIP-392): `preferred_read_replica` is always -1.

## Client settings that matter

- Each connection may have 100 unanswered requests; beyond that it is not read until some are answered.
- `fetch.max.bytes` is capped at 55 MiB, as in Kafka.
- A fetch waits 60 seconds at most, whatever `fetch.max.wait.ms` says.
- A request frame may have 100 MiB with records, 16 MiB with partitions or members, 4 MiB otherwise.
- One request may create 10,000 topics or describe the configs of 10,000 resources. What a request names twice
  (topics of Metadata, groups, committed offsets, resources) is answered once.
- Where the broker must look into compressed batches (compacted topics, or all with deep validation), those of
  one request may decompress to 128 MiB plus 64 times their size; a batch beyond its share is INVALID_RECORD.
";
