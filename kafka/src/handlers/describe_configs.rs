//! `DescribeConfigs` (32).
//!
//! Owns: what of an entry a version and a request show.
//! Never: shows a sensitive value.
//! Invariants: one result per distinct resource, in the order of their first mention.
//! Source: kafka.md 4.12; KIP-226 (1), KIP-569 (3).

use std::collections::BTreeSet;

use api::error::MetadataError;
use api::metadata::ConfigEntry;
use api::{Command, Reply, SessionError};

use super::{configs, values};
use crate::codec::message::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::codec::message::{DescribeConfigsRequest, DescribeConfigsResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Refusal, Step};
use crate::limits::DESCRIBED_ELEMENTS_MAX;

/// What was asked for besides the values.
#[derive(Clone, Copy, Debug)]
struct Extras {
    synonyms: bool,
    documentation: bool,
}

type Described = Result<Vec<ConfigEntry>, MetadataError>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: DescribeConfigsRequest = call.decode(request)?;
    let extras = Extras {
        synonyms: body.include_synonyms,
        documentation: body.include_documentation,
    };
    let mut places = Vec::with_capacity(body.resources.len());
    let mut refused = Vec::with_capacity(body.resources.len());
    let mut resources = Vec::with_capacity(body.resources.len());
    let mut seen = BTreeSet::new();
    for resource in &body.resources {
        if !seen.insert((resource.resource_type, resource.resource_name.clone())) {
            continue; // not its first mention
        }
        places.push((resource.resource_type, resource.resource_name.clone()));
        // An empty list means all, as a null one does.
        let keys = resource
            .configuration_keys
            .as_ref()
            .filter(|keys| !keys.is_empty());
        let keys = keys.map(|keys| keys.iter().map(values::text).collect());
        let found = if resources.len() < DESCRIBED_ELEMENTS_MAX {
            configs::resource(resource.resource_type, &resource.resource_name)
        } else {
            Err(too_many())
        };
        refused.push(found.as_ref().err().cloned());
        resources.extend(found.map(|found| (found, keys)));
    }
    let command = (!resources.is_empty()).then_some(Command::DescribeConfigs { resources });
    gather::ask_rest(call, refused, command, take, move |call, outcomes| {
        let results = places.into_iter().zip(outcomes);
        let results = results.map(|((kind, name), outcome)| {
            let mut result = result(outcome, extras);
            result.resource_type = kind;
            result.resource_name = name;
            result
        });
        let results = results.collect();
        call.respond(&build!(DescribeConfigsResponse { results }))
    })
}

fn too_many() -> Refusal {
    let message = format!("a request may describe {DESCRIBED_ELEMENTS_MAX} resources");
    Refusal::new(Code::PolicyViolation, message)
}

fn take(reply: Reply) -> Option<Vec<Described>> {
    let Reply::Configs(results) = reply else {
        return None;
    };
    Some(results)
}

fn result(outcome: Result<Described, Refusal>, extras: Extras) -> DescribeConfigsResult {
    let (code, message) = match outcome {
        Ok(Ok(entries)) => {
            let configs = entries.into_iter().map(|entry| shown(entry, extras));
            return build!(DescribeConfigsResult {
                configs: configs.collect()
            });
        }
        Ok(Err(error)) => (error_map::metadata(&error), error.to_string()),
        Err(Refusal { code, message }) => (code, message),
    };
    build!(DescribeConfigsResult {
        error_code: code.to_wire(),
        error_message: Some(StrBytes::from(message)),
    })
}

fn shown(entry: ConfigEntry, extras: Extras) -> DescribeConfigsResourceResult {
    let is_sensitive = configs::is_sensitive(&entry);
    let value = |value: Option<String>| value.filter(|_| !is_sensitive).map(StrBytes::from);
    let synonyms = entry.synonyms.into_iter().filter(|_| extras.synonyms);
    let synonyms = synonyms.map(|(name, text, source)| {
        build!(DescribeConfigsSynonym {
            name: StrBytes::from(name),
            value: value(text),
            source: configs::source(source),
        })
    });
    let synonyms = synonyms.collect();
    let documentation = extras
        .documentation
        .then(|| StrBytes::from(entry.documentation));
    build!(DescribeConfigsResourceResult {
        name: StrBytes::from(entry.name),
        value: value(entry.value),
        read_only: entry.is_read_only,
        config_source: configs::source(entry.source),
        is_sensitive,
        synonyms,
        config_type: configs::kind(entry.kind),
        documentation,
    })
}
