//! Codes that clients act on.
//!
//! Owns: the codes whose choice decides whether a client retries.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md appendix B.

use super::*;
use model::offset::Offset;

#[test]
fn a_batch_over_the_topic_limit_makes_clients_split_it() {
    assert_eq!(
        append(&AppendError::TooLarge { bytes: 2, limit: 1 }).to_wire(),
        10
    );
}

#[test]
fn transient_states_have_retriable_codes() {
    // Subclasses of RetriableException in the Java client (kafka.md appendix B).
    let retriable = [
        2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 74, 75, 78, 89, 100, 103,
    ];
    let codes = [
        append(&AppendError::Partition(PartitionError::Busy)),
        append(&AppendError::Partition(PartitionError::NotLeader)),
        append(&AppendError::DiskFull),
        append(&AppendError::TimedOut),
        read(&ReadError::Partition(PartitionError::Busy)),
        read(&ReadError::Damaged {
            offset: Offset::ZERO,
        }),
        group(GroupError::Loading),
        group(GroupError::NotAvailable),
        group(GroupError::Storage),
        group(GroupError::NotCoordinator),
        metadata(&MetadataError::TimedOut),
        metadata(&MetadataError::NoRoom),
    ];
    for code in codes {
        assert!(retriable.contains(&code.to_wire()), "{code:?}");
    }
}

#[test]
fn corrupt_bytes_are_retriable_and_broken_rules_are_not() {
    assert_eq!(
        batch(&BatchError::BadCrc {
            stored: 0,
            computed: 1
        }),
        Code::CorruptMessage
    );
    assert_eq!(batch(&BatchError::BadMagic(1)), Code::InvalidRecord);
    assert_eq!(batch(&BatchError::Inconsistent("x")), Code::InvalidRecord);
}

#[test]
fn old_clients_get_not_leader_instead_of_a_storage_error() {
    assert_eq!(
        Code::KafkaStorageError.without_storage_error(),
        Code::NotLeaderOrFollower
    );
    assert_eq!(
        Code::OffsetOutOfRange.without_storage_error(),
        Code::OffsetOutOfRange
    );
}
