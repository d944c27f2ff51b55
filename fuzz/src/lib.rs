//! Bodies of the fuzz targets.
//!
//! Owns: one module per target with a `run` that panics when a promise is broken.
//! Never: links a fuzzer; performs I/O.
//! Invariants: a run depends on its input only.
//! Source: reliability.md 4.3.
#![forbid(unsafe_code)]

pub mod batch;
pub mod codec;
pub mod configuration;
pub mod kafka_request;
pub mod kafka_stream;
pub mod metadata_codec;
pub mod raft_files;
pub mod raft_message;
pub mod recovery;
mod replies;
pub mod storage_format;

// Links to parts of the root package, which is no library, at the paths they have there.
#[expect(dead_code, reason = "the binary uses the rest")]
mod cli {
    pub(crate) mod failure;
}
#[expect(dead_code, reason = "the binary uses the rest")]
#[cfg_attr(not(test), expect(unused_imports, reason = "the binary uses the rest"))]
mod config;
