//! Reading what appends and fetches will need before they come.
//!
//! Owns: which memory of a log that is.
//! Never: changes anything; decides when it is worth it.
//! Invariants: none; leaving it out costs time only.
//! Source: performance.md P15; `docs/investigations/2026-11-ten-thousand-partitions.md`.

use super::{LogId, Store};
use crate::log::state::Log;

impl Store {
    /// Reads what the next append to, or fetch from, each of these logs will read, all of them at the same time: among
    /// thousands of logs hardly one is in the processor's cache, and one by one each read waits for memory.
    pub fn anticipate(&self, ids: &[LogId]) {
        let logs = || ids.iter().filter_map(|id| self.logs.get(id));
        // What lies behind a pointer of the log comes second, or it would wait for the log.
        let near = logs().fold(0, |seen, log| seen ^ log.touch());
        let far = logs().fold(0, |seen, log| seen ^ log.touch_behind());
        std::hint::black_box(near ^ far);
    }
}

impl Log {
    /// Reads a field of every part of this that an append uses.
    fn touch(&self) -> u64 {
        let counts = self.routes.len() ^ self.segments.len() ^ self.journal_refs.len();
        let bytes = self.tail.bytes() ^ self.unflushed_bytes;
        let offsets = self.log_start.get() ^ self.log_end.get() ^ self.segment_upto.get();
        let rest = self.config.segment_ms ^ self.gate ^ u64::from(self.epoch.get());
        (counts ^ bytes) as u64 ^ offsets ^ rest ^ u64::from(self.listed.is_dirty)
    }

    /// Reads the newest entries of its lists, beside which the next are written.
    fn touch_behind(&self) -> u64 {
        let held = self.journal_refs.back().map_or(0, |held| held.upto.get());
        let route = self.routes.back().map_or(0, |route| route.upto.get());
        self.tail.touch_newest() ^ held ^ route
    }
}
