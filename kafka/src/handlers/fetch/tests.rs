//! Fetch requests and the shards that answer them.
//!
//! Owns: versions, long polls, budgets, errors.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.4.

use api::command::Fetch;
use api::error::{PartitionError, ReadError};
use api::metadata::TopicKey;
use api::reply::Fetched;
use api::{Command, Reply, Ticket};
use bytes::Bytes;
use kafka_wire::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::{FetchRequest as WireRequest, FetchResponse};
use kafka_wire_core::Uuid;
use model::ids::TopicId;
use model::offset::{LeaderEpoch, Offset};

use super::*;
use crate::codec::build;
use crate::conversation::{Conversation, stored, text};

const ID: [u8; 16] = [8; 16];
const MEBIBYTE: i32 = 1 << 20;

fn request(version: i16, partitions: usize) -> WireRequest {
    let indexes = 0..i32::try_from(partitions).expect("small");
    let partitions = indexes.map(|partition| {
        build!(FetchPartition {
            partition,
            fetch_offset: 10,
            partition_max_bytes: MEBIBYTE
        })
    });
    let mut topic = build!(FetchTopic {
        partitions: partitions.collect()
    });
    if version >= 13 {
        topic.topic_id = Uuid::from_bytes(ID);
    } else {
        topic.topic = text("orders");
    }
    build!(WireRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 50 * MEBIBYTE,
        topics: vec![topic],
    })
}

fn fetched(records: Vec<Bytes>) -> Reply {
    Reply::Fetched(Ok(Fetched {
        bytes: records.iter().map(Bytes::len).sum(),
        records: records.into(),
        high_watermark: Offset::new(50),
        last_stable: Offset::new(40),
        log_start: Offset::new(5),
        diverging: None,
    }))
}

fn nothing() -> Reply {
    fetched(Vec::new())
}

fn failed(error: impl Into<ReadError>) -> Reply {
    Reply::Fetched(Err(error.into()))
}

fn fetches(talk: &mut Conversation) -> Vec<(Ticket, Fetch)> {
    let commands = talk
        .commands()
        .into_iter()
        .map(|(ticket, command)| match command {
            Command::Fetch(fetch) => (ticket, fetch),
            other => panic!("{other:?}"),
        });
    commands.collect()
}

fn cancelled(talk: &mut Conversation) -> Vec<u32> {
    let commands = talk
        .commands()
        .into_iter()
        .map(|(carrier, command)| match command {
            Command::CancelFetch {
                partition, ticket, ..
            } => {
                assert_eq!(carrier, ticket);
                partition.get()
            }
            other => panic!("{other:?}"),
        });
    commands.collect()
}

fn bytes_of(response: &FetchResponse) -> Vec<usize> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| partition.records.as_ref().expect("never null").len())
        .collect()
}

// A request of several partitions whose probes found nothing.
fn parked(request: &WireRequest) -> (Conversation, i32, Vec<(Ticket, Fetch)>) {
    let mut talk = Conversation::new();
    let correlation = talk.request(request, 11);
    let mut open = fetches(&mut talk);
    while open.iter().any(|(_, fetch)| fetch.wait_until.is_none()) {
        for (ticket, _) in std::mem::take(&mut open) {
            talk.reply(ticket, nothing()).expect("taken");
        }
        open = fetches(&mut talk);
    }
    let parked = open;
    assert!(parked.iter().all(|(_, fetch)| fetch.wait_until.is_some()));
    (talk, correlation, parked)
}

#[test]
fn every_version_reads_and_answers() {
    for version in 4..=18 {
        let mut talk = Conversation::new();
        let mut body = request(version, 1);
        body.isolation_level = 1;
        let partition = &mut body.topics[0].partitions[0];
        if version >= 9 {
            partition.current_leader_epoch = 3;
        }
        if version >= 12 {
            partition.last_fetched_epoch = 2;
        }
        let batch = stored(10, &[b"a", b"b"]);
        let deadline = talk
            .now
            .instant
            .after(std::time::Duration::from_millis(500));
        let response = talk.round(&body, version, |command| {
            let Command::Fetch(fetch) = command else {
                panic!("{command:?}")
            };
            let expected = Fetch {
                topic: if version >= 13 {
                    TopicKey::Id(TopicId::from_bytes(ID))
                } else {
                    TopicKey::Name("orders".into())
                },
                partition: model::ids::PartitionId::new(0),
                offset: Offset::new(10),
                leader_epoch: (version >= 9).then_some(LeaderEpoch::new(3)),
                last_fetched_epoch: (version >= 12).then_some(LeaderEpoch::new(2)),
                isolation: Isolation::ReadCommitted,
                bytes_max: 1 << 20,
                at_least_one: true,
                wait_until: Some(deadline),
            };
            assert_eq!(fetch, expected);
            fetched(vec![batch.clone()])
        });
        assert_eq!((response.error_code, response.session_id), (0, 0));
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.records.as_ref(), Some(&batch));
        assert_eq!(
            (partition.high_watermark, partition.last_stable_offset),
            (50, 40)
        );
        assert_eq!(
            partition.log_start_offset,
            if version >= 5 { 5 } else { -1 }
        );
        assert_eq!(partition.aborted_transactions, Some(Vec::new()));
    }
}

#[test]
fn records_are_empty_but_never_null_with_nothing_or_an_error() {
    for reply in [nothing(), failed(PartitionError::NotLeader)] {
        let mut talk = Conversation::new();
        let mut body = request(11, 1);
        body.max_wait_ms = 0;
        let response = talk.round(&body, 11, |_| reply);
        assert_eq!(bytes_of(&response), [0]);
    }
}

#[test]
fn an_error_has_unknown_offsets_and_its_code() {
    let cases: [(i16, ReadError, i16); 6] = [
        (11, PartitionError::UnknownTopicOrPartition.into(), 3),
        (13, PartitionError::UnknownTopicId.into(), 100),
        (5, PartitionError::Storage("gone".into()).into(), 6),
        (6, PartitionError::Storage("gone".into()).into(), 56),
        (11, PartitionError::Busy.into(), 9),
        (
            11,
            ReadError::OutOfRange {
                offset: Offset::ZERO,
                log_start: Offset::ZERO,
                log_end: Offset::ZERO,
            },
            1,
        ),
    ];
    for (version, error, code) in cases {
        let response = Conversation::new().round(&request(version, 1), version, |_| failed(error));
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, code);
        assert_eq!(
            (partition.high_watermark, partition.last_stable_offset),
            (-1, -1)
        );
        assert_eq!(partition.log_start_offset, -1);
    }
}

#[test]
fn no_partitions_are_answered_at_once() {
    let response = Conversation::new().local(&request(11, 0), 11);
    assert!(response.responses[0].partitions.is_empty());
}

#[test]
fn a_session_is_declined_and_cannot_be_continued() {
    let mut talk = Conversation::new();
    let mut body = request(11, 1);
    body.session_epoch = 0;
    assert_eq!(
        talk.round(&body, 11, |_| fetched(vec![stored(10, &[b"x"])]))
            .session_id,
        0
    );
    body.session_id = 77;
    body.session_epoch = 1;
    let response = talk.local(&body, 11);
    assert_eq!((response.error_code, response.session_id), (70, 0));
    assert!(response.responses.is_empty());
}

#[test]
fn without_waiting_each_partition_is_asked_once() {
    let mut body = request(11, 3);
    body.max_wait_ms = 0;
    let mut asked = 0;
    let response = Conversation::new().converse(&body, 11, |command| {
        let Command::Fetch(fetch) = command else {
            panic!("{command:?}")
        };
        assert_eq!(fetch.wait_until, None);
        asked += 1;
        nothing()
    });
    assert_eq!((asked, bytes_of(&response)), (3, vec![0, 0, 0]));
}

#[test]
fn nobody_waits_longer_than_the_bound_whatever_is_asked() {
    let mut body = request(11, 2);
    body.max_wait_ms = i32::MAX;
    let (talk, _, asked) = parked(&body);
    let bound = std::time::Duration::from_millis(LONG_POLL_WAIT_MS_MAX.into());
    let until = Some(talk.now.instant.after(bound));
    assert!(asked.iter().all(|(_, fetch)| fetch.wait_until == until));
}

#[test]
fn min_bytes_zero_answers_at_once() {
    let mut body = request(11, 2);
    body.min_bytes = 0;
    let mut talk = Conversation::new();
    let response = talk.converse(&body, 11, |_| nothing());
    assert_eq!(bytes_of(&response), [0, 0]);
}

#[test]
fn data_found_by_the_probe_is_answered_without_parking() {
    let batch = stored(10, &[b"x"]);
    let mut talk = Conversation::new();
    let response = talk.converse(&request(11, 2), 11, |command| {
        let Command::Fetch(fetch) = command else {
            panic!("{command:?}")
        };
        assert_eq!(fetch.wait_until, None);
        if fetch.partition.get() == 1 {
            fetched(vec![batch.clone()])
        } else {
            nothing()
        }
    });
    assert_eq!(bytes_of(&response), [0, batch.len()]);
}

#[test]
fn with_too_little_every_partition_is_parked_until_the_first_has_data() {
    let (mut talk, correlation, parked) = parked(&request(11, 3));
    assert_eq!(parked.len(), 3);
    let batch = stored(10, &[b"x"]);
    talk.reply(parked[1].0, fetched(vec![batch.clone()]))
        .expect("taken");
    assert!(talk.next_frame().is_none(), "the others come back first");
    assert_eq!(cancelled(&mut talk), [0, 2]);
    talk.reply(parked[2].0, nothing()).expect("taken");
    talk.reply(parked[0].0, nothing()).expect("taken");
    let response = talk.response::<WireRequest>(correlation, 11);
    assert_eq!(bytes_of(&response), [0, batch.len(), 0]);
}

#[test]
fn an_error_while_parked_ends_the_wait() {
    let (mut talk, correlation, parked) = parked(&request(11, 2));
    talk.reply(parked[0].0, failed(PartitionError::NotLeader))
        .expect("taken");
    assert_eq!(cancelled(&mut talk), [1]);
    talk.reply(parked[1].0, nothing()).expect("taken");
    let response = talk.response::<WireRequest>(correlation, 11);
    let codes = response.responses[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [6, 0]);
}

#[test]
fn a_divergence_is_answered_at_once() {
    let mut talk = Conversation::new();
    let response = talk.converse(&request(12, 2), 12, |command| {
        let Command::Fetch(fetch) = command else {
            panic!("{command:?}")
        };
        assert_eq!(fetch.wait_until, None);
        let mut reply = nothing();
        if let Reply::Fetched(Ok(fetched)) = &mut reply {
            fetched.diverging = Some((LeaderEpoch::new(2), Offset::new(8)));
        }
        reply
    });
    let diverging = &response.responses[0].partitions[0].diverging_epoch;
    assert_eq!((diverging.epoch, diverging.end_offset), (2, 8));
}

#[test]
fn at_the_deadline_shards_answer_and_nothing_is_cancelled() {
    let (mut talk, correlation, parked) = parked(&request(11, 2));
    talk.advance(500);
    for (ticket, _) in parked {
        talk.reply(ticket, nothing()).expect("taken");
    }
    assert!(talk.commands().is_empty());
    assert_eq!(
        bytes_of(&talk.response::<WireRequest>(correlation, 11)),
        [0, 0]
    );
}

#[test]
fn a_client_that_left_calls_its_parked_fetches_back_once() {
    let (mut talk, _, asked) = parked(&request(11, 3));
    // A second poll waits for its turn; it has parked nothing.
    talk.request(&request(11, 2), 11);
    talk.reply(asked[1].0, nothing()).expect("taken");
    talk.close();
    assert_eq!(cancelled(&mut talk), [0, 2]);
    talk.close();
    assert!(talk.commands().is_empty());
    for place in [0, 2] {
        talk.reply(asked[place].0, nothing()).expect("taken");
    }
    assert!(talk.commands().is_empty(), "nothing is begun any more");
}

#[test]
fn a_shard_that_is_late_is_called_back_after_the_deadline() {
    let (mut talk, correlation, parked) = parked(&request(11, 2));
    let due = talk.session_timeout().expect("a timeout is set");
    assert!(
        due > talk
            .now
            .instant
            .after(std::time::Duration::from_millis(500))
    );
    talk.advance(1_000);
    talk.timeout().expect("fine");
    assert_eq!(cancelled(&mut talk), [0, 1]);
    assert_eq!(talk.session_timeout(), None);
    for (ticket, _) in parked {
        talk.reply(ticket, nothing()).expect("taken");
    }
    talk.response::<WireRequest>(correlation, 11);
}

#[test]
fn some_but_not_enough_goes_on_behind_what_came() {
    let first = stored(10, &[b"a", b"b"]);
    let second = stored(12, &[b"c"]);
    let mut body = request(11, 2);
    body.min_bytes = i32::try_from(first.len() + 1).expect("small");
    let (mut talk, correlation, parked) = parked(&body);
    talk.reply(parked[0].0, fetched(vec![first.clone()]))
        .expect("taken");
    let again = fetches(&mut talk);
    assert_eq!(again.len(), 1, "only that partition is asked again");
    assert_eq!(again[0].1.offset, Offset::new(12));
    assert_eq!(again[0].1.wait_until, parked[0].1.wait_until);
    assert!(!again[0].1.at_least_one);
    talk.reply(again[0].0, fetched(vec![second.clone()]))
        .expect("taken");
    assert_eq!(cancelled(&mut talk), [1]);
    talk.reply(parked[1].0, nothing()).expect("taken");
    let response = talk.response::<WireRequest>(correlation, 11);
    let records = response.responses[0].partitions[0]
        .records
        .clone()
        .expect("never null");
    assert_eq!(records, [first, second].concat());
}

#[test]
fn an_error_behind_records_that_came_is_left_for_the_next_request() {
    let first = stored(10, &[b"a"]);
    let mut body = request(11, 1);
    body.min_bytes = 10_000;
    let mut talk = Conversation::new();
    let correlation = talk.request(&body, 11);
    let (ticket, _) = fetches(&mut talk).remove(0);
    talk.reply(ticket, fetched(vec![first.clone()]))
        .expect("taken");
    let (ticket, _) = fetches(&mut talk).remove(0);
    talk.reply(ticket, failed(PartitionError::NotLeader))
        .expect("taken");
    let response = talk.response::<WireRequest>(correlation, 11);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(
        (partition.error_code, partition.records.as_ref()),
        (0, Some(&first))
    );
}

#[test]
fn what_is_promised_stays_within_max_bytes() {
    let mut body = request(11, 10);
    body.max_bytes = 3 * MEBIBYTE;
    let mut talk = Conversation::new();
    let correlation = talk.request(&body, 11);
    let mut open = fetches(&mut talk);
    let mut asked = open.len();
    assert_eq!(asked, 3);
    while let Some((ticket, _)) = open.pop() {
        talk.reply(ticket, nothing()).expect("taken");
        let next = fetches(&mut talk);
        if next.iter().any(|(_, fetch)| fetch.wait_until.is_some()) {
            assert!(open.is_empty());
            assert_eq!(next.len(), 10, "all of them are parked");
            open = next;
            break;
        }
        asked += next.len();
        open.extend(next);
        let promised: u32 = open.iter().map(|(_, fetch)| fetch.bytes_max).sum();
        assert!(promised <= 3 << 20);
    }
    assert_eq!(asked, 10);
    for (ticket, _) in open {
        talk.reply(ticket, nothing()).expect("taken");
    }
    talk.response::<WireRequest>(correlation, 11);
}

#[test]
fn with_all_bytes_there_the_rest_is_asked_for_its_state_only() {
    let mut body = request(11, 3);
    body.max_bytes = 100;
    let batch = stored(10, &[&[7; 200]]);
    let mut talk = Conversation::new();
    let response = talk.converse(&body, 11, |command| {
        let Command::Fetch(fetch) = command else {
            panic!("{command:?}")
        };
        if fetch.partition.get() == 0 {
            assert!(fetch.at_least_one);
            return fetched(vec![batch.clone()]);
        }
        assert_eq!((fetch.bytes_max, fetch.at_least_one), (0, false));
        nothing()
    });
    assert_eq!(bytes_of(&response), [batch.len(), 0, 0]);
    assert_eq!(response.responses[0].partitions[2].high_watermark, 50);
}

#[test]
fn what_came_at_the_same_time_beyond_max_bytes_is_left_for_the_next_request() {
    let mut body = request(11, 2);
    body.max_bytes = 300;
    let (mut talk, correlation, parked) = parked(&body);
    let batch = stored(10, &[&[7; 200]]);
    talk.reply(parked[1].0, fetched(vec![batch.clone()]))
        .expect("taken");
    talk.reply(parked[0].0, fetched(vec![batch.clone()]))
        .expect("taken");
    let response = talk.response::<WireRequest>(correlation, 11);
    assert_eq!(
        bytes_of(&response),
        [batch.len(), 0],
        "the first in order is whole"
    );
}

#[test]
fn negative_indexes_and_offsets_are_errors_of_their_partition() {
    let mut body = request(11, 3);
    body.topics[0].partitions[0].partition = -1;
    body.topics[0].partitions[1].fetch_offset = -1;
    let mut talk = Conversation::new();
    let response = talk.converse(&body, 11, |_| nothing());
    let codes = response.responses[0]
        .partitions
        .iter()
        .map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [3, 1, 0]);
}

#[test]
fn the_configured_ceiling_bounds_max_bytes() {
    let config = crate::KafkaConfig {
        fetch_bytes_max: 1000,
        ..crate::KafkaConfig::default()
    };
    let mut talk = Conversation::with(config);
    talk.request(&request(11, 1), 11);
    assert_eq!(fetches(&mut talk)[0].1.bytes_max, 1000);
}

#[test]
fn an_isolation_level_without_meaning_closes() {
    let mut body = request(11, 1);
    body.isolation_level = 2;
    let mut talk = Conversation::new();
    let (_, frame) = talk.frame(&body, 11);
    assert!(talk.feed(&frame).is_err());
}
