//! Carries out a load: threads, connections, the window, and what was measured around it.
//!
//! Owns: [`run`], the assignment of partitions to connections and of connections to threads.
//! Never: decides what a number means; `report` and `books` do.
//! Invariants: all threads share one clock and one window; a failed thread fails the run.
//! Source: performance.md section 5.

mod assign;
mod link;
mod peer;
mod worker;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::clock::{Clock, Nanos, nanos};
use crate::error::BenchError;
use crate::load::Load;
use crate::measure::{Measured, Window};
use crate::setup::Leaders;
use crate::wire::fetch::Position;

use assign::Part;
use worker::Worker;

/// Time for opening connections before the warm-up begins.
const LEAD_NS: Nanos = 20_000_000;

/// What the threads of a run tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// Producing threads that still wait for answers.
    producing: AtomicUsize,
    /// Threads with connections yet to open.
    opening: AtomicUsize,
    /// Start of the schedule; zero until all are open.
    start: AtomicU64,
    acknowledged: AtomicU64,
    fetched: AtomicU64,
    failed: AtomicBool,
}

/// Where consumers begin and end.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// One per partition, ordered by partition.
    pub positions: Vec<Position>,
}

/// Something that happens at the edges of the window, in the calling thread.
pub trait Witness {
    /// The window begins.
    fn window_begins(&mut self);
    /// The window ends.
    fn window_ends(&mut self);
}

/// A witness that does nothing.
#[derive(Debug, Default)]
pub struct NoWitness;

impl Witness for NoWitness {
    fn window_begins(&mut self) {}
    fn window_ends(&mut self) {}
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything measured by all threads.
    pub measured: Measured,
    /// Length of the window; shorter than asked for if consumers caught up before.
    pub window_ns: Nanos,
}

/// Carries out `load` against the leaders of its partitions.
///
/// # Errors
/// The load makes no sense, or a connection fails.
pub fn run(
    load: &Load,
    leaders: &Leaders,
    consumed: &Positions,
    witness: &mut dyn Witness,
) -> Result<Outcome, BenchError> {
    load.check()?;
    let clock = Clock::start();
    let parts = assign::assign(load, leaders, &consumed.positions)?;
    let shared = Arc::new(Shared::default());
    shared.opening.store(parts.len(), Ordering::Release);
    let producing = parts.iter().filter(|part| part.produces()).count();
    shared.producing.store(producing, Ordering::Release);
    let mut threads = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        threads.push(spawn(
            index,
            load.clone(),
            part,
            (clock, Arc::clone(&shared)),
        )?);
    }
    let window = watch(load, clock, &shared, witness, &threads);
    let mut measured = Measured::default();
    let mut finished_at = 0;
    let mut failure = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok((part, at))) => {
                measured.merge(&part);
                finished_at = finished_at.max(at);
            }
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(_) => {
                failure = failure.or(Some(BenchError::Wrong("a thread ended early".to_owned())))
            }
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let end = if load.catch_up {
        window.end.min(finished_at)
    } else {
        window.end
    };
    Ok(Outcome {
        measured,
        window_ns: end.saturating_sub(window.start).max(1),
    })
}

type Ended = Result<(Measured, Nanos), BenchError>;

fn spawn(
    index: usize,
    load: Load,
    part: Part,
    (clock, shared): (Clock, Arc<Shared>),
) -> Result<JoinHandle<Ended>, BenchError> {
    let cpu = load.cpu.map(|first| first + index);
    thread::Builder::new()
        .name(format!("bench-{index}"))
        .spawn(move || {
            let ended = run_thread(cpu, &load, part, (clock, &shared));
            if ended.is_err() {
                shared.failed.store(true, Ordering::Release);
            }
            ended
        })
        .map_err(BenchError::local("starting a thread"))
}

fn run_thread(cpu: Option<usize>, load: &Load, part: Part, run: (Clock, &Shared)) -> Ended {
    if let Some(cpu) = cpu {
        crate::process::pin(cpu)?;
    }
    Worker::open(load, part, run)?.run()
}

/// Waits through the run and calls the witness at the edges of the window.
fn watch(
    load: &Load,
    clock: Clock,
    shared: &Shared,
    witness: &mut dyn Witness,
    threads: &[JoinHandle<Ended>],
) -> Window {
    while shared.opening.load(Ordering::Acquire) > 0 && !shared.failed.load(Ordering::Acquire) {
        clock.sleep_until(clock.now() + 1_000_000);
    }
    let start = clock.now() + LEAD_NS;
    shared.start.store(start, Ordering::Release);
    let window = window_of(load, start);
    clock.sleep_until(window.start);
    witness.window_begins();
    // Consumers may be done before the window is.
    while clock.now() < window.end && !threads.iter().all(JoinHandle::is_finished) {
        clock.sleep_until((clock.now() + 10_000_000).min(window.end));
    }
    witness.window_ends();
    window
}

fn window_of(load: &Load, start: Nanos) -> Window {
    // What there is to catch up with would be read before a warm-up ends.
    let warmup = if load.catch_up {
        0
    } else {
        nanos(load.warmup())
    };
    let begins = start + warmup;
    Window {
        start: begins,
        end: begins + nanos(load.duration()),
    }
}

/// The one address of a run without set-up.
#[must_use]
pub fn single_leader(load: &Load, address: SocketAddr) -> Leaders {
    let partitions = i32::try_from(load.partitions).unwrap_or(i32::MAX);
    (0..partitions).map(|index| (index, address)).collect()
}
