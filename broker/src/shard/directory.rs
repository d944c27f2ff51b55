//! The partitions of one shard by log and by name.
//!
//! Owns: which partitions this shard leads, which logs are strays.
//! Never: creates or deletes logs.
//! Invariants: a log is served or a stray, never both; `logs` and `by_name` hold the same.
//! Source: architecture.md section 5; reliability.md 2.4.

use std::collections::BTreeMap;

use model::ids::{PartitionId, TopicId, TopicPartition};
use model::map::FastMap;
use model::table::Table;
use storage::LogId;

use crate::partition::Partition;

/// Partitions of one shard.
#[derive(Debug, Default)]
pub(super) struct Directory {
    partitions: Table<LogId, Box<Partition>>,
    logs: BTreeMap<TopicPartition, LogId>,
    /// The same, for who asks for one: a search in the order of thousands costs several reads of memory.
    by_name: FastMap<TopicPartition, LogId>,
    strays: BTreeMap<TopicPartition, LogId>,
}

impl Directory {
    pub(super) fn insert(&mut self, partition: Partition) {
        self.strays.remove(&partition.tp);
        self.logs.insert(partition.tp, partition.log);
        self.by_name.insert(partition.tp, partition.log);
        let log = partition.log;
        let replaced = self.partitions.insert(log, Box::new(partition));
        assert!(replaced.is_none(), "a log serves one partition");
    }

    pub(super) fn insert_stray(&mut self, tp: TopicPartition, log: LogId) {
        assert!(!self.logs.contains_key(&tp), "a served log is no stray");
        self.strays.insert(tp, log);
    }

    /// Partitions served.
    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn log_of(&self, tp: TopicPartition) -> Option<LogId> {
        self.by_name.get(&tp).copied()
    }

    pub(super) fn get(&self, log: LogId) -> Option<&Partition> {
        self.partitions.get(&log).map(AsRef::as_ref)
    }

    pub(super) fn get_mut(&mut self, log: LogId) -> Option<&mut Partition> {
        self.partitions.get_mut(&log).map(AsMut::as_mut)
    }

    /// Takes a partition out; its log is the caller's to delete.
    pub(super) fn remove(&mut self, log: LogId) -> Option<Partition> {
        let partition = self.partitions.remove(&log)?;
        self.logs.remove(&partition.tp);
        self.by_name.remove(&partition.tp);
        Some(*partition)
    }

    /// Logs of one topic, in partition order.
    pub(super) fn logs_of_topic(&self, topic: TopicId) -> Vec<LogId> {
        self.logs.range(whole(topic)).map(|(_, log)| *log).collect()
    }

    /// Every served log, in partition order.
    pub(super) fn logs(&self) -> Vec<LogId> {
        self.logs.values().copied().collect()
    }

    /// Takes the strays of one topic out.
    pub(super) fn take_strays_of_topic(&mut self, topic: TopicId) -> Vec<LogId> {
        let found: Vec<_> = self
            .strays
            .range(whole(topic))
            .map(|(tp, log)| (*tp, *log))
            .collect();
        for (tp, _) in &found {
            self.strays.remove(tp);
        }
        found.into_iter().map(|(_, log)| log).collect()
    }

    pub(super) fn strays(&self) -> impl Iterator<Item = TopicPartition> {
        self.strays.keys().copied()
    }
}

fn whole(topic: TopicId) -> std::ops::RangeInclusive<TopicPartition> {
    let at = |partition| TopicPartition {
        topic,
        partition: PartitionId::new(partition),
    };
    at(0)..=at(u32::MAX)
}
