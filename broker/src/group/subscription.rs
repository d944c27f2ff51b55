//! Topics of a consumer's subscription.
//!
//! Owns: reading the topic list at the front of the consumer protocol's metadata bytes.
//! Never: reads owned partitions or user data; panics or over-allocates on any input.
//! Invariants: the result is `None` unless every topic was read.
//! Source: kafka.md 4.8 (OffsetDelete, expiry); the schema `ConsumerProtocolSubscription` v0 to v3.

use std::collections::BTreeSet;

/// Protocol type of consumers; the only one whose metadata the broker may read.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Topics named by a subscription, or `None` if the bytes are not one.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<&str>> {
    let (version, rest) = metadata.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk()?;
    let count = u32::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, tail) = tail.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?);
        rest = tail;
    }
    Some(topics)
}
