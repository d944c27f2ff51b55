//! `IncrementalAlterConfigs` (44): sets, deletes, appends, subtracts single keys.
//!
//! Owns: refusal of unknown operations and of resources or keys named twice.
//! Never: checks keys or values.
//! Invariants: one result per resource, in order.
//! Source: kafka.md 4.12; KIP-339.

use std::collections::{BTreeMap, BTreeSet};

use api::metadata::{ConfigChange, ConfigOp};
use api::{Command, SessionError};

use super::{alter_configs, configs, values};
use crate::codec::build;
use crate::codec::message::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use crate::codec::message::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::codec::message::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use crate::error_map::Code;
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: IncrementalAlterConfigsRequest = call.decode(request)?;
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
            Err(alter_configs::twice())
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
    gather::ask_rest(
        call,
        refused,
        command,
        alter_configs::take,
        move |call, outcomes| {
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
            call.respond(&build!(IncrementalAlterConfigsResponse { responses }))
        },
    )
}

fn change(resource: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let mut names = BTreeSet::new();
    let changes = resource.configs.iter().map(|config| {
        if names.insert(config.name.as_str()) {
            return one(config);
        }
        let message = format!("the request names key {:?} twice", config.name.as_str());
        Err(Refusal::new(Code::InvalidRequest, message))
    });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    Ok(ConfigChange {
        resource: configs::resource(resource.resource_type, &resource.resource_name)?,
        is_replacement: false,
        changes,
    })
}

fn one(config: &AlterableConfig) -> Result<(String, ConfigOp, Option<String>), Refusal> {
    let operation = match config.config_operation {
        0 => ConfigOp::Set,
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append,
        3 => ConfigOp::Subtract,
        other => {
            let message = format!("config operation {other} has no meaning");
            return Err(Refusal::new(Code::InvalidRequest, message));
        }
    };
    if config.value.is_none() && operation != ConfigOp::Delete {
        let message = format!("key {:?} has no value", config.name.as_str());
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    let value = values::optional_text(config.value.as_ref());
    Ok((values::text(&config.name), operation, value))
}
