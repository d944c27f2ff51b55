//! Seeds that every commit runs: crashes at random moments, power lost, nothing acknowledged lost.

use std::time::Duration;

use sim::{Honesty, Scenario};

/// Seeds of one test run.
const SEEDS: u64 = 16;

#[test]
fn nothing_acknowledged_is_lost_over_crashes_of_the_whole_broker() {
    let (mut acknowledged, mut commits) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = Scenario::new(0x5eed_0000 + seed).run();
        let outcome = outcome.unwrap_or_else(|failure| panic!("{failure}"));
        acknowledged += outcome.acknowledged;
        commits += outcome.commits;
    }
    assert!(
        commits > 10 * SEEDS,
        "the runs do real work: {commits} commits"
    );
    assert!(
        acknowledged > 10 * SEEDS,
        "the runs do real work: {acknowledged} records"
    );
}

#[test]
fn one_core_and_three_cores_hold_as_well() {
    for cores in [1, 3] {
        let scenario = Scenario {
            cores,
            ..Scenario::new(77 + u64::from(cores))
        };
        scenario.run().unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn a_long_quiet_run_rolls_journals_and_reads_back_everything() {
    let scenario = Scenario {
        crashes: 1,
        between: Duration::from_secs(2),
        ..Scenario::new(99)
    };
    let outcome = scenario.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(outcome.acknowledged > 1_000, "{outcome:?}");
}

/// That the runs above can fail: this disk takes back what it reported durable, as a device with a lying
/// cache does, and nearly every run must notice.
#[test]
fn a_disk_that_forgets_what_it_reported_durable_is_found_out() {
    let runs = (0..SEEDS).map(|seed| Scenario {
        disk: Honesty::Lying,
        ..Scenario::new(0x11e5_0000 + seed)
    });
    let found: Vec<String> = runs.filter_map(|run| run.run().err()).collect();
    assert!(
        found.len() as u64 * 4 >= SEEDS * 3,
        "only {} of {SEEDS} lies were noticed: {found:#?}",
        found.len()
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..4 {
        let first = Scenario::new(seed).run();
        assert_eq!(first, Scenario::new(seed).run(), "seed {seed}");
    }
}
