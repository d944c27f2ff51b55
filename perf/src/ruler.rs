//! Rulers: what the machine can do without a broker, seen through the same client.
//!
//! Owns: servers that answer Produce and Fetch with the least possible work, and the measurement of the raw device.
//! Never: shares code with the broker's shell: a ruler that had its faults would not show them.
//! Invariants: a ruler that says durable has written with `RWF_DSYNC` into a prewritten file opened with `O_DIRECT`
//! before it answers.
//! Source: performance.md sections 2 and 5.

pub mod device;
pub mod direct;
pub mod frames;
pub mod grouped;
pub mod ring;
pub mod server;

#[cfg(test)]
mod tests;
