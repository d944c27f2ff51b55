//! What building a batch costs, by codec.
//!
//! Owns: the benchmark `build`.
//! Never: measures making up the values.
//! Invariants: inputs come from `rapidmq_benches`; throughput counts uncompressed bytes.
//! Source: kafka.md 3.1.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use model::batch::Compression;
use rapidmq_benches::{Shape, build};

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch_build");
    for plain in [Shape::SINGLE, Shape::SMALL, Shape::LARGE] {
        group.throughput(Throughput::Bytes(plain.batch().len() as u64));
        let values = plain.values();
        for compression in Compression::ALL {
            let label = plain.compressed(compression).label();
            group.bench_function(BenchmarkId::new("build", label), |bencher| {
                bencher.iter(|| build(black_box(&values), compression));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    batches(&mut criterion);
    criterion.final_summary();
}
