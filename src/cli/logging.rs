//! Where the broker's own log goes.
//!
//! Owns: the format of log lines.
//! Never: logs a client verb; those say what they have to say themselves.
//! Invariants: text on a terminal, one JSON object a line elsewhere; always standard error.
//! Source: features.md 3.2 point 7.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging; `RAPIDMQ_LOG` chooses levels as `tracing` filters do, `info` by default.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("RAPIDMQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().try_init()
    };
    // A second start in one process, as in tests, keeps the first one's format.
    drop(started);
}
