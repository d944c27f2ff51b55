//! Bounds of the metadata consensus, with unit and reason.
//!
//! Owns: the numbers.
//! Never: depends on configuration.
//! Invariants: tied by the assertions below.
//! Source: architecture.md A9, reliability.md 1.12.

/// Bytes of one entry's data; the state machine's commands are bounded by the same number.
pub const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of entries in one append message between voters: keeps a slow link responsive to heartbeats.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Append messages in flight to one voter.
pub const APPENDS_INFLIGHT_MAX: usize = 64;

/// Bytes of entries a leader holds that are not committed; proposals beyond are refused.
pub const UNCOMMITTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of committed entries handed out at once.
pub const COMMITTED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Entries in one message or one group of the log.
pub const ENTRIES_MAX: usize = 65_536;

/// Bytes of a snapshot: a million partitions in 100,000 topics take 28 MiB.
pub const SNAPSHOT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Bytes of an encoded message: a snapshot travels in one.
pub const MESSAGE_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX + 64 * 1024;

/// Bytes of a message's context (a read index or transfer tag).
pub const CONTEXT_BYTES_MAX: usize = 1_024;

/// Voters of the quorum.
pub const VOTERS_MAX: usize = 16;

/// Bytes of a cluster id.
pub const CLUSTER_ID_BYTES_MAX: usize = 64;

/// Bytes of one log file; a larger group gets a file of its own size.
pub const LOG_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Log files after which a snapshot is due, whatever they hold: each start begins a new one.
pub const LOG_FILES_MAX: usize = 8;

/// Log files a restore accepts; more means that snapshots have failed for a long time.
pub const LOG_FILES_RESTORE_MAX: usize = 4_096;

/// Entries after which a snapshot is due. reliability.md 1.12.
pub const SNAPSHOT_ENTRIES: u64 = 10_000;

/// Largest term, and far below any overflow.
pub const TERM_MAX: u64 = 1 << 48;

/// Largest index, and far below any overflow.
pub const INDEX_MAX: u64 = 1 << 60;

const _: () = assert!(APPEND_BYTES_MAX <= UNCOMMITTED_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_MAX <= UNCOMMITTED_BYTES_MAX);
const _: () = assert!(LOG_FILE_BYTES.is_multiple_of(model::limits::BLOCK_BYTES));
