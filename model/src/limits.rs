//! Every bound, with unit and reason.
//!
//! Owns: the numbers that bound memory, counts and sizes.
//! Never: depends on configuration; configurable limits have their default and their ceiling here.
//! Invariants: related bounds are tied by compile-time assertions.
//! Source: architecture.md A9, reliability.md 4.2, kafka.md appendix A.

/// Bytes of one request frame after its length prefix. Kafka's `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes a connection's small receive buffer holds before a frame asks for more.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Default of `max.message.bytes`: one record batch. Kafka's default.
pub const BATCH_BYTES_DEFAULT: u32 = 1_048_588;

/// Ceiling of `max.message.bytes`: 64 MiB, so that a batch fits a journal file and a frame.
pub const BATCH_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Bytes a batch may decompress to: bounds bombs. reliability.md 4.2.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Records in one batch; more than a 64 MiB batch of the smallest records would hold sensibly.
pub const BATCH_RECORDS_MAX: u32 = 10_000_000;

/// Requests of one connection that may be unanswered; further bytes are not read. reliability.md 4.2.
pub const CONNECTION_REQUESTS_MAX: usize = 100;

/// Bytes of one Fetch answer. Kafka's `fetch.max.bytes`.
pub const FETCH_BYTES_MAX: u32 = 55 * 1024 * 1024;

/// Connections one data core accepts. reliability.md 4.2 has 20,000 per broker.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 20_000;

/// Appends at most this large go to the journal, larger ones straight to the segment. reliability.md 2.2.
pub const JOURNAL_APPEND_BYTES_MAX: usize = 32 * 1024;

/// A partition's tail buffer is written to its segment at this size at the latest. reliability.md 2.2.
pub const TAIL_FLUSH_BYTES: usize = 256 * 1024;

/// Alignment of every direct write: the block that is written exactly once. reliability.md 2.2.
pub const BLOCK_BYTES: usize = 4096;

/// Durable groups in flight per core. Two gain 20 to 32 % over one, four gain nothing (performance.md 2).
pub const GROUPS_INFLIGHT_MAX: usize = 2;

/// Partitions of one topic. Keeps one Metadata answer below the frame limit.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 100_000;

/// Topics in the cluster's metadata.
pub const TOPICS_MAX: usize = 200_000;

/// Bytes of a topic name.  spec: kafka.md 4.6
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Producers remembered per partition before the longest idle is forgotten.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;

/// Batches remembered per producer: the Java client's `max.in.flight.requests.per.connection` ceiling.  spec: KIP-98
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// Requests of one kind (appends, reads, deletions) parked on one partition.
pub const WAITERS_PER_PARTITION_MAX: usize = 16_384;

/// Fetches of one connection parked on one partition. A client polls a partition once at a time; this keeps one
/// connection from taking the room of all others.
pub const FETCHES_PER_CONNECTION_MAX: usize = 8;

/// Members of one consumer group. Kafka's `group.max.size` is unbounded; ours is not.
pub const GROUP_MEMBERS_MAX: usize = 2_000;

/// Bytes of an offset commit's metadata string. Kafka's `offset.metadata.max.bytes`.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;

/// Producer ids handed to a broker in one metadata command. reliability.md 1.11.
pub const PRODUCER_ID_BLOCK: u64 = 1_000;

/// Work of one round of the pump.
pub mod pump {
    /// Ring completions taken per round.
    pub const COMPLETIONS_MAX: usize = 512;
    /// Commands whose partitions are looked at before the first of them is carried out.
    pub const COMMANDS_AHEAD: usize = 32;
    /// Mesh messages taken per peer and round.
    pub const MESH_MAX: usize = 256;
    /// Control messages taken per round.
    pub const CONTROL_MAX: usize = 64;
    /// Slots of one SPSC ring between two cores.
    pub const MESH_SLOTS: usize = 4_096;
}

const _: () = assert!(
    BATCH_BYTES_MAX as usize <= FRAME_BYTES_MAX,
    "a batch travels in one frame"
);
const _: () = assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_MAX);
const _: () = assert!(JOURNAL_APPEND_BYTES_MAX < TAIL_FLUSH_BYTES);
const _: () = assert!(TAIL_FLUSH_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(BATCH_BYTES_MAX as usize <= DECOMPRESSED_BYTES_MAX);
