//! The rolling hash over a log's batches.
//!
//! Owns: how one batch changes the hash.
//! Never: protects against an adversary; it finds lost and misplaced writes and compares histories.
//! Invariants: equal histories give equal hashes on every machine; the empty log has hash 0.
//! Source: reliability.md 2.2 (`chain_before`, `chain_after`).

use model::batch::BatchInfo;
use model::offset::{LeaderEpoch, Offset};

/// The hash after one more batch, from its base offset, length, epoch and Kafka CRC.
#[must_use]
pub fn extend(before: u64, base: Offset, epoch: LeaderEpoch, info: &BatchInfo) -> u64 {
    let shape = (u64::from(info.bytes) << 32) | u64::from(info.crc);
    let mixed = mix(before ^ base.get().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = mix(mixed ^ shape);
    mix(mixed ^ u64::from(epoch.get()))
}

/// As [`extend`] for a batch whose header carries its assigned offset and epoch.
#[must_use]
pub fn extend_stamped(before: u64, info: &BatchInfo) -> u64 {
    extend(
        before,
        info.base_offset,
        info.leader_epoch.unwrap_or_default(),
        info,
    )
}

/// The finaliser of MurmurHash3 (public domain): every input bit reaches every output bit.
pub(super) const fn mix(mut z: u64) -> u64 {
    z ^= z >> 33;
    z = z.wrapping_mul(0xff51_afd7_ed55_8ccd);
    z ^= z >> 33;
    z = z.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}
