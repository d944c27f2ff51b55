//! `AlterConfigs` (33): replaces the whole set of a resource; deprecated but still sent.
//!
//! Owns: refusal of resources named twice.
//! Never: checks keys or values.
//! Invariants: one result per resource, in order.
//! Source: kafka.md 4.12; KIP-133.

use std::collections::BTreeMap;

use api::metadata::{ConfigChange, ConfigOp};
use api::{Command, Reply, SessionError};

use super::{configs, values};
use crate::codec::build;
use crate::codec::message::alter_configs_request::AlterConfigsResource;
use crate::codec::message::alter_configs_response::AlterConfigsResourceResponse;
use crate::codec::message::{AlterConfigsRequest, AlterConfigsResponse};
use crate::error_map::Code;
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: AlterConfigsRequest = call.decode(request)?;
    let mut mentions = BTreeMap::new();
    for resource in &body.resources {
        let key = (resource.resource_type, resource.resource_name.as_str());
        *mentions.entry(key).or_insert(0_u32) += 1;
    }
    let mut places = Vec::with_capacity(body.resources.len());
    let mut refused = Vec::with_capacity(body.resources.len());
    let mut changes = Vec::with_capacity(body.resources.len());
    for resource in &body.resources {
        let key = (resource.resource_type, resource.resource_name.as_str());
        let is_unique = mentions.get(&key).is_some_and(|times| *times == 1);
        let change = if is_unique {
            change(resource)
        } else {
            Err(twice())
        };
        places.push((resource.resource_type, resource.resource_name.clone()));
        refused.push(change.as_ref().err().cloned());
        changes.extend(change);
    }
    let command = (!changes.is_empty()).then(|| Command::AlterConfigs {
        changes,
        validate_only: body.validate_only,
        deadline: call.deadline(super::ADMIN_TIMEOUT_MS),
    });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        let responses = places
            .into_iter()
            .zip(outcomes)
            .map(|((kind, name), outcome)| {
                let (error_code, error_message) = configs::altered(outcome);
                build!(AlterConfigsResourceResponse {
                    error_code,
                    error_message,
                    resource_type: kind,
                    resource_name: name,
                })
            });
        let responses = responses.collect();
        call.respond(&build!(AlterConfigsResponse { responses }))
    })
}

/// A resource named more than once.
pub(super) fn twice() -> Refusal {
    Refusal::new(
        Code::InvalidRequest,
        "the request names this resource twice",
    )
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let changes = resource.configs.iter().map(|config| {
        let value = values::optional_text(config.value.as_ref());
        (values::text(&config.name), ConfigOp::Set, value)
    });
    Ok(ConfigChange {
        resource: configs::resource(resource.resource_type, &resource.resource_name)?,
        is_replacement: true,
        changes: changes.collect(),
    })
}

/// What altering answers.
pub(super) fn take(reply: Reply) -> Option<Vec<Result<(), api::error::MetadataError>>> {
    let Reply::ConfigsAltered(results) = reply else {
        return None;
    };
    Some(results)
}
