//! Rules for topic names.
//!
//! Owns: the legal alphabet, internal names, the collision form.
//! Never: looks at existing topics.
//! Invariants: a legal name is a legal directory and metric name.
//! Source: kafka.md 4.6.

use api::error::MetadataError;
use model::limits;

use super::OFFSETS_TOPIC;

/// Name of the topic that will hold transaction state; reserved.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Whether a topic of this name is written by brokers only.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}

/// The form in which names collide: metrics of many tools turn `.` into `_`.
#[must_use]
pub fn fold(name: &str) -> String {
    name.replace('.', "_")
}

/// Checks that a topic may have this name.
///
/// # Errors
/// [`MetadataError::InvalidTopic`] with the rule that is broken.
pub fn check(name: &str) -> Result<(), MetadataError> {
    let broken = |rule: &str| Err(MetadataError::InvalidTopic(rule.to_owned()));
    if name.is_empty() {
        return broken("the name is empty");
    }
    if name == "." || name == ".." {
        return broken("the name cannot be '.' or '..'");
    }
    if name.len() > limits::TOPIC_NAME_BYTES_MAX {
        return broken("the name is longer than 249 characters");
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.chars().all(is_legal) {
        return broken(
            "the name contains characters other than ASCII alphanumerics, '.', '_' and '-'",
        );
    }
    Ok(())
}
