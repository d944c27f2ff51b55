//! What looking inside a batch costs: iteration, decompression, the deep check.
//!
//! Owns: the benchmarks `walk` and `deep_check`.
//! Never: measures validation of the header.
//! Invariants: inputs come from `rapidmq_benches`; throughput counts uncompressed bytes.
//! Source: kafka.md 3.2 (policy "deep").

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use model::batch::{BatchError, BatchInfo, Compression, KeyRule, Records, deep_check};
use rapidmq_benches::Shape;

fn walk(batch: &[u8], info: &BatchInfo, scratch: &mut Vec<u8>) -> Result<usize, BatchError> {
    let mut bytes = 0;
    for record in Records::open(batch, info, scratch)? {
        bytes += record?.value.map_or(0, <[u8]>::len);
    }
    Ok(bytes)
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch_records");
    for plain in [Shape::SMALL, Shape::LARGE] {
        group.throughput(Throughput::Bytes(plain.batch().len() as u64));
        for compression in Compression::ALL {
            let shape = plain.compressed(compression);
            let batch = shape.batch();
            let Ok(info) = BatchInfo::parse(&batch) else {
                continue;
            };
            let mut scratch = Vec::new();
            assert!(
                walk(&batch, &info, &mut scratch).is_ok(),
                "the batch is valid"
            );
            group.bench_function(BenchmarkId::new("walk", shape.label()), |bencher| {
                bencher.iter(|| walk(black_box(&batch), &info, &mut scratch));
            });
            group.bench_function(BenchmarkId::new("deep_check", shape.label()), |bencher| {
                bencher.iter(|| deep_check(black_box(&batch), &info, KeyRule::Required));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    records(&mut criterion);
    criterion.final_summary();
}
