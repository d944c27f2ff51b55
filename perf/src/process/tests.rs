//! Parsing of the kernel's counters, and the accounting of this very process.

use std::thread::Builder;

use super::{DeviceCounters, Machine, cpu_ns, yield_to_others};

#[test]
fn a_devices_line_gives_its_writes_and_flushes() {
    let line = "  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
    let counters = DeviceCounters::parse(line).unwrap();
    assert_eq!(
        (
            counters.reads,
            counters.sectors_read,
            counters.writes,
            counters.sectors_written,
            counters.flushes
        ),
        (1, 3, 5, 7, 16)
    );
    assert_eq!(
        DeviceCounters::parse("1 2 3"),
        None,
        "an old kernel's line is not guessed at"
    );
}

#[test]
fn stolen_and_idle_time_is_not_busy() {
    let machine = Machine::parse("cpu  10 1 20 100 50 2 3 7 0 0\ncpu0 1 1\n").unwrap();
    assert_eq!((machine.busy, machine.steal, machine.total), (36, 7, 193));
}

#[test]
fn the_cpu_time_of_this_process_grows_with_work() {
    let before = cpu_ns(std::process::id()).unwrap();
    let mut prng = model::prng::Prng::new(1);
    let mut grown = 0;
    for _ in 0..1_000 {
        std::hint::black_box((0..100_000).fold(0, |sum, _| prng.next_u64() ^ sum));
        grown = cpu_ns(std::process::id()).unwrap().saturating_sub(before);
        if grown > 0 {
            break;
        }
    }
    assert!(grown > 0, "work costs time");
    assert_eq!(cpu_ns(u32::MAX), None, "no such process");
}

#[test]
fn a_thread_that_yields_to_others_and_those_it_starts_have_idle_priority() {
    let policy = || {
        let path = format!(
            "/proc/self/task/{}/stat",
            rustix::thread::gettid().as_raw_nonzero()
        );
        let text = std::fs::read_to_string(path).unwrap();
        // Field 41 of proc(5), counted from the third, which follows the name in brackets.
        let (_, rest) = text.rsplit_once(") ").unwrap();
        rest.split(' ').nth(38).unwrap().to_owned()
    };
    let asked = Builder::new().spawn(move || {
        yield_to_others().unwrap();
        (
            policy(),
            Builder::new().spawn(policy).unwrap().join().unwrap(),
        )
    });
    const IDLE: &str = "5";
    assert_eq!(
        asked.unwrap().join().unwrap(),
        (IDLE.to_owned(), IDLE.to_owned())
    );
    assert_ne!(policy(), IDLE);
}
