//! Tests of identifiers.

use super::*;

#[test]
fn sequences_wrap_to_zero_after_the_largest_i32() {
    let last = BatchSequence::new(i32::MAX.cast_unsigned());
    assert_eq!(last.wrapping_add(0), last);
    assert_eq!(last.wrapping_add(1), BatchSequence::new(0));
    assert_eq!(last.wrapping_add(6), BatchSequence::new(5));
    assert_eq!(BatchSequence::new(3).wrapping_add(4), BatchSequence::new(7));
    assert_eq!(
        last.wrapping_add(u32::MAX),
        BatchSequence::new(i32::MAX.cast_unsigned() - 1)
    );
}

#[test]
fn numbers_show_as_numbers() {
    assert_eq!(PartitionId::new(12).to_string(), "12");
    assert_eq!(format!("{:>4}", ShardId::new(3)), "   3");
    assert_eq!(BrokerId::new(7).get(), 7);
}

#[test]
fn topic_ids_show_as_hexadecimal_digits() {
    let id = TopicId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
    assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
    assert_eq!(
        format!("{id:?}"),
        "TopicId(000102030405060708090a0b0c0d0eff)"
    );
    assert_eq!(id.as_bytes()[15], 0xff);
}

#[test]
fn only_the_zero_topic_id_is_none() {
    assert!(TopicId::NONE.is_none());
    assert!(TopicId::default().is_none());
    assert!(!TopicId::from_bytes([1; 16]).is_none());
}

#[test]
fn partitions_of_one_topic_lie_together_in_order() {
    let at = |topic: u8, partition| TopicPartition {
        topic: TopicId::from_bytes([topic; 16]),
        partition: PartitionId::new(partition),
    };
    let mut all = [at(2, 0), at(1, 10), at(1, 9)];
    all.sort();
    assert_eq!(all, [at(1, 9), at(1, 10), at(2, 0)]);
    assert!(at(1, 9).to_string().ends_with("01-9"));
}
