//! Three voters.
//!
//! Owns: election, replication, loss, crashes, pre-vote, determinism, hostile messages.
//! Never: relies on a particular node winning.
//! Invariants: as in the parent.
//! Source: reliability.md 1.12.

use model::prng::Prng;

use super::network::Cluster;
use super::{Node, Outgoing, StepErrorText};
use crate::message;

fn values(cluster: &Cluster) -> Vec<Vec<String>> {
    cluster.nodes.values().map(Node::values).collect()
}

#[test]
fn three_voters_elect_one_leader_and_replicate() {
    let mut cluster = Cluster::new(1, u64::MAX);
    let leader = cluster.elect();
    for n in 0..10 {
        cluster.node(leader).propose(&format!("v{n}")).unwrap();
    }
    // The network reorders, so some appends are refused and sent again.
    for _ in 0..30 {
        cluster.round();
    }
    let all = values(&cluster);
    assert_eq!(all[0].len(), 10);
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
}

/// Loss, crashes and partitions; every proposal that was seen applied stays.
fn storm(seed: u64, snapshot_entries: u64) -> (Vec<Vec<String>>, u64) {
    let mut cluster = Cluster::new(seed, snapshot_entries);
    let mut prng = Prng::new(seed ^ 0xface);
    cluster.loss = 10;
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..400 {
        cluster.round();
        if prng.chance(1, 20) {
            cluster.restart(1 + prng.below(3));
        }
        if prng.chance(1, 20) {
            cluster.isolated = prng.chance(1, 2).then(|| 1 + prng.below(3));
        }
        if let Some(leader) = cluster.leader() {
            drop(cluster.node(leader).propose(&format!("r{round}")));
            acknowledged = cluster.node(leader).values();
        }
    }
    (cluster.isolated, cluster.loss) = (None, 0);
    cluster.elect();
    for _ in 0..30 {
        cluster.round();
    }
    let all = values(&cluster);
    assert!(
        acknowledged.len() > 20,
        "seed {seed}: only {} committed",
        acknowledged.len()
    );
    assert!(
        all[0].starts_with(&acknowledged),
        "seed {seed}: something applied was lost"
    );
    assert_eq!(all[0], all[1], "seed {seed}");
    assert_eq!(all[1], all[2], "seed {seed}");
    let term = cluster.node(1).host.term();
    (all, term)
}

#[test]
fn loss_crashes_and_partitions_lose_nothing_that_was_applied() {
    for seed in 0..15 {
        storm(seed, u64::MAX);
    }
}

#[test]
fn the_same_holds_with_snapshots_instead_of_a_long_log() {
    for seed in 100..110 {
        storm(seed, 12);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(storm(42, 25), storm(42, 25));
}

#[test]
fn a_voter_that_was_cut_off_does_not_disturb_the_term_when_it_returns() {
    let mut cluster = Cluster::new(3, u64::MAX);
    let leader = cluster.elect();
    let term = cluster.node(leader).host.term();
    let other = if leader == 1 { 2 } else { 1 };
    cluster.isolated = Some(other);
    for _ in 0..100 {
        cluster.round();
    }
    cluster.isolated = None;
    for _ in 0..50 {
        cluster.round();
    }
    assert_eq!(cluster.node(leader).host.term(), term);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.node(other).host.term(), term);
}

#[test]
fn a_leader_that_is_cut_off_steps_down() {
    let mut cluster = Cluster::new(4, u64::MAX);
    let leader = cluster.elect();
    cluster.isolated = Some(leader);
    for _ in 0..60 {
        cluster.round();
    }
    assert!(!cluster.node(leader).host.is_leader());
    assert!(cluster.leader().is_some_and(|other| other != leader));
}

#[test]
fn a_voter_that_missed_too_much_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::new(5, 10);
    let leader = cluster.elect();
    let other = if leader == 1 { 2 } else { 1 };
    cluster.isolated = Some(other);
    for n in 0..60 {
        drop(cluster.node(leader).propose(&format!("v{n}")));
        cluster.round();
    }
    cluster.isolated = None;
    for _ in 0..60 {
        cluster.round();
    }
    let all = values(&cluster);
    assert_eq!(all[0].len(), 60);
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
    cluster.restart(other);
    cluster.round();
    assert_eq!(values(&cluster)[0].len(), 60);
}

fn vote_request(to: u64, from: u64) -> raft::eraftpb::Message {
    let mut message = raft::eraftpb::Message::default();
    message.set_msg_type(raft::eraftpb::MessageType::MsgRequestPreVote);
    (message.to, message.from, message.term) = (to, from, 5);
    message
}

#[test]
fn strangers_and_contradictions_are_refused() {
    let mut node = Node::new(1, &[1, 2, 3]);
    let mut step = |message: &raft::eraftpb::Message| {
        node.host
            .step(&message::encode(message).unwrap())
            .err()
            .map(|error| error.to_string())
    };
    assert!(step(&vote_request(1, 9)).is_stranger());
    assert!(step(&vote_request(2, 3)).is_stranger());
    assert!(step(&vote_request(1, 1)).is_stranger());
    assert_eq!(step(&vote_request(1, 2)), None);
    let mut heartbeat = vote_request(1, 2);
    heartbeat.set_msg_type(raft::eraftpb::MessageType::MsgHeartbeat);
    heartbeat.commit = 77;
    assert!(step(&heartbeat).is_some_and(|text| text.contains("commits beyond")));
}

#[test]
fn proposals_and_membership_changes_do_not_travel() {
    let mut message = vote_request(1, 2);
    message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
    assert_eq!(message::encode(&message), None);
    message.set_msg_type(raft::eraftpb::MessageType::MsgTransferLeader);
    assert_eq!(message::encode(&message), None);
    message.set_msg_type(raft::eraftpb::MessageType::MsgHup);
    assert_eq!(message::encode(&message), None);
}

/// Well-formed messages on which the `raft` crate would stop the process; found by fuzzing.
#[test]
fn terms_that_contradict_the_message_are_refused() {
    let refusal = |message: &raft::eraftpb::Message| {
        let mut node = Node::new(1, &[1, 2, 3]);
        let step = node.host.step(&message::encode(message).unwrap());
        step.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let mut without_term = vote_request(1, 2);
    without_term.term = 0;
    assert!(refusal(&without_term).contains("term"));
    let mut append = vote_request(1, 2);
    append.set_msg_type(raft::eraftpb::MessageType::MsgAppend);
    assert_eq!(refusal(&append), "");
    append.index = 1;
    assert!(refusal(&append).contains("log term of message"));
    (append.index, append.log_term) = (0, 1);
    assert!(refusal(&append).contains("log term of message"));
}

#[test]
fn mutated_messages_never_panic() {
    let mut prng = Prng::new(0xbead);
    let mut cluster = Cluster::new(6, u64::MAX);
    let leader = cluster.elect();
    let mut seen: Vec<Outgoing> = Vec::new();
    for n in 0..8 {
        cluster.node(leader).propose(&format!("v{n}")).unwrap();
        cluster.node(leader).host.tick();
        seen.extend(cluster.node(leader).drain());
    }
    let follower = if leader == 1 { 2 } else { 1 };
    for _ in 0..20_000 {
        let pick = prng.below(seen.len() as u64) as usize;
        let mut bytes = seen[pick].bytes.to_vec();
        let at = prng.below(bytes.len() as u64 - 4) as usize;
        bytes[at] = prng.next_u64() as u8;
        // With a fitting checksum, so that the fields behind it are reached.
        let body = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..body]);
        bytes[body..].copy_from_slice(&crc.to_le_bytes());
        drop(message::decode(&bytes));
        bytes[at] ^= 1;
        assert!(cluster.node(follower).host.step(&bytes).is_err());
    }
}
