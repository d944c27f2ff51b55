//! Tests of the mesh.

use std::sync::Arc;

use api::{Command, Origin, Ticket};
use model::ids::{ConnectionId, ShardId};

use super::{Mesh, MeshMessage};
use crate::waker::Waker;

fn wakers(count: usize) -> Vec<Arc<Waker>> {
    (0..count)
        .map(|_| Arc::new(Waker::new().unwrap()))
        .collect()
}

fn message(ticket: u64) -> MeshMessage {
    let shard = ShardId::new(0);
    let origin = Origin {
        shard,
        connection: ConnectionId::new(0),
        ticket: Ticket(ticket),
    };
    MeshMessage::Command {
        origin,
        command: Command::ListGroups { shard },
    }
}

fn ticket(message: &MeshMessage) -> u64 {
    match message {
        MeshMessage::Command { origin, .. } | MeshMessage::Reply { origin, .. } => origin.ticket.0,
    }
}

fn drain(mesh: &mut Mesh, from: usize) -> Vec<u64> {
    std::iter::from_fn(|| mesh.receive(from))
        .map(|message| ticket(&message))
        .collect()
}

#[test]
fn messages_reach_the_core_they_are_for() {
    let mut ends = Mesh::between(&wakers(3));
    ends[0].send(ShardId::new(1), message(1));
    ends[2].send(ShardId::new(1), message(2));
    assert_eq!(drain(&mut ends[1], 0), [1]);
    assert_eq!(drain(&mut ends[1], 2), [2]);
    assert!(
        drain(&mut ends[1], 1).is_empty(),
        "there is no link to oneself"
    );
    assert!(drain(&mut ends[0], 1).is_empty());
}

#[test]
fn waiting_messages_can_be_looked_at_before_they_are_received() {
    let mut ends = Mesh::with_slots(&wakers(2), 4);
    let looked_at = |end: &mut Mesh, count| {
        let waiting = end.waiting(0, count);
        waiting.map_or(0, |waiting| waiting.commands().count())
    };
    assert_eq!(looked_at(&mut ends[1], 2), 0);
    for index in 0..3 {
        ends[0].send(ShardId::new(1), message(index));
    }
    assert_eq!(looked_at(&mut ends[1], 2), 2);
    assert_eq!(looked_at(&mut ends[1], 9), 3);
    assert_eq!(drain(&mut ends[1], 0), [0, 1, 2]);
    // The next ones lie on both sides of the ring's end.
    for index in 3..6 {
        ends[0].send(ShardId::new(1), message(index));
    }
    assert_eq!(looked_at(&mut ends[1], 9), 3);
    assert_eq!(drain(&mut ends[1], 0), [3, 4, 5]);
    assert!(
        ends[1].waiting(1, 9).is_none(),
        "there is no link to oneself"
    );
}

#[test]
fn a_full_ring_overflows_in_order() {
    let mut ends = Mesh::with_slots(&wakers(2), 4);
    for index in 0..10 {
        ends[0].send(ShardId::new(1), message(index));
    }
    assert!(ends[0].has_overflow());
    let mut seen = Vec::new();
    while seen.len() < 10 {
        seen.extend(drain(&mut ends[1], 0));
        ends[0].flush(|_| {});
        ends[0].send(ShardId::new(1), message(10 + seen.len() as u64));
    }
    assert!(seen.is_sorted(), "{seen:?}");
}

#[test]
fn a_peer_is_woken_only_if_it_sleeps_and_got_something() {
    let wakers = wakers(2);
    let mut ends = Mesh::between(&wakers);
    let mut woken = 0;
    ends[0].send(ShardId::new(1), message(1));
    ends[0].flush(|_| woken += 1);
    assert_eq!(woken, 0, "it is awake");
    wakers[1].begin_sleep();
    ends[0].flush(|_| woken += 1);
    assert_eq!(woken, 0, "it got nothing new");
    ends[0].send(ShardId::new(1), message(2));
    ends[0].flush(|_| woken += 1);
    ends[0].send(ShardId::new(1), message(3));
    ends[0].flush(|_| woken += 1);
    assert_eq!(woken, 1, "it is woken once");
    assert!(ends[1].has_incoming());
}
