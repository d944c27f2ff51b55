//! The rulers answer every request, and the durable ones have written before.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::device::{Plan, measure};
use super::direct::{Aligned, BLOCK, round_up};
use super::ring::Operation;
use super::server::{Kind, Prepared};
use crate::bench::{Target, bench};
use crate::load::Load;

/// Where direct I/O works: temporary file systems in memory may not offer it.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

fn target(kind: Kind, directory: &std::path::Path) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let prepared = Prepared::new(kind, directory).unwrap();
    thread::Builder::new()
        .spawn(move || prepared.serve(&listener))
        .unwrap();
    Target {
        name: "ruler".to_owned(),
        address,
        pid: None,
        directory: None,
    }
}

#[test]
fn every_ruler_answers_every_request_of_many_connections() {
    for kind in [Kind::Echo, Kind::Durable, Kind::Grouped] {
        let directory = directory();
        let target = target(kind, directory.path());
        let load = Load {
            ruler: true,
            connections: 3,
            depth: 4,
            warmup_ms: 0,
            duration_ms: 300,
            ..Load::default()
        };
        let report = bench(&load, &target).unwrap();
        assert!(report.requests_per_s > 0.0, "{kind:?}");
        assert_eq!((report.unsent, report.unanswered), (0, 0), "{kind:?}");
        assert!(report.refused.is_empty());
    }
}

#[test]
fn the_stream_of_the_echo_is_made_of_valid_batches() {
    let directory = directory();
    let target = target(Kind::Echo, directory.path());
    let load = Load {
        ruler: true,
        connections: 0,
        consumers: 1,
        catch_up: true,
        verify: true,
        duration_ms: 200,
        ..Load::default()
    };
    let report = bench(&load, &target).unwrap();
    assert!(report.fetched_mb_per_s > 0.0);
}

#[test]
fn the_device_is_measured_in_every_way() {
    let directory = directory();
    for operation in [Operation::Write, Operation::DurableWrite, Operation::Read] {
        let plan = Plan {
            block: 5_000,
            depth: 2,
            operation,
            file_bytes: 1 << 20,
            duration: Duration::from_millis(50),
        };
        let report = measure(directory.path(), &plan).unwrap();
        let rate = report.figure("operations-per-s").unwrap();
        let bytes = report.figure("mb-per-s").unwrap() * 1e6;
        assert!(rate > 0.0, "{operation:?}");
        assert!(
            (bytes / rate - 8_192.0).abs() < 1.0,
            "5000 bytes take two blocks"
        );
    }
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "rulers remove their files");
}

#[test]
fn memory_for_direct_io_is_aligned_and_whole() {
    for len in [0, 1, BLOCK, BLOCK + 1, 1 << 20] {
        let memory = Aligned::new(len);
        assert_eq!(memory.bytes().as_ptr().addr() % BLOCK, 0);
        assert_eq!(memory.bytes().len(), round_up(len));
        assert!(memory.bytes().len() >= len.max(BLOCK));
    }
}
