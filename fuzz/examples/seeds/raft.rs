//! Files and messages of the metadata quorum.

use bytes::Bytes;
use raft_host::hard_state::{HardState, Identity};
use raft_host::log::Link;
use raft_host::log::group::{FileHeader, GroupHeader, encode_payload};
use raft_host::{
    Entry, Files, HostConfig, Outgoing, RaftHost, Snapshot, Write, bootstrap, restore,
};

use crate::{Seed, chosen};

fn identity(node: u64) -> Identity {
    Identity {
        node,
        cluster: "fuzz".to_owned(),
    }
}

fn without_crc(bytes: &[u8]) -> &[u8] {
    bytes
        .split_last_chunk::<4>()
        .map_or(bytes, |(rest, _)| rest)
}

pub(crate) fn files() -> Vec<Seed> {
    let state = HardState {
        sequence: 6,
        identity: identity(1),
        term: 2,
        vote: 1,
        commit: 5,
        log_sequence: 3,
        voters: vec![1, 2, 3],
    };
    let block = state.encode();
    let data = Bytes::from_static(b"state");
    let snapshot = Snapshot {
        index: 4,
        term: 2,
        voters: vec![1],
        data,
    }
    .encode();
    vec![
        ("hard-state".to_owned(), chosen(0, &block[..512])),
        ("hard-state-fields".to_owned(), chosen(1, &block[..96])),
        ("snapshot".to_owned(), chosen(2, &snapshot)),
        (
            "snapshot-body".to_owned(),
            chosen(3, without_crc(&snapshot)),
        ),
        ("log".to_owned(), chosen(4, &log_file())),
    ]
}

fn log_file() -> Vec<u8> {
    let header = FileHeader {
        number: 1,
        uid: 77,
        node: 1,
        previous: Link::default(),
        first_sequence: 1,
    };
    let entry = |index| Entry {
        index,
        term: 1,
        data: Bytes::from_static(b"command"),
    };
    let group = GroupHeader {
        file_uid: 77,
        sequence: 1,
        first_index: 1,
        entries: 2,
        hard_state_sequence: 1,
    };
    let mut file = header.encode().to_vec();
    file.extend_from_slice(&group.encode(&encode_payload(&[entry(1), entry(2)])));
    file
}

fn node(id: u64) -> RaftHost {
    let mut files = Files::default();
    for (slot, write) in bootstrap(&identity(id), &[1, 2, 3]).iter().enumerate() {
        if let Write::Replace { bytes, .. } = write {
            files.hard_state[slot] = Some(bytes.to_vec());
        }
    }
    let restored = restore(&files, &identity(id)).expect("the first files are whole");
    let config = HostConfig {
        identity: identity(id),
        election_ticks: 10,
        heartbeat_ticks: 2,
        seed: id,
        snapshot_entries: 4,
    };
    RaftHost::new(config, &restored).expect("the configuration is legal")
}

fn outgoing(host: &mut RaftHost) -> Vec<Outgoing> {
    let mut messages = Vec::new();
    while let Some(ready) = host.poll_ready() {
        messages.extend(ready.messages);
        messages.extend(ready.messages_after);
        host.handle_persisted();
        if let Some(last) = ready.committed.last() {
            host.handle_applied(last.index);
        }
    }
    messages
}

/// What node 1 hears while node 2 is elected by node 3, proposes and keeps its leadership.
pub(crate) fn messages() -> Vec<Seed> {
    let (mut two, mut three) = (node(2), node(3));
    let mut heard = Vec::new();
    two.campaign();
    for round in 0..12 {
        if two.is_ready_leader() && round > 6 {
            drop(two.propose(Bytes::from_static(b"command")));
        }
        two.tick();
        let from_two = outgoing(&mut two);
        let from_three = outgoing(&mut three);
        for message in from_two.iter().chain(&from_three) {
            let outcome = match message.to {
                1 => {
                    heard.push(message.bytes.clone());
                    continue;
                }
                2 => two.step(&message.bytes),
                _ => three.step(&message.bytes),
            };
            drop(outcome);
        }
    }
    let framed = |message: &Bytes| {
        let body = without_crc(message);
        let length = u16::try_from(body.len())
            .expect("small messages")
            .to_le_bytes();
        [length.as_slice(), body].concat()
    };
    let mut seeds = vec![("all".to_owned(), heard.iter().flat_map(framed).collect())];
    let each = heard.iter().enumerate();
    seeds.extend(each.map(|(number, message)| (format!("message-{number:02}"), framed(message))));
    seeds
}
