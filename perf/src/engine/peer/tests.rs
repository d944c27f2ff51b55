//! A producer at the end of its window.

use std::net::TcpListener;

use super::{Producer, Step};
use crate::engine::link::Link;
use crate::load::Load;
use crate::measure::{Measured, Window};

const WINDOW: Window = Window {
    start: 0,
    end: 10_000_000,
};

fn at(now: u64) -> Step {
    Step {
        now,
        window: WINDOW,
    }
}

/// A producer of 1,000/s over a connection that nobody answers: ten requests fall due in the window.
fn producer(depth: usize) -> (Producer, Link, TcpListener) {
    let load = Load {
        rate: 1_000.0,
        depth,
        record_bytes: 16,
        ..Load::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Link::open(listener.local_addr().unwrap()).unwrap();
    let producer = Producer::new(&load, 0, vec![0], WINDOW.start).unwrap();
    (producer, link, listener)
}

#[test]
fn what_fell_due_while_the_generator_slept_over_the_end_is_sent() {
    let (mut producer, mut link, _listener) = producer(64);
    let mut measured = Measured::default();
    // The last look was before the request of 9 ms was due.
    producer
        .pump(&mut link, at(8_999_999), &mut measured)
        .unwrap();
    assert_eq!(measured.sent_all, 9);
    producer
        .pump(&mut link, at(10_050_000), &mut measured)
        .unwrap();
    assert_eq!(measured.sent_all, 9, "the window is over");
    producer
        .last_call(&mut link, at(10_050_000), &mut measured)
        .unwrap();
    assert_eq!(measured.sent_all, 10, "and nothing of after the window");
    producer.settle(at(10_050_000), &mut measured);
    assert_eq!((measured.unsent, measured.unanswered), (0, 10));
}

#[test]
fn what_a_full_pipeline_kept_back_stays_unsent() {
    let (mut producer, mut link, _listener) = producer(4);
    let mut measured = Measured::default();
    producer
        .pump(&mut link, at(8_999_999), &mut measured)
        .unwrap();
    producer
        .last_call(&mut link, at(10_050_000), &mut measured)
        .unwrap();
    producer.settle(at(10_050_000), &mut measured);
    assert_eq!(measured.sent_all, 4);
    assert_eq!((measured.unsent, measured.unanswered), (6, 4));
}
