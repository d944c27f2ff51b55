//! The requests and answers of the hot path: Produce 8 and Fetch 11, prepared once and patched per request.
//!
//! Owns: templates of frames, reading of answers, the buffers of a connection.
//! Never: sets topics up; `setup` does, with the full codec.
//! Invariants: an answer is read within its bounds or refused; nothing is allocated per request.
//! Source: Kafka protocol (KIP-896 keeps these versions), kafka.md 2.1.

pub mod fetch;
pub mod inbox;
pub mod produce;
mod reader;

use std::ops::Range;

/// Name that the broker sees.
const CLIENT_ID: &str = "rapidmq-bench";
/// Where the correlation id stands in a request frame.
const CORRELATION_AT: Range<usize> = 8..12;

fn put_request_header(frame: &mut Vec<u8>, key: i16, version: i16) {
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    put_text(frame, CLIENT_ID);
}

fn put_text(frame: &mut Vec<u8>, text: &str) {
    // Names are checked to be short before they come here.
    let len = i16::try_from(text.len()).unwrap_or(i16::MAX);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
}

fn patch(frame: &mut [u8], at: Range<usize>, bytes: &[u8]) {
    if let Some(field) = frame.get_mut(at) {
        field.copy_from_slice(bytes);
    }
}
