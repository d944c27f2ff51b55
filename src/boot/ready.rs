//! The ready file: how whoever started the broker learns that it serves, and where.
//!
//! Owns: the file's format (one JSON object) and its life: it exists while the broker serves.
//! Never: is read by the broker.
//! Invariants: readers see all of it or nothing.
//! Source: features.md 3.2.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

/// A written ready file; removed when dropped.
#[derive(Debug)]
pub(super) struct ReadyFile {
    path: PathBuf,
}

impl ReadyFile {
    /// Writes the file under a temporary name and renames it.
    ///
    /// # Errors
    /// The file system refuses.
    pub(super) fn write(path: &Path, kafka: SocketAddr) -> std::io::Result<Self> {
        let text = json!({ "kafka": kafka.to_string(), "pid": std::process::id() }).to_string();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Whoever started the broker may have removed it already.
        drop(std::fs::remove_file(&self.path));
    }
}
