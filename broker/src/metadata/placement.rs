//! Which brokers get the replicas of a new partition.
//!
//! Owns: automatic assignment.
//! Never: looks at load; leadership balance is a later, explicit step.
//! Invariants: depends on nothing but its arguments; replicas of a partition are distinct.
//! Source: reliability.md 1.10 (placement), kafka.md 4.12.

use model::ids::{BrokerId, TopicId};

/// Which partitions are to be placed, and how widely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Spreads topics over different first brokers.
    pub topic: TopicId,
    /// Index of the first partition to place.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Replicas of each.
    pub replicas: u16,
}

/// Round robin over `brokers`, starting at a broker that the topic id decides.
///
/// # Panics
/// If there are fewer brokers than replicas: the caller checked.
#[must_use]
pub fn assign(brokers: &[BrokerId], spread: Spread) -> Vec<Vec<BrokerId>> {
    let wanted = usize::from(spread.replicas);
    assert!(wanted <= brokers.len(), "fewer brokers than replicas");
    let start = spread
        .topic
        .as_bytes()
        .iter()
        .fold(0_usize, |sum, byte| sum + usize::from(*byte));
    (spread.first..spread.first.saturating_add(spread.count))
        .map(|partition| {
            let lead = start.wrapping_add(partition as usize);
            (0..wanted)
                .filter_map(|step| {
                    brokers
                        .get(lead.wrapping_add(step) % brokers.len())
                        .copied()
                })
                .collect()
        })
        .collect()
}
