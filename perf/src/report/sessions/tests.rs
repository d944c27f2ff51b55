//! Rounds find their comparison, repetitions do not mix.

use super::gather;
use crate::report::{Place, RunReport};
use crate::scenario::{Bound, Comparison, Side};

fn side(subject: &str) -> Side {
    Side {
        subject: subject.to_owned(),
        figure: "requests-per-s".to_owned(),
        load: toml::Table::new(),
        with_background: false,
    }
}

fn comparison(them: &[&str]) -> Comparison {
    Comparison {
        title: String::new(),
        us: side("rapidmq"),
        them: them.iter().map(|subject| side(subject)).collect(),
        reach: Bound::AtLeast(2.0),
        dream: None,
        driver: None,
    }
}

fn run(of: &Comparison, (side, round): (usize, usize), rate: f64) -> RunReport {
    RunReport {
        scenario: Some("P3".to_owned()),
        requests_per_s: rate,
        place: Some(Place {
            title: "a rate".to_owned(),
            comparison: of.clone(),
            side,
            round,
        }),
        ..RunReport::default()
    }
}

#[test]
fn the_rounds_of_both_sides_are_one_session_with_the_standing_of_the_command() {
    let of = comparison(&["kafka"]);
    let runs = [
        run(&of, (0, 1), 10.0),
        run(&of, (1, 1), 5.0),
        run(&of, (0, 2), 30.0),
        run(&of, (1, 2), 10.0),
        // The last round was interrupted before theirs.
        run(&of, (0, 3), 1_000.0),
    ];
    let sessions = gather(&runs);
    assert_eq!(sessions.len(), 1);
    let subjects = sessions[0].subjects();
    let counts: Vec<_> = subjects.iter().map(|subject| subject.runs.len()).collect();
    assert_eq!(counts, [3, 2]);
    let standing = sessions[0].standing().unwrap();
    assert_eq!((standing.ours, standing.theirs), (20.0, 7.5));
    assert_eq!(standing.range, (2.0, 3.0));
    assert!(standing.is_reached);
}

#[test]
fn a_comparison_that_is_carried_out_again_is_another_session() {
    let of = comparison(&["kafka"]);
    let once = || [run(&of, (0, 1), 10.0), run(&of, (1, 1), 5.0)];
    let runs: Vec<_> = once().into_iter().chain(once()).collect();
    let lengths: Vec<_> = gather(&runs)
        .iter()
        .map(|session| session.runs.len())
        .collect();
    assert_eq!(lengths, [2, 2]);
}

#[test]
fn another_comparison_or_commit_or_a_smoke_run_is_another_session() {
    let (one, other) = (comparison(&["kafka"]), comparison(&["nats"]));
    let mut of_another_commit = run(&one, (0, 2), 10.0);
    of_another_commit.environment.commit = Some("abc".to_owned());
    let mut of_smoke = run(&one, (0, 2), 10.0);
    of_smoke.is_smoke = true;
    let runs = [
        run(&one, (0, 1), 10.0),
        run(&other, (0, 2), 10.0),
        of_another_commit,
        of_smoke,
    ];
    assert_eq!(gather(&runs).len(), 4);
}

#[test]
fn the_figures_of_several_others_are_added_up_and_a_missing_one_is_no_round() {
    let of = comparison(&["a", "b"]);
    let mut runs = vec![
        run(&of, (0, 1), 20.0),
        run(&of, (1, 1), 3.0),
        run(&of, (2, 1), 7.0),
    ];
    assert_eq!(gather(&runs)[0].standing().unwrap().theirs, 10.0);
    runs.pop();
    assert_eq!(gather(&runs)[0].standing(), None);
}

#[test]
fn a_figure_of_ours_alone_stands_against_its_bound() {
    let of = comparison(&[]);
    let runs = [run(&of, (0, 1), 1.5)];
    let standing = gather(&runs)[0].standing().unwrap();
    assert_eq!(standing.ratio, 1.5);
    assert!(!standing.is_reached);
}
