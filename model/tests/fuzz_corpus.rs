//! Replays the kept fuzzing inputs of the batch targets.
//!
//! Owns: the walk over `fuzz/corpus/batch` and `fuzz/corpus/codec`.
//! Never: needs a fuzzer: the bodies of the targets depend on this crate only.
//! Invariants: an input that once broke a promise keeps it from now on.
//! Source: reliability.md 4.3.

#![expect(clippy::expect_used, reason = "a test reports by panicking")]
#![expect(
    unreachable_pub,
    reason = "the bodies are public in the crate of the fuzz targets"
)]

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/batch.rs"]
mod batch;
#[path = "../../fuzz/src/codec.rs"]
mod codec;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the target has inputs") {
        let path = entry.expect("the folder can be read").path();
        run(&fs::read(&path).expect("the input can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{target} has no inputs");
}

#[test]
fn kept_inputs_of_the_batch_target_pass() {
    replay("batch", batch::run);
}

#[test]
fn kept_inputs_of_the_codec_target_pass() {
    replay("codec", codec::run);
}
