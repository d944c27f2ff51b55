//! Both hand-written codecs against two generated ones.
//!
//! Owns: byte-for-byte agreement at every version, golden bytes, bounds.
//! Never: part of the product.
//! Invariants: no clocks, no sleeps, no ports.
//! Source: kafka.md 2.3.

use bytes::Buf;
use kafka_protocol::messages::{RequestKind, ResponseKind};
use kafka_wire::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_wire::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{
    FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, RequestResponsePair,
};
use kafka_wire_core::{KafkaDecode, KafkaEncode, TaggedField, TaggedFields};
use model::ids::TopicId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::names::{Names, TopicLabel};
use super::produce::TopicSpan;
use super::read::Reader;
use super::write::Writer;
use super::*;
use crate::conversation::{frame, text};
use crate::frame::{Parsed, Request, parse};

const HEADER: ResponseHeader = ResponseHeader {
    correlation: 77,
    is_tagged: false,
};

fn header(is_tagged: i16, version: i16) -> ResponseHeader {
    ResponseHeader {
        is_tagged: version >= is_tagged,
        ..HEADER
    }
}

fn request(bytes: &[u8]) -> Request {
    let frame = BytesMut::from(bytes);
    match parse(&frame).expect("a header") {
        Parsed::Request(header) => Request { frame, header },
        Parsed::UnknownApiVersions { .. } => panic!("a served version"),
    }
}

// The independent codec reads the body and writes the same bytes.
fn agree_on_request(key: i16, body: Bytes, version: i16) {
    let key = kafka_protocol::messages::ApiKey::try_from(key).expect("known");
    let mut rest = body.clone();
    let decoded = RequestKind::decode(key, &mut rest, version).expect("decodes");
    assert!(rest.is_empty());
    let mut again = BytesMut::new();
    decoded.encode(&mut again, version).expect("encodes");
    assert_eq!(again.freeze(), body);
}

fn agree_on_response(key: i16, body: Bytes, version: i16) {
    let key = kafka_protocol::messages::ApiKey::try_from(key).expect("known");
    let mut rest = body.clone();
    let decoded = ResponseKind::decode(key, &mut rest, version).expect("decodes");
    assert!(rest.is_empty());
    let mut again = BytesMut::new();
    decoded.encode(&mut again, version).expect("encodes");
    assert_eq!(again.freeze(), body);
}

// Length prefix and header of a response frame, checked; the body.
fn body_of(chunks: &[Bytes], header: ResponseHeader) -> Bytes {
    let mut frame = Bytes::from(chunks.concat());
    assert_eq!(usize::try_from(frame.get_i32()), Ok(frame.len()));
    assert_eq!(frame.get_i32(), header.correlation);
    if header.is_tagged {
        assert_eq!(frame.get_u8(), 0);
    }
    frame
}

fn decode_exactly<T: KafkaDecode>(body: Bytes, version: i16) -> T {
    let mut decoder = Decoder::new(body, DecodeLimits::default()).expect("in bounds");
    let message = T::decode(&mut decoder, ApiVersion::new(version)).expect("decodes");
    decoder.finish().expect("to its end");
    message
}

// Tagged fields nobody knows, where the version has them.
fn tags(version: i16, first_flexible: i16) -> TaggedFields {
    let extra = TaggedField::new(9_000, Bytes::from_static(b"later"));
    TaggedFields::from_sorted(if version >= first_flexible {
        vec![extra]
    } else {
        vec![]
    })
    .expect("sorted")
}

fn id(seed: u8) -> [u8; 16] {
    [seed.max(1); 16]
}

fn name(seed: u8) -> String {
    format!("topic-{seed}")
}

fn label(seed: u8, version: i16) -> TopicLabel {
    if version >= 13 {
        TopicLabel::Id(TopicId::from_bytes(id(seed)))
    } else {
        TopicLabel::Name(name(seed).into())
    }
}

fn parse_produce(
    frame: &[u8],
    body: usize,
    version: i16,
) -> Result<produce::ProduceRequest<'_>, WireError> {
    let mut request = produce::ProduceRequest::default();
    request
        .read(frame, body, version, &mut Names::default())
        .map(|()| request)
}

fn cut(frame: BytesMut, partitions: &[produce::PartitionData]) -> Vec<BytesMut> {
    let mut cutter = produce::Cutter::new(frame, partitions.len());
    let records = partitions.iter().map(|data| data.records.as_ref());
    records.map(|records| cutter.cut(records)).collect()
}

fn parse_fetch(frame: &[u8], body: usize, version: i16) -> Result<fetch::FetchRequest, WireError> {
    fetch::parse(frame, body, version, &mut Names::default())
}

fn write_produce(
    header: ResponseHeader,
    version: i16,
    topics: &[TopicSpan],
    answers: &[produce::PartitionAnswer<'_>],
) -> Bytes {
    let head = produce::ResponseHead { header, version };
    let mut out = Vec::new();
    produce::write(head, topics, answers.iter().copied(), &mut out).expect("fits");
    Bytes::from(out)
}

type ProduceShape = Vec<(u8, Vec<(i32, Option<Vec<u8>>)>)>;

fn produce_shape() -> impl Strategy<Value = ProduceShape> {
    let records = proptest::option::of(vec(any::<u8>(), 0..300));
    vec((any::<u8>(), vec((any::<i32>(), records), 0..4)), 0..4)
}

fn produce_request(shape: &ProduceShape, version: i16) -> ProduceRequest {
    let topics = shape.iter().map(|(seed, partitions)| {
        let partitions = partitions.iter().map(|(index, records)| {
            build!(PartitionProduceData {
                index: *index,
                records: records.clone().map(Bytes::from),
                unknown_tagged_fields: tags(version, 9),
            })
        });
        let mut topic = build!(TopicProduceData {
            partition_data: partitions.collect(),
            unknown_tagged_fields: tags(version, 9),
        });
        if version >= 13 {
            topic.topic_id = Uuid::from_bytes(id(*seed));
        } else {
            topic.name = StrBytes::from(name(*seed));
        }
        topic
    });
    build!(ProduceRequest {
        transactional_id: Some(text("tx")),
        acks: -1,
        timeout_ms: 1500,
        topic_data: topics.collect(),
        unknown_tagged_fields: tags(version, 9),
    })
}

type FetchShape = Vec<(u8, Vec<(i32, i64, i32)>)>;

fn fetch_request(shape: &FetchShape, version: i16) -> FetchRequest {
    let topics = shape.iter().map(|(seed, partitions)| {
        let partitions = partitions.iter().map(|(index, offset, bytes)| {
            let mut partition = build!(FetchPartition {
                partition: *index,
                fetch_offset: *offset,
                partition_max_bytes: *bytes,
                unknown_tagged_fields: tags(version, 12),
            });
            if version >= 9 {
                partition.current_leader_epoch = index.wrapping_add(1);
            }
            if version >= 12 {
                partition.last_fetched_epoch = index.wrapping_add(2);
            }
            if version >= 17 {
                partition.replica_directory_id = Uuid::from_bytes(id(*seed));
            }
            if version >= 18 {
                partition.high_watermark = 12;
            }
            partition
        });
        let mut topic = build!(FetchTopic {
            partitions: partitions.collect()
        });
        if version >= 13 {
            topic.topic_id = Uuid::from_bytes(id(*seed));
        } else {
            topic.topic = StrBytes::from(name(*seed));
        }
        topic
    });
    let mut request = build!(FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation_level: 1,
        topics: topics.collect(),
        unknown_tagged_fields: tags(version, 12),
    });
    if version >= 7 {
        request.session_id = 5;
        request.session_epoch = 6;
        let mut forgotten = build!(ForgottenTopic {
            partitions: vec![1, 2]
        });
        if version >= 13 {
            forgotten.topic_id = Uuid::from_bytes(id(3));
        } else {
            forgotten.topic = text("gone");
        }
        request.forgotten_topics_data = vec![forgotten];
    }
    if version >= 11 {
        request.rack_id = text("rack");
    }
    if version >= 12 {
        request.cluster_id = Some(text("cluster"));
    }
    if version >= 15 {
        request.replica_state = build!(ReplicaState {
            replica_id: 1,
            replica_epoch: 2
        });
    }
    request
}

proptest! {
    #[test]
    fn produce_requests_are_read_as_the_generated_codecs_write_them(
        version in 3_i16..=13,
        shape in produce_shape(),
    ) {
        let frame = frame(&produce_request(&shape, version), version, 1);
        let head = request(&frame);
        let body = head.header.body;
        agree_on_request(0, frame.slice(body..), version);
        let parsed = parse_produce(&head.frame, body, version).expect("parses");
        prop_assert_eq!(parsed.transactional_id, Some("tx"));
        prop_assert_eq!((parsed.acks, parsed.timeout_ms), (-1, 1500));
        let spans: Vec<_> = shape
            .iter()
            .map(|(seed, partitions)| TopicSpan {
                label: label(*seed, version),
                partitions: partitions.len(),
            })
            .collect();
        prop_assert_eq!(parsed.topics.into_vec(), spans);
        let sent = shape.into_iter().flat_map(|(_, partitions)| partitions);
        let (indexes, sent): (Vec<_>, Vec<_>) = sent.unzip();
        let found = parsed.partitions.into_vec();
        prop_assert!(found.iter().map(|data| data.index).eq(indexes));
        let nulls = found.iter().map(|data| data.records.is_none());
        prop_assert!(nulls.eq(sent.iter().map(Option::is_none)));
        let sent: Vec<_> = sent.into_iter().map(Option::unwrap_or_default).collect();
        prop_assert_eq!(cut(head.frame, &found), sent);
    }

    #[test]
    fn produce_responses_are_written_as_the_generated_codecs_write_them(
        version in 3_i16..=13,
        shape in vec((any::<u8>(), vec((any::<i32>(), any::<i16>(), any::<i64>()), 0..4)), 0..4),
    ) {
        let topics: Vec<_> = shape
            .iter()
            .map(|(seed, partitions)| TopicSpan {
                label: label(*seed, version),
                partitions: partitions.len(),
            })
            .collect();
        let answers: Vec<_> = shape
            .iter()
            .flat_map(|(_, partitions)| partitions)
            .map(|(index, code, offset)| produce::PartitionAnswer {
                index: *index,
                code: *code,
                base_offset: *offset,
                log_append_time: 3,
                log_start: 4,
                faulty_records: if *code > 0 { &[4] } else { &[] },
                message: (*code > 0).then_some("because"),
            })
            .collect();
        let header = header(9, version);
        let frame = write_produce(header, version, &topics, &answers);
        let body = body_of(&[frame], header);
        agree_on_response(0, body.clone(), version);
        let decoded: ProduceResponse = decode_exactly(body.clone(), version);
        prop_assert_eq!(decoded.encode_to_bytes(ApiVersion::new(version)), Ok(body));
        let partitions = decoded.responses.iter().flat_map(|topic| &topic.partition_responses);
        for (decoded, answer) in partitions.zip(&answers) {
            prop_assert_eq!(decoded.index, answer.index);
            prop_assert_eq!(decoded.error_code, answer.code);
            prop_assert_eq!(decoded.base_offset, answer.base_offset);
            let expected = answer.message.filter(|_| version >= 8);
            prop_assert_eq!(decoded.error_message.as_deref(), expected);
            let faulty: Vec<i32> = decoded.record_errors.iter().map(|one| one.batch_index).collect();
            let expected = expected.map_or_else(Vec::new, |_| vec![4]);
            prop_assert_eq!(faulty, expected);
        }
    }

    #[test]
    fn fetch_requests_are_read_as_the_generated_codecs_write_them(
        version in 4_i16..=18,
        shape in vec(
            (any::<u8>(), vec((any::<i32>(), any::<i64>(), any::<i32>()), 0..4)),
            0..4,
        ),
    ) {
        let frame = frame(&fetch_request(&shape, version), version, 1);
        let head = request(&frame);
        let body = head.header.body;
        agree_on_request(1, frame.slice(body..), version);
        let parsed = parse_fetch(&head.frame, body, version).expect("parses");
        prop_assert_eq!((parsed.wait_max_ms, parsed.bytes_min), (500, 1));
        prop_assert_eq!((parsed.bytes_max, parsed.isolation), (1 << 20, 1));
        let session = if version >= 7 { (5, 6) } else { (0, -1) };
        prop_assert_eq!((parsed.session_id, parsed.session_epoch), session);
        let spans: Vec<_> = shape
            .iter()
            .map(|(seed, partitions)| TopicSpan {
                label: label(*seed, version),
                partitions: partitions.len(),
            })
            .collect();
        prop_assert_eq!(parsed.topics.into_vec(), spans);
        let asked: Vec<_> = shape
            .into_iter()
            .flat_map(|(_, partitions)| partitions)
            .map(|(index, offset, bytes_max)| fetch::PartitionAsked {
                index,
                offset,
                bytes_max,
                leader_epoch: if version >= 9 { index.wrapping_add(1) } else { -1 },
                last_fetched_epoch: if version >= 12 { index.wrapping_add(2) } else { -1 },
            })
            .collect();
        prop_assert_eq!(parsed.partitions.into_vec(), asked);
    }

    #[test]
    fn fetch_responses_are_written_as_the_generated_codecs_write_them(
        version in 4_i16..=18,
        is_committed in any::<bool>(),
        code in any::<i16>(),
        shape in vec(
            (any::<u8>(), vec((any::<i32>(), any::<i64>(), vec(vec(any::<u8>(), 0..99), 0..4)), 0..4)),
            0..4,
        ),
    ) {
        let topics: Vec<_> = shape
            .iter()
            .map(|(seed, partitions)| TopicSpan {
                label: label(*seed, version),
                partitions: partitions.len(),
            })
            .collect();
        let answers: Vec<_> = shape
            .iter()
            .flat_map(|(_, partitions)| partitions)
            .map(|(index, offset, records)| fetch::PartitionAnswer {
                index: *index,
                code: 0,
                high_watermark: *offset,
                last_stable: 2,
                log_start: 1,
                diverging: (offset % 2 == 0).then_some((7, 70)),
                records: records.iter().cloned().map(Bytes::from).collect(),
            })
            .collect();
        let header = header(12, version);
        let head = fetch::ResponseHead { header, version, code, is_committed };
        let chunks = fetch::write(head, &topics, answers.clone()).expect("fits");
        let body = body_of(&chunks, header);
        agree_on_response(1, body.clone(), version);
        let decoded: FetchResponse = decode_exactly(body.clone(), version);
        prop_assert_eq!(decoded.encode_to_bytes(ApiVersion::new(version)), Ok(body));
        prop_assert_eq!(decoded.error_code, if version >= 7 { code } else { 0 });
        let partitions = decoded.responses.iter().flat_map(|topic| &topic.partitions);
        for (decoded, answer) in partitions.zip(&answers) {
            prop_assert_eq!(decoded.partition_index, answer.index);
            prop_assert_eq!(decoded.high_watermark, answer.high_watermark);
            prop_assert_eq!(decoded.records.as_deref(), Some(&answer.records.concat()[..]));
            prop_assert_eq!(decoded.aborted_transactions.is_some(), is_committed);
            prop_assert_eq!(decoded.preferred_read_replica, -1);
            if version >= 12 {
                let expected = answer.diverging.unwrap_or((-1, -1));
                let diverging = &decoded.diverging_epoch;
                prop_assert_eq!((diverging.epoch, diverging.end_offset), expected);
            }
        }
    }

    #[test]
    fn numbers_of_variable_length_survive(value in any::<u32>()) {
        let mut out = Vec::new();
        Writer::new(&mut out).varint(value);
        let mut reader = Reader::new(&out, 0);
        prop_assert_eq!(reader.varint(), Ok(value));
        prop_assert_eq!(reader.position(), out.len());
    }

    #[test]
    fn damaged_produce_bodies_never_panic(
        version in 3_i16..=13,
        bytes in vec(any::<u8>(), 0..200),
    ) {
        drop(parse_produce(&bytes, 0, version));
        drop(parse_fetch(&bytes, 0, version + 1));
    }
}

#[test]
fn records_are_taken_out_of_the_frame_without_a_copy() {
    let shape = vec![
        (1, vec![(0, Some(vec![1; 500])), (1, None)]),
        (2, vec![(5, Some(vec![2; 9]))]),
    ];
    let frame = frame(&produce_request(&shape, 9), 9, 1);
    let head = request(&frame);
    let inside = head.frame.as_ptr_range();
    let mut free = inside.start;
    let parsed = parse_produce(&head.frame, head.header.body, 9).expect("parses");
    let partitions = parsed.partitions;
    let records = cut(head.frame, &partitions);
    let found: Vec<&[u8]> = records.iter().map(|records| &records[..]).collect();
    assert_eq!(found, [&[1; 500][..], &[], &[2; 9]]);
    for records in records.iter().filter(|records| !records.is_empty()) {
        // The only owner of its bytes, and of those that it might grow into.
        assert!(records.as_ptr() >= free);
        free = records.as_ptr().wrapping_add(records.capacity());
        assert!(free <= inside.end);
    }
}

#[test]
fn records_leave_as_the_chunks_that_were_given() {
    let records = vec![Bytes::from(vec![1; 100]), Bytes::from(vec![2; 200])];
    let pointers: Vec<_> = records.iter().map(|chunk| chunk.as_ptr()).collect();
    let topics = [TopicSpan {
        label: label(1, 11),
        partitions: 1,
    }];
    let answer = fetch::PartitionAnswer {
        index: 0,
        code: 0,
        high_watermark: 1,
        last_stable: 1,
        log_start: 0,
        diverging: None,
        records: records.into(),
    };
    let head = fetch::ResponseHead {
        header: HEADER,
        version: 11,
        code: 0,
        is_committed: false,
    };
    let chunks = fetch::write(head, &topics, vec![answer]).expect("fits");
    let sent: Vec<_> = chunks.iter().map(|chunk| chunk.as_ptr()).collect();
    assert!(pointers.iter().all(|pointer| sent.contains(pointer)));
}

#[test]
fn a_fetch_response_of_version_4_has_these_bytes() {
    let topics = [TopicSpan {
        label: TopicLabel::Name("t".into()),
        partitions: 1,
    }];
    let answer = fetch::PartitionAnswer {
        index: 1,
        code: 0,
        high_watermark: 5,
        last_stable: 4,
        log_start: 0,
        diverging: None,
        records: vec![Bytes::from_static(b"xyz")].into(),
    };
    let head = fetch::ResponseHead {
        header: HEADER,
        version: 4,
        code: 0,
        is_committed: false,
    };
    let chunks = fetch::write(head, &topics, vec![answer]).expect("fits");
    let expected: &[&[u8]] = &[
        &[0, 0, 0, 52],            // length
        &[0, 0, 0, 77],            // correlation id
        &[0, 0, 0, 0],             // throttle time
        &[0, 0, 0, 1, 0, 1, b't'], // one topic
        &[0, 0, 0, 1, 0, 0, 0, 1], // one partition, index 1
        &[0, 0],                   // no error
        &[0, 0, 0, 0, 0, 0, 0, 5], // high watermark
        &[0, 0, 0, 0, 0, 0, 0, 4], // last stable offset
        &[0xff, 0xff, 0xff, 0xff], // aborted transactions: null
        &[0, 0, 0, 3, b'x', b'y', b'z'],
    ];
    assert_eq!(chunks.concat(), expected.concat());
}

#[test]
fn a_produce_response_of_version_13_has_these_bytes() {
    let topics = [TopicSpan {
        label: label(0xab, 13),
        partitions: 1,
    }];
    let answer = produce::PartitionAnswer {
        index: 2,
        code: 87,
        base_offset: -1,
        log_append_time: -1,
        log_start: -1,
        faulty_records: &[5],
        message: Some("no"),
    };
    let header = ResponseHeader {
        is_tagged: true,
        ..HEADER
    };
    let frame = write_produce(header, 13, &topics, &[answer]);
    let expected: &[&[u8]] = &[
        &[0, 0, 0, 70],      // length
        &[0, 0, 0, 77, 0],   // correlation id, no tagged fields
        &[2],                // one topic
        &[0xab; 16],         // its id
        &[2, 0, 0, 0, 2],    // one partition, index 2
        &[0, 87],            // invalid record
        &[0xff; 24],         // base offset, append time, log start
        &[2],                // one record error
        &[0, 0, 0, 5, 0, 0], // its index, no message of its own, tagged fields
        &[3, b'n', b'o'],    // message
        &[0, 0],             // tagged fields of partition and topic
        &[0, 0, 0, 0, 0],    // throttle time, tagged fields
    ];
    assert_eq!(frame, expected.concat());
}

#[test]
fn lengths_beyond_the_frame_are_refused_before_anything_is_reserved() {
    for version in [3, 9] {
        let mut body = Vec::new();
        let writer = Writer::new(&mut body);
        let mut writer = if version >= 9 {
            writer.flexible()
        } else {
            writer
        };
        writer.nullable_string(None);
        writer.i16(1);
        writer.i32(0);
        writer.length(0x7fff_fff0);
        let error = parse_produce(&body, 0, version).expect_err("refused");
        assert!(matches!(error, WireError::BadLength { .. }), "{error}");
    }
}

#[test]
fn malformed_variable_length_numbers_are_refused() {
    for bytes in [
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..],
        &[0xff, 0xff, 0xff, 0xff, 0x1f][..],
    ] {
        let mut reader = Reader::new(bytes, 0);
        assert_eq!(reader.varint(), Err(WireError::BadVarint { at: 0 }));
    }
    assert_eq!(
        Reader::new(&[0x80], 0).varint(),
        Err(WireError::Truncated { at: 1 })
    );
}

#[test]
fn text_too_long_for_the_old_regime_is_cut_between_characters() {
    let mut out = Vec::new();
    Writer::new(&mut out).string(&"ä".repeat(40_000));
    let mut reader = Reader::new(&out, 0);
    assert_eq!(reader.string().map(str::len), Ok(32_766));
}

#[test]
fn generated_requests_are_bounded() {
    // A Metadata body that claims 2^31-1 topics.
    let body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    assert!(decode::<kafka_wire::MetadataRequest>(body, 1).is_err());
    let mut many = BytesMut::new();
    many.put_i32(200_001);
    many.resize(4 + 2 * 200_001, 0);
    assert!(decode::<kafka_wire::MetadataRequest>(many.freeze(), 1).is_err());
}

fn api_of<R: RequestResponsePair>() -> i16 {
    R::API_KEY.value()
}

#[test]
fn the_generated_codec_covers_every_served_version() {
    use kafka_wire as kw;
    macro_rules! covers {
        ($($request:ident),* $(,)?) => {
            [$((api_of::<kw::$request>(), <kw::$request as KafkaMessage>::SUPPORTED_VERSIONS, <kw::$request as KafkaMessage>::FLEXIBLE_VERSIONS)),*]
        };
    }
    let all = covers![
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        CreatePartitionsRequest,
        DeleteGroupsRequest,
        IncrementalAlterConfigsRequest,
        OffsetDeleteRequest,
        DescribeClusterRequest,
    ];
    assert_eq!(all.len(), crate::versions::TABLE.len());
    for (key, supported, flexible) in all {
        let api = crate::versions::find(key).expect("served");
        assert!(supported.min().value() <= api.min, "{}", api.name);
        assert!(supported.max().value() >= api.max, "{}", api.name);
        for version in api.min..=api.max {
            let is_flexible =
                flexible.is_some_and(|range| range.contains(ApiVersion::new(version)));
            assert_eq!(
                api.is_flexible(version),
                is_flexible,
                "{} v{version}",
                api.name
            );
        }
    }
}
