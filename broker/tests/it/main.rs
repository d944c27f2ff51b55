//! A whole shard over a store and a disk in memory: every rule of the core as a client sees it.
//!
//! Owns: the tests of `broker::Shard`.
//! Never: looks inside; asks by command and reads replies.
//! Invariants: no clock, no thread, no sleep: time and completions move when a test says so.
//! Source: architecture.md sections 5 and 6; kafka.md section 4; reliability.md 1.11, 2.2, 2.4.
#![forbid(unsafe_code)]

#[cfg(test)]
mod admin;
#[cfg(test)]
mod allocations;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod append;
#[cfg(test)]
mod ask;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod lookup;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod poll;
#[cfg(test)]
mod producers;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod stop;
