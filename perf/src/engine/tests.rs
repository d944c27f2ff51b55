//! The engine against servers of the test's own: one that stalls, one that refuses, one that goes away.

mod server;

use std::time::Duration;

use super::{NoWitness, Positions, run, single_leader};
use crate::load::Load;
use server::{Behaviour, Server};

fn load() -> Load {
    Load {
        ruler: true,
        warmup_ms: 0,
        duration_ms: 1_000,
        record_bytes: 64,
        ..Load::default()
    }
}

fn outcome(load: &Load, server: &Server) -> super::Outcome {
    let leaders = single_leader(load, server.address());
    run(load, &leaders, &Positions::default(), &mut NoWitness).unwrap()
}

#[test]
fn an_open_loop_shows_a_stall_in_every_request_that_was_due_and_a_closed_loop_hides_it() {
    let stall = Behaviour::StallOnce {
        after: 100,
        time: Duration::from_millis(400),
    };
    let open = Load {
        rate: 1_000.0,
        ..load()
    };
    let measured = outcome(&open, &Server::start(stall)).measured;
    let slow = |histogram: &hdrhistogram::Histogram<u64>| {
        histogram.len() - histogram.count_between(0, 200_000_000)
    };
    let counted = measured.response.len();
    assert_eq!(counted, 1_000, "every request of the schedule counts");
    // Those due in the first 200 ms of the stall waited 200 ms or more; a slow machine only adds.
    assert!(
        slow(&measured.response) >= 195,
        "{}",
        slow(&measured.response)
    );
    let closed = outcome(&load(), &Server::start(stall)).measured;
    assert!(slow(&closed.response) >= 1);
    assert!(
        slow(&closed.response) <= 5,
        "one request in flight shows the stall once: {}",
        slow(&closed.response)
    );
}

#[test]
fn what_is_acknowledged_is_what_the_server_answered() {
    let server = Server::start(Behaviour::Answer);
    let load = Load {
        connections: 5,
        partitions: 3,
        depth: 7,
        batch_records: 4,
        duration_ms: 300,
        threads: 2,
        ..load()
    };
    let measured = outcome(&load, &server).measured;
    assert_eq!(measured.acknowledged_all, server.answered() * 4);
    assert_eq!(measured.sent_all, server.answered());
    assert!(measured.answers > 0);
    assert_eq!((measured.unsent, measured.unanswered), (0, 0));
}

#[test]
fn refusals_are_counted_and_acknowledge_nothing() {
    let server = Server::start(Behaviour::Refuse(6));
    let load = Load {
        duration_ms: 100,
        ..load()
    };
    let measured = outcome(&load, &server).measured;
    assert_eq!(measured.acknowledged_all, 0);
    assert_eq!(measured.refused.get(&6), Some(&measured.sent_all));
}

#[test]
fn requests_that_are_due_and_cannot_be_sent_count_with_the_time_they_waited() {
    // The server answers ten and then holds its peace for longer than the window.
    let server = Server::start(Behaviour::StallOnce {
        after: 10,
        time: Duration::from_millis(600),
    });
    let load = Load {
        rate: 500.0,
        duration_ms: 400,
        ..load()
    };
    let measured = outcome(&load, &server).measured;
    assert_eq!(measured.response.len(), 200);
    assert!(measured.unsent >= 180, "{}", measured.unsent);
    assert!(measured.response.value_at_quantile(0.5) >= 150_000_000);
}

#[test]
fn a_server_that_goes_away_fails_the_run() {
    let server = Server::start(Behaviour::CloseAfter(20));
    let leaders = single_leader(&load(), server.address());
    let failed = run(&load(), &leaders, &Positions::default(), &mut NoWitness);
    assert!(failed.is_err());
}

#[test]
fn a_load_without_connections_is_refused() {
    let load = Load {
        connections: 0,
        ..load()
    };
    assert!(load.check().is_err());
}
