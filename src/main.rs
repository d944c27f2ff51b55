//! The `rapidmq` binary.
//!
//! Owns: the entry point.
//! Never: holds logic; `cli`, `config` and `boot` do.
//! Invariants: ends with the exit code of the failure, and says it on standard error.
//! Source: architecture.md section 10.

mod boot;
mod cli;
mod config;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            cli::output::remark(&failure.to_string());
            failure.exit_code()
        }
    }
}
