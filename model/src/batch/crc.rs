//! What a change in front of many bytes does to their CRC32C, without reading them again; sums of whole batches.
//!
//! Owns: [`behind_zeros`], [`joined_crc`], [`crc_with_batch`].
//! Never: computes the CRC of bytes; the `crc32c` crate does.
//! Invariants: linear: the difference of two inputs of one length has the difference of their CRCs; what is joined is
//! what reading all bytes again would give.
//! Source: RFC 3720 (polynomial); Knuth, TAOCP 2, 4.6.3 (powers by squaring).

use super::view::{CRC_AT, CRC_FROM};

/// From so many bytes on it is faster to join two CRCs than to read the bytes again. Measured: docs/investigations.
pub const JOINED_BYTES_MIN: usize = 4 * 1024;

/// The Castagnoli polynomial without its highest term; the lowest bit is the highest power.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// Bits of a length in bytes; no batch is longer.
const LENGTH_BITS: usize = 32;

/// Element `k` is x to the power of 8 times 2^k: what 2^k zero bytes multiply a CRC by.
const ZERO_BYTES: [u32; LENGTH_BITS] = {
    // x to the power of 8.
    let mut power = ONE >> 8;
    let mut table = [0; LENGTH_BITS];
    let mut k = 0;
    while k < LENGTH_BITS {
        table[k] = power;
        power = product(power, power);
        k += 1;
    }
    table
};

/// The contribution of a difference `crc` to the CRC once `bytes` more bytes lie behind it.
pub(super) fn behind_zeros(crc: u32, bytes: u32) -> u32 {
    let powers = ZERO_BYTES
        .iter()
        .enumerate()
        .filter(|(k, _)| bytes >> k & 1 == 1);
    powers.fold(crc, |shifted, (_, power)| product(shifted, *power))
}

/// The CRC32C of two parts, one behind the other, from theirs; `bytes` is the length of the second.
#[must_use]
pub fn joined_crc(first: u32, second: u32, bytes: u32) -> u32 {
    behind_zeros(first, bytes) ^ second
}

/// The CRC32C of what has `before`, with one whole batch behind it.
///
/// The records of a long batch are not read: its own CRC, which was checked when it came, stands for them. So a sum
/// that is written beside them also tells what happened to them in memory since then.
#[must_use]
pub fn crc_with_batch(before: u32, batch: &[u8]) -> u32 {
    let stored = batch.get(CRC_AT..).and_then(<[u8]>::first_chunk::<4>);
    let parts = batch.split_at_checked(CRC_FROM);
    let (Some(stored), Some((front, covered))) = (stored, parts) else {
        return crc32c::crc32c_append(before, batch);
    };
    let Ok(bytes) = u32::try_from(covered.len()) else {
        return crc32c::crc32c_append(before, batch);
    };
    if batch.len() < JOINED_BYTES_MIN {
        return crc32c::crc32c_append(before, batch);
    }
    let front = crc32c::crc32c_append(before, front);
    joined_crc(front, u32::from_be_bytes(*stored), bytes)
}

/// Product of two polynomials modulo the CRC's.
const fn product(left: u32, right: u32) -> u32 {
    let mut sum = 0;
    let mut term = right;
    let mut bit = ONE;
    while bit > 0 {
        // All ones if the bit is set: no branch depends on the data.
        sum ^= term & 0_u32.wrapping_sub((left & bit != 0) as u32);
        term = (term >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(term & 1));
        bit >>= 1;
    }
    sum
}

#[cfg(test)]
mod tests;
