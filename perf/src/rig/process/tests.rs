//! A server does not outlive who started it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::Builder;

use super::{pinned, spawn};

/// Starts a process that waits for the end of its input, from a thread that ends once it runs.
fn started_by_a_thread_that_ends(cpu: Option<usize>) -> Child {
    let start = move || {
        let mut command = pinned(cpu, Path::new("sh"));
        let mut child = command
            .args(["-c", "echo runs; read _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "runs\n");
        child
    };
    let starter = Builder::new().name("starter".to_owned());
    starter.spawn(start).unwrap().join().unwrap()
}

#[test]
fn a_server_is_killed_when_who_started_it_is_gone() {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    for cpu in [None, first] {
        // Its input stays open: nothing but a signal ends it.
        let mut child = started_by_a_thread_that_ends(cpu);
        let input = child.stdin.take();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        drop(input);
    }
}

#[test]
fn a_server_that_ends_before_it_serves_is_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = pinned(None, Path::new("sh"));
    command.args(["-c", "seq 100; echo 'no such setting' >&2; exit 3"]);
    let error = spawn(command, directory.path())
        .unwrap()
        .await_address(60_000_000_000, || None)
        .unwrap_err()
        .to_string();
    for part in ["exit status: 3", "100\nno such setting"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("\n50\n"), "only the end is quoted: {error}");
}
