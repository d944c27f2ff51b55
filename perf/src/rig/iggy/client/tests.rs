//! A shell in the tool's place: what it says, leaves and ends with is what becomes of a run.

use std::path::Path;
use std::process::Command;

use super::{Client, Mark, mark};
use crate::clock::Nanos;
use crate::engine::Witness;
use crate::error::BenchError;

/// Far more than a shell takes.
const AMPLE_NS: Nanos = 60_000_000_000;

#[derive(Debug, Default, PartialEq, Eq)]
struct Edges {
    begun: usize,
    ended: usize,
}

impl Witness for Edges {
    fn window_begins(&mut self) {
        self.begun += 1;
    }

    fn window_ends(&mut self) {
        self.ended += 1;
    }
}

fn run(script: &str, directory: &Path, limit_ns: Nanos) -> (Result<String, BenchError>, Edges) {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(directory);
    let mut edges = Edges::default();
    let client = Client::start(command, directory).unwrap();
    (client.finish(limit_ns, &mut edges), edges)
}

#[test]
fn the_window_reaches_from_the_first_to_begin_to_the_last_to_end() {
    let root = tempfile::tempdir().unwrap();
    let script = r#"
        begins='messages per batch (each 100 bytes) to stream'
        echo "Producer #1 → sending 500 batches (per-producer) (1 msgs/batch) on stream"
        echo "Producer #1 → sending 1 $begins"
        echo "Producer #2 → sending 1 $begins"
        echo "Producer #2 → finished sending 500 messages"
        echo "Producer #1 → finished sending 500 messages"
        mkdir "$1/named" && printf '{"a":1}' >"$1/named/report.json"
    "#;
    let (report, edges) = run(script, &root.path().join("run"), AMPLE_NS);
    assert_eq!(report.unwrap(), r#"{"a":1}"#);
    // The witness keeps what it saw at the last end.
    assert_eq!(edges, Edges { begun: 1, ended: 2 });
}

#[test]
fn a_tool_that_fails_is_quoted() {
    let root = tempfile::tempdir().unwrap();
    let script = "echo connecting; echo 'Error: Unauthenticated' >&2; exit 3";
    let (report, edges) = run(script, &root.path().join("run"), AMPLE_NS);
    let error = report.unwrap_err().to_string();
    for part in ["exit status: 3", "connecting", "Error: Unauthenticated"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(edges, Edges::default());
}

#[test]
fn a_tool_that_ends_well_without_a_report_has_failed_too() {
    let root = tempfile::tempdir().unwrap();
    let (report, _) = run("exit 0", &root.path().join("run"), AMPLE_NS);
    let error = report.unwrap_err().to_string();
    assert!(error.contains("left no report"), "{error}");
}

#[test]
fn a_report_of_an_earlier_run_is_not_taken_for_this_ones() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("run");
    std::fs::create_dir_all(directory.join("named")).unwrap();
    std::fs::write(directory.join("named/report.json"), "{}").unwrap();
    let (report, _) = run("exit 0", &directory, AMPLE_NS);
    assert!(report.is_err());
}

#[test]
fn a_tool_that_takes_too_long_is_ended() {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600");
    let client = Client::start(command, &root.path().join("run")).unwrap();
    let process = format!("/proc/{}", client.pid());
    assert!(Path::new(&process).exists());
    let error = client.finish(0, &mut Edges::default()).unwrap_err();
    assert!(error.to_string().contains("took too long"), "{error}");
    assert!(
        !Path::new(&process).exists(),
        "the child is gone and waited for"
    );
}

#[test]
fn the_edges_of_the_window_are_told_by_the_tools_messages() {
    let prefix = "\u{1b}[2m2026-08-21T10:00:00Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \u{1b}[2miggy_bench\u{1b}[0m: ";
    let cases = [
        (
            "Producer #1 → sending 500 batches (per-producer) (1 msgs/batch) on stream bench-stream-1, rate limit: None",
            None,
        ),
        ("Producer #1 → warming up for 3s...", None),
        (
            "Producer #1 → sending 1 messages per batch (each 100 bytes) to stream bench-stream-1 across 1 partition(s), \
             using low-level...",
            Some(Mark::Begins),
        ),
        (
            "Producer #1 → finished sending 500 messages in 500 batches (50 kB user bytes, 82 kB total bytes), send \
             finish condition: 500/500 (per-producer)",
            Some(Mark::Ends),
        ),
        (
            "Producer #1 → sent 500 messages in 500 batches of 1 messages in 0.10 s",
            None,
        ),
        (
            "Consumer #1 → polling in 1024 messages per batch from stream bench-stream-1, using low-level...",
            Some(Mark::Begins),
        ),
        (
            "Consumer #1 → polled 1024 messages, 1 batches of 1024 messages in 0.10 s",
            Some(Mark::Ends),
        ),
        ("All actors joined!", None),
    ];
    for (message, expected) in cases {
        assert_eq!(mark(&format!("{prefix}{message}")), expected, "{message}");
    }
}
