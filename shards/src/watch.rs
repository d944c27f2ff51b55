//! Cores seen from outside: one that does not turn.
//!
//! Owns: the word in which each core promises its next turn, the thread that looks at these words.
//! Never: waits for a core, or touches anything a core has: it may hang in the kernel for as long as a device
//! does (ext4 lets the submission of a direct write wait for its own journal).
//! Invariants: a core that waits for work is never late; time in which this process itself stood still does
//! not count.
//! Source: reliability.md 1.7 (each core vouches for itself), ADR-0011 decision 4.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use model::fatal::{Fatal, Reason};
use model::ids::ShardId;
use model::time::Instant;
use storage::StallLimits;

use crate::clock::Clock;
use crate::start::FatalFn;

#[cfg(test)]
mod tests;

/// Interval of looking, and the longest time between two looks that counts: more means that the process did
/// not run.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// When a core turns again at the latest, as it says itself.
#[derive(Debug)]
pub(crate) struct Beat(AtomicU64);

impl Beat {
    /// Of a core that promised nothing yet.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// The core turns again at `by`; with `None`, when something arrives for it.
    pub(crate) fn promise(&self, by: Option<Instant>) {
        let nanos = by.map_or(u64::MAX, Instant::as_nanos);
        // Nothing else is read through this word, and late news only delay a verdict.
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn promised(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// What a look found out about one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It has been late for so long.
    Late(Duration),
    /// It turns again after it was late.
    Turns,
    /// It has been late for longer than is bearable.
    Stuck(Duration),
}

/// One core, as last seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    promised: Instant,
    late: Duration,
    is_reported: bool,
}

impl Seen {
    const NEW: Self = Self {
        promised: Instant::ZERO,
        late: Duration::ZERO,
        is_reported: false,
    };

    /// Looks at what the core promises; `passed` since the last look.
    fn look(
        &mut self,
        now: Instant,
        passed: Duration,
        promised: Instant,
        limits: &StallLimits,
    ) -> Option<Finding> {
        let before = match promised == self.promised {
            true => self.late,
            false => Duration::ZERO,
        };
        self.promised = promised;
        let overdue = now.since(promised);
        self.late = match overdue.is_zero() {
            true => Duration::ZERO,
            false => before + passed.min(LOOK).min(overdue),
        };
        if self.late >= limits.fence {
            return Some(Finding::Stuck(self.late));
        }
        let is_late = self.late >= limits.unfit;
        if is_late == self.is_reported {
            return None;
        }
        self.is_reported = is_late;
        Some(match is_late {
            true => Finding::Late(self.late),
            false => Finding::Turns,
        })
    }
}

/// The thread that looks; it ends when this is dropped or [`Self::leave`] is called.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Looks at the cores, in shard order, from now on.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(
        beats: Vec<Arc<Beat>>,
        clock: Clock,
        limits: StallLimits,
        on_fatal: FatalFn,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("rapidmq-watch".to_owned())
            .spawn(move || {
                if let Some(fatal) = watch(&beats, clock, &limits, &stopped) {
                    on_fatal(&fatal);
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; `true` if it did not panic.
    pub(crate) fn leave(self) -> bool {
        drop(self.stop);
        self.thread.join().is_ok()
    }
}

/// Looks until the other end of `stopped` is gone or a core is stuck.
fn watch(
    beats: &[Arc<Beat>],
    clock: Clock,
    limits: &StallLimits,
    stopped: &Receiver<()>,
) -> Option<Fatal> {
    let mut cores = vec![Seen::NEW; beats.len()];
    let mut last = clock.instant();
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = clock.instant();
        let passed = now.since(last);
        last = now;
        for (shard, (seen, beat)) in (0_u16..).zip(cores.iter_mut().zip(beats)) {
            if let Some(finding) = seen.look(now, passed, beat.promised(), limits)
                && let Some(fatal) = report(ShardId::new(shard), finding)
            {
                return Some(fatal);
            }
        }
    }
    None
}

/// Says what was found; what must end the process is given back.
fn report(shard: ShardId, finding: Finding) -> Option<Fatal> {
    match finding {
        Finding::Late(late) => {
            let late_ms = late.as_millis();
            tracing::warn!(%shard, late_ms, "a core stands still, as it does when the disk stalls; check the device");
            None
        }
        Finding::Turns => {
            tracing::info!(%shard, "the core goes on");
            None
        }
        Finding::Stuck(late) => {
            let what = format!(
                "core {shard} has not come back for {late:?}: it waits for a device that stalls, or gets no CPU time"
            );
            Some(Fatal::new(Reason::CoreStuck, what))
        }
    }
}
