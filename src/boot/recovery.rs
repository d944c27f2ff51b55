//! Recovery of every core, before anything serves.
//!
//! Owns: one thread per core, so that a start takes as long as the slowest core, not the sum.
//! Never: decides about data; `storage::exec` does.
//! Invariants: the broker registers only after every core is known to have been stopped in order or not.
//! Source: reliability.md 2.5; kafka.md 4.5 (epochs rise after an unclean stop).

use std::path::Path;

use model::ids::ShardId;
use shards::disk::FsDisk;
use storage::exec::{self, RecoverError, Recovered};

/// Why a core could not be recovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    /// Its data does not allow it.
    #[error("core {shard}: {source}")]
    Core {
        /// Which core.
        shard: ShardId,
        /// Why.
        #[source]
        source: RecoverError,
    },
    /// Its thread could not run to the end.
    #[error("core {0}: the recovery thread failed")]
    Thread(ShardId),
}

/// Recovers all cores, in shard order.
///
/// # Errors
/// One of them cannot be recovered; nothing was started.
pub(super) fn recover_all(data_dir: &Path, shards: u16) -> Result<Vec<Recovered>, RecoveryError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shards)
            .map(ShardId::new)
            .map(|shard| {
                let name = format!("rapidmq-recover-{shard}");
                let work = move || recover(data_dir, shard);
                (
                    shard,
                    std::thread::Builder::new()
                        .name(name)
                        .spawn_scoped(scope, work),
                )
            })
            .collect();
        let joined = threads.into_iter().map(|(shard, thread)| {
            let thread = thread.map_err(|_| RecoveryError::Thread(shard))?;
            thread.join().unwrap_or(Err(RecoveryError::Thread(shard)))
        });
        joined.collect()
    })
}

/// Removes files that nothing refers to since a day; before any core serves.
///
/// A start does not fail because of them.
pub(super) fn remove_orphans(data_dir: &Path, recovered: &[Recovered]) {
    let now_ms = shards::read_wall().as_millis();
    match exec::remove_orphans(&mut FsDisk::new(data_dir), recovered, now_ms) {
        Ok(removed) => {
            for path in removed {
                tracing::info!(path, "unreferenced file removed");
            }
        }
        Err(error) => tracing::warn!(%error, "unreferenced files stay"),
    }
}

fn recover(data_dir: &Path, shard: ShardId) -> Result<Recovered, RecoveryError> {
    let mut disk = FsDisk::new(data_dir);
    let recovered = exec::recover(&mut disk, shard, shards::read_wall().as_millis())
        .map_err(|source| RecoveryError::Core { shard, source })?;
    report(&recovered);
    Ok(recovered)
}

fn report(recovered: &Recovered) {
    let report = &recovered.report;
    tracing::info!(
        shard = %recovered.shard,
        is_clean = recovered.is_clean,
        logs = recovered.logs.len(),
        segments_scanned = report.segments_scanned,
        journal_groups = report.journal_groups,
        "core recovered"
    );
    for finding in &report.findings {
        tracing::warn!(
            shard = %recovered.shard,
            severity = ?finding.severity,
            file = finding.file,
            position = finding.position,
            offset = finding.offset.map(model::offset::Offset::get),
            partition = finding.partition.map(tracing::field::display),
            records = finding.records,
            "{}",
            finding.what
        );
    }
}
