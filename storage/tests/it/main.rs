//! The store and its recovery through the public interface, over whole data directories in memory.
//!
//! Owns: black-box tests of this crate.
//! Never: reaches into a module; knows bytes of the format.
//! Invariants: deterministic; every case is named by numbers that a test can be given again.
//! Source: reliability.md 2.4 to 2.7, 3.1.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

mod damage;
mod interrupted;
mod kit;
mod many;
