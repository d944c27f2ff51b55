//! Config resources, sources and types as numbers of the wire.
//!
//! Owns: the one mapping of each.
//! Never: knows a key.
//! Invariants: resource types that do not exist here are refused, never ignored.
//! Source: kafka.md 4.12; KIP-226, KIP-569.

use api::metadata::{ConfigEntry, ConfigResource, ConfigSource, ConfigType};
use model::ids::BrokerId;

use crate::codec::StrBytes;
use crate::error_map::{self, Code};
use crate::gather::Refusal;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// A resource as a client names it.
pub(super) fn resource(kind: i8, name: &StrBytes) -> Result<ConfigResource, Refusal> {
    match kind {
        TOPIC => Ok(ConfigResource::Topic(name.as_str().to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse::<u32>() {
            Ok(id) => Ok(ConfigResource::Broker(Some(BrokerId::new(id)))),
            Err(_) => {
                let message = format!("broker id {:?} is not a number", name.as_str());
                Err(Refusal::new(Code::InvalidRequest, message))
            }
        },
        other => {
            let message = format!("resources of type {other} have no configuration here");
            Err(Refusal::new(Code::InvalidRequest, message))
        }
    }
}

/// Where a value comes from.
pub(super) const fn source(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::DynamicTopic => 1,
        ConfigSource::DynamicBroker => 2,
        ConfigSource::DynamicDefaultBroker => 3,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
    }
}

/// Type of a value.
pub(super) const fn kind(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Short => 4,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
        ConfigType::Class => 8,
        ConfigType::Password => 9,
    }
}

/// Whether the value must not be shown.
pub(super) fn is_sensitive(entry: &ConfigEntry) -> bool {
    entry.kind == ConfigType::Password
}

/// Code and message of one altered resource.
pub(super) fn altered(
    outcome: Result<Result<(), api::error::MetadataError>, Refusal>,
) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(result) => super::values::outcome(&result, error_map::metadata),
        Err(refusal) => (
            refusal.code.to_wire(),
            Some(StrBytes::from(refusal.message)),
        ),
    }
}
