//! `cargo xtask perf`: builds the measuring tool for release, and the broker if it is to be started, then runs the tool.
//!
//! Owns: the builds and the directory the tool is run in.
//! Never: measures; `rapidmq-perf` does.
//! Invariants: what is measured was built from the working tree a moment ago.
//! Source: performance.md section 5.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `rapidmq-perf` with `arguments` at `root`; whether it ended well.
pub(crate) fn run(root: &Path, arguments: &[String]) -> std::io::Result<bool> {
    let starts_servers = arguments
        .first()
        .is_some_and(|verb| verb == "run" || verb == "compare");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--quiet", "-p", "rapidmq-perf"]);
    if starts_servers {
        build.args(["-p", "rapidmq"]);
    }
    if !build.current_dir(root).status()?.success() {
        return Ok(false);
    }
    let release = target(root).join("release");
    let mut command = Command::new(release.join("rapidmq-perf"));
    command.args(arguments).current_dir(root);
    if starts_servers && !arguments.iter().any(|argument| argument == "--rapidmq") {
        command.arg("--rapidmq").arg(release.join("rapidmq"));
    }
    command.status().map(|status| status.success())
}

fn target(root: &Path) -> PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| root.join("target"))
}
