//! `cargo xtask perf`: builds the broker and the measuring tool for release, then runs the tool.
//!
//! Owns: the two builds and the directory the tool is run in.
//! Never: measures; `rapidmq-perf` does.
//! Invariants: what is measured was built from the working tree a moment ago.
//! Source: performance.md section 5.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `rapidmq-perf` with `arguments` at `root`; whether it ended well.
pub(crate) fn run(root: &Path, arguments: &[String]) -> std::io::Result<bool> {
    let built = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "rapidmq",
            "-p",
            "rapidmq-perf",
        ])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Ok(false);
    }
    let release = target(root).join("release");
    let mut command = Command::new(release.join("rapidmq-perf"));
    command.args(arguments).current_dir(root);
    let starts_servers = arguments
        .first()
        .is_some_and(|verb| verb == "run" || verb == "compare");
    if starts_servers && !arguments.iter().any(|argument| argument == "--rapidmq") {
        command.arg("--rapidmq").arg(release.join("rapidmq"));
    }
    command.status().map(|status| status.success())
}

fn target(root: &Path) -> PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| root.join("target"))
}
