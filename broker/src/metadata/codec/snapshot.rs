//! Bytes of a whole image: the snapshot of the metadata state machine.
//!
//! Owns: kinds and versions of snapshot records, and the checks that make an image whole.
//! Never: trusts a count or a reference.
//! Invariants: records are in id order, so equal images give equal bytes; the last record counts the others.
//! Source: reliability.md 1.10 to 1.12.

use std::collections::BTreeMap;

use api::metadata::BrokerEndpoint;
use bytes::Bytes;
use model::ids::{BrokerId, MetaIndex, TopicId};
use model::limits;
use model::offset::LeaderEpoch;
use raft_host::wire::{DecodeError, Reader, RecordKind, Writer};

use super::super::apply::{BROKERS_MAX, PARTITIONS_MAX, check_assignment};
use super::super::image::{BrokerState, TOMBSTONES_MAX};
use super::super::{Image, PartitionState, TopicState, names};
use super::{
    NAME_BYTES_MAX, put_brokers, put_configs, put_list, put_topic_id, take_brokers, take_configs,
    take_list, take_topic_id,
};

const HEADER: RecordKind = RecordKind {
    kind: 64,
    version: 1,
};
const BROKER: RecordKind = RecordKind {
    kind: 65,
    version: 1,
};
const BROKER_CONFIG: RecordKind = RecordKind {
    kind: 66,
    version: 1,
};
const TOPIC: RecordKind = RecordKind {
    kind: 67,
    version: 1,
};
const TOMBSTONES: RecordKind = RecordKind {
    kind: 68,
    version: 1,
};
const END: RecordKind = RecordKind {
    kind: 69,
    version: 1,
};

/// Tombstones in one record.
const TOMBSTONES_PER_RECORD: usize = 1_000;

/// Encodes an image.
#[must_use]
pub fn encode_image(image: &Image) -> Bytes {
    let mut out = Writer::new();
    let mut records = 1_u64;
    out.record(HEADER, |out| {
        out.u64(image.index.get());
        out.u64(image.producer_id_next);
    });
    for broker in image.brokers.values() {
        out.record(BROKER, |out| put_broker(out, broker));
        records += 1;
    }
    for (broker, configs) in &image.broker_configs {
        out.record(BROKER_CONFIG, |out| {
            out.flag(broker.is_some());
            out.u32(broker.map_or(0, BrokerId::get));
            put_configs(out, configs.iter());
        });
        records += 1;
    }
    for topic in image.by_id.values() {
        out.record(TOPIC, |out| put_topic(out, topic));
        records += 1;
    }
    let tombstones: Vec<(MetaIndex, TopicId)> = image.tombstone_order.iter().copied().collect();
    for chunk in tombstones.chunks(TOMBSTONES_PER_RECORD) {
        out.record(TOMBSTONES, |out| put_list(out, chunk, put_tombstone));
        records += 1;
    }
    out.record(END, |out| out.u64(records));
    out.into_bytes()
}

/// Decodes an image.
///
/// # Errors
/// The bytes are not a whole, consistent image, or one of a newer release.
pub fn decode_image(bytes: &[u8]) -> Result<Image, DecodeError> {
    let mut from = Reader::new(bytes);
    let mut image = Image::default();
    let mut records = 0_u64;
    loop {
        let mut record = from.record()?;
        let is_first = records == 0;
        if is_first != (record.kind == HEADER) {
            return Err(illegal("first record", u64::from(record.kind.kind)));
        }
        if record.kind == END {
            let counted = record.body.u64()?;
            record.body.end()?;
            from.end()?;
            return if counted == records {
                Ok(image)
            } else {
                Err(illegal("record count", counted))
            };
        }
        match record.kind {
            HEADER => take_header(&mut record.body, &mut image)?,
            BROKER => take_broker(&mut record.body, &mut image)?,
            BROKER_CONFIG => take_broker_config(&mut record.body, &mut image)?,
            TOPIC => take_topic(&mut record.body, &mut image)?,
            TOMBSTONES => take_tombstones(&mut record.body, &mut image)?,
            RecordKind { .. } => {
                record.skip()?;
                records += 1;
                continue;
            }
        }
        record.body.end()?;
        records += 1;
    }
}

fn take_header(from: &mut Reader<'_>, image: &mut Image) -> Result<(), DecodeError> {
    image.index = MetaIndex::new(from.u64()?);
    image.producer_id_next = from.u64()?;
    if image.producer_id_next > i64::MAX.cast_unsigned() {
        return Err(illegal("producer id", image.producer_id_next));
    }
    Ok(())
}

fn put_broker(out: &mut Writer, broker: &BrokerState) {
    out.u32(broker.endpoint.id.get());
    out.text(&broker.endpoint.host);
    out.u16(broker.endpoint.port);
    out.optional_text(broker.endpoint.rack.as_deref());
    out.raw(&broker.incarnation);
    out.u64(broker.registered_at.get());
}

fn take_broker(from: &mut Reader<'_>, image: &mut Image) -> Result<(), DecodeError> {
    let id = BrokerId::new(from.u32()?);
    let endpoint = BrokerEndpoint {
        id,
        host: from.text(NAME_BYTES_MAX)?.to_owned(),
        port: from.u16()?,
        rack: from.optional_text(NAME_BYTES_MAX)?.map(str::to_owned),
    };
    let incarnation = from.array()?;
    let registered_at = MetaIndex::new(from.u64()?);
    if image.brokers.contains_key(&id) || image.brokers.size() >= BROKERS_MAX {
        return Err(illegal("broker", u64::from(id.get())));
    }
    image.brokers.insert_mut(
        id,
        BrokerState {
            endpoint,
            incarnation,
            registered_at,
        },
    );
    Ok(())
}

fn take_broker_config(from: &mut Reader<'_>, image: &mut Image) -> Result<(), DecodeError> {
    let is_one = from.flag()?;
    let number = from.u32()?;
    let broker = is_one.then_some(BrokerId::new(number));
    let configs: BTreeMap<String, String> = take_configs(from)?.into_iter().collect();
    let is_new = !image.broker_configs.contains_key(&broker);
    if !is_new || image.broker_configs.size() > BROKERS_MAX || configs.is_empty() {
        return Err(illegal("broker config", u64::from(number)));
    }
    image.broker_configs.insert_mut(broker, configs);
    Ok(())
}

fn put_topic(out: &mut Writer, topic: &TopicState) {
    put_topic_id(out, &topic.id);
    out.text(&topic.name);
    out.flag(topic.is_internal);
    put_configs(out, topic.configs.iter());
    put_list(out, &topic.partitions, |out, state| {
        put_brokers(out, &state.replicas);
        put_brokers(out, &state.isr);
        out.flag(state.leader.is_some());
        out.u32(state.leader.map_or(0, BrokerId::get));
        out.u32(state.leader_epoch.get());
    });
}

fn take_topic(from: &mut Reader<'_>, image: &mut Image) -> Result<(), DecodeError> {
    let id = take_topic_id(from)?;
    let name = from.text(limits::TOPIC_NAME_BYTES_MAX)?.to_owned();
    let is_internal = from.flag()?;
    let configs = take_configs(from)?.into_iter().collect();
    let partitions = take_list(from, 17, take_partition)?;
    let topic = TopicState {
        name,
        id,
        is_internal,
        partitions,
        configs,
    };
    check_topic(image, &topic)?;
    image.put_topic(topic);
    Ok(())
}

fn take_partition(from: &mut Reader<'_>) -> Result<PartitionState, DecodeError> {
    let replicas = take_brokers(from)?;
    let isr = take_brokers(from)?;
    let is_led = from.flag()?;
    let leader = BrokerId::new(from.u32()?);
    let epoch = from.u32()?;
    if epoch > i32::MAX.cast_unsigned() {
        return Err(illegal("leader epoch", u64::from(epoch)));
    }
    let leader_epoch = LeaderEpoch::new(epoch);
    Ok(PartitionState {
        replicas,
        isr,
        leader: is_led.then_some(leader),
        leader_epoch,
    })
}

/// What `Image` takes for granted of a topic that is put in.
fn check_topic(image: &Image, topic: &TopicState) -> Result<(), DecodeError> {
    let assignment: Vec<_> = topic
        .partitions
        .iter()
        .map(|state| state.replicas.clone())
        .collect();
    let partitions = image
        .partitions
        .saturating_add(topic.partitions.len() as u64);
    let is_legal = names::check(&topic.name).is_ok()
        && !topic.id.is_none()
        && image.topic(topic.id).is_none()
        && !image.is_deleted(topic.id)
        && image.colliding_topic(&topic.name).is_none()
        && image.topic_count() < limits::TOPICS_MAX
        && partitions <= PARTITIONS_MAX
        && check_assignment(&assignment).is_ok();
    if is_legal {
        Ok(())
    } else {
        Err(illegal("topic", topic.partitions.len() as u64))
    }
}

fn put_tombstone(out: &mut Writer, (index, id): &(MetaIndex, TopicId)) {
    out.u64(index.get());
    put_topic_id(out, id);
}

fn take_tombstones(from: &mut Reader<'_>, image: &mut Image) -> Result<(), DecodeError> {
    let all = take_list(from, 24, |from| {
        Ok((MetaIndex::new(from.u64()?), take_topic_id(from)?))
    })?;
    for (index, id) in all {
        let is_full = image.tombstones.size() >= TOMBSTONES_MAX;
        if is_full || image.is_deleted(id) || image.topic(id).is_some() {
            return Err(illegal("tombstone", index.get()));
        }
        image.put_tombstone(id, index);
    }
    Ok(())
}

fn illegal(what: &'static str, value: u64) -> DecodeError {
    DecodeError::Illegal { what, value }
}
