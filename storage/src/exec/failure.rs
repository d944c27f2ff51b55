//! Why a core cannot be recovered.
//!
//! Owns: [`RecoverError`].
//! Never: covers damage that a start survives; that is a finding.
//! Invariants: names the file, so that an operator knows where to look.
//! Source: reliability.md 2.5, 2.6.

use crate::format::FormatError;
use crate::io::IoError;

/// Why recovery stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The device failed while this file was read or written.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// What the device said.
        source: IoError,
    },
    /// A newer build wrote this file.
    #[error("{file}: {source}")]
    Newer {
        /// Path.
        file: String,
        /// Which structure and version.
        source: FormatError,
    },
    /// The manifest lost records that were durable. Nothing was changed.
    #[error(
        "{file}: damaged at byte {position}: {what}; restore the file or the whole directory from a copy"
    )]
    Damaged {
        /// Path.
        file: String,
        /// Where.
        position: u64,
        /// What is wrong.
        what: String,
    },
}

impl RecoverError {
    pub(crate) fn damaged(file: &str, position: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            position,
            what: what.into(),
        }
    }
}

/// Adds the path to a device error.
pub(crate) trait InFile<T> {
    /// Adds the path.
    fn in_file(self, file: &str) -> Result<T, RecoverError>;
}

impl<T> InFile<T> for Result<T, IoError> {
    fn in_file(self, file: &str) -> Result<T, RecoverError> {
        self.map_err(|source| RecoverError::Io {
            file: file.to_owned(),
            source,
        })
    }
}
