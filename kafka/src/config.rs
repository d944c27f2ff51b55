//! What the operator may set about this protocol.
//!
//! Owns: [`KafkaConfig`].
//! Never: holds what the broker decides (addresses, defaults of topics, groups).
//! Invariants: every value is at most its ceiling in `model::limits`.
//! Source: kafka.md appendix A.

use model::limits::{CONNECTION_REQUESTS_MAX, FETCH_BYTES_MAX, FRAME_BYTES_MAX};

/// Bounds of one connection.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `socket.request.max.bytes`: bytes of one frame after its length prefix.
    pub frame_bytes_max: usize,
    /// `fetch.max.bytes`: bytes of records in one Fetch response; a single larger batch still passes.
    pub fetch_bytes_max: u32,
    /// Requests of one connection that may be unanswered.
    pub requests_max: usize,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            fetch_bytes_max: FETCH_BYTES_MAX,
            requests_max: CONNECTION_REQUESTS_MAX,
        }
    }
}

impl KafkaConfig {
    /// Checks what the rest of the crate relies on.
    ///
    /// # Panics
    /// If a value is zero or above its ceiling: the operator's settings were validated before.
    pub(crate) fn assert_valid(&self) {
        assert!(self.frame_bytes_max > 0, "frame limit is zero");
        assert!(
            self.frame_bytes_max <= FRAME_BYTES_MAX,
            "frame limit over its ceiling"
        );
        assert!(self.fetch_bytes_max > 0, "fetch limit is zero");
        assert!(
            self.fetch_bytes_max <= FETCH_BYTES_MAX,
            "fetch limit over its ceiling"
        );
        assert!(self.requests_max > 0, "no request may be unanswered");
        assert!(
            self.requests_max <= CONNECTION_REQUESTS_MAX,
            "too many unanswered requests"
        );
    }
}
