//! `rapidmq-hot NAME COUNT`: executes a hot function so often, for counting its instructions; `rapidmq-hot names` lists them.
//!
//! Owns: the command line.
//! Never: measures; `perf/ratchet` does.
//! Invariants: exit code 0 only if the function did its work every time.
//! Source: performance.md section 5.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use rapidmq_benches::hot;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [names] if names == "names" => return list(),
        [name, count] => count.parse().ok().map(|count| (name, count)),
        [] | [_] | [_, _, _, ..] => None,
    };
    let Some((name, count)) = parsed else {
        return fail(&format!(
            "usage: rapidmq-hot NAME COUNT | names; names: {}",
            hot::names().join(", ")
        ));
    };
    match hot::run(name, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("error: {error}")),
    }
}

fn list() -> ExitCode {
    let said = writeln!(std::io::stdout().lock(), "{}", hot::names().join("\n"));
    said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn fail(text: &str) -> ExitCode {
    // Nothing sensible is left to do if standard error is gone.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
    ExitCode::FAILURE
}
