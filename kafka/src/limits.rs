//! Bounds of one connection that only this protocol knows.
//!
//! Owns: the numbers, with unit and reason, that bound what one client can make a session hold.
//! Never: repeats a bound of `model::limits`.
//! Invariants: every count that a client chooses has a ceiling here or there.
//! Source: architecture.md A9, kafka.md 2.3.

/// Bytes of a request that carries per-partition or per-member payloads but no records.
///
/// Sixteen MiB hold a commit of 200,000 partitions and an assignment of 2,000 members.
pub(crate) const BULK_FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of any other request. Decoding may multiply them by about 32 (a one-byte string becomes a
/// handle of 32 bytes), hence the distance to the records' limit.
pub(crate) const SMALL_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Elements of one array of a request: above `model::limits::TOPICS_MAX` and `PARTITIONS_PER_TOPIC_MAX`.
pub(crate) const ARRAY_ELEMENTS_MAX: usize = 200_000;

/// Topics one CreateTopics may create and resources one DescribeConfigs may describe: each is answered with every
/// config it has, some kilobytes.
pub(crate) const DESCRIBED_ELEMENTS_MAX: usize = 10_000;

/// Topic partitions in one Produce or Fetch request.
pub(crate) const REQUEST_PARTITIONS_MAX: usize = 200_000;

/// Tagged fields of one struct. Kafka defines at most three; a proxy may add some.
pub(crate) const TAGGED_FIELDS_MAX: usize = 64;

/// Bytes of unanswered requests of one connection before it is read no further; one frame may go over.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of finished responses that the client has not taken before it is read no further, and before
/// another fetch is begun. One response may go over: a fetch has its own bound.
pub(crate) const READY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that a byte of a compressed batch may decompress to where records must be looked at, besides the batch's
/// share of [`INSPECT_BYTES_BASE`]: real data shrinks by less. Bounds what one request can make a core decompress.
pub(crate) const INSPECT_RATIO_MAX: usize = 64;

/// Bytes that all compressed batches of one request share on top of their own ratio: a single one may have them all.
pub(crate) const INSPECT_BYTES_BASE: usize = model::limits::DECOMPRESSED_BYTES_MAX;

/// Milliseconds a Fetch may wait for records, whatever the client asks: bounds how long the parked requests of a
/// client that went away keep their room. An early empty answer is legal; the client asks again.
pub(crate) const LONG_POLL_WAIT_MS_MAX: u32 = 60_000;

/// Milliseconds after its deadline at which a long poll is ended from here, should a shard not have
/// answered. Shards end parked fetches themselves; this is for the rare message that is late.
pub(crate) const LONG_POLL_GRACE_MS: u64 = 100;

/// Bytes of a response beyond which its length prefix would not fit.
pub(crate) const RESPONSE_BYTES_MAX: usize = i32::MAX as usize;

const _: () = assert!(SMALL_FRAME_BYTES_MAX <= BULK_FRAME_BYTES_MAX);
const _: () = assert!(BULK_FRAME_BYTES_MAX <= model::limits::FRAME_BYTES_MAX);
const _: () = assert!(ARRAY_ELEMENTS_MAX >= model::limits::TOPICS_MAX);
const _: () = assert!(ARRAY_ELEMENTS_MAX >= model::limits::PARTITIONS_PER_TOPIC_MAX as usize);
