//! Fuzz target: configuration files.
//!
//! Owns: the entry point for libFuzzer.
//! Never: more than a call; the body is `rapidmq_fuzz::configuration`, which a test replays too.
//! Invariants: see the body.
//! Source: reliability.md 4.3.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rapidmq_fuzz::configuration::run(data));
