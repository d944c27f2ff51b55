//! Messages that a faulty or foreign voter may send.
//!
//! Owns: the promises of `RaftHost::step` about arbitrary bytes.
//! Never: completes a write that the node did not plan.
//! Invariants: no panic and no end of the process, whatever a peer says; a refused message changes nothing visible.
//! Source: reliability.md 1.12, 4.3.

use raft_host::hard_state::Identity;
use raft_host::{Files, HostConfig, RaftHost, Write, bootstrap, restore};

const NODE: u64 = 1;
const VOTERS: [u64; 3] = [1, 2, 3];

/// Splits the input into messages, feeds each with its checksum made right, and carries out what follows.
///
/// # Panics
/// If the node panics.
pub fn run(data: &[u8]) {
    let mut host = fresh_node();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (body, after) = after.split_at(length);
        rest = after;
        let mut message = body.to_vec();
        message.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
        let outcome = host.step(&message);
        if outcome.is_err() {
            drop(host.step(body));
        }
        host.tick();
        settle(&mut host);
    }
}

/// Files of the directory after `writes`; only hard-state slots are written by `bootstrap`.
fn first_files(writes: &[Write]) -> Files {
    let mut files = Files::default();
    for (slot, write) in writes.iter().enumerate() {
        let Write::Replace { bytes, .. } = write else {
            continue;
        };
        if let Some(place) = files.hard_state.get_mut(slot) {
            *place = Some(bytes.to_vec());
        }
    }
    files
}

fn fresh_node() -> RaftHost {
    let identity = Identity {
        node: NODE,
        cluster: "fuzz".to_owned(),
    };
    let files = first_files(&bootstrap(&identity, &VOTERS));
    let restored = restore(&files, &identity).expect("the first files are whole");
    let config = HostConfig {
        identity,
        election_ticks: 10,
        heartbeat_ticks: 2,
        seed: 7,
        snapshot_entries: 4,
    };
    RaftHost::new(config, &restored).expect("the configuration is legal")
}

/// Pretends that every planned write became durable and every entry was applied.
fn settle(host: &mut RaftHost) {
    while let Some(ready) = host.poll_ready() {
        let installed = ready.install.as_ref().map(|snapshot| snapshot.index);
        let last = ready
            .committed
            .last()
            .map(|entry| entry.index)
            .or(installed);
        host.handle_persisted();
        if let Some(last) = last {
            host.handle_applied(last.max(host.applied()));
        }
    }
    if host.is_snapshot_due() {
        drop(host.plan_snapshot(bytes::Bytes::from_static(b"state")));
        drop(host.handle_snapshot_written());
    }
}
