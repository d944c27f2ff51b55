//! The field's words as types.
//!
//! Owns: identifiers, offsets, epochs, units, time as a value, limits, seeded randomness, record batch v2.
//! Never: reads a clock, performs I/O, keeps state of a broker.
//! Invariants: newtypes do not deref; every bound has a name in [`limits`].
//! Source: architecture.md section 3, KIP-98 (record batch v2), KIP-101 (leader epochs).
#![forbid(unsafe_code)]

pub mod batch;
pub mod fatal;
pub mod ids;
pub mod limits;
pub mod map;
pub mod offset;
pub mod prng;
pub mod table;
pub mod time;
mod transitions;
