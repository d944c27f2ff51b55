//! The shell on real sockets, files and rings, with a small protocol and a small machine.
//!
//! Owns: black-box tests of this crate.
//! Never: sleeps for a fixed time; every wait is for a condition, with a deadline.
//! Invariants: tests use their own directories and ports chosen by the kernel.
//! Source: style.md section 7 (shell tests).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod echo;
mod files;
mod log;
mod network;
mod rig;
mod solo;
mod stop;
mod stuck;
