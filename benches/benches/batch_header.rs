//! What every produced batch costs: header checks, CRC, stamping.
//!
//! Owns: the benchmarks `crc`, `parse`, `parse_header`, `stamp`.
//! Never: touches records.
//! Invariants: inputs come from `rapidmq_benches`.
//! Source: kafka.md 3.1, 3.2.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use model::batch::{BatchInfo, stamp_log_append_time, stamp_offset_epoch};
use model::offset::{LeaderEpoch, Offset};
use rapidmq_benches::Shape;

const SHAPES: [Shape; 3] = [Shape::SINGLE, Shape::SMALL, Shape::LARGE];

fn validate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch_header");
    for shape in SHAPES {
        let batch = shape.batch();
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("crc", shape.label()),
            &batch,
            |bencher, batch| {
                bencher.iter(|| crc32c::crc32c(black_box(batch)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("parse", shape.label()),
            &batch,
            |bencher, batch| bencher.iter(|| BatchInfo::parse(black_box(batch))),
        );
        group.bench_with_input(
            BenchmarkId::new("parse_header", shape.label()),
            &batch,
            |bencher, batch| bencher.iter(|| BatchInfo::parse_header(black_box(batch))),
        );
    }
    group.finish();
}

fn stamp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stamp");
    for shape in SHAPES {
        let batch = shape.batch();
        group.bench_function(BenchmarkId::new("offset_epoch", shape.label()), |bencher| {
            bencher.iter_batched_ref(
                || batch.clone(),
                |batch| stamp_offset_epoch(batch, Offset::new(9), LeaderEpoch::new(1)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(
            BenchmarkId::new("log_append_time", shape.label()),
            |bencher| {
                bencher.iter_batched_ref(
                    || batch.clone(),
                    |batch| stamp_log_append_time(batch, 1_800_000_000_000),
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    validate(&mut criterion);
    stamp(&mut criterion);
    criterion.final_summary();
}
