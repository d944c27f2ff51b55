//! Tests of timers, of the rate of log lines, and of taken addresses.

use std::net::TcpListener;
use std::time::Duration;

use model::ids::ConnectionId;
use model::time::Instant;

use super::listener::probe_patiently;
use super::report::Reporter;
use super::timers::Timers;

fn at(seconds: u64) -> Instant {
    Instant::ZERO.after(Duration::from_secs(seconds))
}

#[test]
fn timers_fire_in_order_and_not_before_they_are_due() {
    let mut timers = Timers::default();
    for (seconds, id) in [(3, 30), (1, 10), (2, 20)] {
        timers.arm(at(seconds), ConnectionId::new(id));
    }
    assert_eq!(timers.next(), Some(at(1)));
    assert_eq!(timers.pop_due(at(0)), None);
    assert_eq!(timers.pop_due(at(2)), Some((at(1), ConnectionId::new(10))));
    assert_eq!(timers.pop_due(at(2)), Some((at(2), ConnectionId::new(20))));
    assert_eq!(timers.pop_due(at(2)), None);
}

#[test]
fn log_lines_are_limited_per_second() {
    let mut reporter = Reporter::default();
    let admitted = (0..100).filter(|_| reporter.admit(at(5))).count();
    assert_eq!(admitted, 10);
    assert!(reporter.admit(at(6)), "a new second has new lines");
}

#[test]
fn an_address_that_a_predecessor_still_holds_is_waited_for_and_one_that_stays_taken_is_refused() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let mut pauses = 0;
    let refused = probe_patiently(address, || pauses += 1).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(pauses, 39);
    let mut holder = Some(holder);
    probe_patiently(address, || holder = None).unwrap();
    assert!(holder.is_none());
}
