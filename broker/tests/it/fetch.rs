//! Tests of fetches: what is visible, long polls, fencing.
//!
//! Owns: everything a reader may observe.
//! Never: decodes records.
//! Invariants: none.
//! Source: kafka.md 3.3, 4.4, 4.5.

use std::time::Duration;

use api::Command;
use api::command::Fetch;
use api::error::{PartitionError, ReadError};
use broker::metadata::MetadataCommand;
use model::ids::PartitionId;
use model::offset::{LeaderEpoch, Offset};

use crate::ask::{fetch, large_batch, named, offsets};
use crate::disk::Hold;
use crate::rig::{OWN, Rig};

pub(crate) fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.create("t", &[]);
    rig
}

/// An unclean start: the leader epoch of every partition rises.
pub(crate) fn bump_epochs(rig: &mut Rig, incarnation: u8) {
    rig.commit(&MetadataCommand::RegisterBroker {
        broker: OWN,
        incarnation: [incarnation; 16],
        host: "localhost".to_owned(),
        port: 9092,
        rack: None,
        is_clean: false,
    });
}

#[test]
fn a_fetch_returns_whole_batches_from_the_one_with_the_offset() {
    let mut rig = rig();
    rig.fill("t", 3);
    rig.fill("t", 2);
    assert_eq!(rig.read("t", 1), vec![(0, 2), (3, 4)]);
    assert_eq!(rig.read("t", 3), vec![(3, 4)]);
    let fetched = rig.fetch(fetch("t", 0)).unwrap();
    assert_eq!(fetched.high_watermark, Offset::new(5));
    assert_eq!(fetched.last_stable, Offset::new(5));
    assert_eq!(fetched.log_start, Offset::ZERO);
}

#[test]
fn a_fetch_at_the_end_is_empty_and_one_beyond_is_out_of_range() {
    let mut rig = rig();
    rig.fill("t", 2);
    let fetched = rig.fetch(fetch("t", 2)).unwrap();
    assert!(fetched.records.is_empty());
    assert_eq!(fetched.high_watermark, Offset::new(2));
    let beyond = rig.fetch(fetch("t", 3)).unwrap_err();
    let (offset, log_start, log_end) = (Offset::new(3), Offset::ZERO, Offset::new(2));
    assert_eq!(
        beyond,
        ReadError::OutOfRange {
            offset,
            log_start,
            log_end
        }
    );
}

#[test]
fn a_fetch_between_high_watermark_and_log_end_is_empty() {
    let mut rig = rig();
    rig.fill("t", 1);
    rig.disk.hold = Hold::Writes;
    let batch = crate::ask::batch(rig.now.wall.as_millis(), 3);
    rig.send_append("t", batch);
    for offset in 1..=4 {
        let fetched = rig.fetch(fetch("t", offset)).unwrap();
        assert!(fetched.records.is_empty(), "offset {offset}");
        assert_eq!(fetched.high_watermark, Offset::new(1));
    }
}

#[test]
fn a_byte_limit_cuts_between_batches_and_gives_one_only_if_asked() {
    let mut rig = rig();
    rig.fill("t", 1);
    rig.fill("t", 1);
    let small = Fetch {
        bytes_max: 10,
        ..fetch("t", 0)
    };
    assert_eq!(offsets(&rig.fetch(small.clone()).unwrap()), vec![(0, 0)]);
    let none = Fetch {
        at_least_one: false,
        ..small
    };
    assert!(rig.fetch(none).unwrap().records.is_empty());
}

#[test]
fn a_fetch_of_cold_data_waits_for_the_device_whatever_its_deadline() {
    let mut rig = rig();
    rig.fill("t", 2);
    stop_and_restart(&mut rig);
    rig.disk.hold = Hold::Reads;
    let origin = rig.send(Command::Fetch(fetch("t", 0)));
    rig.pass(Duration::from_secs(1));
    assert!(rig.fetched(origin).is_none());
    while rig.disk.held() > 0 {
        rig.release();
    }
    assert_eq!(
        offsets(&rig.fetched(origin).unwrap().unwrap()),
        vec![(0, 1)]
    );
}

#[test]
fn old_and_new_data_are_read_in_one_sequence_after_segments_were_rolled() {
    let mut rig = Rig::new();
    rig.create("t", &[("segment.bytes", "65536")]);
    for _ in 0..40 {
        let batch = large_batch(rig.now.wall.as_millis(), 10_000);
        rig.append("t", batch).unwrap();
        rig.pass(Duration::from_secs(6));
    }
    let mut next = 0;
    while next < 40 {
        let read = Fetch {
            bytes_max: 25_000,
            ..fetch("t", next)
        };
        let got = offsets(&rig.fetch(read).unwrap());
        assert_eq!(got.first().map(|range| range.0), Some(next));
        next = got.last().unwrap().1 + 1;
    }
}

#[test]
fn a_reader_with_another_leader_epoch_is_fenced_or_told_to_refresh() {
    let mut rig = rig();
    bump_epochs(&mut rig, 2);
    let at = |epoch| Fetch {
        leader_epoch: Some(LeaderEpoch::new(epoch)),
        ..fetch("t", 0)
    };
    let current = LeaderEpoch::new(1);
    let fenced = PartitionError::FencedLeaderEpoch {
        got: LeaderEpoch::ZERO,
        current,
    };
    assert_eq!(rig.fetch(at(0)), Err(fenced.into()));
    assert!(rig.fetch(at(1)).is_ok());
    let unknown = PartitionError::UnknownLeaderEpoch {
        got: LeaderEpoch::new(2),
        current,
    };
    assert_eq!(rig.fetch(at(2)), Err(unknown.into()));
}

#[test]
fn a_parked_reader_is_fenced_when_the_epoch_rises() {
    let mut rig = rig();
    let until = rig.deadline(30_000);
    let read = Fetch {
        leader_epoch: Some(LeaderEpoch::ZERO),
        ..fetch("t", 0)
    };
    let origin = rig.send_fetch(read, until);
    bump_epochs(&mut rig, 2);
    let fenced = rig.fetched(origin).unwrap().unwrap_err();
    assert!(matches!(
        fenced,
        ReadError::Partition(PartitionError::FencedLeaderEpoch { .. })
    ));
}

#[test]
fn a_reader_that_diverged_is_told_where() {
    let mut rig = rig();
    rig.fill("t", 3);
    bump_epochs(&mut rig, 2);
    rig.fill("t", 2);
    bump_epochs(&mut rig, 3);
    rig.fill("t", 1);
    let after = |epoch, offset| Fetch {
        last_fetched_epoch: Some(LeaderEpoch::new(epoch)),
        ..fetch("t", offset)
    };
    // In step.
    assert!(rig.fetch(after(0, 3)).unwrap().diverging.is_none());
    // Has records of epoch 0 that never became ours.
    let cut = rig.fetch(after(0, 5)).unwrap();
    assert_eq!(cut.diverging, Some((LeaderEpoch::ZERO, Offset::new(3))));
    assert!(cut.records.is_empty());
    // Told even when its offset lies beyond our end.
    let ahead = rig.fetch(after(1, 100)).unwrap();
    assert_eq!(ahead.diverging, Some((LeaderEpoch::new(1), Offset::new(5))));
}

#[test]
fn epochs_are_known_after_a_crash() {
    let mut rig = rig();
    rig.fill("t", 3);
    bump_epochs(&mut rig, 2);
    rig.fill("t", 2);
    rig.restart();
    let read = Fetch {
        last_fetched_epoch: Some(LeaderEpoch::ZERO),
        ..fetch("t", 4)
    };
    assert_eq!(
        rig.fetch(read).unwrap().diverging,
        Some((LeaderEpoch::ZERO, Offset::new(3)))
    );
    let read = Fetch {
        leader_epoch: Some(LeaderEpoch::new(1)),
        ..fetch("t", 0)
    };
    assert_eq!(offsets(&rig.fetch(read).unwrap()), vec![(0, 2), (3, 4)]);
}

#[test]
fn an_unknown_partition_cannot_be_fetched() {
    let mut rig = rig();
    let read = Fetch {
        partition: PartitionId::new(7),
        ..fetch("t", 0)
    };
    let unknown = ReadError::Partition(PartitionError::UnknownTopicOrPartition);
    assert_eq!(rig.fetch(read), Err(unknown));
}

#[test]
fn readers_and_writers_of_a_deleted_topic_are_told() {
    let mut rig = rig();
    rig.fill("t", 1);
    let until = rig.deadline(30_000);
    let reader = rig.send_fetch(fetch("t", 1), until);
    rig.disk.hold = Hold::Writes;
    let batch = crate::ask::batch(rig.now.wall.as_millis(), 1);
    let writer = rig.send_append("t", batch);
    assert_eq!(rig.delete_topic(named("t")), Ok(()));
    let unknown = PartitionError::UnknownTopicOrPartition;
    assert_eq!(rig.fetched(reader), Some(Err(unknown.clone().into())));
    assert_eq!(rig.appended(writer), Some(Err(unknown.into())));
    rig.release();
    assert!(rig.replies.is_empty());
    rig.pass(Duration::from_secs(60));
    assert!(rig.replies.is_empty(), "no timer is left over");
}

/// An orderly stop and a start: nothing is in memory.
fn stop_and_restart(rig: &mut Rig) {
    rig.control(broker::CoreMessage::Shutdown);
    assert_eq!(rig.stops, 1);
    rig.restart();
}
