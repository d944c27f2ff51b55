//! Tests of offset lookups, ends of epochs and deletion of records.
//!
//! Owns: ListOffsets, OffsetForLeaderEpoch, DeleteRecords.
//! Never: looks at an index file.
//! Invariants: none.
//! Source: kafka.md 4.5, 4.7, 4.12.

use api::command::{DeleteRecords, EpochEnd, Isolation, ListOffset, OffsetQuery};
use api::error::{PartitionError, ReadError};
use api::reply::{DeleteRecordsError, ListedOffset};
use api::{Command, Reply};
use broker::CoreMessage;
use broker::metadata::OFFSETS_TOPIC;
use model::batch::{BatchBuilder, Compression, NewRecord, stamp_max_timestamp};
use model::offset::{LeaderEpoch, Offset};

use crate::ask::{P0, batch, fetch, named};
use crate::disk::Hold;
use crate::fetch::bump_epochs;
use crate::rig::Rig;

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    rig
}

/// Three batches: two records at +0, one at +20, one at +10 ms. Gives the first time.
fn timed(rig: &mut Rig) -> i64 {
    let base = rig.now.wall.as_millis();
    for (time, count) in [(base, 2), (base + 20, 1), (base + 10, 1)] {
        rig.append("t", batch(time, count)).unwrap();
    }
    base
}

fn place(listed: Result<ListedOffset, ReadError>) -> Option<(u64, Option<i64>)> {
    let listed = listed.unwrap();
    Some((listed.offset?.get(), listed.timestamp))
}

fn delete(rig: &mut Rig, before: Option<u64>) -> Result<Offset, DeleteRecordsError> {
    let before = before.map(Offset::new);
    let reply = rig.ask(Command::DeleteRecords(DeleteRecords {
        topic: named("t"),
        partition: P0,
        before,
    }));
    let Reply::RecordsDeleted(result) = reply else {
        panic!("{reply:?}")
    };
    result
}

fn epoch_end(rig: &mut Rig, epoch: u32) -> Option<(u32, u64)> {
    let epoch = LeaderEpoch::new(epoch);
    let query = EpochEnd {
        topic: named("t"),
        partition: P0,
        current_epoch: None,
        epoch,
    };
    let reply = rig.ask(Command::EpochEnd(query));
    let Reply::EpochEnd(result) = reply else {
        panic!("{reply:?}")
    };
    result.unwrap().map(|(epoch, end)| (epoch.get(), end.get()))
}

#[test]
fn the_latest_offset_is_the_high_watermark() {
    let mut rig = rig();
    assert_eq!(place(rig.list("t", OffsetQuery::Latest)), Some((0, None)));
    rig.fill("t", 3);
    rig.disk.hold = Hold::Writes;
    let late = batch(rig.now.wall.as_millis(), 1);
    rig.send_append("t", late);
    assert_eq!(place(rig.list("t", OffsetQuery::Latest)), Some((3, None)));
}

#[test]
fn the_earliest_offset_is_the_log_start() {
    let mut rig = rig();
    rig.fill("t", 3);
    assert_eq!(place(rig.list("t", OffsetQuery::Earliest)), Some((0, None)));
    assert_eq!(delete(&mut rig, Some(2)), Ok(Offset::new(2)));
    assert_eq!(place(rig.list("t", OffsetQuery::Earliest)), Some((2, None)));
}

#[test]
fn a_timestamp_finds_the_first_record_that_is_not_older() {
    let mut rig = rig();
    let base = timed(&mut rig);
    let mut at = |time| place(rig.list("t", OffsetQuery::AtTimestamp(time)));
    assert_eq!(at(0), Some((0, Some(base))));
    assert_eq!(at(base), Some((0, Some(base))));
    assert_eq!(at(base + 1), Some((2, Some(base + 20))));
    assert_eq!(at(base + 15), Some((2, Some(base + 20))));
    assert_eq!(at(base + 21), None);
}

#[test]
fn the_largest_timestamp_is_found() {
    let mut rig = rig();
    assert_eq!(place(rig.list("t", OffsetQuery::MaxTimestamp)), None);
    let base = timed(&mut rig);
    assert_eq!(
        place(rig.list("t", OffsetQuery::MaxTimestamp)),
        Some((2, Some(base + 20)))
    );
}

#[test]
fn lookups_in_cold_data_wait_for_the_device() {
    let mut rig = rig();
    let base = timed(&mut rig);
    rig.control(CoreMessage::Shutdown);
    rig.restart();
    rig.disk.hold = Hold::Reads;
    let by_time = rig.send(lookup(OffsetQuery::AtTimestamp(base + 1)));
    let largest = rig.send(lookup(OffsetQuery::MaxTimestamp));
    for _ in 0..40 {
        rig.release();
    }
    for origin in [by_time, largest] {
        let Some(Reply::Offset(found)) = rig.answer(origin) else {
            panic!("not answered")
        };
        assert_eq!(place(found), Some((2, Some(base + 20))));
    }
}

fn lookup(query: OffsetQuery) -> Command {
    Command::ListOffset(ListOffset {
        topic: named("t"),
        partition: P0,
        leader_epoch: None,
        isolation: Isolation::ReadUncommitted,
        query,
    })
}

#[test]
fn searches_by_time_take_turns_with_other_work_one_per_round() {
    let mut rig = rig();
    let base = timed(&mut rig);
    let by_time = || lookup(OffsetQuery::AtTimestamp(base + 1));
    let crowd = vec![
        by_time(),
        by_time(),
        lookup(OffsetQuery::Latest),
        lookup(OffsetQuery::MaxTimestamp),
        lookup(OffsetQuery::Earliest),
        by_time(),
    ];
    let answered = rig.crowd(crowd);
    let steps: Vec<usize> = answered.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(answered[0] <= 4, "{answered:?}");
    assert!(steps.iter().all(|step| *step <= 1), "{answered:?}");
    assert_eq!(answered.last(), Some(&6));
    assert_eq!(
        place(rig.list("t", OffsetQuery::AtTimestamp(base + 1))),
        Some((2, Some(base + 20)))
    );
}

#[test]
fn a_search_through_headers_that_lie_goes_on_over_rounds() {
    let mut rig = rig();
    let base = rig.now.wall.as_millis();
    for _ in 0..40 {
        let mut builder = BatchBuilder::new(base).compression(Compression::Zstd);
        let value = vec![0; 512 << 10];
        builder.push(&NewRecord::value(base, &value)).unwrap();
        let mut lying = builder.build();
        stamp_max_timestamp(&mut lying, base + 900);
        rig.append("t", lying).unwrap();
    }
    rig.append("t", batch(base + 50, 1)).unwrap();
    let by_time = || lookup(OffsetQuery::AtTimestamp(base + 40));
    let answered = rig.crowd(vec![by_time(), lookup(OffsetQuery::Latest)]);
    assert_eq!(answered[0], 1, "the other is not kept waiting");
    assert!(answered.len() > 2, "{answered:?}");
    assert_eq!(
        place(rig.list("t", OffsetQuery::AtTimestamp(base + 40))),
        Some((40, Some(base + 50)))
    );
}

#[test]
fn a_lookup_with_another_epoch_is_refused() {
    let mut rig = rig();
    bump_epochs(&mut rig, 2);
    let reply = rig.ask(Command::ListOffset(ListOffset {
        topic: named("t"),
        partition: P0,
        leader_epoch: Some(LeaderEpoch::ZERO),
        isolation: Isolation::ReadCommitted,
        query: OffsetQuery::Latest,
    }));
    let Reply::Offset(Err(error)) = reply else {
        panic!("{reply:?}")
    };
    assert!(matches!(
        error,
        ReadError::Partition(PartitionError::FencedLeaderEpoch { .. })
    ));
}

#[test]
fn the_end_of_an_epoch_is_the_start_of_the_next() {
    let mut rig = rig();
    rig.fill("t", 3);
    bump_epochs(&mut rig, 2);
    bump_epochs(&mut rig, 3);
    rig.fill("t", 1);
    assert_eq!(epoch_end(&mut rig, 0), Some((0, 3)));
    // No record has epoch 1.
    assert_eq!(epoch_end(&mut rig, 1), Some((0, 3)));
    assert_eq!(epoch_end(&mut rig, 2), Some((2, 4)));
    assert_eq!(epoch_end(&mut rig, 3), None);
}

#[test]
fn deleted_records_are_out_of_range_also_after_a_crash() {
    let mut rig = rig();
    rig.fill("t", 3);
    rig.fill("t", 3);
    assert_eq!(delete(&mut rig, Some(3)), Ok(Offset::new(3)));
    for _ in 0..2 {
        let below = rig.fetch(fetch("t", 2)).unwrap_err();
        let (offset, log_start, log_end) = (Offset::new(2), Offset::new(3), Offset::new(6));
        assert_eq!(
            below,
            ReadError::OutOfRange {
                offset,
                log_start,
                log_end
            }
        );
        assert_eq!(rig.read("t", 3), vec![(3, 5)]);
        rig.restart();
    }
}

#[test]
fn a_deletion_is_answered_only_when_it_is_durable() {
    let mut rig = rig();
    rig.fill("t", 3);
    rig.disk.hold = Hold::Writes;
    let deletion = |before| DeleteRecords {
        topic: named("t"),
        partition: P0,
        before,
    };
    let first = rig.send(Command::DeleteRecords(deletion(Some(Offset::new(2)))));
    let second = rig.send(Command::DeleteRecords(deletion(Some(Offset::new(1)))));
    assert!(rig.answer(first).is_none());
    rig.release();
    for origin in [first, second] {
        let Some(Reply::RecordsDeleted(result)) = rig.answer(origin) else {
            panic!("no answer")
        };
        assert_eq!(result, Ok(Offset::new(2)));
    }
}

#[test]
fn deleting_up_to_the_high_watermark_empties_the_log() {
    let mut rig = rig();
    rig.fill("t", 3);
    assert_eq!(delete(&mut rig, None), Ok(Offset::new(3)));
    assert_eq!(delete(&mut rig, Some(1)), Ok(Offset::new(3)));
    assert!(rig.fetch(fetch("t", 3)).unwrap().records.is_empty());
    assert_eq!(rig.fill("t", 1), 3);
}

#[test]
fn deleting_above_the_high_watermark_is_refused() {
    let mut rig = rig();
    rig.fill("t", 3);
    let refused = delete(&mut rig, Some(4)).unwrap_err();
    assert!(matches!(
        refused,
        DeleteRecordsError::Read(ReadError::OutOfRange { .. })
    ));
}

#[test]
fn deleting_needs_the_delete_policy() {
    let mut rig = Rig::new();
    rig.create("t", &[("cleanup.policy", "compact")]);
    rig.fill("t", 3);
    assert_eq!(delete(&mut rig, Some(1)), Err(DeleteRecordsError::Policy));
    rig.alter("t", "cleanup.policy", "compact,delete");
    assert_eq!(delete(&mut rig, Some(1)), Ok(Offset::new(1)));
}

#[test]
fn records_of_an_internal_topic_cannot_be_deleted() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    let deletion = DeleteRecords {
        topic: named(OFFSETS_TOPIC),
        partition: P0,
        before: None,
    };
    let reply = rig.ask(Command::DeleteRecords(deletion));
    assert!(matches!(
        reply,
        Reply::RecordsDeleted(Err(DeleteRecordsError::Policy))
    ));
}
