//! Tests of a voter and of a quorum.
//!
//! Owns: the simulated node and network.
//! Never: uses a clock or a thread; every seed is fixed.
//! Invariants: what one node applied, every node applies, in the same order.
//! Source: reliability.md 1.12.
#![expect(clippy::cast_possible_truncation, reason = "test sizes are small")]

mod alone;
mod network;
mod quorum;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{HostConfig, Outgoing, Position, ProposeError, RaftHost};
use crate::hard_state::Identity;
use crate::memory_disk::MemoryDisk;
use crate::restore::{Restored, bootstrap, restore};

pub(super) fn identity(node: u64) -> Identity {
    Identity {
        node,
        cluster: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

/// A node with its disk and a state machine that remembers what it applied.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) disk: MemoryDisk,
    pub(super) host: RaftHost,
    pub(super) applied: BTreeMap<u64, Bytes>,
    pub(super) starts: u64,
    snapshot_entries: u64,
}

impl Node {
    pub(super) fn new(id: u64, voters: &[u64]) -> Self {
        Self::with_snapshots(id, voters, u64::MAX)
    }

    pub(super) fn with_snapshots(id: u64, voters: &[u64], snapshot_entries: u64) -> Self {
        let mut disk = MemoryDisk::default();
        disk.exec_all(&bootstrap(&identity(id), voters));
        Self::start(id, disk, snapshot_entries, 0)
    }

    fn start(id: u64, mut disk: MemoryDisk, snapshot_entries: u64, starts: u64) -> Self {
        let restored = restore(&disk.read(), &identity(id)).unwrap();
        disk.exec_all(&restored.writes);
        let config = HostConfig {
            identity: identity(id),
            election_ticks: 10,
            heartbeat_ticks: 2,
            seed: 1_000 * starts + 7,
            snapshot_entries,
        };
        let host = RaftHost::new(config, &restored).unwrap();
        let applied = loaded(&restored);
        Self {
            id,
            disk,
            host,
            applied,
            starts,
            snapshot_entries,
        }
    }

    /// The process dies; what is on the disk is all that is left.
    pub(super) fn restarted(self) -> Self {
        Self::start(self.id, self.disk, self.snapshot_entries, self.starts + 1)
    }

    pub(super) fn propose(&mut self, data: &str) -> Result<Position, ProposeError> {
        self.host.propose(Bytes::copy_from_slice(data.as_bytes()))
    }

    /// Carries out everything that is to be done; gives what is to be sent.
    pub(super) fn drain(&mut self) -> Vec<Outgoing> {
        let mut sent = Vec::new();
        while let Some(ready) = self.host.poll_ready() {
            sent.extend(ready.messages);
            self.disk.exec_all(&ready.writes);
            self.host.handle_persisted();
            sent.extend(ready.messages_after);
            if let Some(snapshot) = ready.install {
                self.applied = decode_state(&snapshot.data);
            }
            for entry in ready.committed {
                self.applied.insert(entry.index, entry.data);
                self.host.handle_applied(entry.index);
            }
            if self.host.is_snapshot_due() {
                let write = self.host.plan_snapshot(encode_state(&self.applied));
                self.disk.exec(&write);
                let removals = self.host.handle_snapshot_written();
                self.disk.exec_all(&removals);
            }
        }
        sent
    }

    /// What was applied, without the empty entries of new leaders.
    pub(super) fn values(&self) -> Vec<String> {
        let all = self.applied.values().filter(|data| !data.is_empty());
        all.map(|data| String::from_utf8(data.to_vec()).unwrap())
            .collect()
    }
}

fn loaded(restored: &Restored) -> BTreeMap<u64, Bytes> {
    restored
        .snapshot
        .as_ref()
        .map(|snapshot| decode_state(&snapshot.data))
        .unwrap_or_default()
}

fn encode_state(applied: &BTreeMap<u64, Bytes>) -> Bytes {
    let mut out = crate::wire::Writer::new();
    for (index, data) in applied {
        out.u64(*index);
        out.bytes(data);
    }
    out.into_bytes()
}

fn decode_state(bytes: &[u8]) -> BTreeMap<u64, Bytes> {
    let mut from = crate::wire::Reader::new(bytes);
    let mut applied = BTreeMap::new();
    while from.remaining() > 0 {
        let index = from.u64().unwrap();
        applied.insert(index, Bytes::copy_from_slice(from.bytes(1 << 20).unwrap()));
    }
    applied
}

/// Shorthand for what a refusal says.
pub(super) trait StepErrorText {
    fn is_stranger(&self) -> bool;
}

impl StepErrorText for Option<String> {
    fn is_stranger(&self) -> bool {
        self.as_ref()
            .is_some_and(|text| text.contains("does not concern"))
    }
}
