//! Alarms of the device as log lines.
//!
//! Owns: their wording and level.
//! Never: acts on them; the store already did.
//! Invariants: a core says what is its own; what all cores see alike is said by the first one.
//! Source: reliability.md 2.7, style.md rule 16.

use model::ids::ShardId;
use storage::{Alarm, SpaceLevel};

/// Writes the line.
pub(super) fn report(shard: ShardId, alarm: &Alarm) {
    match *alarm {
        // All cores share one file system.
        Alarm::Space { level, free, total } if shard == ShardId::new(0) => {
            report_space(level, free, total);
        }
        Alarm::Space { .. } => {}
        Alarm::Stalled { waited } => {
            let waited_ms = waited.as_millis();
            tracing::warn!(%shard, waited_ms, "the disk stalls: a write does not come back; check the device");
        }
        Alarm::StallOver => tracing::info!(%shard, "the disk goes on"),
    }
}

fn report_space(level: SpaceLevel, free: u64, total: u64) {
    match level {
        SpaceLevel::Ample => tracing::info!(free, total, "enough disk space again"),
        SpaceLevel::Low => {
            tracing::warn!(
                free,
                total,
                "disk space is low; make room or shorten retention"
            );
        }
        SpaceLevel::Scarce => tracing::warn!(
            free,
            total,
            "disk space is scarce; what retention allows to delete goes at once"
        ),
        SpaceLevel::Full => tracing::error!(
            free,
            total,
            "the disk is full; records are refused until there is room (removing the file `ballast` in the \
             data directory gives some at once)"
        ),
    }
}
