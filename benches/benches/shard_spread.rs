//! What an append costs among few partitions and among many, whose state is not in the processor's cache.
//!
//! Owns: the benchmarks `shard_spread/10`, `shard_spread/10000`: one round of appends.
//! Never: touches a device.
//! Invariants: every partition took records before anything is measured.
//! Source: performance.md P15.

use criterion::{BenchmarkId, Criterion, Throughput};
use rapidmq_benches::hot::{HotError, SPREAD, Spread};

const PARTITIONS: [u32; 2] = [10, 10_000];

/// Rounds before anything is measured: some twenty records for each of the most partitions.
const WARM: u32 = 12_000;

fn spread(criterion: &mut Criterion) -> Result<(), HotError> {
    let mut group = criterion.benchmark_group("shard_spread");
    group.throughput(Throughput::Elements(SPREAD as u64));
    for partitions in PARTITIONS {
        let mut spread = Spread::over(partitions)?;
        for _ in 0..WARM {
            spread.round()?;
        }
        let mut outcome = Ok(());
        group.bench_function(BenchmarkId::from_parameter(partitions), |bencher| {
            bencher.iter(|| {
                if outcome.is_ok() {
                    outcome = spread.round();
                }
            });
        });
        outcome?;
    }
    group.finish();
    Ok(())
}

fn main() -> Result<(), HotError> {
    let mut criterion = Criterion::default().configure_from_args();
    spread(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
