//! Automation that is not part of the product.
//!
//! Owns: `cargo xtask tidy`.
//! Never: is a dependency of anything.
//! Invariants: exit code 0 only if every check passed.
//! Source: style.md section 7.

mod tidy;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("tidy"), None) => run_tidy(),
        _ => {
            say("usage: cargo xtask tidy");
            ExitCode::from(2)
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
