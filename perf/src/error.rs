//! What can go wrong while measuring.
//!
//! Owns: [`BenchError`].
//! Never: hides a broker's refusal behind a rate of zero.
//! Invariants: every message names the thing that failed.
//! Source: style.md (errors).

use std::io;

/// A run that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The description of the load makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A broker or ruler cannot be reached, or closed the connection.
    #[error("{what}: {source}")]
    Network {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The other side sent bytes that are no answer.
    #[error("{0}")]
    Garbage(String),
    /// The broker refused.
    #[error("{what}: error code {code}")]
    Refused {
        /// What was being done.
        what: String,
        /// Kafka's error code.
        code: i16,
    },
    /// A file, directory or process of this machine.
    #[error("{what}: {source}")]
    Local {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The measurement contradicts itself.
    #[error("{0}")]
    Wrong(String),
}

impl BenchError {
    /// A network failure while doing `what`.
    pub fn network(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Network { what, source }
    }

    /// A local failure while doing `what`.
    pub fn local(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Local { what, source }
    }

    /// Kafka's error code of an answer to `what`.
    ///
    /// # Errors
    /// [`Self::Refused`] for any code but 0.
    pub fn check(what: &str, code: i16) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            code => Err(Self::Refused {
                what: what.to_owned(),
                code,
            }),
        }
    }
}
