//! Limits and times of the group coordinator.
//!
//! Owns: [`GroupConfig`].
//! Never: parses anything; values come from [`BrokerConfig`] or are named constants here.
//! Invariants: every bound is above zero.
//! Source: kafka.md 4.8 and appendix A.

use std::time::Duration;

use model::limits;

use crate::config::BrokerConfig;

/// Groups one shard holds at most: bounds memory against clients that invent group ids.
pub(super) const GROUPS_MAX: usize = 100_000;

/// Bytes of the protocol metadata one member may bring: ten thousand long topic names, twice.
pub(super) const PROTOCOL_BYTES_MAX: usize = 1024 * 1024;

/// Protocols one member may offer. Clients offer one to three.
pub(super) const PROTOCOLS_MAX: usize = 64;

/// Bytes of all metadata, and again of all assignments, of one group: the leader's join answer and the
/// group's record must each fit one frame and one batch.
pub(super) const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that members and commits of all groups of one shard may hold, as [`super::state`] weighs them: without it
/// many groups of moderate size would take any memory there is.
pub(super) const HELD_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A new member whose join is parked longer than this is dropped: its client is likely gone.
pub(super) const NEW_MEMBER_TIMEOUT: Duration = Duration::from_mins(5);

/// How often a group's offsets are looked at for expiry, and how long an empty group without
/// offsets stays visible. Kafka's `offsets.retention.check.interval.ms`.
pub(super) const EXPIRY_INTERVAL: Duration = Duration::from_mins(10);

/// Tombstones in one batch.
pub(super) const TOMBSTONES_PER_WRITE: usize = 1_000;

/// Bytes of a group id, instance id, client id or protocol name: what a 16-bit length can say.
pub(super) const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// What the coordinator is told at birth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Smallest session timeout a member may ask for, ms.
    pub session_timeout_min_ms: u32,
    /// Largest session timeout a member may ask for, ms.
    pub session_timeout_max_ms: u32,
    /// How long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// How long offsets of an inactive group are kept.
    pub offsets_retention: Duration,
    /// Members of one group.
    pub members_max: usize,
    /// Groups of this shard.
    pub groups_max: usize,
    /// Bytes of protocol metadata per member.
    pub protocol_bytes_max: usize,
    /// Bytes of metadata, and of assignments, per group.
    pub group_bytes_max: usize,
    /// Bytes that all groups may hold.
    pub held_bytes_max: usize,
}

impl From<&BrokerConfig> for GroupConfig {
    fn from(broker: &BrokerConfig) -> Self {
        Self {
            session_timeout_min_ms: broker.group_session_timeout_min_ms,
            session_timeout_max_ms: broker.group_session_timeout_max_ms,
            initial_rebalance_delay: Duration::from_millis(u64::from(
                broker.group_initial_rebalance_delay_ms,
            )),
            offsets_retention: Duration::from_secs(
                u64::from(broker.offsets_retention_minutes) * 60,
            ),
            members_max: limits::GROUP_MEMBERS_MAX,
            groups_max: GROUPS_MAX,
            protocol_bytes_max: PROTOCOL_BYTES_MAX,
            group_bytes_max: GROUP_BYTES_MAX,
            held_bytes_max: HELD_BYTES_MAX,
        }
    }
}

const _: () = assert!(PROTOCOL_BYTES_MAX <= GROUP_BYTES_MAX);
const _: () = assert!(2 * GROUP_BYTES_MAX <= HELD_BYTES_MAX);
const _: () = assert!(2 * GROUP_BYTES_MAX <= limits::BATCH_BYTES_MAX as usize);
