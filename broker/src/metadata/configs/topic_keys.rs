//! Every topic config key.
//!
//! Owns: the table.
//! Never: resolves values.
//! Invariants: sorted by name; names, types and defaults as in Apache Kafka 4, ours begin with `rapidmq.`.
//! Source: kafka.md 4.12, Apache Kafka topic configs, KIP-1030 (defaults of 4.0).

use api::metadata::ConfigType::{Boolean, Double, Int, List, Long, String};
use model::limits;

use super::check::Check;
use super::value::MS_PER_HOUR;
use super::{KeyDef, Synonym};

const MAX: &str = "9223372036854775807";
const MS_PER_MINUTE: i64 = 60_000;

/// Smallest age at which memory-durable data may be written, and largest; ms.
pub const FLUSH_INTERVAL_MS: std::ops::RangeInclusive<u32> = 1..=60_000;

/// The table, in name order.
pub const KEYS: &[KeyDef] = &[
    KeyDef::topic("cleanup.policy", List, "delete", "What happens to old data: delete removes old segments by retention time and size, compact is for topics whose records replace older ones of the same key: records must have keys and time and size remove nothing, but older records are not yet removed either. Both may be given.")
        .checked(Check::Words(&["delete", "compact"]))
        .defaults_from(&[Synonym::same("log.cleanup.policy")]),
    KeyDef::topic("compression.gzip.level", Int, "-1", "Level for gzip if the broker compressed. Without effect: batches are stored as the producer sent them.")
        .checked(Check::Range(-1, 9)).stored()
        .defaults_from(&[Synonym::same("compression.gzip.level")]),
    KeyDef::topic("compression.lz4.level", Int, "9", "Level for lz4 if the broker compressed. Without effect: batches are stored as the producer sent them.")
        .checked(Check::Range(1, 17)).stored()
        .defaults_from(&[Synonym::same("compression.lz4.level")]),
    KeyDef::topic("compression.type", String, "producer", "Compression of stored batches. Only producer has an effect: batches are stored as the producer sent them and never compressed again.")
        .checked(Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).stored()
        .defaults_from(&[Synonym::same("compression.type")]),
    KeyDef::topic("compression.zstd.level", Int, "3", "Level for zstd if the broker compressed. Without effect: batches are stored as the producer sent them.")
        .checked(Check::Range(-131_072, 22)).stored()
        .defaults_from(&[Synonym::same("compression.zstd.level")]),
    KeyDef::topic("delete.retention.ms", Long, "86400000", "How long a compacted topic keeps a tombstone, milliseconds.")
        .checked(Check::long_from(0)).stored()
        .defaults_from(&[Synonym::same("log.cleaner.delete.retention.ms")]),
    KeyDef::topic("file.delete.delay.ms", Long, "60000", "How long a removed segment stays on disk in Kafka, milliseconds. Without effect: files are removed once the removal is durable and no read uses them.")
        .checked(Check::long_from(0)).stored()
        .defaults_from(&[Synonym::same("log.segment.delete.delay.ms")]),
    KeyDef::topic("flush.messages", Long, MAX, "Records after which data must be on disk. Only makes a topic safer: with rapidmq.durability=disk every acknowledged record already is; with memory any value below the default turns it into disk.")
        .checked(Check::long_from(1))
        .defaults_from(&[Synonym::same("log.flush.interval.messages")]),
    KeyDef::topic("flush.ms", Long, MAX, "Age at which data must be on disk, milliseconds. Only makes a topic safer: with rapidmq.durability=memory it lowers rapidmq.flush.interval.ms, and zero turns memory into disk.")
        .checked(Check::long_from(0))
        .defaults_from(&[Synonym::same("log.flush.interval.ms"), Synonym::same("log.flush.scheduler.interval.ms")]),
    KeyDef::topic("follower.replication.throttled.replicas", List, "", "Replicas whose fetching is throttled, as partition:broker or *. Without effect until partitions are replicated.")
        .checked(Check::ThrottledReplicas).stored(),
    KeyDef::topic("index.interval.bytes", Int, "4096", "Bytes between index entries in Kafka. Without effect: the index has its own spacing.")
        .checked(Check::int_from(0)).stored()
        .defaults_from(&[Synonym::same("log.index.interval.bytes")]),
    KeyDef::topic("leader.replication.throttled.replicas", List, "", "Replicas whose serving to followers is throttled, as partition:broker or *. Without effect until partitions are replicated.")
        .checked(Check::ThrottledReplicas).stored(),
    KeyDef::topic("local.retention.bytes", Long, "-2", "Bytes kept locally when older data is tiered; -2 means retention.bytes. Without effect without tiered storage.")
        .checked(Check::long_from(-2)).stored()
        .defaults_from(&[Synonym::same("log.local.retention.bytes")]),
    KeyDef::topic("local.retention.ms", Long, "-2", "Time data is kept locally when older data is tiered; -2 means retention.ms. Without effect without tiered storage.")
        .checked(Check::long_from(-2)).stored()
        .defaults_from(&[Synonym::same("log.local.retention.ms")]),
    KeyDef::topic("max.compaction.lag.ms", Long, MAX, "Longest time a record of a compacted topic may stay uncompacted, milliseconds.")
        .checked(Check::long_from(1)).stored()
        .defaults_from(&[Synonym::same("log.cleaner.max.compaction.lag.ms")]),
    KeyDef::topic("max.message.bytes", Int, "1048588", "Largest record batch accepted, bytes, after compression.")
        .checked(Check::Range(0, limits::BATCH_BYTES_MAX as i64))
        .defaults_from(&[Synonym::same("message.max.bytes")]),
    KeyDef::topic("message.downconversion.enable", Boolean, "true", "Gone from Kafka. Accepted without effect: old message formats are not served.").dead(),
    KeyDef::topic("message.format.version", String, "3.0-IV1", "Gone from Kafka. Accepted without effect: the format is always record batch v2.").dead(),
    KeyDef::topic("message.timestamp.after.max.ms", Long, "3600000", "How far a record's timestamp may lie in the future with CreateTime, milliseconds.")
        .checked(Check::long_from(0))
        .defaults_from(&[Synonym::same("log.message.timestamp.after.max.ms")]),
    KeyDef::topic("message.timestamp.before.max.ms", Long, MAX, "How far a record's timestamp may lie in the past with CreateTime, milliseconds.")
        .checked(Check::long_from(0))
        .defaults_from(&[Synonym::same("log.message.timestamp.before.max.ms")]),
    KeyDef::topic("message.timestamp.difference.max.ms", Long, MAX, "Gone from Kafka. Accepted without effect; use message.timestamp.before.max.ms and message.timestamp.after.max.ms.")
        .checked(Check::long_from(0)).dead(),
    KeyDef::topic("message.timestamp.type", String, "CreateTime", "Whether records keep the producer's timestamp (CreateTime) or get the broker's (LogAppendTime).")
        .checked(Check::OneOf(&["CreateTime", "LogAppendTime"]))
        .defaults_from(&[Synonym::same("log.message.timestamp.type")]),
    KeyDef::topic("min.cleanable.dirty.ratio", Double, "0.5", "Share of uncompacted bytes at which a compacted topic is compacted.")
        .checked(Check::Fraction(0.0, 1.0)).stored()
        .defaults_from(&[Synonym::same("log.cleaner.min.cleanable.ratio")]),
    KeyDef::topic("min.compaction.lag.ms", Long, "0", "Shortest time a record of a compacted topic stays uncompacted, milliseconds.")
        .checked(Check::long_from(0)).stored()
        .defaults_from(&[Synonym::same("log.cleaner.min.compaction.lag.ms")]),
    KeyDef::topic("min.insync.replicas", Int, "1", "Replicas that must have a record before acks=all is answered. Without effect until partitions are replicated: every record has one replica.")
        .checked(Check::int_from(1)).stored()
        .defaults_from(&[Synonym::same("min.insync.replicas")]),
    KeyDef::topic("preallocate", Boolean, "false", "Whether segment files are preallocated. Without effect: they always are.").stored()
        .defaults_from(&[Synonym::same("log.preallocate")]),
    KeyDef::topic("rapidmq.durability", String, "disk", "When a record counts as stored: disk acknowledges after the data is on the device, memory once it is in memory and writes it within rapidmq.flush.interval.ms. A crash loses what memory had not written.")
        .checked(Check::OneOf(&["disk", "memory"]))
        .defaults_from(&[Synonym::same("rapidmq.durability")]),
    KeyDef::topic("rapidmq.flush.interval.ms", Int, "10", "Age at which memory-durable data is written to the device, milliseconds.")
        .checked(Check::Range(*FLUSH_INTERVAL_MS.start() as i64, *FLUSH_INTERVAL_MS.end() as i64))
        .defaults_from(&[Synonym::same("rapidmq.flush.interval.ms")]),
    KeyDef::topic("remote.log.copy.disable", Boolean, "false", "Whether copying to tiered storage stops. Without effect without tiered storage.").stored(),
    KeyDef::topic("remote.log.delete.on.disable", Boolean, "false", "Whether tiered data is removed when tiering ends. Without effect without tiered storage.").stored(),
    KeyDef::topic("remote.storage.enable", Boolean, "false", "Whether old segments move to tiered storage. Only false is accepted: there is no tiered storage yet.")
        .checked(Check::NeverTrue("tiered storage is not available")).stored(),
    KeyDef::topic("retention.bytes", Long, "-1", "Bytes a partition keeps before old segments are removed; -1 for no limit.")
        .checked(Check::long_from(-1))
        .defaults_from(&[Synonym::same("log.retention.bytes")]),
    KeyDef::topic("retention.ms", Long, "604800000", "How long a partition keeps data before old segments are removed, milliseconds; -1 for ever.")
        .checked(Check::long_from(-1))
        .defaults_from(&[
            Synonym::same("log.retention.ms"),
            Synonym { name: "log.retention.minutes", factor: MS_PER_MINUTE },
            Synonym { name: "log.retention.hours", factor: MS_PER_HOUR },
        ]),
    KeyDef::topic("segment.bytes", Int, "1073741824", "Bytes after which a new segment is begun; also the largest batch. Retention works on whole segments. Values below 64 KiB are kept, and act as 64 KiB.")
        .checked(Check::int_from(14))
        .defaults_from(&[Synonym::same("log.segment.bytes")]),
    KeyDef::topic("segment.index.bytes", Int, "10485760", "Bytes of an offset index in Kafka. Without effect: indexes grow as needed.")
        .checked(Check::int_from(4)).stored()
        .defaults_from(&[Synonym::same("log.index.size.max.bytes")]),
    KeyDef::topic("segment.jitter.ms", Long, "0", "Random time taken off segment.ms, so that segments do not roll together, milliseconds. Without effect: rolling is part of the shared write group.")
        .checked(Check::long_from(0)).stored()
        .defaults_from(&[
            Synonym::same("log.roll.jitter.ms"),
            Synonym { name: "log.roll.jitter.hours", factor: MS_PER_HOUR },
        ]),
    KeyDef::topic("segment.ms", Long, "604800000", "Age after which a new segment is begun, so that old data can be removed, milliseconds.")
        .checked(Check::long_from(1))
        .defaults_from(&[
            Synonym::same("log.roll.ms"),
            Synonym { name: "log.roll.hours", factor: MS_PER_HOUR },
        ]),
    KeyDef::topic("unclean.leader.election.enable", Boolean, "false", "Whether a replica out of sync may lead. Accepted without effect: a leader that would lose acknowledged data is only ever elected by an operator's explicit command.").stored()
        .defaults_from(&[Synonym::same("unclean.leader.election.enable")]),
];
