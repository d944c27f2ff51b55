//! Why a broker did not start, in the words of the command line.
//!
//! Owns: the remedy for each cause.
//! Never: hides the cause.
//! Invariants: every cause has a fix.
//! Source: features.md 3.2 point 6.

use std::error::Error;
use std::io;

use storage::IoError;

use super::failure::{Failure, Kind};
use crate::boot::BootError;

const NO_ROOM: (Kind, &str) = (
    Kind::Unavailable,
    "free space on the device of --data-dir and start it again; nothing acknowledged is lost",
);

/// Whether the device had no room for something a start writes, wherever that was.
fn is_no_room(error: &(dyn Error + 'static)) -> bool {
    let is_full = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    };
    let is_cause = error.downcast_ref::<io::Error>().is_some_and(is_full)
        || error.downcast_ref::<IoError>() == Some(&IoError::NoSpace);
    is_cause || error.source().is_some_and(is_no_room)
}

/// The failure to show for `error`.
pub(super) fn of(error: &BootError) -> Failure {
    let (kind, fix) = match error {
        full if is_no_room(full) => NO_ROOM,
        BootError::Lock(_) => (
            Kind::Unavailable,
            "stop the broker that uses this directory, or give another with --data-dir DIR",
        ),
        BootError::Directory(cause) => (Kind::Failed, cause.fix()),
        BootError::Recovery(_) => (
            Kind::Failed,
            "run `rapidmq check DIR`: it names every damaged file; restore those from a copy",
        ),
        BootError::Listen(_) => (
            Kind::Unavailable,
            "choose another port with --kafka-listen HOST:PORT, or stop the process that holds it; port 0 takes a free one",
        ),
        BootError::Control(_) => (
            Kind::Failed,
            "the metadata log under DIR/raft could not be used; restore it from a copy",
        ),
        BootError::Start(_) | BootError::System { .. } => (
            Kind::Failed,
            "run `rapidmq doctor DIR`: it shows what of this machine is missing",
        ),
        BootError::StopTimedOut => (
            Kind::TimedOut,
            "nothing acknowledged is lost; start it again",
        ),
    };
    Failure::new(kind, "the broker did not start or stop as asked")
        .why(error.to_string())
        .fix(fix)
}
