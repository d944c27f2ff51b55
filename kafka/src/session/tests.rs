//! Connections: frames, order, bounds, endings, garbage.
//!
//! Owns: what holds for every API.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 4.1, 4.2.

use api::metadata::{MetadataView, TopicKey};
use api::reply::Appended;
use api::{Command, Reply, SessionError, TransmitStatus};
use bytes::{Buf, BufMut, BytesMut};
use kafka_wire::metadata_request::MetadataRequestTopic;
use kafka_wire::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{
    ApiVersionsRequest, FetchRequest, HeartbeatRequest, MetadataRequest, ProduceRequest,
    fetch_request::{FetchPartition, FetchTopic},
};
use model::ids::BrokerId;
use model::offset::Offset;
use proptest::prelude::*;

use super::*;
use crate::codec::build;
use crate::conversation::{Conversation, batch, text};

fn api_versions() -> ApiVersionsRequest {
    build!(ApiVersionsRequest {
        client_software_name: text("apache-kafka-java"),
        client_software_version: text("4.3.0"),
    })
}

fn heartbeat() -> HeartbeatRequest {
    build!(HeartbeatRequest {
        group_id: text("g"),
        generation_id: 1,
        member_id: text("m"),
    })
}

fn produce(topic: &str, acks: i16, values: &[&[u8]]) -> ProduceRequest {
    let partition = build!(PartitionProduceData {
        index: 0,
        records: Some(batch(values).freeze()),
    });
    let topic = build!(TopicProduceData {
        name: text(topic),
        partition_data: vec![partition],
    });
    build!(ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![topic],
    })
}

fn fetch(topic: &str) -> FetchRequest {
    let partition = build!(FetchPartition {
        partition: 0,
        partition_max_bytes: 1 << 20,
    });
    let topic = build!(FetchTopic {
        topic: text(topic),
        partitions: vec![partition],
    });
    build!(FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![topic],
    })
}

fn appended(base: u64) -> Reply {
    Reply::Appended(Ok(Appended {
        base_offset: Offset::new(base),
        log_append_time: None,
        log_start: Offset::ZERO,
    }))
}

fn empty_fetch() -> Reply {
    Reply::Fetched(Ok(api::reply::Fetched {
        records: api::reply::Records::new(),
        bytes: 0,
        high_watermark: Offset::ZERO,
        last_stable: Offset::ZERO,
        log_start: Offset::ZERO,
        diverging: None,
    }))
}

#[test]
fn a_frame_that_arrives_byte_by_byte_is_one_request() {
    let mut talk = Conversation::new();
    let (correlation, frame) = talk.frame(&api_versions(), 3);
    let mut received = BytesMut::new();
    for byte in &frame {
        assert!(talk.next_frame().is_none());
        received.put_u8(*byte);
        talk.feed_buffer(&mut received).expect("accepted");
    }
    assert!(received.is_empty());
    let response = talk.response::<ApiVersionsRequest>(correlation, 3);
    assert_eq!(response.error_code, 0);
}

#[test]
fn several_frames_at_once_are_several_requests_and_half_a_frame_stays() {
    let mut talk = Conversation::new();
    let (first, one) = talk.frame(&api_versions(), 0);
    let (second, two) = talk.frame(&api_versions(), 4);
    let (third, three) = talk.frame(&api_versions(), 2);
    let mut received = BytesMut::from([&one[..], &two, &three[..5]].concat().as_slice());
    talk.feed_buffer(&mut received).expect("accepted");
    assert_eq!(received.len(), 5);
    talk.response::<ApiVersionsRequest>(first, 0);
    talk.response::<ApiVersionsRequest>(second, 4);
    received.extend_from_slice(&three[5..]);
    talk.feed_buffer(&mut received).expect("accepted");
    talk.response::<ApiVersionsRequest>(third, 2);
}

#[test]
fn responses_leave_in_request_order_whatever_the_order_of_replies() {
    let mut talk = Conversation::new();
    let first = talk.request(&heartbeat(), 1);
    let second = talk.request(&api_versions(), 1);
    let third = talk.request(&heartbeat(), 2);
    let commands = talk.commands();
    assert_eq!(commands.len(), 2);
    talk.reply(commands[1].0, Reply::Heartbeat(Ok(())))
        .expect("taken");
    assert!(talk.next_frame().is_none(), "the first is not answered");
    talk.reply(commands[0].0, Reply::Heartbeat(Ok(())))
        .expect("taken");
    talk.response::<HeartbeatRequest>(first, 1);
    talk.response::<ApiVersionsRequest>(second, 1);
    talk.response::<HeartbeatRequest>(third, 2);
}

#[test]
fn short_and_long_responses_leave_in_request_order() {
    // A name of 200 bytes makes a response too long to be joined with its neighbours; acks=0 has none.
    let long = "t".repeat(200);
    let requests = [
        ("a", 1),
        (&long, 1),
        ("b", 1),
        ("b", 0),
        ("c", 1),
        (&long, 1),
    ];
    let mut talk = Conversation::new();
    let sent = requests.map(|(topic, acks)| {
        let correlation = talk.request(&produce(topic, acks, &[b"x"]), 9);
        (correlation, topic, acks)
    });
    let mut asked = talk.commands();
    asked.rotate_left(2);
    for (base, (ticket, _)) in (0_u64..).zip(asked) {
        talk.reply(ticket, appended(base)).expect("taken");
    }
    for (correlation, topic, _) in sent.into_iter().filter(|(_, _, acks)| *acks != 0) {
        let response = talk.response::<ProduceRequest>(correlation, 9);
        let names: Vec<_> = response
            .responses
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, [topic]);
    }
    assert!(talk.next_frame().is_none());
    assert_eq!(talk.session.bytes_in_flight(), 0);
}

#[test]
fn pipelined_produce_requests_are_appended_in_order_of_arrival() {
    let mut talk = Conversation::new();
    for topic in ["a", "b", "c", "d", "e"] {
        talk.request(&produce(topic, -1, &[b"x"]), 7);
    }
    let topics: Vec<_> = talk
        .commands()
        .into_iter()
        .map(|(_, command)| match command {
            Command::Append(append) => append.topic,
            other => panic!("{other:?}"),
        })
        .collect();
    let names = ["a", "b", "c", "d", "e"].map(|name| TopicKey::Name(name.to_owned()));
    assert_eq!(topics, names);
}

#[test]
fn a_request_behind_a_parked_fetch_is_carried_out_but_answered_after_it() {
    let mut talk = Conversation::new();
    let first = talk.request(&fetch("t"), 11);
    let (fetch_ticket, _) = talk.command();
    let second = talk.request(&produce("t", -1, &[b"x"]), 7);
    let (append_ticket, command) = talk.command();
    assert!(matches!(command, Command::Append(_)));
    talk.reply(append_ticket, appended(0)).expect("taken");
    assert!(talk.next_frame().is_none());
    talk.reply(fetch_ticket, empty_fetch()).expect("taken");
    talk.response::<FetchRequest>(first, 11);
    talk.response::<ProduceRequest>(second, 7);
}

#[test]
fn a_second_fetch_begins_when_the_first_is_answered() {
    let mut talk = Conversation::new();
    let first = talk.request(&fetch("a"), 11);
    let second = talk.request(&fetch("b"), 11);
    let (ticket, command) = talk.command();
    assert!(matches!(&command, Command::Fetch(fetch) if fetch.topic == TopicKey::Name("a".into())));
    talk.advance(500);
    talk.reply(ticket, empty_fetch()).expect("taken");
    let (ticket, command) = talk.command();
    let Command::Fetch(fetch) = command else {
        panic!("{command:?}")
    };
    assert_eq!(fetch.topic, TopicKey::Name("b".into()));
    let wait = fetch
        .wait_until
        .map(|until| until.since(talk.now.instant).as_millis());
    assert_eq!(wait, Some(500), "its time begins with its turn");
    talk.reply(ticket, empty_fetch()).expect("taken");
    talk.response::<FetchRequest>(first, 11);
    talk.response::<FetchRequest>(second, 11);
}

fn all_topics() -> MetadataRequest {
    build!(MetadataRequest { topics: None })
}

/// All topics of a large cluster: about two megabytes.
fn many_topics() -> Reply {
    let topic = |at: usize| {
        let key = TopicKey::Name(format!("{at}{}", "x".repeat(240)));
        (key, Err(api::error::MetadataError::UnknownTopic))
    };
    Reply::Metadata(MetadataView {
        cluster_id: String::new(),
        controller: BrokerId::new(1),
        brokers: Vec::new(),
        topics: (0..8_000).map(topic).collect(),
    })
}

#[test]
fn large_answers_are_made_one_after_the_other_and_only_for_a_client_that_takes_them() {
    let mut talk = Conversation::new();
    for _ in 0..50 {
        talk.request(&all_topics(), 9);
    }
    let mut made = 0;
    while let [(ticket, _)] = talk.commands().as_slice() {
        made += 1;
        talk.reply(*ticket, many_topics()).expect("taken");
    }
    assert!(
        (2..20).contains(&made),
        "the client takes nothing, so few of 50 are made: {made}"
    );
    let mut taken = 0;
    loop {
        while talk.next_frame().is_some() {
            taken += 1;
        }
        talk.timeout().expect("goes on");
        let [(ticket, _)] = talk.commands()[..] else {
            break;
        };
        talk.reply(ticket, many_topics()).expect("taken");
    }
    assert_eq!(taken, 50);
}

#[test]
fn reading_stops_at_the_limit_of_unanswered_requests_and_goes_on_after_answers() {
    let config = KafkaConfig {
        requests_max: 3,
        ..KafkaConfig::default()
    };
    let mut talk = Conversation::with(config);
    let frames: Vec<_> = (0..5).map(|_| talk.frame(&heartbeat(), 0).1).collect();
    let mut received = BytesMut::from(frames.concat().as_slice());
    talk.feed_buffer(&mut received).expect("accepted");
    assert!(talk.session.is_full());
    assert_eq!(received.len(), frames[3].len() + frames[4].len());
    assert!(talk.session.bytes_in_flight() >= frames[0].len() * 3);

    let (ticket, _) = talk.commands().remove(0);
    talk.reply(ticket, Reply::Heartbeat(Ok(()))).expect("taken");
    assert!(talk.session.is_full(), "the answer has not left yet");
    assert!(talk.next_frame().is_some());
    assert_eq!(
        talk.session.poll_timeout(),
        Some(Instant::ZERO),
        "wants to be called again"
    );
    talk.timeout().expect("fine");
    assert_eq!(talk.session.poll_timeout(), None);
    talk.feed_buffer(&mut received).expect("accepted");
    assert_eq!(received.len(), frames[4].len());
}

#[test]
fn reading_stops_when_too_many_bytes_are_unanswered() {
    let mut talk = Conversation::new();
    let value = vec![7; 3 * 1024 * 1024];
    let mut requests = 0;
    while !talk.session.is_full() {
        talk.request(&produce("t", 1, &[&value]), 7);
        requests += 1;
    }
    assert_eq!(requests, 6, "16 MiB are reached within the sixth");
    for (ticket, _) in talk.commands() {
        talk.reply(ticket, appended(0)).expect("taken");
    }
    assert_eq!(talk.session.bytes_in_flight(), 0);
    assert!(!talk.session.is_full());
}

#[test]
fn an_unknown_api_versions_is_answered_with_version_zero_and_error_35() {
    let mut talk = Conversation::new();
    let mut frame = BytesMut::new();
    frame.put_i32(12);
    frame.put_i16(18);
    frame.put_i16(127);
    frame.put_i32(-5);
    frame.put_slice(b"????");
    talk.feed(&frame).expect("accepted");
    let mut response = talk.next_frame().expect("a response");
    assert_eq!(response.get_i32(), -5);
    assert_eq!(response.get_i16(), 35);
    assert_eq!(response.get_i32(), 1);
    assert_eq!(
        (response.get_i16(), response.get_i16(), response.get_i16()),
        (18, 0, 4)
    );
    assert!(response.is_empty());
}

#[test]
fn a_violation_ends_reading_and_is_reported_after_what_was_asked_before() {
    let mut talk = Conversation::new();
    let first = talk.request(&heartbeat(), 1);
    let (ticket, _) = talk.command();
    let mut garbage = BytesMut::from(&[0, 0, 0, 9, 0, 99, 0, 0, 0, 0, 0, 0, 0][..]);
    assert_eq!(
        talk.feed_buffer(&mut garbage),
        Ok(()),
        "the first answer is still owed"
    );
    assert!(garbage.is_empty() && talk.session.is_full());
    assert_eq!(talk.transmit(), TransmitStatus::Idle);
    let ended = talk.reply(ticket, Reply::Heartbeat(Ok(())));
    assert!(matches!(ended, Err(SessionError::Protocol(_))), "{ended:?}");
    talk.response::<HeartbeatRequest>(first, 1);
    assert_eq!(talk.transmit(), TransmitStatus::Close);
}

#[test]
fn a_violation_with_nothing_owed_is_reported_at_once() {
    let mut talk = Conversation::new();
    let ended = talk.feed(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        ended,
        Err(SessionError::Protocol(
            "an HTTP request arrived on the Kafka listener".into()
        ))
    );
    assert_eq!(talk.transmit(), TransmitStatus::Close);
}

#[test]
fn a_body_that_does_not_parse_closes_the_connection() {
    let mut talk = Conversation::new();
    let (_, frame) = talk.frame(&heartbeat(), 0);
    let mut cut = BytesMut::from(&frame[..frame.len() - 3]);
    let length = i32::try_from(cut.len() - 4).expect("small");
    cut[..4].copy_from_slice(&length.to_be_bytes());
    assert!(matches!(talk.feed(&cut), Err(SessionError::Protocol(_))));
}

#[test]
fn bytes_after_a_body_are_tolerated() {
    let mut talk = Conversation::new();
    for version in [0, 4] {
        let (correlation, frame) = talk.frame(&heartbeat(), version);
        let mut long = BytesMut::from(&frame[..]);
        long.put_slice(b"tail");
        let length = i32::try_from(long.len() - 4).expect("small");
        long[..4].copy_from_slice(&length.to_be_bytes());
        talk.feed(&long).expect("accepted");
        let (ticket, _) = talk.command();
        talk.reply(ticket, Reply::Heartbeat(Ok(()))).expect("taken");
        talk.response::<HeartbeatRequest>(correlation, version);
    }
}

#[test]
fn a_reply_to_nothing_is_ignored() {
    let mut talk = Conversation::new();
    assert_eq!(
        talk.reply(Ticket(u64::MAX), Reply::Heartbeat(Ok(()))),
        Ok(())
    );
    assert_eq!(talk.reply(Ticket(0), Reply::Heartbeat(Ok(()))), Ok(()));
}

#[test]
fn a_reply_of_another_kind_closes_the_connection() {
    let mut talk = Conversation::new();
    talk.request(&heartbeat(), 0);
    let (ticket, _) = talk.command();
    assert!(matches!(
        talk.reply(ticket, empty_fetch()),
        Err(SessionError::Closed(_))
    ));
    assert_eq!(talk.transmit(), TransmitStatus::Close);
}

#[test]
fn without_acks_success_is_silent() {
    let mut talk = Conversation::new();
    talk.request(&produce("t", 0, &[b"x"]), 7);
    let (ticket, _) = talk.command();
    let after = talk.request(&api_versions(), 0);
    assert!(talk.next_frame().is_none());
    talk.reply(ticket, appended(0)).expect("taken");
    talk.response::<ApiVersionsRequest>(after, 0);
}

#[test]
fn without_acks_an_error_closes_behind_what_was_asked_before() {
    let mut talk = Conversation::new();
    let before = talk.request(&heartbeat(), 0);
    talk.request(&produce("t", 0, &[b"x"]), 7);
    talk.request(&api_versions(), 0);
    let commands = talk.commands();
    let refused = Reply::Appended(Err(api::error::AppendError::ProducerFenced));
    assert_eq!(
        talk.reply(commands[1].0, refused),
        Ok(()),
        "the heartbeat is still owed"
    );
    let ended = talk.reply(commands[0].0, Reply::Heartbeat(Ok(())));
    assert!(matches!(ended, Err(SessionError::Closed(_))), "{ended:?}");
    talk.response::<HeartbeatRequest>(before, 0);
    assert!(
        talk.next_frame().is_none(),
        "nothing behind the failure is answered"
    );
    assert_eq!(talk.transmit(), TransmitStatus::Close);
}

#[test]
fn a_fetch_parked_behind_a_request_that_closes_is_called_back() {
    let mut talk = Conversation::new();
    talk.request(&produce("t", 0, &[b"x"]), 7);
    let (append, _) = talk.command();
    talk.request(&fetch("t"), 11);
    let (_, parked) = talk.command();
    assert!(matches!(parked, Command::Fetch(_)));
    let refused = Reply::Appended(Err(api::error::AppendError::ProducerFenced));
    assert!(talk.reply(append, refused).is_err());
    let commands = talk.commands();
    assert!(
        matches!(commands[..], [(_, Command::CancelFetch { .. })]),
        "{commands:?}"
    );
    talk.close();
    assert!(talk.commands().is_empty(), "once is enough");
}

#[test]
fn the_budget_of_a_transmission_is_kept_between_responses() {
    let mut talk = Conversation::new();
    for _ in 0..3 {
        talk.request(&api_versions(), 0);
    }
    let mut out = ChunkSink::default();
    assert_eq!(
        talk.session.poll_transmit(&mut out, 1),
        TransmitStatus::More
    );
    assert_eq!(out.chunks().count(), 1);
    assert_eq!(
        talk.session.poll_transmit(&mut out, usize::MAX),
        TransmitStatus::Idle
    );
    assert_eq!(out.chunks().count(), 3);
}

#[test]
fn the_factory_makes_sessions() {
    let factory = session_factory(KafkaConfig::default());
    let mut session = factory(crate::conversation::context(), Now::default());
    let frame = crate::conversation::frame(&MetadataRequest::default(), 1, 1);
    let mut sink = CommandSink::default();
    session
        .handle_bytes(Now::default(), &mut BytesMut::from(&frame[..]), &mut sink)
        .expect("accepted");
    assert!(!sink.is_empty());
}

fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let keys = versions_under_test();
    (
        proptest::sample::select(keys),
        proptest::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|((key, version), body)| {
            let mut frame = Vec::new();
            frame.put_i32(i32::try_from(body.len() + 10).expect("small"));
            frame.put_i16(key);
            frame.put_i16(version);
            frame.put_i32(1);
            frame.put_i16(-1);
            frame.extend(body);
            frame
        })
}

fn versions_under_test() -> Vec<(i16, i16)> {
    let all = crate::versions::TABLE.iter();
    all.flat_map(|api| (api.min..=api.max).map(move |version| (api.key.to_wire(), version)))
        .collect()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut talk = Conversation::new();
        drop(talk.feed(&bytes));
        talk.transmit();
    }

    #[test]
    fn random_bodies_never_panic(frames in proptest::collection::vec(any_header(), 1..4)) {
        let mut talk = Conversation::new();
        drop(talk.feed(&frames.concat()));
        talk.transmit();
    }

    #[test]
    fn damaged_requests_never_panic(
        version in 4_i16..=18,
        at in 0_usize..200,
        byte in any::<u8>(),
        cut in 0_usize..200,
    ) {
        let mut talk = Conversation::new();
        let request = if version >= 13 {
            let mut request = fetch("");
            request.topics[0].topic_id = kafka_wire_core::Uuid::from_bytes([7; 16]);
            request
        } else {
            fetch("topic")
        };
        let mut damaged = BytesMut::from(&talk.frame(&request, version).1[..]);
        let at = 8 + at % (damaged.len() - 8);
        damaged[at] = byte;
        damaged.truncate(damaged.len() - cut % (damaged.len() - 10));
        let length = i32::try_from(damaged.len() - 4).expect("small");
        damaged[..4].copy_from_slice(&length.to_be_bytes());
        drop(talk.feed(&damaged));
        talk.transmit();
    }
}

#[test]
fn metadata_of_named_topics_asks_for_them_in_order() {
    let mut talk = Conversation::new();
    let topic = |name| {
        build!(MetadataRequestTopic {
            name: Some(text(name))
        })
    };
    let request = build!(MetadataRequest {
        topics: Some(vec![topic("b"), topic("a")])
    });
    talk.request(&request, 9);
    let (_, command) = talk.command();
    let Command::Metadata {
        topics,
        auto_create,
    } = command
    else {
        panic!("{command:?}")
    };
    let names = ["b", "a"].map(|name| TopicKey::Name(name.to_owned()));
    assert_eq!(topics, api::metadata::TopicFilter::These(names.to_vec()));
    assert!(auto_create);
}
