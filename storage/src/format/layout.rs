//! Where files lie in a data directory.
//!
//! Owns: every path, both ways.
//! Never: touches a file.
//! Invariants: paths are relative, separated by `/`; what `*_path` makes, `parse_*` reads.
//! Source: reliability.md 2.2.

use std::fmt;

use model::ids::{PartitionId, ShardId, TopicId, TopicPartition};
use model::offset::Offset;

use super::Uid;

/// Bytes that every name of a segment, index, snapshot, journal or manifest file fits into.
const NAME_BYTES: usize = 128;

/// First copy of the superblock.
pub const SUPERBLOCK_A: &str = "superblock.a";
/// Second copy of the superblock.
pub const SUPERBLOCK_B: &str = "superblock.b";
/// Where partitions lie.
pub const PARTITIONS: &str = "p";
/// Where what recovery set aside lies.
pub const QUARANTINE: &str = "quarantine";

/// Directory of one core.
#[must_use]
pub fn core_dir(shard: ShardId) -> String {
    format!("core-{shard}")
}

/// The core of a directory name.
#[must_use]
pub fn parse_core_dir(name: &str) -> Option<ShardId> {
    name.strip_prefix("core-")?.parse().ok().map(ShardId::new)
}

/// Directory of one core's journal files.
#[must_use]
pub fn journal_dir(shard: ShardId) -> String {
    format!("core-{shard}/journal")
}

/// One journal file.
#[must_use]
pub fn journal_path(shard: ShardId, file: &Uid) -> String {
    text(format_args!("core-{shard}/journal/{}.j", Hex(file)))
}

/// The uid of a journal file's name.
#[must_use]
pub fn parse_journal(name: &str) -> Option<Uid> {
    parse_hex(name.strip_suffix(".j")?)
}

/// One generation of a core's manifest.
#[must_use]
pub fn manifest_path(shard: ShardId, generation: u64) -> String {
    text(format_args!("core-{shard}/manifest.{generation:020}"))
}

/// The generation of a manifest file's name.
#[must_use]
pub fn parse_manifest(name: &str) -> Option<u64> {
    name.strip_prefix("manifest.")
        .filter(|digits| digits.len() == 20)?
        .parse()
        .ok()
}

/// Directory of one partition.
#[must_use]
pub fn partition_dir(tp: TopicPartition) -> String {
    format!("{PARTITIONS}/{}/{}", tp.topic, tp.partition)
}

/// One segment.
#[must_use]
pub fn segment_path(tp: TopicPartition, base: Offset, uid: &Uid) -> String {
    segment_file(tp, base, uid, "seg")
}

/// The index beside a segment.
#[must_use]
pub fn index_path(tp: TopicPartition, base: Offset, uid: &Uid) -> String {
    segment_file(tp, base, uid, "idx")
}

/// The snapshot of a partition's producers as of `upto`.
#[must_use]
pub fn snapshot_path(tp: TopicPartition, upto: Offset) -> String {
    let TopicPartition { topic, partition } = tp;
    let upto = upto.get();
    text(format_args!(
        "{PARTITIONS}/{topic}/{partition}/{upto:020}.snap"
    ))
}

fn segment_file(tp: TopicPartition, base: Offset, uid: &Uid, ending: &str) -> String {
    let TopicPartition { topic, partition } = tp;
    let (base, uid) = (base.get(), Hex(uid));
    text(format_args!(
        "{PARTITIONS}/{topic}/{partition}/{base:020}-{uid}.{ending}"
    ))
}

/// Base offset and uid of a segment's (`seg`) or index's (`idx`) file name.
#[must_use]
pub fn parse_segment(name: &str, ending: &str) -> Option<(Offset, Uid)> {
    let stem = name.strip_suffix(ending)?.strip_suffix('.')?;
    let (base, uid) = stem.split_once('-')?;
    Some((parse_offset(base)?, parse_hex(uid)?))
}

/// The offset of a snapshot's file name.
#[must_use]
pub fn parse_snapshot(name: &str) -> Option<Offset> {
    parse_offset(name.strip_suffix(".snap")?)
}

/// The partition of a directory pair below [`PARTITIONS`].
#[must_use]
pub fn parse_partition(topic: &str, partition: &str) -> Option<TopicPartition> {
    let topic = TopicId::from_bytes(parse_hex(topic)?);
    Some(TopicPartition {
        topic,
        partition: PartitionId::new(partition.parse().ok()?),
    })
}

fn parse_offset(digits: &str) -> Option<Offset> {
    let value = Some(digits)
        .filter(|digits| digits.len() == 20)?
        .parse()
        .ok()?;
    Some(Offset::new(value)).filter(|offset| *offset <= Offset::MAX)
}

/// Lower-case hexadecimal of a uid.
#[must_use]
pub fn hex(uid: &Uid) -> String {
    text(format_args!("{}", Hex(uid)))
}

/// Writes a uid as lower-case hexadecimal.
struct Hex<'a>(&'a Uid);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A name in memory that is asked for once.
fn text(name: fmt::Arguments<'_>) -> String {
    let mut text = String::with_capacity(NAME_BYTES);
    let written = fmt::Write::write_fmt(&mut text, name);
    assert!(written.is_ok(), "a string takes whatever is written to it");
    text
}

fn parse_hex(text: &str) -> Option<Uid> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut uid = [0; 16];
    for (index, byte) in uid.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    is_hex.then_some(uid)
}
