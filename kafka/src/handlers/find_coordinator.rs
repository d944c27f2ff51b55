//! `FindCoordinator` (10): where a group is looked after.
//!
//! Owns: the single key of old versions and the list of new ones; key types that do not exist here.
//! Never: answers an address that nobody can reach.
//! Invariants: one entry per key.
//! Source: kafka.md 4.8; KIP-699 (4), KIP-932 (6).

use api::metadata::BrokerEndpoint;
use api::{Command, Reply, SessionError};

use super::values;
use crate::codec::message::find_coordinator_response::Coordinator;
use crate::codec::message::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::codec::{StrBytes, build};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{Call, FanOut, Refusal, Response, Step};

/// First version with a list of keys.
const FIRST_WITH_KEYS: i16 = 4;

type Outcome = Result<BrokerEndpoint, Refusal>;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: FindCoordinatorRequest = call.decode(request)?;
    let has_list = call.version() >= FIRST_WITH_KEYS;
    let keys = if has_list {
        body.coordinator_keys
    } else {
        vec![body.key]
    };
    let refusal = refuse(body.key_type);
    let mut fan = FanOut::new();
    for key in &keys {
        match &refusal {
            None => fan.ask(
                call,
                Command::FindCoordinator {
                    group: values::text(key),
                },
            ),
            Some(refusal) => fan.known(Err(refusal.clone())),
        }
    }
    fan.finish(call, take, move |call, outcomes| {
        let entries = keys
            .into_iter()
            .zip(outcomes)
            .map(|(key, outcome)| entry(key, outcome));
        let entries = entries.collect();
        if call.version() >= FIRST_WITH_KEYS {
            return call.respond(&build!(FindCoordinatorResponse {
                coordinators: entries
            }));
        }
        respond_single(call, entries)
    })
}

fn refuse(key_type: i8) -> Option<Refusal> {
    match key_type {
        0 => None,
        1 => Some(Refusal::new(
            Code::TransactionalIdAuthorizationFailed,
            "transactions are not available",
        )),
        other => Some(Refusal::new(
            Code::InvalidRequest,
            format!("no coordinators of type {other}"),
        )),
    }
}

fn take(reply: Reply) -> Option<Outcome> {
    let Reply::Coordinator(result) = reply else {
        return None;
    };
    Some(result.map_err(|error| Refusal::new(error_map::group(error), error.to_string())))
}

fn entry(key: StrBytes, outcome: Outcome) -> Coordinator {
    match outcome {
        Ok(endpoint) => build!(Coordinator {
            key,
            node_id: values::wire_broker(endpoint.id),
            host: StrBytes::from(endpoint.host),
            port: endpoint.port.into(),
        }),
        Err(refusal) => build!(Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: refusal.code.to_wire(),
            error_message: Some(StrBytes::from(refusal.message)),
        }),
    }
}

fn respond_single(
    call: &mut Call<'_>,
    entries: Vec<Coordinator>,
) -> Result<Response, SessionError> {
    let Some(entry) = entries.into_iter().next() else {
        return Err(call.unexpected());
    };
    call.respond(&build!(FindCoordinatorResponse {
        error_code: entry.error_code,
        error_message: entry.error_message,
        node_id: entry.node_id,
        host: entry.host,
        port: entry.port,
    }))
}
