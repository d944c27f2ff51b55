//! Wire values as words of the alphabet, and back.
//!
//! Owns: the meaning of -1 and of negative indexes, the conversion of texts and ids.
//! Never: invents a default that a version does not have.
//! Invariants: no wire sentinel passes from here to `api`.
//! Source: kafka.md 4.6; glossary: sentinels die at the edge.

use std::collections::BTreeSet;

use api::metadata::TopicKey;
use model::ids::{BrokerId, Generation, PartitionId, TopicId};
use model::offset::{LeaderEpoch, Offset};

use crate::codec::{StrBytes, Uuid};
use crate::error_map::Code;

/// Bit field of authorised operations when it was not asked for.  spec: KIP-430
pub(super) const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// Read, write, create, delete, alter, describe, describe and alter configs: everything, as without an authoriser.
pub(super) const OPERATIONS_TOPIC: i32 = 0b1101_1111_1000;
/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub(super) const OPERATIONS_CLUSTER: i32 = 0b1_1111_1010_0000;
/// Read, delete, describe.
pub(super) const OPERATIONS_GROUP: i32 = 0b1_0100_1000;

/// A partition index; `None` if negative.
pub(super) fn partition(index: i32) -> Option<PartitionId> {
    u32::try_from(index).ok().map(PartitionId::new)
}

/// A partition index for the wire.
pub(super) fn wire_partition(partition: PartitionId) -> i32 {
    i32::try_from(partition.get()).unwrap_or(i32::MAX)
}

/// A broker id; `None` if negative.
pub(super) fn broker(id: i32) -> Option<BrokerId> {
    u32::try_from(id).ok().map(BrokerId::new)
}

/// A broker id for the wire.
pub(super) fn wire_broker(id: BrokerId) -> i32 {
    i32::try_from(id.get()).unwrap_or(i32::MAX)
}

/// A generation; `None` if negative.
pub(super) fn generation(number: i32) -> Option<Generation> {
    u32::try_from(number).ok().map(Generation::new)
}

/// A generation for the wire.
pub(super) fn wire_generation(generation: Generation) -> i32 {
    i32::try_from(generation.get()).unwrap_or(i32::MAX)
}

/// An offset for the wire, -1 for none.
pub(super) fn wire_offset(offset: Option<Offset>) -> i64 {
    offset.map_or(-1, Offset::to_wire)
}

/// A leader epoch for the wire, -1 for none.
pub(super) fn wire_epoch(epoch: Option<LeaderEpoch>) -> i32 {
    epoch.map_or(-1, LeaderEpoch::to_wire)
}

/// A topic by name.
pub(super) fn by_name(name: &StrBytes) -> TopicKey {
    TopicKey::Name(name.as_str().to_owned())
}

/// A topic by id.
pub(super) fn by_id(id: Uuid) -> TopicKey {
    TopicKey::Id(TopicId::from_bytes(id.to_bytes()))
}

/// A topic id for the wire.
pub(super) fn wire_id(id: TopicId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// Text of its own memory: commands outlive the receive buffer.
pub(super) fn text(value: &StrBytes) -> String {
    value.as_str().to_owned()
}

/// Optional text of its own memory.
pub(super) fn optional_text(value: Option<&StrBytes>) -> Option<String> {
    value.map(text)
}

/// Code and message of an element: no message without an error.
pub(super) fn outcome<E: std::fmt::Display>(
    result: &Result<(), E>,
    code: impl FnOnce(&E) -> Code,
) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (Code::None.to_wire(), None),
        Err(error) => (
            code(error).to_wire(),
            Some(StrBytes::from(error.to_string())),
        ),
    }
}

/// Every text once, in the order of their first mention: repeating the name of something large would cost the
/// client a few bytes and the broker megabytes.
pub(super) fn distinct(texts: Vec<StrBytes>) -> Vec<StrBytes> {
    let mut seen = BTreeSet::new();
    texts
        .into_iter()
        .filter(|text| seen.insert(text.clone()))
        .collect()
}
