//! Tests of fatal reasons.

use super::*;

#[test]
fn exit_codes_are_distinct_and_at_least_seventy() {
    let mut codes = [
        Reason::DiskWriteFailed,
        Reason::RaftStorageFailed,
        Reason::InvariantBroken,
        Reason::RingFailed,
        Reason::CoreStuck,
    ]
    .map(Reason::exit_code)
    .to_vec();
    assert!(codes.iter().all(|code| *code >= 70));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 5);
}

#[test]
fn a_fatal_condition_shows_reason_and_detail() {
    let fatal = Fatal::new(Reason::DiskWriteFailed, "journal 3: input/output error");
    assert_eq!(
        fatal.to_string(),
        "DiskWriteFailed: journal 3: input/output error"
    );
}
