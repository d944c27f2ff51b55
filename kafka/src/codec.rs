//! The wire format of messages, behind one door.
//!
//! Owns: which codec serves which API: `kafka-wire` for all but Produce and Fetch, which are hand-written
//! here so that records are neither copied nor re-framed.
//! Never: decides what a message means; handlers do.
//! Invariants: decoding is bounded by [`limits`](crate::limits); bytes after a body are tolerated, as Kafka does.
//! Source: kafka.md section 2, ADR-8.

pub(crate) mod fetch;
pub(crate) mod names;
pub(crate) mod produce;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::{KafkaMessage, KafkaRequest, KafkaResponse};
use kafka_wire_core::{ApiVersion, DecodeError, DecodeLimits, Decoder, EncodeError};

use smallvec::SmallVec;

pub(crate) use kafka_wire as message;
pub(crate) use kafka_wire_core::{StrBytes, Uuid};

use crate::limits::{
    ARRAY_ELEMENTS_MAX, REQUEST_PARTITIONS_MAX, RESPONSE_BYTES_MAX, TAGGED_FIELDS_MAX,
};

/// One thing per element of a request. Most requests have one element, which needs no memory of its own.
pub(crate) type Few<T> = SmallVec<[T; 1]>;

/// Builds a generated message from some of its fields; the rest keep Kafka's defaults.
///
/// The generated structs are not constructible by a literal outside their crate.
macro_rules! build {
    (@value $field:ident $value:expr) => { $value };
    (@value $field:ident) => { $field };
    ($kind:ty { $($field:ident $(: $value:expr)?),* $(,)? }) => {{
        let mut message = <$kind>::default();
        $(message.$field = $crate::codec::build!(@value $field $($value)?);)*
        message
    }};
}
pub(crate) use build;

/// Why hand-read bytes are not what they should be. Small, so that what is read comes back in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A field reaches past the end.
    #[error("field at byte {at} reaches past the end")]
    Truncated {
        /// Where the field begins.
        at: u32,
    },
    /// A length below -1, or a null that is not allowed.
    #[error("field at byte {at} has no valid length")]
    BadLength {
        /// Where the field begins.
        at: u32,
    },
    /// More than five bytes, or more than 32 bits.
    #[error("number at byte {at} is malformed")]
    BadVarint {
        /// Where the number begins.
        at: u32,
    },
    /// Text is not UTF-8.
    #[error("text at byte {at} is not utf-8")]
    BadText {
        /// Where the text begins.
        at: u32,
    },
    /// A value outside its enumeration.
    #[error("value {value} at byte {at} has no meaning")]
    BadValue {
        /// Where the value is.
        at: u32,
        /// The value.
        value: i8,
    },
    /// More elements than one request may have.
    #[error("more than {REQUEST_PARTITIONS_MAX} elements")]
    TooMany,
}

/// Why a response could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    /// The generated codec refused it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Its length does not fit the prefix.
    #[error("response of {bytes} bytes does not fit a frame")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// What a response header needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHeader {
    /// Echoed from the request.
    pub(crate) correlation: i32,
    /// Whether tagged fields follow.
    pub(crate) is_tagged: bool,
}

impl ResponseHeader {
    /// Starts a frame: a length prefix to be filled in by [`finish_frame`], then the header.
    #[inline]
    pub(crate) fn start_frame(self, out: &mut impl BufMut) {
        out.put_i32(0);
        out.put_i32(self.correlation);
        if self.is_tagged {
            out.put_u8(0);
        }
    }
}

/// Fills in the length prefix of a frame that begins `out` and goes on for `elsewhere` bytes outside it.
///
/// # Errors
/// The length does not fit.
pub(crate) fn finish_frame(out: &mut [u8], elsewhere: usize) -> Result<(), ResponseError> {
    let bytes = out
        .len()
        .saturating_add(elsewhere)
        .saturating_sub(crate::frame::PREFIX_BYTES);
    let too_large = ResponseError::TooLarge { bytes };
    if bytes > RESPONSE_BYTES_MAX {
        return Err(too_large);
    }
    let length = i32::try_from(bytes).map_err(|_| too_large)?;
    let prefix = out.first_chunk_mut::<{ crate::frame::PREFIX_BYTES }>();
    assert!(prefix.is_some(), "a frame begins with its prefix");
    if let Some(prefix) = prefix {
        *prefix = length.to_be_bytes();
    }
    Ok(())
}

/// Decodes a request body; bytes after it are ignored.
///
/// # Errors
/// The body is malformed or over a bound.
pub(crate) fn decode<T: KafkaRequest>(body: Bytes, version: i16) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(body, limits())?;
    T::decode(&mut decoder, ApiVersion::new(version))
}

fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_array_elements = ARRAY_ELEMENTS_MAX;
    limits.max_tagged_fields = TAGGED_FIELDS_MAX;
    limits
}

/// Encodes a whole response frame.
///
/// # Errors
/// A field cannot be expressed in this version, or the frame would be too long.
pub(crate) fn encode<T: KafkaResponse + KafkaMessage>(
    header: ResponseHeader,
    body: &T,
    version: i16,
) -> Result<Bytes, ResponseError> {
    let version = ApiVersion::new(version);
    let body_bytes = body.encoded_len(version)?;
    let mut out = BytesMut::with_capacity(body_bytes.saturating_add(9));
    header.start_frame(&mut out);
    body.encode_into(&mut out, version)?;
    finish_frame(&mut out, 0)?;
    Ok(out.freeze())
}
