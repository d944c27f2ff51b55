//! Fuzz target: damage to whole data directories, then a start.
//!
//! Owns: the entry point for libFuzzer.
//! Never: more than a call; the body is `rapidmq_fuzz::recovery`, which a test replays too.
//! Invariants: see the body.
//! Source: reliability.md 2.4 to 2.6.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rapidmq_fuzz::recovery::run(data));
