//! A sole voter: what a single-node broker runs.
//!
//! Owns: election, commit, restart, damage, snapshots.
//! Never: sends a message.
//! Invariants: as in the parent.
//! Source: reliability.md 1.12.

use bytes::Bytes;

use super::{Node, identity};
use crate::files::{HARD_STATE_NAMES, Write};
use crate::hard_state::{HardState, HardStateError};
use crate::log::scan::LogError;
use crate::restore::{Note, RestoreError, restore};

fn leader() -> Node {
    elected(Node::new(1, &[1]))
}

fn elected(mut node: Node) -> Node {
    node.host.campaign();
    assert_eq!(node.drain(), []);
    assert!(node.host.is_ready_leader());
    node
}

fn put(node: &mut Node, values: &[&str]) {
    for value in values {
        node.propose(value).unwrap();
        assert_eq!(node.drain(), []);
    }
}

fn error(node: &Node) -> RestoreError {
    restore(&node.disk.read(), &identity(1)).unwrap_err()
}

#[test]
fn a_sole_voter_elects_itself_after_its_timeout() {
    let mut node = Node::new(1, &[1]);
    for _ in 0..20 {
        node.host.tick();
        node.drain();
    }
    assert!(node.host.is_ready_leader());
    assert_eq!(node.host.leader(), Some(1));
}

#[test]
fn a_proposal_is_committed_where_it_was_said_to_stand() {
    let mut node = leader();
    let position = node.propose("a").unwrap();
    node.drain();
    assert_eq!(node.applied[&position.index], Bytes::from_static(b"a"));
    assert_eq!(node.host.applied(), position.index);
}

#[test]
fn nothing_is_handed_out_before_entry_and_commit_are_durable() {
    let mut node = leader();
    let position = node.propose("a").unwrap();
    let first = node.host.poll_ready().unwrap();
    assert!(first.committed.is_empty());
    assert!(matches!(first.writes[..], [Write::WriteAt { .. }]));
    node.disk.exec_all(&first.writes);
    node.host.handle_persisted();
    let second = node.host.poll_ready().unwrap();
    assert_eq!(second.committed.len(), 1);
    let Write::WriteAt { bytes, .. } = &second.writes[0] else {
        panic!("hard state first")
    };
    assert_eq!(HardState::decode(bytes).unwrap().commit, position.index);
}

#[test]
fn a_node_without_a_leader_refuses_proposals() {
    let mut node = Node::new(1, &[1]);
    let refused = node.propose("a").unwrap_err();
    assert_eq!(refused, super::ProposeError::NotLeader { leader: None });
}

#[test]
fn a_proposal_that_is_too_large_is_refused() {
    let mut node = leader();
    let large = Bytes::from(vec![0; crate::limits::ENTRY_BYTES_MAX + 1]);
    assert!(matches!(
        node.host.propose(large),
        Err(super::ProposeError::TooLarge(_))
    ));
}

#[test]
fn a_restart_brings_everything_back_in_order() {
    let mut node = leader();
    put(&mut node, &["a", "b", "c"]);
    let term = node.host.term();
    let mut node = elected(node.restarted());
    assert_eq!(node.values(), ["a", "b", "c"]);
    assert!(node.host.term() > term);
    put(&mut node, &["d"]);
    let node = elected(node.restarted());
    assert_eq!(node.values(), ["a", "b", "c", "d"]);
}

#[test]
fn a_torn_entry_that_was_never_committed_is_cut() {
    let mut node = leader();
    put(&mut node, &["a"]);
    node.propose("lost").unwrap();
    let ready = node.host.poll_ready().unwrap();
    node.disk.exec_torn(&ready.writes[0], 80);
    let restored = restore(&node.disk.read(), &identity(1)).unwrap();
    assert!(matches!(restored.notes[..], [Note::TornGroup { .. }]));
    let node = elected(node.restarted());
    assert_eq!(node.values(), ["a"]);
}

#[test]
fn an_entry_that_is_durable_but_not_yet_committed_survives() {
    let mut node = leader();
    node.propose("a").unwrap();
    let ready = node.host.poll_ready().unwrap();
    node.disk.exec_all(&ready.writes);
    let node = elected(node.restarted());
    assert_eq!(node.values(), ["a"]);
}

#[test]
fn a_damaged_entry_that_was_acknowledged_stops_the_node() {
    let mut node = leader();
    put(&mut node, &["a", "b"]);
    let name = node.disk.logs().pop().unwrap();
    let file = node.disk.files.get_mut(&name).unwrap();
    let last = file.iter().rposition(|byte| *byte != 0).unwrap();
    file[last] ^= 1;
    assert!(matches!(
        error(&node),
        RestoreError::Log(LogError::Shortened { .. })
    ));
}

#[test]
fn an_unreadable_or_missing_hard_state_slot_stops_the_node() {
    for slot in [0, 1] {
        let mut node = leader();
        put(&mut node, &["a"]);
        let name = HARD_STATE_NAMES[slot];
        node.disk.files.get_mut(name).unwrap()[100] ^= 1;
        let refused = error(&node);
        let unreadable = matches!(
            refused,
            RestoreError::HardState(HardStateError::Unreadable { slot: s, .. }) if s == slot
        );
        assert!(unreadable, "{refused:?}");
        node.disk.files.remove(name);
        assert_eq!(
            error(&node),
            RestoreError::HardState(HardStateError::Missing(slot))
        );
    }
}

#[test]
fn an_older_hard_state_put_back_is_noticed() {
    let mut node = leader();
    put(&mut node, &["a"]);
    let old: Vec<_> = HARD_STATE_NAMES
        .map(|name| node.disk.files[name].clone())
        .into();
    put(&mut node, &["b", "c"]);
    for (name, bytes) in HARD_STATE_NAMES.iter().zip(old) {
        node.disk.files.insert((*name).to_owned(), bytes);
    }
    assert!(matches!(error(&node), RestoreError::StaleHardState { .. }));
}

#[test]
fn the_files_of_another_node_or_cluster_are_refused() {
    let node = leader();
    let refused = restore(&node.disk.read(), &identity(2)).unwrap_err();
    assert!(matches!(refused, RestoreError::Foreign { .. }));
}

#[test]
fn snapshots_bound_the_log_and_two_are_kept() {
    let mut node = elected(Node::with_snapshots(1, &[1], 10));
    let values: Vec<String> = (0..100).map(|n| format!("v{n}")).collect();
    for value in &values {
        put(&mut node, &[value]);
    }
    assert_eq!(node.disk.read().snapshots.len(), 2);
    let node = elected(node.restarted());
    assert_eq!(node.values(), values);
}

#[test]
fn many_restarts_do_not_gather_files() {
    let mut node = leader();
    for start in 0..40 {
        put(&mut node, &[&format!("s{start}")]);
        node = elected(node.restarted());
        assert!(node.disk.logs().len() <= 2 * crate::limits::LOG_FILES_MAX + 4);
    }
    assert_eq!(node.values().len(), 40);
}

#[test]
fn a_damaged_newest_snapshot_is_replaced_by_the_older_one_and_the_log() {
    let mut node = elected(Node::with_snapshots(1, &[1], 10));
    let values: Vec<String> = (0..55).map(|n| format!("v{n}")).collect();
    values.iter().for_each(|value| put(&mut node, &[value]));
    let newest = node
        .disk
        .files
        .keys()
        .rfind(|name| name.starts_with("snapshot-"))
        .unwrap()
        .clone();
    let bytes = node.disk.files.get_mut(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let restored = restore(&node.disk.read(), &identity(1)).unwrap();
    assert!(matches!(restored.notes[..], [Note::DamagedSnapshot { .. }]));
    let node = elected(node.restarted());
    assert_eq!(node.values(), values);
}

#[test]
fn without_any_snapshot_that_connects_the_node_stops() {
    let mut node = elected(Node::with_snapshots(1, &[1], 10));
    for start in 0..12 {
        for n in 0..10 {
            put(&mut node, &[&format!("v{start}-{n}")]);
        }
        node = elected(node.restarted());
    }
    node.disk
        .files
        .retain(|name, _| !name.starts_with("snapshot-"));
    assert!(matches!(error(&node), RestoreError::Gap { .. }));
}

/// Works off what is ready; `false` if the power failed at the write that `left` counts down to.
fn drain_until_power_fails(node: &mut Node, left: &mut u64) -> bool {
    while let Some(ready) = node.host.poll_ready() {
        for write in &ready.writes {
            if *left == 0 {
                node.disk.exec_torn(write, 2_000);
                return false;
            }
            node.disk.exec(write);
            *left -= 1;
        }
        node.host.handle_persisted();
        for entry in ready.committed {
            node.host.handle_applied(entry.index);
            node.applied.insert(entry.index, entry.data);
        }
    }
    true
}

#[test]
fn losing_power_at_any_write_loses_nothing_that_was_applied() {
    for cut in 0..60 {
        let mut node = Node::with_snapshots(1, &[1], 7);
        let mut left = cut;
        node.host.campaign();
        for next in 0.. {
            if !drain_until_power_fails(&mut node, &mut left) {
                break;
            }
            node.propose(&format!("v{next}")).unwrap();
        }
        let applied = node.values();
        let node = elected(node.restarted());
        assert!(node.values().starts_with(&applied), "cut at write {cut}");
        assert!(
            node.values().len() <= applied.len() + 1,
            "cut at write {cut}"
        );
    }
}
