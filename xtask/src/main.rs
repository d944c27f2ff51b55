//! Automation that is not part of the product.
//!
//! Owns: `cargo xtask tidy`, `cargo xtask perf`.
//! Never: is a dependency of anything.
//! Invariants: exit code 0 only if every check passed.
//! Source: style.md section 7.

mod perf;
mod tidy;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((verb, [])) if verb == "tidy" => run_tidy(),
        Some((verb, rest)) if verb == "perf" && !rest.is_empty() => run_perf(rest),
        _ => {
            say("usage: cargo xtask tidy");
            say(
                "       cargo xtask perf run P3 | compare US THEM P3 | report | scenarios | device | --help",
            );
            ExitCode::from(2)
        }
    }
}

fn run_perf(arguments: &[String]) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match perf::run(&root, arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("perf: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run_tidy() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match tidy::check(&root) {
        Ok(findings) if findings.is_empty() => {
            say("tidy: clean");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                say(&finding.to_string());
            }
            say(&format!("tidy: {} finding(s)", findings.len()));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("tidy: cannot read the tree: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Nothing sensible is left to do if standard output is gone.
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}
