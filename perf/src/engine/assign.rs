//! Which connection serves which partitions, and which thread holds it.
//!
//! Owns: [`assign`].
//! Never: leaves a partition out.
//! Invariants: a connection's partitions all have the same leader; positions of a consumer are ordered.
//! Source: performance.md section 5.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::error::BenchError;
use crate::load::Load;
use crate::setup::Leaders;
use crate::wire::fetch::Position;

/// One connection to be opened.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) address: SocketAddr,
    pub(super) task: Task,
}

/// What a connection is for.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Produces to these partitions in turn; which producer of all it is.
    Produce { index: usize, partitions: Vec<i32> },
    /// Consumes these partitions.
    Consume { positions: Vec<Position> },
    /// Stays silent.
    Idle,
}

/// The connections of one thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) seats: Vec<Seat>,
}

impl Part {
    /// Whether any of its connections produces.
    pub(super) fn produces(&self) -> bool {
        self.seats
            .iter()
            .any(|seat| matches!(seat.task, Task::Produce { .. }))
    }
}

/// Spreads the load over connections and threads.
///
/// # Errors
/// There are more leaders than connections, so a partition would have none.
pub(super) fn assign(
    load: &Load,
    leaders: &Leaders,
    positions: &[Position],
) -> Result<Vec<Part>, BenchError> {
    let mut seats = Vec::new();
    for (index, (address, partitions)) in share(leaders, load.connections)?.into_iter().enumerate()
    {
        let task = Task::Produce { index, partitions };
        seats.push(Seat { address, task });
    }
    let by_partition: BTreeMap<i32, Position> = positions
        .iter()
        .map(|position| (position.partition, *position))
        .collect();
    for _ in 0..load.fan_out {
        for (address, partitions) in share(leaders, load.consumers)? {
            let positions = partitions
                .iter()
                .filter_map(|partition| by_partition.get(partition).copied())
                .collect();
            let task = Task::Consume { positions };
            seats.push(Seat { address, task });
        }
    }
    if let Some(address) = leaders.values().next() {
        let idle = Seat {
            address: *address,
            task: Task::Idle,
        };
        seats.extend(std::iter::repeat_n(idle, load.idle));
    }
    let mut parts = vec![Part::default(); load.threads.min(seats.len()).max(1)];
    let count = parts.len();
    for (index, seat) in seats.into_iter().enumerate() {
        if let Some(part) = parts.get_mut(index % count) {
            part.seats.push(seat);
        }
    }
    Ok(parts)
}

/// Gives every connection partitions of one leader; more connections than partitions share them.
fn share(leaders: &Leaders, connections: usize) -> Result<Vec<(SocketAddr, Vec<i32>)>, BenchError> {
    if connections == 0 {
        return Ok(Vec::new());
    }
    let mut by_leader: BTreeMap<SocketAddr, Vec<i32>> = BTreeMap::new();
    for (partition, leader) in leaders {
        by_leader.entry(*leader).or_default().push(*partition);
    }
    let brokers: Vec<(SocketAddr, Vec<i32>)> = by_leader.into_iter().collect();
    if brokers.is_empty() || brokers.len() > connections {
        return Err(BenchError::Usage(format!(
            "{} brokers lead partitions: use at least as many connections",
            brokers.len()
        )));
    }
    let mut shared = Vec::new();
    for connection in 0..connections {
        let turn = connection / brokers.len();
        let Some((address, partitions)) = brokers.get(connection % brokers.len()) else {
            continue;
        };
        let rest = usize::from(connection % brokers.len() < connections % brokers.len());
        let peers = connections / brokers.len() + rest;
        let mine: Vec<i32> = if partitions.len() >= peers {
            partitions
                .iter()
                .copied()
                .skip(turn)
                .step_by(peers)
                .collect()
        } else {
            partitions
                .iter()
                .copied()
                .cycle()
                .skip(turn)
                .take(1)
                .collect()
        };
        shared.push((*address, mine));
    }
    Ok(shared)
}
