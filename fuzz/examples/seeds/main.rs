//! Writes the seeds of every target into `corpus/`.
//!
//! Owns: small valid inputs, made by the encoders of the product and of an independent client library.
//! Never: removes an input that a fuzzer found.
//! Invariants: the same sources give the same files.
//! Source: reliability.md 4.3.

mod batches;
mod kafka;
mod metadata;
mod raft;
mod recovery;
mod storage;

use std::fs;
use std::io;
use std::path::Path;

/// Name of the file and its bytes.
type Seed = (String, Vec<u8>);

fn main() -> io::Result<()> {
    write("batch", &batches::whole())?;
    write("codec", &batches::compressed())?;
    write("kafka_request", &kafka::requests())?;
    write("kafka_stream", &kafka::streams())?;
    write("metadata_codec", &metadata::commands_and_images())?;
    write("raft_files", &raft::files())?;
    write("raft_message", &raft::messages())?;
    write("recovery", &recovery::damage())?;
    write("storage_format", &storage::formats())
}

fn write(target: &str, seeds: &[Seed]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// The input of a target whose first byte is a choice.
fn chosen(choice: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![choice];
    bytes.extend_from_slice(rest);
    bytes
}
