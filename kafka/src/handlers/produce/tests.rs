//! Produce requests and the partitions that answer them.
//!
//! Owns: versions, validation, acks, errors.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 3.2, 4.3.

use api::TransmitStatus;
use api::error::{AppendError, PartitionError};
use api::metadata::TopicKey;
use bytes::BytesMut;
use kafka_wire::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{ProduceRequest as WireRequest, ProduceResponse};
use kafka_wire_core::Uuid;
use model::batch::{BatchBuilder, NewRecord};
use model::ids::TopicId;
use model::offset::Offset;

use super::*;
use crate::codec::build;
use crate::conversation::{Conversation, batch, text};

const ID: [u8; 16] = [9; 16];

fn request(version: i16, partitions: Vec<(i32, Option<BytesMut>)>) -> WireRequest {
    let partitions = partitions.into_iter().map(|(index, records)| {
        build!(PartitionProduceData {
            index,
            records: records.map(BytesMut::freeze)
        })
    });
    let mut topic = build!(TopicProduceData {
        partition_data: partitions.collect()
    });
    if version >= 13 {
        topic.topic_id = Uuid::from_bytes(ID);
    } else {
        topic.name = text("orders");
    }
    build!(WireRequest {
        acks: -1,
        timeout_ms: 1500,
        topic_data: vec![topic]
    })
}

fn appended(base: u64) -> Reply {
    Reply::Appended(Ok(Appended {
        base_offset: Offset::new(base),
        log_append_time: Some(42),
        log_start: Offset::new(3),
    }))
}

fn codes(response: &ProduceResponse) -> Vec<i16> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions.map(|partition| partition.error_code).collect()
}

fn refused(version: i16, records: Option<BytesMut>) -> i16 {
    let response = Conversation::new().local(&request(version, vec![(0, records)]), version);
    codes(&response)[0]
}

#[test]
fn every_version_appends_and_answers() {
    for version in 3..=13 {
        let mut talk = Conversation::new();
        let sent = batch(&[b"a", b"b"]);
        let body = request(version, vec![(4, Some(sent.clone()))]);
        let deadline = talk
            .now
            .instant
            .after(std::time::Duration::from_millis(1500));
        let response = talk.round(&body, version, |command| {
            let Command::Append(append) = command else {
                panic!("{command:?}")
            };
            let expected = if version >= 13 {
                TopicKey::Id(TopicId::from_bytes(ID))
            } else {
                TopicKey::Name("orders".into())
            };
            assert_eq!(append.topic, expected);
            assert_eq!(append.partition.get(), 4);
            assert_eq!(append.acks, Acks::All);
            assert_eq!(append.deadline, deadline);
            assert_eq!(append.batch, sent);
            assert_eq!(append.info.records, 2);
            appended(17)
        });
        let topic = &response.responses[0];
        if version >= 13 {
            assert_eq!(topic.topic_id.to_bytes(), ID);
        } else {
            assert_eq!(topic.name.as_str(), "orders");
        }
        let partition = &topic.partition_responses[0];
        assert_eq!((partition.index, partition.error_code), (4, 0));
        assert_eq!(
            (partition.base_offset, partition.log_append_time_ms),
            (17, 42)
        );
        assert_eq!(
            partition.log_start_offset,
            if version >= 5 { 3 } else { -1 }
        );
    }
}

#[test]
fn a_bad_partition_does_not_fail_the_others() {
    let mut talk = Conversation::new();
    let body = request(
        9,
        vec![
            (0, Some(batch(&[b"a"]))),
            (-1, Some(batch(&[b"b"]))),
            (2, None),
            (3, Some(batch(&[b"d"]))),
        ],
    );
    let mut base = 0;
    let response = talk.converse(&body, 9, |_| {
        base += 10;
        appended(base)
    });
    assert_eq!(codes(&response), [0, 3, 87, 0]);
    let partitions = &response.responses[0].partition_responses;
    assert_eq!(
        (partitions[0].base_offset, partitions[3].base_offset),
        (10, 20)
    );
    assert_eq!(
        partitions[2].error_message.as_deref(),
        Some("no record batch")
    );
}

#[test]
fn replies_in_any_order_reach_their_partition() {
    let mut talk = Conversation::new();
    let body = request(
        7,
        (0..3).map(|index| (index, Some(batch(&[b"x"])))).collect(),
    );
    let correlation = talk.request(&body, 7);
    let mut commands = talk.commands();
    commands.rotate_left(1);
    for (ticket, command) in commands {
        let Command::Append(append) = command else {
            panic!("{command:?}")
        };
        talk.reply(ticket, appended(append.partition.get().into()))
            .expect("taken");
    }
    let response = talk.response::<WireRequest>(correlation, 7);
    for partition in &response.responses[0].partition_responses {
        assert_eq!(i64::from(partition.index), partition.base_offset);
    }
}

#[test]
fn an_empty_request_is_answered_empty() {
    let response = Conversation::new().local(&build!(WireRequest { acks: 1 }), 9);
    assert!(response.responses.is_empty());
}

#[test]
fn what_is_not_exactly_one_batch_is_an_invalid_record() {
    assert_eq!(refused(9, None), 87);
    assert_eq!(refused(9, Some(BytesMut::new())), 87);
    let mut two = batch(&[b"a"]);
    two.extend_from_slice(&batch(&[b"b"]));
    assert_eq!(refused(9, Some(two)), 87);
}

#[test]
fn damage_is_a_corrupt_message_and_another_magic_an_invalid_record() {
    let mut damaged = batch(&[b"abc"]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(refused(9, Some(damaged)), 2);
    let mut cut = batch(&[b"abc"]);
    cut.truncate(cut.len() - 2);
    assert_eq!(refused(9, Some(cut)), 2);
    let mut old = batch(&[b"abc"]);
    old[16] = 1;
    assert_eq!(refused(9, Some(old)), 87);
}

#[test]
fn a_base_offset_other_than_zero_is_an_invalid_record() {
    let mut shifted = batch(&[b"abc"]);
    shifted[7] = 1;
    assert_eq!(refused(9, Some(shifted)), 87);
}

#[test]
fn clients_may_not_write_control_batches() {
    let mut builder = BatchBuilder::new(0).control();
    builder.push(&NewRecord::value(0, b"x")).expect("room");
    assert_eq!(refused(9, Some(builder.build())), 87);
}

#[test]
fn zstd_needs_version_7() {
    let compressed = || {
        let mut builder = BatchBuilder::new(0).compression(Compression::Zstd);
        builder
            .push(&NewRecord::value(0, b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))
            .expect("room");
        builder.build()
    };
    assert_eq!(refused(6, Some(compressed())), 76);
    let mut talk = Conversation::new();
    let body = request(7, vec![(0, Some(compressed()))]);
    assert_eq!(codes(&talk.round(&body, 7, |_| appended(0))), [0]);
}

#[test]
fn acks_outside_their_range_are_refused_per_partition() {
    for acks in [-2, 2, i16::MAX] {
        let mut body = request(9, vec![(0, Some(batch(&[b"x"]))), (1, None)]);
        body.acks = acks;
        assert_eq!(codes(&Conversation::new().local(&body, 9)), [21, 21]);
    }
}

#[test]
fn transactions_are_refused_as_a_whole() {
    let mut body = request(9, vec![(0, Some(batch(&[b"x"])))]);
    body.transactional_id = Some(text("tx"));
    assert_eq!(codes(&Conversation::new().local(&body, 9)), [53]);
}

#[test]
fn a_storage_error_is_not_shown_to_version_3() {
    for (version, code) in [(3, 6), (4, 56), (13, 56)] {
        let mut talk = Conversation::new();
        let body = request(version, vec![(0, Some(batch(&[b"x"])))]);
        let response = talk.round(&body, version, |_| {
            let storage = PartitionError::Storage("gone".into());
            Reply::Appended(Err(AppendError::Partition(storage)))
        });
        assert_eq!(codes(&response), [code]);
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.base_offset, partition.log_append_time_ms),
            (-1, -1)
        );
    }
}

#[test]
fn an_unknown_topic_has_the_code_of_how_it_was_named() {
    for (version, error, code) in [
        (12, PartitionError::UnknownTopicOrPartition, 3),
        (13, PartitionError::UnknownTopicId, 100),
    ] {
        let mut talk = Conversation::new();
        let body = request(version, vec![(0, Some(batch(&[b"x"])))]);
        let response = talk.round(&body, version, |_| {
            Reply::Appended(Err(AppendError::Partition(error)))
        });
        assert_eq!(codes(&response), [code]);
    }
}

#[test]
fn without_acks_any_refusal_closes_and_says_nothing() {
    let good = || Some(batch(&[b"x"]));
    let bad = request(9, vec![(0, Some(BytesMut::from(&b"garbage"[..])))]);
    let mut transactional = request(9, vec![(0, good())]);
    transactional.transactional_id = Some(text("tx"));
    for mut body in [bad, transactional] {
        body.acks = 0;
        let mut talk = Conversation::new();
        let (_, frame) = talk.frame(&body, 9);
        assert!(matches!(talk.feed(&frame), Err(SessionError::Closed(_))));
        assert!(talk.next_frame().is_none());
    }
}

#[test]
fn without_acks_partitions_that_can_be_appended_are() {
    let mut body = request(9, vec![(0, Some(batch(&[b"x"]))), (1, None)]);
    body.acks = 0;
    let mut talk = Conversation::new();
    talk.request(&body, 9);
    let (ticket, command) = talk.command();
    let Command::Append(append) = command else {
        panic!("{command:?}")
    };
    assert_eq!(append.acks, Acks::None);
    assert!(matches!(
        talk.reply(ticket, appended(0)),
        Err(SessionError::Closed(_))
    ));
}

#[test]
fn records_at_fault_are_named_from_version_8_on() {
    let errors = [
        AppendError::KeylessRecords(vec![0, 2]),
        AppendError::InvalidTimestamp {
            timestamp: 5,
            records: vec![0, 2],
        },
    ];
    for (error, code) in errors.into_iter().zip([87, 32]) {
        for version in [7, 8, 13] {
            let body = request(version, vec![(0, Some(batch(&[b"a", b"b", b"c"])))]);
            let answer = Reply::Appended(Err(error.clone()));
            let response = Conversation::new().round(&body, version, |_| answer);
            assert_eq!(codes(&response), [code]);
            let partition = &response.responses[0].partition_responses[0];
            let named: Vec<i32> = partition
                .record_errors
                .iter()
                .map(|record| record.batch_index)
                .collect();
            let is_told = version >= 8;
            assert_eq!(named, if is_told { vec![0, 2] } else { Vec::new() });
            assert_eq!(partition.error_message.is_some(), is_told);
        }
    }
}

fn zeros(bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(5).compression(Compression::Gzip);
    builder
        .push(&NewRecord::value(5, &vec![0; bytes]))
        .expect("room");
    builder.build()
}

fn inspected(partitions: Vec<BytesMut>) -> Vec<usize> {
    let mut talk = Conversation::new();
    let partitions = (0..).zip(partitions.into_iter().map(Some)).collect();
    talk.request(&request(9, partitions), 9);
    let commands = talk
        .commands()
        .into_iter()
        .map(|(_, command)| match command {
            Command::Append(append) => append.inspect_bytes_max,
            other => panic!("{other:?}"),
        });
    commands.collect()
}

#[test]
fn one_request_cannot_make_the_broker_decompress_without_bound() {
    assert_eq!(inspected(vec![zeros(1)]), [DECOMPRESSED_BYTES_MAX]);
    let bomb = zeros(1 << 20);
    let sent = 1_000 * bomb.len();
    let allowed = inspected(vec![bomb; 1_000]);
    assert_eq!(allowed.len(), 1_000, "a share each");
    let bound = INSPECT_BYTES_BASE + INSPECT_RATIO_MAX * sent;
    assert!(allowed.iter().sum::<usize>() <= bound);
    assert!(allowed.iter().all(|share| *share >= 128 << 10));
    let mixed = inspected(vec![batch(&[b"plain"]), zeros(1)]);
    assert_eq!(
        mixed,
        [0, DECOMPRESSED_BYTES_MAX],
        "plain ones take no share"
    );
}

/// Heap allocations of a session for produce requests with one partition: taking one, answering it, handing its
/// response over. A ratchet: these may only fall (performance.md section 5).
const ALLOCATIONS_MAX: [u64; 3] = [2, 0, 1];

// What a hundred requests take, answer and send, `deep` of them at a time, when queues have grown to what they need.
fn allocations(deep: u64) -> [u64; 3] {
    let mut talk = Conversation::new();
    let body = request(9, vec![(4, Some(batch(&[b"a", b"b"])))]);
    let mut spent = [0; 3];
    for turn in 0..200 / deep {
        let frames: Vec<_> = (0..deep).map(|_| talk.frame(&body, 9).1).collect();
        let mut received = BytesMut::from(&frames.concat()[..]);
        let taking = allocation_counter::measure(|| talk.feed_buffer(&mut received).unwrap());
        let asked = talk.commands();
        let mut answering = 0;
        for (ticket, _) in asked {
            let reply = appended(turn);
            let heap = allocation_counter::measure(|| talk.reply(ticket, reply).unwrap());
            answering += heap.count_total;
        }
        let sending = allocation_counter::measure(|| assert_eq!(talk.poll(), TransmitStatus::Idle));
        talk.transmit();
        if turn >= 100 / deep {
            spent[0] += taking.count_total;
            spent[1] += answering;
            spent[2] += sending.count_total;
        }
    }
    spent
}

#[test]
fn one_produce_request_allocates_no_more_than_it_did() {
    let spent = allocations(1).map(|count| count / 100);
    let is_more = spent
        .iter()
        .zip(ALLOCATIONS_MAX)
        .any(|(now, max)| *now > max);
    assert!(
        !is_more,
        "{spent:?} allocations, at most {ALLOCATIONS_MAX:?}"
    );
}

#[test]
fn pipelined_produce_requests_share_all_memory_but_that_of_the_command() {
    // One name of a topic each; the rest once for 25 of them.
    assert_eq!(allocations(25), [100 + 4, 0, 4]);
}
