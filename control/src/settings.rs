//! What the control core is told at start, and why a start fails.
//!
//! Owns: [`ControlConfig`], [`ControlError`].
//! Never: parses files.
//! Invariants: none.
//! Source: reliability.md 1.12.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::error::MetadataError;
use broker::BrokerConfig;
use model::fatal::Fatal;
use raft_host::RestoreError;
use raft_host::wire::DecodeError;

/// Called once, on the control thread, when the process must end. Nothing is written or answered after it.
pub type FatalFn = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// What the control core is told at start.
#[derive(Clone)]
pub struct ControlConfig {
    /// The locked data directory; the metadata log lives in `raft/` below it.
    pub data_dir: PathBuf,
    /// The operator's settings.
    pub broker: Arc<BrokerConfig>,
    /// Host that clients are told to connect to.
    pub host: String,
    /// Port that clients are told to connect to: the one that is really bound.
    pub port: u16,
    /// Rack, if configured.
    pub rack: Option<String>,
    /// Data cores that will be attached.
    pub shards: u16,
    /// Whether every store of this broker was stopped in order last time. If not, leader epochs rise.
    pub is_clean: bool,
    /// Differs per start.
    pub seed: u64,
    /// Entries after which the metadata log is replaced by a snapshot; `raft_host::limits::SNAPSHOT_ENTRIES`
    /// unless a test wants it sooner.
    pub snapshot_entries: u64,
    /// How long a write may be on its way before the disk counts as failed.
    pub stall_fence: Duration,
    /// What ends the process.
    pub on_fatal: FatalFn,
}

impl std::fmt::Debug for ControlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlConfig")
            .field("data_dir", &self.data_dir)
            .field("broker", &self.broker.broker)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("shards", &self.shards)
            .field("is_clean", &self.is_clean)
            .finish_non_exhaustive()
    }
}

/// Why the control core did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A file or directory could not be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file in the directory of the metadata log is not ours: nothing is touched.
    #[error("unknown file {0} in the metadata log's directory")]
    UnknownFile(PathBuf),
    /// The metadata log is damaged or foreign; see `rapidmq check`.
    #[error("metadata log: {0}")]
    Restore(#[from] RestoreError),
    /// The settings contradict themselves.
    #[error("{0}")]
    Config(String),
    /// The snapshot's image cannot be decoded.
    #[error("metadata snapshot: {0}")]
    Image(#[source] DecodeError),
    /// The thread, ring or event descriptor could not be made.
    #[error("{what}: {detail}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        detail: String,
    },
    /// The node did not become leader.
    #[error("the metadata quorum did not elect this node")]
    NotElected,
    /// The broker's registration or the offsets topic was refused.
    #[error("{what} was refused: {source}")]
    Refused {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: MetadataError,
    },
    /// Writing failed while starting.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The control thread ended while starting.
    #[error("the control thread ended while it started")]
    Ended,
}

impl ControlError {
    /// Whether the device had no room for the metadata log; nothing is lost then.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            Self::UnknownFile(_) | Self::Restore(_) | Self::Config(_) | Self::Image(_) => false,
            Self::System { .. } | Self::NotElected | Self::Refused { .. } => false,
            Self::Fatal(_) | Self::Ended => false,
        }
    }
}
