//! Reports keep whole histograms, name their figures and their bad signs.

use hdrhistogram::Histogram;

use super::{Latency, RunReport};
use crate::books::Books;

fn report() -> RunReport {
    let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    for value in 1..=1_000_u64 {
        histogram.record(value * 1_000).unwrap();
    }
    RunReport {
        requests_per_s: 10.0,
        response: Latency::of(&histogram),
        ..RunReport::default()
    }
}

#[test]
fn percentiles_are_those_of_the_values_and_the_histogram_is_whole() {
    let report = report();
    let latency = report.response.clone().unwrap();
    assert!((latency.p50_us - 500.0).abs() <= 1.0);
    assert!((latency.p999_us - 999.0).abs() <= 1.0);
    assert_eq!(
        latency
            .histogram
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        1_000
    );
    assert_eq!(report.figure("response.p50-us"), Some(latency.p50_us));
    assert_eq!(report.figure("requests-per-s"), Some(10.0));
    assert_eq!(report.figure("end-to-end.p50-us"), None);
    assert_eq!(report.figure("nonsense"), None);
}

#[test]
fn a_loss_is_said_loudly() {
    let mut report = report();
    report.books = Some(Books::compare(10, 9));
    assert!(report.text().contains("LOST"), "{}", report.text());
    report.books = Some(Books::compare(10, 10));
    assert!(!report.text().contains("LOST"));
    assert!(report.text().contains("hold exactly these"));
}

#[test]
fn a_report_survives_being_written_and_read() {
    let text = serde_json::to_string(&report()).unwrap();
    let read: RunReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read, report());
}

#[test]
fn an_empty_histogram_is_no_latency() {
    let empty = Histogram::<u64>::new_with_bounds(1, 1_000, 3).unwrap();
    assert_eq!(Latency::of(&empty), None);
}
