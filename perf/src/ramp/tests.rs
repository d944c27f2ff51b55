//! Tests of what overload costs.

use super::*;

fn step(share: Option<f64>, answered: f64) -> Step {
    Step {
        share,
        asked: 0.0,
        report: RunReport {
            requests_per_s: answered,
            ..RunReport::default()
        },
    }
}

#[test]
fn goodput_is_judged_by_the_peak_measured_just_before() {
    let steps = [
        step(None, 100.0),
        step(Some(1.0), 10.0),
        step(Some(2.0), 80.0),
        step(None, 200.0),
        step(Some(2.0), 220.0),
        step(None, 100.0),
        step(Some(2.0), 95.0),
    ];
    let standing = overload(&steps).expect("three rounds");
    assert_eq!((standing.ours, standing.theirs), (95.0, 100.0));
    assert_eq!(standing.range, (0.8, 1.1));
    assert!(standing.is_reached);
}

#[test]
fn without_an_overload_there_is_nothing_to_say_of_it() {
    assert!(overload(&[step(None, 100.0), step(Some(1.0), 90.0)]).is_err());
}

/// A closed loop that answers a thousand a second, and open loops that answer what is asked; the run of this number fails.
fn runs_until(failing: usize) -> impl FnMut(f64) -> Result<RunReport, BenchError> {
    let mut runs = 0;
    move |rate| {
        runs += 1;
        if runs == failing {
            return Err(BenchError::Wrong("the device is full".to_owned()));
        }
        Ok(RunReport {
            requests_per_s: if rate > 0.0 { rate } else { 1_000.0 },
            ..RunReport::default()
        })
    }
}

#[test]
fn a_ramp_measures_the_peak_before_each_share_of_it() {
    let mut said = Vec::new();
    let steps = climb(2, runs_until(usize::MAX), |step| said.push(step.line())).expect("nine runs");
    let asked: Vec<f64> = steps.iter().map(|step| step.asked).collect();
    let first = [0.0, 250.0, 500.0, 750.0, 900.0, 1_000.0, 2_000.0];
    assert_eq!(asked, [&first[..], &[0.0, 2_000.0]].concat());
    assert_eq!(said.len(), steps.len());
}

#[test]
fn a_ramp_that_breaks_off_gives_what_it_measured() {
    let mut said = Vec::new();
    let broken =
        climb(1, runs_until(3), |step| said.push(step.line())).expect_err("the third run fails");
    assert_eq!(
        said,
        [
            "closed loop: 1000 requests/s answered",
            "25 % of it: 250 asked, 250 requests/s answered",
        ],
        "each step is said when it ended"
    );
    assert_eq!(broken.steps.len(), 2);
    assert_eq!(
        broken.to_string(),
        "the device is full: the step \"50 % of it\", 3 of 7, broke off"
    );
}

#[test]
fn a_ramp_without_a_peak_says_what_was_refused() {
    let refused = RunReport {
        refused: [(56, 12)].into(),
        ..RunReport::default()
    };
    let broken = climb(1, |_| Ok(refused.clone()), |_| {}).expect_err("there is no peak");
    assert!(broken.steps.is_empty());
    assert_eq!(
        broken.source.to_string(),
        "the broker answered nothing, it refused with error code 56 12 times"
    );
}

#[test]
fn the_line_of_a_step_says_how_long_answers_took_and_what_was_not_sent() {
    let mut step = step(Some(2.0), 90.0);
    step.asked = 200.0;
    step.report.unsent = 7;
    step.report.response = Some(Latency {
        p50_us: 80.0,
        p99_us: 300.5,
        max_us: 4_000.0,
        ..Latency::default()
    });
    assert_eq!(
        step.line(),
        "200 % of it: 200 asked, 90 requests/s answered, p50 80.0 us, p99 300.5 us, max 4000.0 us, 7 unsent"
    );
}
