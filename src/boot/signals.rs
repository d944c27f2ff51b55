//! The signals that end the broker.
//!
//! Owns: waiting for SIGTERM and SIGINT.
//! Never: runs code inside a signal handler beyond what the `signal-hook` package does.
//! Invariants: the first signal asks for an orderly stop, a second one ends the process at once.
//! Source: features.md 3.2.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Exit code after an impatient second signal: the stop was not orderly.
const IMPATIENT: i32 = 1;

/// Signals that are caught from now on.
#[derive(Debug)]
pub(super) struct StopSignals {
    signals: Signals,
    is_stopping: Arc<AtomicBool>,
}

impl StopSignals {
    /// Catches the signals; before this they end the process.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn catch() -> io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(signal, IMPATIENT, Arc::clone(&is_stopping))?;
        }
        Ok(Self {
            signals: Signals::new([SIGTERM, SIGINT])?,
            is_stopping,
        })
    }

    /// Waits for the first signal.
    pub(super) fn wait(&mut self) {
        self.signals.forever().next();
        self.is_stopping.store(true, Ordering::SeqCst);
    }
}
