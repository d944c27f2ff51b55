//! Replays the seeds and every input that was ever kept in `corpus/` through its target.
//!
//! Owns: the walk over `corpus/`.
//! Never: needs a fuzzer or the nightly compiler.
//! Invariants: every folder of `corpus/` belongs to a target.
//! Source: reliability.md 4.3.

use std::fs;
use std::path::Path;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("batch", rapidmq_fuzz::batch::run),
    ("codec", rapidmq_fuzz::codec::run),
    ("configuration", rapidmq_fuzz::configuration::run),
    ("kafka_request", rapidmq_fuzz::kafka_request::run),
    ("kafka_stream", rapidmq_fuzz::kafka_stream::run),
    ("metadata_codec", rapidmq_fuzz::metadata_codec::run),
    ("raft_files", rapidmq_fuzz::raft_files::run),
    ("raft_message", rapidmq_fuzz::raft_message::run),
    ("recovery", rapidmq_fuzz::recovery::run),
    ("storage_format", rapidmq_fuzz::storage_format::run),
];

#[test]
fn every_kept_input_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("every target has seeds") {
            let path = entry.expect("the folder can be read").path();
            run(&fs::read(&path).expect("the input can be read"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no inputs");
    }
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("there is a corpus") {
        let name = entry.expect("the folder can be read").file_name();
        let is_known = TARGETS.iter().any(|(target, _)| *target == name);
        assert!(is_known, "{} belongs to no target", name.display());
    }
}
