//! Tests of appends: when they are answered and what is refused.
//!
//! Owns: durability waits, idempotence, the rules of a topic.
//! Never: looks into a segment.
//! Invariants: none.
//! Source: kafka.md 3.2, 4.3, 4.9; reliability.md 2.2.

use std::time::Duration;

use api::command::{Acks, Append, OffsetQuery};
use api::error::{AppendError, PartitionError};
use api::metadata::TopicKey;
use api::reply::Appended;
use api::{Command, Origin, Reply};
use broker::metadata::OFFSETS_TOPIC;
use model::batch::{BatchBuilder, BatchInfo, Batches, NewRecord, stamp_max_timestamp};
use model::ids::{PartitionId, TopicId};
use model::offset::Offset;

use crate::ask::{append, batch, fetch, large_batch};
use crate::disk::Hold;
use crate::rig::Rig;

pub(crate) fn rig_with(configs: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new();
    rig.create("t", configs);
    rig
}

pub(crate) fn now_ms(rig: &Rig) -> i64 {
    rig.now.wall.as_millis()
}

#[test]
fn an_append_is_answered_only_when_it_is_durable() {
    let mut rig = rig_with(&[]);
    rig.disk.hold = Hold::Writes;
    let batch = batch(now_ms(&rig), 3);
    let origin = rig.send_append("t", batch);
    assert!(rig.appended(origin).is_none());
    assert!(rig.disk.held() > 0, "the journal is being written");
    assert!(rig.read("t", 0).is_empty(), "nobody reads what may be lost");
    rig.release();
    assert_eq!(
        rig.appended(origin).unwrap().unwrap().base_offset,
        Offset::ZERO
    );
    assert_eq!(rig.read("t", 0), vec![(0, 2)]);
}

#[test]
fn appends_are_answered_in_their_order_with_consecutive_offsets() {
    let mut rig = rig_with(&[]);
    rig.disk.hold = Hold::Writes;
    let time = now_ms(&rig);
    let origins = [2, 3, 1].map(|count| rig.send_append("t", batch(time, count)));
    rig.release();
    let order: Vec<_> = rig.replies.iter().map(|(origin, _)| *origin).collect();
    assert_eq!(order, origins);
    let bases = origins.map(|origin| rig.appended(origin).unwrap().unwrap().base_offset.get());
    assert_eq!(bases, [0, 2, 5]);
}

#[test]
fn an_append_without_acks_is_answered_at_once() {
    let mut rig = rig_with(&[]);
    rig.disk.hold = Hold::Writes;
    let one = append(&rig, "t", batch(now_ms(&rig), 1));
    let origin = rig.send(Command::Append(Append {
        acks: Acks::None,
        ..one
    }));
    assert!(rig.appended(origin).unwrap().is_ok());
    rig.release();
    assert_eq!(rig.read("t", 0), vec![(0, 0)]);
}

#[test]
fn an_append_with_memory_durability_is_answered_and_read_at_once() {
    let mut rig = rig_with(&[("rapidmq.durability", "memory")]);
    rig.disk.hold = Hold::Writes;
    assert_eq!(rig.fill("t", 2), 0);
    assert_eq!(rig.read("t", 0), vec![(0, 1)]);
    rig.pass(Duration::from_secs(1));
    assert!(rig.disk.held() > 0, "it is written soon all the same");
}

#[test]
fn an_append_that_times_out_leaves_its_data_in_the_log() {
    let mut rig = rig_with(&[]);
    rig.disk.hold = Hold::Writes;
    let batch = batch(now_ms(&rig), 1);
    let origin = rig.send_append("t", batch);
    rig.pass(Duration::from_secs(9));
    assert!(rig.appended(origin).is_none());
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.appended(origin), Some(Err(AppendError::TimedOut)));
    rig.release();
    assert!(rig.appended(origin).is_none(), "an answer comes once");
    assert_eq!(rig.read("t", 0), vec![(0, 0)]);
}

#[test]
fn an_unknown_topic_is_refused_by_name_and_by_id() {
    let mut rig = rig_with(&[]);
    let one = append(&rig, "nowhere", batch(now_ms(&rig), 1));
    let origin = rig.send(Command::Append(one));
    let by_name = PartitionError::UnknownTopicOrPartition;
    assert_eq!(rig.appended(origin), Some(Err(by_name.clone().into())));
    let one = append(&rig, "t", batch(now_ms(&rig), 1));
    let topic = TopicKey::Id(TopicId::from_bytes([3; 16]));
    let origin = rig.send(Command::Append(Append { topic, ..one }));
    assert_eq!(
        rig.appended(origin),
        Some(Err(PartitionError::UnknownTopicId.into()))
    );
    let one = append(&rig, "t", batch(now_ms(&rig), 1));
    let origin = rig.send(Command::Append(Append {
        partition: PartitionId::new(1),
        ..one
    }));
    assert_eq!(rig.appended(origin), Some(Err(by_name.into())));
}

#[test]
fn a_known_topic_id_finds_its_topic() {
    let mut rig = Rig::new();
    let id = rig.create("t", &[]);
    let one = append(&rig, "?", batch(now_ms(&rig), 1));
    let origin = rig.send(Command::Append(Append {
        topic: TopicKey::Id(id),
        ..one
    }));
    assert!(rig.appended(origin).unwrap().is_ok());
}

#[test]
fn clients_may_not_write_to_an_internal_topic() {
    let mut rig = Rig::new();
    rig.create_offsets_topic();
    let batch = batch(now_ms(&rig), 1);
    assert_eq!(
        rig.append(OFFSETS_TOPIC, batch),
        Err(AppendError::InternalTopic)
    );
}

#[test]
fn a_batch_over_the_topics_limit_is_refused() {
    let mut rig = rig_with(&[("max.message.bytes", "1000")]);
    let batch = large_batch(now_ms(&rig), 1_000);
    let bytes = u32::try_from(batch.len()).unwrap();
    assert_eq!(
        rig.append("t", batch),
        Err(AppendError::TooLarge {
            bytes,
            limit: 1_000
        })
    );
    assert!(rig.read("t", 0).is_empty());
}

#[test]
fn a_batch_that_does_not_fit_a_segment_is_refused() {
    let mut rig = rig_with(&[("segment.bytes", "65536"), ("max.message.bytes", "1000000")]);
    let batch = large_batch(now_ms(&rig), 70_000);
    let bytes = u32::try_from(batch.len()).unwrap();
    assert_eq!(
        rig.append("t", batch),
        Err(AppendError::LargerThanSegment { bytes })
    );
}

#[test]
fn a_batch_larger_than_the_journal_takes_goes_to_its_segment_and_is_durable() {
    let mut rig = rig_with(&[]);
    let large = large_batch(now_ms(&rig), 300_000);
    assert!(rig.append("t", large).is_ok());
    assert_eq!(rig.fill("t", 1), 1);
    rig.restart();
    assert_eq!(rig.read("t", 0), vec![(0, 0), (1, 1)]);
}

#[test]
fn a_transactional_batch_is_refused() {
    let mut rig = rig_with(&[]);
    let time = now_ms(&rig);
    let mut builder = BatchBuilder::new(time).transactional();
    builder.push(&NewRecord::value(time, b"v")).unwrap();
    assert_eq!(
        rig.append("t", builder.build()),
        Err(AppendError::NoTransaction)
    );
}

#[test]
fn a_control_batch_is_refused() {
    let mut rig = rig_with(&[]);
    let time = now_ms(&rig);
    let mut builder = BatchBuilder::new(time).control();
    builder.push(&NewRecord::keyed(time, b"k", b"v")).unwrap();
    assert!(matches!(
        rig.append("t", builder.build()),
        Err(AppendError::InvalidRecord(_))
    ));
}

#[test]
fn a_batch_whose_records_are_malformed_is_refused() {
    let mut rig = rig_with(&[]);
    let mut bytes = batch(now_ms(&rig), 2);
    let info = BatchInfo::parse(&bytes).unwrap();
    let last = bytes.len() - 1;
    bytes.truncate(last);
    bytes.extend_from_slice(&[0xff]);
    let one = Append {
        info,
        ..append(&rig, "t", batch(now_ms(&rig), 2))
    };
    let origin = rig.send(Command::Append(Append {
        batch: bytes,
        ..one
    }));
    let refused = rig.appended(origin).unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Batch(_)), "{refused:?}");
}

fn outside(timestamp: i64) -> Result<Appended, AppendError> {
    let records = vec![0];
    Err(AppendError::InvalidTimestamp { timestamp, records })
}

#[test]
fn timestamps_outside_the_topics_range_are_refused() {
    let range = [
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "500"),
    ];
    let mut rig = rig_with(&range);
    let now = now_ms(&rig);
    let old = rig.append("t", batch(now - 1_001, 1));
    assert_eq!(old, outside(now - 1_001));
    let young = rig.append("t", batch(now + 501, 1));
    assert_eq!(young, outside(now + 501));
    assert!(rig.append("t", batch(now - 1_000, 1)).is_ok());
    assert!(
        rig.append("t", batch(-1, 1)).is_ok(),
        "no timestamp is legal"
    );
}

#[test]
fn what_was_never_durable_is_gone_after_a_crash() {
    let mut rig = rig_with(&[]);
    rig.fill("t", 1);
    rig.disk.hold = Hold::Writes;
    let lost = batch(now_ms(&rig), 4);
    rig.send_append("t", lost);
    rig.restart();
    assert_eq!(rig.read("t", 0), vec![(0, 0)]);
    assert_eq!(rig.fill("t", 1), 1);
}

#[test]
fn log_append_time_is_stamped_and_returned() {
    let mut rig = rig_with(&[("message.timestamp.type", "LogAppendTime")]);
    let now = now_ms(&rig);
    let appended = rig.append("t", batch(5, 2)).unwrap();
    assert_eq!(appended.log_append_time, Some(now));
    let fetched = rig.fetch(fetch("t", 0)).unwrap();
    let (info, bytes) = Batches::new(&fetched.records[0]).next().unwrap().unwrap();
    assert!(info.is_log_append_time);
    assert_eq!(info.max_timestamp, now);
    assert!(
        BatchInfo::parse(bytes).is_ok(),
        "the checksum fits the stamp"
    );
}

#[test]
fn a_header_that_has_the_largest_timestamp_wrong_is_corrected() {
    let mut rig = rig_with(&[]);
    let now = now_ms(&rig);
    for (base, claimed) in [(0, now - 5_000), (1, now + 999_999_999)] {
        let mut wrong = batch(now, 1);
        stamp_max_timestamp(&mut wrong, claimed);
        rig.append("t", wrong).unwrap();
        let fetched = rig.fetch(fetch("t", base)).unwrap();
        let (info, _) = Batches::new(&fetched.records[0]).next().unwrap().unwrap();
        assert_eq!(info.max_timestamp, now, "and the checksum fits");
        let listed = rig.list("t", OffsetQuery::AtTimestamp(now)).unwrap();
        assert_eq!(listed.offset, Some(Offset::ZERO));
    }
}

#[test]
fn a_compacted_topic_refuses_records_without_key() {
    let mut rig = rig_with(&[("cleanup.policy", "compact")]);
    let time = now_ms(&rig);
    let mut builder = BatchBuilder::new(time);
    builder.push(&NewRecord::keyed(time, b"k", b"v")).unwrap();
    builder.push(&NewRecord::value(time, b"v")).unwrap();
    let refused = rig.append("t", builder.build());
    assert_eq!(refused, Err(AppendError::KeylessRecords(vec![1])));
    assert_eq!(rig.fill("t", 1), 0);
}

#[test]
fn a_config_change_reaches_the_rules_of_a_topic() {
    let mut rig = rig_with(&[]);
    rig.alter("t", "max.message.bytes", "100");
    let batch = large_batch(now_ms(&rig), 500);
    assert!(matches!(
        rig.append("t", batch),
        Err(AppendError::TooLarge { limit: 100, .. })
    ));
}

#[test]
fn a_nearly_full_disk_refuses_appends_until_there_is_room() {
    let mut rig = rig_with(&[]);
    rig.disk.free = 1 << 20;
    rig.pass(Duration::from_secs(11));
    let one = batch(now_ms(&rig), 1);
    assert!(matches!(rig.append("t", one), Err(AppendError::DiskFull)));
    rig.disk.free = 1 << 40;
    rig.pass(Duration::from_secs(11));
    assert_eq!(rig.fill("t", 1), 0);
}

#[test]
fn a_failed_write_ends_the_shard_and_answers_nobody() {
    let mut rig = rig_with(&[]);
    rig.disk.is_broken = true;
    let one = batch(now_ms(&rig), 1);
    let origin = rig.send_append("t", one);
    assert!(rig.fatal.is_some());
    assert!(rig.appended(origin).is_none());
}

#[test]
fn looking_ahead_among_many_partitions_changes_nothing() {
    let mut rig = Rig::new();
    rig.create_wide("t", 300);
    rig.create("u", &[]);
    let time = now_ms(&rig);
    let to = |topic: &str, partition: u32| {
        let mut append = append(&rig, topic, batch(time, 1));
        append.partition = PartitionId::new(partition);
        Command::Append(append)
    };
    let commands = vec![
        to("t", 0),
        to("t", 299),
        to("t", 300),
        to("missing", 0),
        to("u", 0),
        Command::Fetch(fetch("t", 1)),
        to("t", 299),
    ];
    let before = format!("{:?}", rig.shard());
    rig.shard().anticipate(commands.iter());
    assert_eq!(format!("{:?}", rig.shard()), before);
    let count = commands.len();
    rig.crowd(commands);
    assert_eq!(rig.replies.len(), count);
    let mut bases: Vec<_> = rig.replies.iter().filter_map(base_of).collect();
    bases.sort_unstable();
    assert_eq!(bases, [0, 0, 0, 1], "each in its own log");
}

fn base_of((_, reply): &(Origin, Reply)) -> Option<u64> {
    match reply {
        Reply::Appended(Ok(appended)) => Some(appended.base_offset.get()),
        _ => None,
    }
}
