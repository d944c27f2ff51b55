//! Where a request begins and ends, and what its header says.
//!
//! Owns: the length prefix, the request header, recognition of other protocols on this port.
//! Never: looks at a body.
//! Invariants: a frame that passes here is at most as long as its API allows.
//! Source: kafka.md 2.1, 4.1; Kafka protocol guide, "Request and response headers".

#[cfg(test)]
mod tests;

use std::ops::Range;

use api::SessionError;
use bytes::{Bytes, BytesMut};

use crate::codec::read::Reader;
use crate::versions::{self, Api, ApiKey};

/// Bytes of the length prefix.
pub(crate) const PREFIX_BYTES: usize = 4;
/// Prefix, API key and version: what decides how long a frame may be.
const DECIDING_BYTES: usize = 8;
/// API key, version, correlation id: no header is shorter.
const HEADER_BYTES_MIN: usize = 8;

/// One whole request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The bytes, length prefix included.
    pub(crate) frame: BytesMut,
    /// What its header says.
    pub(crate) header: Header,
}

/// A request header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Which API.
    pub(crate) api: &'static Api,
    /// Which version of it; served.
    pub(crate) version: i16,
    /// To be echoed; may be negative.
    pub(crate) correlation: i32,
    client_id: Option<Range<usize>>,
    /// Where the body begins in the frame.
    pub(crate) body: usize,
}

/// What a whole frame turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The header of a request that is served.
    Request(Header),
    /// `ApiVersions` of a version that is not: answered with version 0.  spec: KIP-511
    UnknownApiVersions {
        /// To be echoed.
        correlation: i32,
    },
}

impl Request {
    /// Client id; empty if the client has none.
    pub(crate) fn client_id(&self) -> &str {
        let range = self.header.client_id.clone();
        // Checked as UTF-8 when the header was read.
        range
            .and_then(|range| self.frame.get(range))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    /// The body, sharing the frame's memory.
    pub(crate) fn into_body(self) -> Bytes {
        let body = self.header.body;
        assert!(body <= self.frame.len(), "a header ends inside its frame");
        self.frame.freeze().slice(body..)
    }
}

/// Length, prefix included, of the frame at the front of `received`; `None` while that is not known.
///
/// # Errors
/// The length is impossible, over the limit of its API, or another protocol's first bytes.
pub(crate) fn length(received: &[u8], ceiling: usize) -> Result<Option<usize>, SessionError> {
    let Some(prefix) = received.first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let announced = i32::from_be_bytes(*prefix);
    let Ok(bytes) = usize::try_from(announced) else {
        return Err(stranger(received)
            .unwrap_or_else(|| SessionError::Protocol(format!("frame length {announced}"))));
    };
    if bytes > ceiling {
        return Err(stranger(received).unwrap_or(too_large(bytes, ceiling)));
    }
    if bytes < HEADER_BYTES_MIN {
        return Err(SessionError::Protocol(format!(
            "frame of {bytes} bytes has no room for a request header"
        )));
    }
    let Some(deciding) = received.first_chunk::<DECIDING_BYTES>() else {
        return Ok(None);
    };
    let [_, _, _, _, key_high, key_low, ..] = *deciding;
    let limit = versions::find(i16::from_be_bytes([key_high, key_low]))
        .map_or(ceiling, |api| api.frame.bytes_max(ceiling));
    if bytes > limit {
        return Err(too_large(bytes, limit));
    }
    Ok(Some(PREFIX_BYTES + bytes))
}

fn too_large(bytes: usize, limit: usize) -> SessionError {
    let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    SessionError::FrameTooLarge {
        bytes: wide(bytes),
        limit: wide(limit),
    }
}

/// Names the protocol whose first bytes these are, if it is a well-known one.
fn stranger(received: &[u8]) -> Option<SessionError> {
    const VERBS: [&[u8]; 9] = [
        b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI ",
    ];
    let what = if received.starts_with(&[0x16, 0x03]) {
        "a TLS hello arrived on a plaintext listener; set security.protocol=PLAINTEXT in the client"
    } else if VERBS.iter().any(|verb| received.starts_with(verb)) {
        "an HTTP request arrived on the Kafka listener"
    } else if received.starts_with(b"SSH-") {
        "an SSH client reached the Kafka listener"
    } else {
        return None;
    };
    Some(SessionError::Protocol(what.to_owned()))
}

/// Reads the header of a whole frame.
///
/// # Errors
/// The header is malformed, or asks for what is not served.
pub(crate) fn parse(frame: &[u8]) -> Result<Parsed, SessionError> {
    let mut reader = Reader::new(frame, PREFIX_BYTES);
    let (key, version, correlation) = fixed(&mut reader).map_err(malformed)?;
    let Some(api) = versions::find(key) else {
        return Err(SessionError::Protocol(format!(
            "api key {key} is not served"
        )));
    };
    if !api.serves(version) {
        if api.key == ApiKey::ApiVersions && version > api.max {
            return Ok(Parsed::UnknownApiVersions { correlation });
        }
        return Err(SessionError::Protocol(format!(
            "{} version {version} is not served, only {} to {}",
            api.name, api.min, api.max
        )));
    }
    // The client id keeps its 16-bit length even in the flexible header.
    let client_id = reader.nullable_short_string().map_err(malformed)?;
    if api.is_flexible(version) {
        reader.skip_tags().map_err(malformed)?;
    }
    Ok(Parsed::Request(Header {
        api,
        version,
        correlation,
        client_id,
        body: reader.position(),
    }))
}

fn fixed(reader: &mut Reader<'_>) -> Result<(i16, i16, i32), crate::codec::WireError> {
    Ok((reader.i16()?, reader.i16()?, reader.i32()?))
}

fn malformed(error: crate::codec::WireError) -> SessionError {
    SessionError::Protocol(format!("request header: {error}"))
}
