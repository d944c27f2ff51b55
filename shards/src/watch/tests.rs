//! Tests of what counts as a core that stands still.

use super::*;

const LIMITS: StallLimits = StallLimits {
    unfit: Duration::from_secs(2),
    fence: Duration::from_secs(30),
};

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// One core, looked at every half second from the first second on.
struct Watched {
    seen: Seen,
    looks: u64,
}

impl Watched {
    fn new() -> Self {
        Self {
            seen: Seen::NEW,
            looks: 1,
        }
    }

    fn now(&self) -> Instant {
        at(1_000 + self.looks * 500)
    }

    fn look(&mut self, promised: Instant) -> Option<Finding> {
        self.looks += 1;
        self.seen.look(self.now(), LOOK, promised, &LIMITS)
    }

    /// What `looks` looks find while the promise stays the same.
    fn looks(&mut self, looks: u64, promised: Instant) -> Vec<Finding> {
        (0..looks).filter_map(|_| self.look(promised)).collect()
    }
}

#[test]
fn a_core_that_waits_for_work_is_never_late() {
    let beat = Beat::new();
    assert_eq!(Watched::new().looks(1_000, beat.promised()), []);
    beat.promise(Some(at(3)));
    assert_eq!(beat.promised(), at(3));
    beat.promise(None);
    assert_eq!(Watched::new().looks(1_000, beat.promised()), []);
}

#[test]
fn a_core_that_keeps_its_promises_is_never_late() {
    let mut core = Watched::new();
    for _ in 0..1_000 {
        let promised = core.now().after(Duration::from_millis(400));
        assert_eq!(core.look(promised), None, "100 ms late at most");
    }
}

#[test]
fn a_core_that_breaks_its_promise_is_reported_and_then_stuck() {
    let mut core = Watched::new();
    let promised = core.now();
    assert_eq!(core.looks(3, promised), []);
    assert_eq!(
        core.look(promised),
        Some(Finding::Late(Duration::from_secs(2)))
    );
    assert_eq!(core.looks(55, promised), [], "one warning is enough");
    assert_eq!(
        core.look(promised),
        Some(Finding::Stuck(Duration::from_secs(30)))
    );
}

#[test]
fn a_core_that_turns_again_starts_anew() {
    let mut core = Watched::new();
    let promised = core.now();
    assert_eq!(core.looks(50, promised).len(), 1);
    let later = core.now().after(Duration::from_millis(1));
    assert_eq!(core.look(later), Some(Finding::Turns));
    let found = core.looks(58, later);
    assert!(matches!(found[..], [Finding::Late(_)]), "{found:?}");
}

#[test]
fn time_in_which_the_process_stood_still_does_not_count() {
    let mut seen = Seen::NEW;
    let found = seen.look(at(3_600_000), Duration::from_secs(3_600), at(10), &LIMITS);
    assert_eq!(found, None);
    assert_eq!(seen.late, LOOK);
}

#[test]
fn a_stuck_core_ends_the_process_with_a_reason_of_its_own() {
    let fatal = report(ShardId::new(3), Finding::Stuck(Duration::from_secs(30)));
    let fatal = fatal.map(|fatal| (fatal.reason, fatal.detail));
    let Some((Reason::CoreStuck, detail)) = fatal else {
        panic!("{fatal:?}");
    };
    assert!(detail.contains("core 3"), "{detail}");
    assert_eq!(report(ShardId::new(3), Finding::Turns), None);
    assert_eq!(report(ShardId::new(3), Finding::Late(LOOK)), None);
}
