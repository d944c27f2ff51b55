//! Damaged and foreign files of the metadata log.
//!
//! Owns: the promises of `restore` and the decoders below it about arbitrary bytes.
//! Never: writes a file.
//! Invariants: no panic; what a decoder accepts, it encodes to what it accepts again.
//! Source: reliability.md 1.12, 4.3.

use raft_host::hard_state::{HardState, Identity};
use raft_host::{Files, Snapshot, Write, bootstrap, restore};

/// The first byte chooses the kind of file, the rest is its contents.
///
/// # Panics
/// If a promise of `raft_host` is broken.
pub fn run(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => hard_state(input),
        1 => hard_state(&with_crc_at(input, 508)),
        2 => snapshot(input),
        3 => snapshot(&with_crc_at(input, input.len())),
        _ => directory(input),
    }
}

fn hard_state(block: &[u8]) {
    if let Ok(state) = HardState::decode(block) {
        assert_eq!(HardState::decode(&state.encode()), Ok(state));
    }
}

fn snapshot(file: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(file) {
        assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
    }
}

/// The first `len` bytes of `input` with their checksum behind them.
fn with_crc_at(input: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    bytes.resize(len, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// A new node's directory with a log file and a snapshot of arbitrary contents.
fn directory(input: &[u8]) {
    let identity = Identity {
        node: 1,
        cluster: "fuzz".to_owned(),
    };
    let (log, snapshot) = input.split_at(input.len() / 2);
    let mut files = Files {
        logs: vec![(1, input.to_vec()), (2, log.to_vec())],
        snapshots: vec![(1, snapshot.to_vec())],
        ..Files::default()
    };
    for (slot, write) in bootstrap(&identity, &[1]).iter().enumerate() {
        let Write::Replace { bytes, .. } = write else {
            continue;
        };
        if let Some(place) = files.hard_state.get_mut(slot) {
            *place = Some(bytes.to_vec());
        }
    }
    // Any verdict will do.
    drop(restore(&files, &identity));
}
