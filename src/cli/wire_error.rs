//! Kafka error codes as failures of the command line.
//!
//! Owns: names and remedies of the codes a verb can meet.
//! Never: used by the broker, which maps its own errors in `kafka`.
//! Invariants: an unknown code is shown with its number.
//! Source: kafka.md appendix B.

use super::failure::{Failure, Kind};

/// Fails if `code` is an error; `doing` says what was attempted.
///
/// # Errors
/// `code` is not zero.
pub(crate) fn check(code: i16, doing: &str) -> Result<(), Failure> {
    check_with(code, None, doing)
}

/// As [`check`], with the broker's own message if it sent one.
///
/// # Errors
/// `code` is not zero.
pub(crate) fn check_with(code: i16, message: Option<&str>, doing: &str) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    let (name, kind, fix) = describe(code);
    let mut failure = Failure::new(kind, format!("{doing} failed: {name} ({code})"));
    if let Some(message) = message {
        failure = failure.why(message);
    }
    if let Some(fix) = fix {
        failure = failure.fix(fix);
    }
    Err(failure)
}

/// Code, name, class, remedy (empty if there is none).
type Row = (i16, &'static str, Kind, &'static str);

const ROWS: &[Row] = &[
    (
        1,
        "OFFSET_OUT_OF_RANGE",
        Kind::Failed,
        "use -o start or -o end",
    ),
    (2, "CORRUPT_MESSAGE", Kind::Failed, ""),
    (
        3,
        "UNKNOWN_TOPIC_OR_PARTITION",
        Kind::NotFound,
        "rapidmq topic list; or rapidmq topic create NAME",
    ),
    (
        5,
        "LEADER_NOT_AVAILABLE",
        Kind::Unavailable,
        "try again in a moment",
    ),
    (
        6,
        "NOT_LEADER_OR_FOLLOWER",
        Kind::Unavailable,
        "try again in a moment",
    ),
    (
        7,
        "REQUEST_TIMED_OUT",
        Kind::TimedOut,
        "try again; the change may have happened",
    ),
    (
        10,
        "MESSAGE_TOO_LARGE",
        Kind::Failed,
        "raise max.message.bytes: rapidmq topic alter",
    ),
    (
        14,
        "COORDINATOR_LOAD_IN_PROGRESS",
        Kind::Unavailable,
        "try again in a moment",
    ),
    (
        15,
        "COORDINATOR_NOT_AVAILABLE",
        Kind::Unavailable,
        "try again in a moment",
    ),
    (
        16,
        "NOT_COORDINATOR",
        Kind::Unavailable,
        "try again in a moment",
    ),
    (
        17,
        "INVALID_TOPIC_EXCEPTION",
        Kind::Usage,
        "1 to 249 of a-z A-Z 0-9 . _ -",
    ),
    (25, "UNKNOWN_MEMBER_ID", Kind::Failed, ""),
    (29, "TOPIC_AUTHORIZATION_FAILED", Kind::Denied, ""),
    (35, "UNSUPPORTED_VERSION", Kind::Failed, ""),
    (
        36,
        "TOPIC_ALREADY_EXISTS",
        Kind::Failed,
        "rapidmq topic describe NAME",
    ),
    (37, "INVALID_PARTITIONS", Kind::Usage, ""),
    (
        38,
        "INVALID_REPLICATION_FACTOR",
        Kind::Usage,
        "use --replicas 1 on a single broker",
    ),
    (39, "INVALID_REPLICA_ASSIGNMENT", Kind::Usage, ""),
    (40, "INVALID_CONFIG", Kind::Usage, ""),
    (42, "INVALID_REQUEST", Kind::Usage, ""),
    (44, "POLICY_VIOLATION", Kind::Denied, ""),
    (
        56,
        "KAFKA_STORAGE_ERROR",
        Kind::Failed,
        "stop the broker, then rapidmq check DIR",
    ),
    (
        68,
        "NON_EMPTY_GROUP",
        Kind::Failed,
        "stop its members first",
    ),
    (
        69,
        "GROUP_ID_NOT_FOUND",
        Kind::NotFound,
        "rapidmq group list",
    ),
    (87, "INVALID_RECORD", Kind::Failed, ""),
    (100, "UNKNOWN_TOPIC_ID", Kind::NotFound, ""),
];

fn describe(code: i16) -> (&'static str, Kind, Option<&'static str>) {
    match ROWS.iter().find(|row| row.0 == code) {
        Some((_, name, kind, "")) => (name, *kind, None),
        Some((_, name, kind, fix)) => (name, *kind, Some(fix)),
        None => ("error", Kind::Failed, None),
    }
}
