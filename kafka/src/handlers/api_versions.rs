//! `ApiVersions` (18): what is spoken here.
//!
//! Owns: the answer from the version table; the answer to a client that is newer than the table.
//! Never: announces a feature: those of Kafka that exist drive client behaviour that is not available yet.
//! Invariants: the response header never has tagged fields.
//! Source: kafka.md 1.3, 4.1; KIP-35, KIP-511, KIP-584.

use api::SessionError;

use crate::codec::message::ApiVersionsRequest;
use crate::codec::message::ApiVersionsResponse;
use crate::codec::message::api_versions_response::ApiVersion;
use crate::codec::{self, ResponseHeader, build};
use crate::error_map::Code;
use crate::frame::Request;
use crate::gather::{Call, Response, Step};
use crate::versions::{Api, ApiKey, TABLE};

/// First version in which clients name their software.
const FIRST_WITH_SOFTWARE: i16 = 3;

pub(super) fn start(call: &mut Call<'_>, request: Request) -> Result<Step, SessionError> {
    let body: ApiVersionsRequest = call.decode(request)?;
    let is_named = is_software_name(&body.client_software_name)
        && is_software_name(&body.client_software_version);
    if call.version() >= FIRST_WITH_SOFTWARE && !is_named {
        let refused = build!(ApiVersionsResponse {
            error_code: Code::InvalidRequest.to_wire()
        });
        return call.respond(&refused).map(Step::Done);
    }
    let response = build!(ApiVersionsResponse {
        api_keys: TABLE.iter().map(entry).collect()
    });
    call.respond(&response).map(Step::Done)
}

pub(super) fn refuse(correlation: i32) -> Result<Response, SessionError> {
    let own = TABLE.iter().filter(|api| api.key == ApiKey::ApiVersions);
    let body = build!(ApiVersionsResponse {
        error_code: Code::UnsupportedVersion.to_wire(),
        api_keys: own.map(entry).collect(),
    });
    let header = ResponseHeader {
        correlation,
        is_tagged: false,
    };
    codec::encode(header, &body, 0)
        .map(Response::One)
        .map_err(|error| SessionError::Closed(error.to_string()))
}

fn entry(api: &Api) -> ApiVersion {
    build!(ApiVersion {
        api_key: api.key.to_wire(),
        min_version: api.advertised_min,
        max_version: api.max,
    })
}

// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`  spec: KIP-511
fn is_software_name(name: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
