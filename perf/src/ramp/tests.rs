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
