//! Zigzag variable-length integers, as record bodies use them.
//!
//! Owns: bounded decoding and encoding of 32 and 64 bit values.
//! Never: reads past five or ten bytes.
//! Invariants: what is encoded here decodes to the same value; a value out of range is refused.
//! Source: KIP-98 (protocol buffers' zigzag encoding).

use bytes::BufMut;

const CONTINUES: u8 = 0x80;
const PAYLOAD: u8 = 0x7f;
const BYTES_MAX: usize = 10;

/// Takes a signed 64 bit value off the front.
pub(super) fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for index in 0..BYTES_MAX {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & PAYLOAD);
        if index + 1 == BYTES_MAX && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & CONTINUES == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// Takes a signed 32 bit value off the front; one in a longer encoding than needed is accepted, as clients do.
pub(super) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(take_i64(bytes)?).ok()
}

/// Appends a signed 64 bit value.
pub(super) fn put_i64(out: &mut impl BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= u64::from(CONTINUES) {
        let [low, ..] = rest.to_le_bytes();
        out.put_u8(low | CONTINUES);
        rest >>= 7;
    }
    let [low, ..] = rest.to_le_bytes();
    out.put_u8(low);
}

/// How many bytes [`put_i64`] appends.
pub(super) const fn len_i64(value: i64) -> usize {
    let bits = (u64::BITS - (zigzag(value) | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests;
