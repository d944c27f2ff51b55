//! Seeds and names that must differ between processes.
//!
//! Owns: randomness at start, and the text form of a cluster id.
//! Never: is asked again after the start; the pure crates continue from their seeds.
//! Invariants: a cluster id is 22 characters of URL-safe base64, as Kafka's.
//! Source: kafka.md 4.6; KIP-78 (cluster id).

use std::fs::File;
use std::io::{self, Read};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Sixteen bytes from the system.
///
/// # Errors
/// The system has no random device.
pub(super) fn random16() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Eight bytes from the system, as a seed.
///
/// # Errors
/// The system has no random device.
pub(super) fn random_seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The text form of a cluster id.
pub(super) fn cluster_id_text(id: &[u8; 16]) -> String {
    let bits = id
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let sextets = bits.chunks(6).map(|chunk| {
        let value = chunk
            .iter()
            .fold(0_usize, |value, bit| value << 1 | usize::from(*bit));
        let padded = value << (6 - chunk.len());
        ALPHABET.get(padded).copied().map_or('A', char::from)
    });
    sextets.collect()
}

#[cfg(test)]
mod tests;
