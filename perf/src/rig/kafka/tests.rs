//! The tool's last line is read as it is written.

use super::read_summary;

#[test]
fn the_summary_of_the_java_producer_is_read() {
    let line = "50000 records sent, 142857.1 records/sec (139.51 MB/sec), 10.5 ms avg latency, 210.0 ms max latency, \
                3 ms 50th, 30 ms 95th, 44 ms 99th, 47 ms 99.9th.";
    let report = read_summary(line).unwrap();
    assert_eq!(report.figure("records-per-s"), Some(142_857.1));
    assert_eq!(report.figure("response.p50-us"), Some(3_000.0));
    assert_eq!(report.figure("response.p99-us"), Some(44_000.0));
    assert_eq!(report.figure("response.p999-us"), Some(47_000.0));
    let megabytes = report.figure("mb-per-s").unwrap();
    assert!((megabytes - 146.28).abs() < 0.01, "{megabytes}");
    assert_eq!(read_summary("nothing of the kind"), None);
}
