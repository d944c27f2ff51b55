//! Requests with a right length and header, so that bodies are reached quickly.
//!
//! Owns: putting frames together from the input.
//! Never: checks responses; the session's own tests do.
//! Invariants: as `kafka_stream`.
//! Source: kafka.md 1.1, 2.1.

use crate::kafka_stream::Connection;

/// Seed of the answers, then requests: index of an API, version, length (two bytes), body.
///
/// # Panics
/// If a promise of the session is broken.
pub fn run(data: &[u8]) {
    let Some((&seed, mut rest)) = data.split_first() else {
        return;
    };
    let mut connection = Connection::new(u64::from(seed));
    let mut correlation = 0_u32;
    while let Some(([api, version, low, high], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, after) = after.split_at(length);
        rest = after;
        let table = kafka::versions::TABLE;
        let Some(entry) = table.get(usize::from(*api) % table.len()) else {
            return;
        };
        let served = entry.max.abs_diff(entry.min) + 1;
        let version = entry
            .min
            .saturating_add_unsigned(u16::from(*version) % served);
        connection.receive(&frame(entry.key.to_wire(), version, correlation, body));
        correlation = correlation.wrapping_add(1);
    }
    connection.finish();
}

/// Header with a client id and the body; where the header has tagged fields, the body begins with them.
///
/// # Panics
/// If the body is larger than 4 GiB.
#[must_use]
pub fn frame(api: i16, version: i16, correlation: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&api.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&correlation.to_be_bytes());
    out.extend_from_slice(&[0, 4]);
    out.extend_from_slice(b"fuzz");
    out.extend_from_slice(body);
    let length = u32::try_from(out.len() - 4).expect("inputs are small");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}
