//! Bytes of metadata commands and of the whole image.
//!
//! Owns: the layout of Raft entries and of snapshots of the metadata state machine.
//! Never: panics or allocates beyond the input on any bytes.
//! Invariants: the same image encodes to the same bytes on every broker; a record that must be understood
//! and is not is an error, never skipped.
//! Source: reliability.md 1.10, 1.11.

pub mod command;
pub mod snapshot;

pub use command::{decode_command, encode_command};
pub use snapshot::{decode_image, encode_image};

use model::ids::{BrokerId, TopicId};
use model::limits;
use raft_host::wire::{DecodeError, Reader, Writer};

use super::configs::change::VALUES_MAX;
use super::configs::check::VALUE_BYTES_MAX;

/// Bytes of one encoded command: bounds a Raft entry. The largest sensible one creates a topic of
/// `limits::PARTITIONS_PER_TOPIC_MAX` partitions with three replicas.
pub const COMMAND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a host name, a rack or a config key.
pub const NAME_BYTES_MAX: usize = 1_024;

/// Replicas of one partition.
pub const REPLICAS_MAX: usize = 64;

/// Elements of one list in a command; the command's bytes bound it further.
const ELEMENTS_MAX: usize = 1_000_000;

const _: () = assert!(limits::PARTITIONS_PER_TOPIC_MAX as usize * 16 <= COMMAND_BYTES_MAX);
const _: () = assert!(limits::TOPIC_NAME_BYTES_MAX <= NAME_BYTES_MAX);

fn put_list<T>(out: &mut Writer, items: &[T], mut one: impl FnMut(&mut Writer, &T)) {
    out.count(items.len());
    items.iter().for_each(|item| one(out, item));
}

fn take_list<T>(
    from: &mut Reader<'_>,
    bytes_each: usize,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = from.count(bytes_each, ELEMENTS_MAX)?;
    // Elements in memory may be larger than in the input: grow with what is really there.
    let mut items = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        items.push(one(from)?);
    }
    Ok(items)
}

fn put_brokers(out: &mut Writer, brokers: &[BrokerId]) {
    put_list(out, brokers, |out, broker| out.u32(broker.get()));
}

fn take_brokers(from: &mut Reader<'_>) -> Result<Vec<BrokerId>, DecodeError> {
    let count = from.count(4, REPLICAS_MAX)?;
    (0..count).map(|_| from.u32().map(BrokerId::new)).collect()
}

fn put_topic_id(out: &mut Writer, id: &TopicId) {
    out.raw(id.as_bytes());
}

fn take_topic_id(from: &mut Reader<'_>) -> Result<TopicId, DecodeError> {
    from.array().map(TopicId::from_bytes)
}

fn put_configs<'a>(
    out: &mut Writer,
    configs: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) {
    out.count(configs.len());
    for (key, value) in configs {
        out.text(key);
        out.text(value);
    }
}

fn take_configs(from: &mut Reader<'_>) -> Result<Vec<(String, String)>, DecodeError> {
    let count = from.count(8, VALUES_MAX)?;
    (0..count)
        .map(|_| {
            let key = from.text(NAME_BYTES_MAX)?.to_owned();
            Ok((key, from.text(VALUE_BYTES_MAX)?.to_owned()))
        })
        .collect()
}
