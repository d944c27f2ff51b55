//! `InitProducerId` (22): identities of idempotent producers.
//!
//! Owns: the refusal of transactions, which are not available.
//! Never: hands out ids.
//! Invariants: transient trouble is answered with `COORDINATOR_LOAD_IN_PROGRESS`, the one code on which clients
//! of every age try again.
//! Source: kafka.md 4.9, 4.10; KIP-98, KIP-360 (3).

use api::error::MetadataError;
use api::{Command, Reply, SessionError};
use model::ids::{ProducerEpoch, ProducerId};

use crate::codec::build;
use crate::codec::message::{InitProducerIdRequest, InitProducerIdResponse};
use crate::error_map::{self, Code};
use crate::frame::Request;
use crate::gather::{self, Call, Response, Step};

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: InitProducerIdRequest = call.decode(request)?;
    match current(&body) {
        Ok(current) => {
            let command = Command::InitProducerId { current };
            Ok(gather::ask(call, command, |call, reply| {
                let Reply::ProducerId(result) = reply else {
                    return Err(call.unexpected());
                };
                respond(call, result.map_err(|error| code(&error)))
            }))
        }
        Err(code) => respond(call, Err(code)).map(Step::Done),
    }
}

type Identity = (ProducerId, ProducerEpoch);

fn current(body: &InitProducerIdRequest) -> Result<Option<Identity>, Code> {
    match &body.transactional_id {
        Some(id) if id.is_empty() => return Err(Code::InvalidRequest),
        // Fatal for the client, so that it does not retry for ever.
        Some(_) => return Err(Code::TransactionalIdAuthorizationFailed),
        None => {}
    }
    match (
        u64::try_from(body.producer_id),
        u16::try_from(body.producer_epoch),
    ) {
        (Ok(id), Ok(epoch)) => Ok(Some((ProducerId::new(id), ProducerEpoch::new(epoch)))),
        _ if body.producer_id == -1 && body.producer_epoch == -1 => Ok(None),
        _ => Err(Code::InvalidRequest),
    }
}

fn code(error: &MetadataError) -> Code {
    let code = error_map::metadata(error);
    if matches!(code, Code::RequestTimedOut | Code::PolicyViolation) {
        return Code::CoordinatorLoadInProgress;
    }
    code
}

fn respond(call: &mut Call<'_>, result: Result<Identity, Code>) -> Result<Response, SessionError> {
    let response = match result {
        Ok((id, epoch)) => build!(InitProducerIdResponse {
            producer_id: i64::try_from(id.get()).unwrap_or(i64::MAX),
            producer_epoch: i16::try_from(epoch.get()).unwrap_or(i16::MAX),
        }),
        Err(code) => build!(InitProducerIdResponse {
            error_code: code.to_wire(),
            producer_id: -1,
            producer_epoch: -1,
        }),
    };
    call.respond(&response)
}
