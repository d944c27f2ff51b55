//! Bytes of one metadata command: a Raft entry.
//!
//! Owns: kinds and versions of command records.
//! Never: checks what a command means; `apply` is total.
//! Invariants: one record per entry; every kind is mandatory so far.
//! Source: reliability.md 1.10.

use api::metadata::{ConfigChange, ConfigOp, ConfigResource};
use bytes::Bytes;
use model::ids::BrokerId;
use raft_host::wire::{DecodeError, Reader, RecordKind, Writer};

use super::super::configs::check::VALUE_BYTES_MAX;
use super::super::{MetadataCommand, TopicSpec};
use super::{
    COMMAND_BYTES_MAX, NAME_BYTES_MAX, put_brokers, put_configs, put_list, put_topic_id,
    take_brokers, take_configs, take_list, take_topic_id,
};

const REGISTER_BROKER: RecordKind = RecordKind {
    kind: 1,
    version: 1,
};
const CREATE_TOPICS: RecordKind = RecordKind {
    kind: 2,
    version: 1,
};
const DELETE_TOPICS: RecordKind = RecordKind {
    kind: 3,
    version: 1,
};
const CREATE_PARTITIONS: RecordKind = RecordKind {
    kind: 4,
    version: 1,
};
const ALTER_CONFIGS: RecordKind = RecordKind {
    kind: 5,
    version: 1,
};
const ALLOCATE_PRODUCER_IDS: RecordKind = RecordKind {
    kind: 6,
    version: 1,
};

/// Encodes a command.
///
/// # Errors
/// [`DecodeError::TooLong`] and the like: what was encoded would be refused when read back, because a
/// bound is exceeded. Nothing may be proposed then.
pub fn encode_command(command: &MetadataCommand) -> Result<Bytes, DecodeError> {
    let mut out = Writer::new();
    put_command(&mut out, command);
    let bytes = out.into_bytes();
    // An entry that cannot be read back would stop every broker that replays it.
    let read_back = decode_command(&bytes)?;
    assert!(
        read_back.as_ref() == Some(command),
        "a command reads back as it was written"
    );
    Ok(bytes)
}

/// Decodes a command; `None` for a record of a newer release that may be skipped.
///
/// # Errors
/// The bytes are not a command, or one of a newer release that must not be skipped.
pub fn decode_command(bytes: &[u8]) -> Result<Option<MetadataCommand>, DecodeError> {
    if bytes.len() > COMMAND_BYTES_MAX {
        let (len, limit) = (bytes.len() as u64, COMMAND_BYTES_MAX as u64);
        return Err(DecodeError::TooLong {
            what: "command",
            len,
            limit,
        });
    }
    let mut from = Reader::new(bytes);
    let mut record = from.record()?;
    from.end()?;
    let body = &mut record.body;
    let command = match record.kind {
        REGISTER_BROKER => take_register(body)?,
        CREATE_TOPICS => MetadataCommand::CreateTopics(take_list(body, 30, take_spec)?),
        DELETE_TOPICS => MetadataCommand::DeleteTopics(take_list(body, 16, take_topic_id)?),
        CREATE_PARTITIONS => MetadataCommand::CreatePartitions(take_list(body, 12, take_added)?),
        ALTER_CONFIGS => MetadataCommand::AlterConfigs(take_list(body, 6, take_change)?),
        ALLOCATE_PRODUCER_IDS => MetadataCommand::AllocateProducerIds(BrokerId::new(body.u32()?)),
        RecordKind { .. } => return record.skip().map(|()| None),
    };
    body.end()?;
    Ok(Some(command))
}

fn put_command(out: &mut Writer, command: &MetadataCommand) {
    match command {
        MetadataCommand::RegisterBroker {
            broker,
            incarnation,
            host,
            port,
            rack,
            is_clean,
        } => out.record(REGISTER_BROKER, |out| {
            out.u32(broker.get());
            out.raw(incarnation);
            out.text(host);
            out.u16(*port);
            out.optional_text(rack.as_deref());
            out.flag(*is_clean);
        }),
        MetadataCommand::CreateTopics(specs) => {
            out.record(CREATE_TOPICS, |out| put_list(out, specs, put_spec));
        }
        MetadataCommand::DeleteTopics(ids) => {
            out.record(DELETE_TOPICS, |out| put_list(out, ids, put_topic_id));
        }
        MetadataCommand::CreatePartitions(requests) => {
            out.record(CREATE_PARTITIONS, |out| put_list(out, requests, put_added));
        }
        MetadataCommand::AlterConfigs(changes) => {
            out.record(ALTER_CONFIGS, |out| put_list(out, changes, put_change));
        }
        MetadataCommand::AllocateProducerIds(broker) => {
            out.record(ALLOCATE_PRODUCER_IDS, |out| out.u32(broker.get()));
        }
    }
}

fn take_register(from: &mut Reader<'_>) -> Result<MetadataCommand, DecodeError> {
    Ok(MetadataCommand::RegisterBroker {
        broker: BrokerId::new(from.u32()?),
        incarnation: from.array()?,
        host: from.text(NAME_BYTES_MAX)?.to_owned(),
        port: from.u16()?,
        rack: from.optional_text(NAME_BYTES_MAX)?.map(str::to_owned),
        is_clean: from.flag()?,
    })
}

fn put_spec(out: &mut Writer, spec: &TopicSpec) {
    out.text(&spec.name);
    put_topic_id(out, &spec.id);
    out.flag(spec.is_internal);
    put_list(out, &spec.assignment, |out, replicas| {
        put_brokers(out, replicas)
    });
    put_configs(out, spec.configs.iter().map(|(key, value)| (key, value)));
}

fn take_spec(from: &mut Reader<'_>) -> Result<TopicSpec, DecodeError> {
    Ok(TopicSpec {
        name: from.text(NAME_BYTES_MAX)?.to_owned(),
        id: take_topic_id(from)?,
        is_internal: from.flag()?,
        assignment: take_list(from, 4, take_brokers)?,
        configs: take_configs(from)?,
    })
}

fn put_added(out: &mut Writer, (name, assignment, old): &(String, Vec<Vec<BrokerId>>, u32)) {
    out.text(name);
    put_list(out, assignment, |out, replicas| put_brokers(out, replicas));
    out.u32(*old);
}

fn take_added(from: &mut Reader<'_>) -> Result<(String, Vec<Vec<BrokerId>>, u32), DecodeError> {
    let name = from.text(NAME_BYTES_MAX)?.to_owned();
    Ok((name, take_list(from, 4, take_brokers)?, from.u32()?))
}

fn put_change(out: &mut Writer, change: &ConfigChange) {
    match &change.resource {
        ConfigResource::Topic(name) => {
            out.u8(0);
            out.text(name);
        }
        ConfigResource::Broker(None) => out.u8(1),
        ConfigResource::Broker(Some(broker)) => {
            out.u8(2);
            out.u32(broker.get());
        }
    }
    out.flag(change.is_replacement);
    put_list(out, &change.changes, |out, (key, op, value)| {
        out.text(key);
        out.u8(match op {
            ConfigOp::Set => 0,
            ConfigOp::Delete => 1,
            ConfigOp::Append => 2,
            ConfigOp::Subtract => 3,
        });
        out.optional_text(value.as_deref());
    });
}

fn take_change(from: &mut Reader<'_>) -> Result<ConfigChange, DecodeError> {
    let resource = match from.u8()? {
        0 => ConfigResource::Topic(from.text(NAME_BYTES_MAX)?.to_owned()),
        1 => ConfigResource::Broker(None),
        2 => ConfigResource::Broker(Some(BrokerId::new(from.u32()?))),
        tag => {
            return Err(DecodeError::Illegal {
                what: "config resource",
                value: tag.into(),
            });
        }
    };
    let is_replacement = from.flag()?;
    let changes = take_list(from, 6, |from| {
        let key = from.text(NAME_BYTES_MAX)?.to_owned();
        let op = match from.u8()? {
            0 => ConfigOp::Set,
            1 => ConfigOp::Delete,
            2 => ConfigOp::Append,
            3 => ConfigOp::Subtract,
            tag => {
                return Err(DecodeError::Illegal {
                    what: "config op",
                    value: tag.into(),
                });
            }
        };
        Ok((
            key,
            op,
            from.optional_text(VALUE_BYTES_MAX)?.map(str::to_owned),
        ))
    })?;
    Ok(ConfigChange {
        resource,
        is_replacement,
        changes,
    })
}
