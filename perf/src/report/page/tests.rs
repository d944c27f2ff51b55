//! The page of a small file of real results, and of hostile ones.

use super::{page, percentiles};
use crate::report::{Place, RunReport};

/// Smoke runs of P1 and P17, one round each; P17 has two comparisons.
const RESULTS: &str = include_str!("results.jsonl");

fn results() -> Vec<RunReport> {
    let lines = RESULTS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(html: &str, what: &str) -> usize {
    html.matches(what).count()
}

#[test]
fn every_comparison_has_its_table_its_ratio_and_its_plots() {
    let html = page("results.jsonl", &results());
    for heading in ["<h2>P1: ", "<h2>P17: "] {
        assert!(html.contains(heading), "{heading}");
    }
    assert_eq!(count(&html, "<table>"), count(&html, "<h2>"));
    let verdicts = count(&html, ">reached<") + count(&html, ">NOT reached<");
    assert_eq!(verdicts, count(&html, "<h2>"));
    assert_eq!(count(&html, ">latency by percentile</text>"), 1);
    assert_eq!(count(&html, ">answers over time</text>"), 1);
    assert!(html.contains("ratio of the medians"));
    assert!(html.contains("smoke runs"));
}

#[test]
fn the_page_needs_nothing_else() {
    let html = page("results.jsonl", &results());
    for foreign in [
        "http", "<script", "<link", "<img", "url(", "@import", "NaN", "inf",
    ] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.len() < 200_000, "{} bytes", html.len());
    assert_eq!(count(&html, "<svg"), count(&html, "</svg>"));
}

#[test]
fn figures_are_those_of_the_runs() {
    let runs = results();
    let mut first = runs.iter().filter(|run| {
        run.scenario.as_deref() == Some("P1") && run.place.as_ref().unwrap().side == 0
    });
    let p50 = first.next().unwrap().figure("response.p50-us").unwrap();
    let html = page("results.jsonl", &runs);
    assert!(html.contains(&super::short(p50)), "{p50}");
}

#[test]
fn a_curve_rises_through_the_percentiles() {
    let whole = [(1_000, 90), (10_000, 9), (100_000, 1)]
        .into_iter()
        .collect();
    let points = percentiles(&whole);
    let near = |found: (f64, f64), meant: (f64, f64)| {
        (found.0 - meant.0).abs() < 1e-9 && (found.1 - meant.1).abs() < 1e-9
    };
    assert!(near(points[0], (0.0, 0.0)), "{points:?}");
    assert!(
        near(points[1], (1.0, 1.0)),
        "90 % are below 10 us: {points:?}"
    );
    assert!(
        near(points[2], (2.0, 2.0)),
        "99 % are below 100 us: {points:?}"
    );
}

#[test]
fn text_of_a_result_cannot_become_markup() {
    let mut runs = results();
    let evil = "<script>alert(\"1\")</script>&";
    for run in &mut runs {
        run.target = evil.to_owned();
        run.scenario = Some(evil.to_owned());
        run.environment.cpu = Some(evil.to_owned());
        let place: &mut Place = run.place.as_mut().unwrap();
        place.title = evil.to_owned();
        place.comparison.title = evil.to_owned();
        place.comparison.us.subject = evil.to_owned();
        place.comparison.us.figure = evil.to_owned();
    }
    let html = page(evil, &runs);
    assert!(!html.contains("<script"));
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn runs_that_belong_nowhere_are_counted() {
    let html = page("empty", &[RunReport::default()]);
    assert!(html.contains("1 runs do not say"));
    assert_eq!(count(&html, "<h2>"), 0);
}
