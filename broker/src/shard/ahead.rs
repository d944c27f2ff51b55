//! Looking ahead at the commands that come next.
//!
//! Owns: from how many partitions on that is worth it, and at how many commands.
//! Never: changes anything, answers anything.
//! Invariants: none; leaving it out costs time only.
//! Source: performance.md P15; `docs/investigations/2026-11-ten-thousand-partitions.md`.

use api::Command;
use model::limits::pump::COMMANDS_AHEAD;
use smallvec::SmallVec;
use storage::LogId;

use super::Shard;

/// Partitions of a shard from which on their state is no longer in the processor's cache when it is needed: some 2 KiB
/// each is read and written by an append, and a core has a cache of its own of half a MiB or more.
const WORTH_FROM: usize = 256;

impl Shard {
    /// Reads what the first [`COMMANDS_AHEAD`] of these commands need of their partitions, so that they wait for memory
    /// together and not one after the other. To be called before they are handled.
    pub fn anticipate<'a>(&self, commands: impl Iterator<Item = &'a Command>) {
        if self.directory.len() < WORTH_FROM {
            return;
        }
        let mut logs = SmallVec::<[LogId; COMMANDS_AHEAD]>::new();
        for command in commands.take(COMMANDS_AHEAD) {
            let (topic, partition) = match command {
                Command::Append(append) => (&append.topic, append.partition),
                Command::Fetch(fetch) => (&fetch.topic, fetch.partition),
                _ => continue,
            };
            logs.extend(self.locate(topic, partition));
        }
        let partitions = logs.iter().filter_map(|log| self.directory.get(*log));
        std::hint::black_box(partitions.fold(0, |seen, partition| seen ^ partition.touch()));
        self.store.anticipate(&logs);
    }
}
