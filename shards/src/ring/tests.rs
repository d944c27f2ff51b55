//! Tests of the ring: ownership, wake-ups, file I/O.

use std::sync::Arc;
use std::time::Duration;

use model::time::Instant;
use storage::IoId;

use super::{Completed, Operation, Ring, wake};
use crate::disk::pool::AlignedBuffer;
use crate::waker::Waker;

const PATIENCE: Duration = Duration::from_secs(10);

fn complete(ring: &mut Ring) -> Completed {
    loop {
        if let Some(completed) = ring.complete() {
            return completed;
        }
        ring.wait(Some(PATIENCE)).unwrap();
    }
}

fn event(waker: &Arc<Waker>) -> Operation {
    Operation::Event {
        waker: Arc::clone(waker),
        count: Box::default(),
    }
}

#[test]
fn an_event_wakes_the_ring() {
    let waker = Arc::new(Waker::new().unwrap());
    let mut ring = Ring::new().unwrap();
    ring.start(event(&waker)).unwrap();
    ring.submit().unwrap();
    assert!(ring.complete().is_none());
    waker.wake_by_event();
    assert!(matches!(complete(&mut ring), Completed::Event { .. }));
}

#[test]
fn only_a_sleeping_core_is_claimed_and_only_once() {
    let waker = Waker::new().unwrap();
    assert!(!waker.claim());
    waker.begin_sleep();
    assert!(waker.claim());
    assert!(!waker.claim());
    waker.begin_sleep();
    waker.end_sleep();
    assert!(!waker.claim());
}

#[test]
fn a_ring_wakes_another_ring() {
    let waker = Arc::new(Waker::new().unwrap());
    let mut sender = Ring::new().unwrap();
    assert!(
        wake(&waker).is_none(),
        "a peer without a ring is woken by its event"
    );
    let mut receiver = Ring::new().unwrap();
    waker.publish_ring(receiver.share_fd().unwrap());
    sender.start(wake(&waker).unwrap()).unwrap();
    assert!(matches!(complete(&mut sender), Completed::Woken));
    assert!(matches!(complete(&mut receiver), Completed::Woken));
}

#[test]
fn waking_a_ring_that_is_gone_fails_without_harm() {
    let waker = Arc::new(Waker::new().unwrap());
    let gone = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            let ring = Ring::new().unwrap();
            waker.publish_ring(ring.share_fd().unwrap());
        });
        thread.unwrap().join().is_ok()
    });
    assert!(gone);
    let mut sender = Ring::new().unwrap();
    sender.start(wake(&waker).unwrap()).unwrap();
    let completed = complete(&mut sender);
    assert!(matches!(
        completed,
        Completed::Woken | Completed::WakeFailed { .. }
    ));
}

#[test]
fn dropping_the_ring_gives_back_what_operations_own() {
    let waker = Arc::new(Waker::new().unwrap());
    let mut ring = Ring::new().unwrap();
    for _ in 0..600 {
        ring.start(event(&waker)).unwrap();
    }
    ring.submit().unwrap();
    assert_eq!(Arc::strong_count(&waker), 601);
    drop(ring);
    assert_eq!(Arc::strong_count(&waker), 1);
}

#[test]
fn what_is_written_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = std::fs::File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(path);
    let file = Arc::new(file.unwrap());
    let mut ring = Ring::new().unwrap();
    let mut buffer = AlignedBuffer::zeroed(8192);
    buffer.bytes_mut().fill(9);
    ring.start(Operation::Write {
        id: IoId(1),
        file: Arc::clone(&file),
        buffer,
        len: 8192,
        position: 4096,
        started: Instant::ZERO,
    })
    .unwrap();
    let written = complete(&mut ring);
    assert!(matches!(
        written,
        Completed::Written {
            id: IoId(1),
            result: Ok(8192),
            ..
        }
    ));
    ring.start(Operation::Read {
        id: IoId(2),
        file,
        buffer: AlignedBuffer::zeroed(16384),
        filled: 4096,
        len: 16384,
        position: 0,
    })
    .unwrap();
    let Completed::Read { read, result } = complete(&mut ring) else {
        panic!("not a read")
    };
    assert_eq!(result, Ok(8192));
    assert!(read.buffer.bytes()[..4096].iter().all(|byte| *byte == 0));
    assert!(
        read.buffer.bytes()[4096..12288]
            .iter()
            .all(|byte| *byte == 9)
    );
}

#[test]
fn more_operations_than_entries_are_all_carried_out() {
    let waker = Arc::new(Waker::new().unwrap());
    let mut ring = Ring::new().unwrap();
    let count = 3 * super::SUBMISSIONS;
    for _ in 0..count {
        waker.wake_by_event();
        ring.start(event(&waker)).unwrap();
        assert!(matches!(complete(&mut ring), Completed::Event { .. }));
    }
    assert_eq!(ring.slots.len(), 1, "a slot is reused after its completion");
}
