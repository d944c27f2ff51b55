//! A network that loses, delays and partitions, from a seed.
//!
//! Owns: the cluster of simulated nodes.
//! Never: loses what a disk was given.
//! Invariants: applied entries agree at every index, always.
//! Source: reliability.md 3.2, 3.3.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::prng::Prng;

use super::{Node, Outgoing};

pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) isolated: Option<u64>,
    /// Messages lost out of a hundred.
    pub(super) loss: u64,
    in_flight: Vec<(u64, Outgoing)>,
    agreed: BTreeMap<u64, Bytes>,
    /// Last index of each node that was compared.
    compared: BTreeMap<u64, u64>,
    prng: Prng,
}

impl Cluster {
    pub(super) fn new(seed: u64, snapshot_entries: u64) -> Self {
        let voters = [1, 2, 3];
        let node = |id| (id, Node::with_snapshots(id, &voters, snapshot_entries));
        Self {
            nodes: voters.into_iter().map(node).collect(),
            isolated: None,
            loss: 0,
            in_flight: Vec::new(),
            agreed: BTreeMap::new(),
            compared: BTreeMap::new(),
            prng: Prng::new(seed),
        }
    }

    /// One tick of every node, then messages until the network is quiet or the budget is spent.
    pub(super) fn round(&mut self) {
        for id in 1..=3 {
            self.node(id).host.tick();
        }
        for _ in 0..20 {
            self.exchange();
            if self.in_flight.is_empty() {
                break;
            }
        }
    }

    fn exchange(&mut self) {
        for id in 1..=3 {
            let sent = self.node(id).drain();
            self.in_flight
                .extend(sent.into_iter().map(|message| (id, message)));
            self.check_agreement(id);
        }
        let mut messages = std::mem::take(&mut self.in_flight);
        while !messages.is_empty() {
            let pick = self.prng.below(messages.len() as u64) as usize;
            let (from, message) = messages.swap_remove(pick);
            self.deliver(from, message);
        }
    }

    fn deliver(&mut self, from: u64, message: Outgoing) {
        let is_cut = self
            .isolated
            .is_some_and(|id| id == from || id == message.to);
        if is_cut || self.prng.chance(self.loss, 100) {
            let to = message.to;
            self.node(from).host.handle_undelivered(to);
            return;
        }
        if self.prng.chance(self.loss, 400) {
            // Delivered twice.
            self.in_flight.push((from, message.clone()));
        }
        // A refusal is for the transport to log; the protocol recovers.
        drop(self.node(message.to).host.step(&message.bytes));
    }

    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(super) fn restart(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        self.compared.remove(&id);
        self.nodes.insert(id, node.restarted());
    }

    pub(super) fn leader(&self) -> Option<u64> {
        let leads = |node: &&Node| node.host.is_ready_leader() && Some(node.id) != self.isolated;
        self.nodes
            .values()
            .filter(leads)
            .max_by_key(|node| node.host.term())
            .map(|node| node.id)
    }

    /// Rounds until a leader is there.
    pub(super) fn elect(&mut self) -> u64 {
        for _ in 0..500 {
            self.round();
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("no leader after 500 rounds");
    }

    fn check_agreement(&mut self, id: u64) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let from = self.compared.get(&id).map_or(0, |last| last + 1);
        for (index, data) in node.applied.range(from..) {
            let first = self.agreed.entry(*index).or_insert_with(|| data.clone());
            assert_eq!(first, data, "node {id} applied something else at {index}");
            self.compared.insert(id, *index);
        }
    }
}
