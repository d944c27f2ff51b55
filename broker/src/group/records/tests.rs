//! Golden bytes, round trips and bounded decoding.

use model::prng::Prng;

use super::*;

fn offset_value() -> OffsetValue {
    OffsetValue {
        offset: Offset::new(258),
        leader_epoch: Some(LeaderEpoch::new(3)),
        metadata: "mé".into(),
        committed_at: Timestamp::from_millis(1_000),
        topic_id: None,
    }
}

fn member(id: &str, instance: Option<&str>) -> MemberValue {
    MemberValue {
        id: id.into(),
        instance: instance.map(str::to_owned),
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        subscription: Bytes::from_static(b"sub"),
        assignment: Bytes::from_static(b"part"),
    }
}

fn group_value() -> GroupValue {
    GroupValue {
        protocol_type: "consumer".into(),
        generation: Generation::new(4),
        protocol: Some("range".into()),
        leader: Some("a".into()),
        since: Some(Timestamp::from_millis(77)),
        members: vec![member("a", None), member("b", Some("i"))],
    }
}

#[test]
fn an_offset_record_has_the_bytes_of_kafka() {
    let record = offset_record("g", "topic", PartitionId::new(2), &offset_value());
    assert_eq!(record.key, &b"\0\x01\0\x01g\0\x05topic\0\0\0\x02"[..]);
    let value = b"\0\x03\0\0\0\0\0\0\x01\x02\0\0\0\x03\0\x03m\xc3\xa9\0\0\0\0\0\0\x03\xe8";
    assert_eq!(record.value.unwrap(), &value[..]);
}

#[test]
fn an_offset_record_with_the_topics_id_has_the_bytes_of_kafka() {
    let value = OffsetValue {
        topic_id: Some(TopicId::from_bytes([9; 16])),
        ..offset_value()
    };
    let record = offset_record("g", "topic", PartitionId::new(2), &value);
    assert_eq!(record.key, &b"\0\x01\0\x01g\0\x05topic\0\0\0\x02"[..]);
    let expected = [
        &b"\0\x04\0\0\0\0\0\0\x01\x02\0\0\0\x03\x04m\xc3\xa9\0\0\0\0\0\0\x03\xe8\x01\0\x10"[..],
        &[9; 16],
    ]
    .concat();
    let bytes = record.value.unwrap();
    assert_eq!(bytes, expected);
    assert_eq!(decode_offset(&bytes), Ok(value.clone()));
    for end in 0..bytes.len() {
        assert!(decode_offset(&bytes[..end]).is_err(), "cut at {end}");
    }
    let long = OffsetValue {
        metadata: "x".repeat(300),
        ..value
    };
    let record = offset_record("g", "t", PartitionId::new(0), &long);
    assert_eq!(decode_offset(&record.value.unwrap()), Ok(long));
}

#[test]
fn an_empty_group_record_has_the_bytes_of_kafka() {
    let value = GroupValue {
        protocol: None,
        leader: None,
        members: Vec::new(),
        since: None,
        ..group_value()
    };
    let record = group_record("g", &value);
    assert_eq!(record.key, &b"\0\x02\0\x01g"[..]);
    let expected =
        b"\0\x03\0\x08consumer\0\0\0\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(record.value.unwrap(), &expected[..]);
}

#[test]
fn records_decode_to_what_was_encoded() {
    let record = offset_record("g", "t", PartitionId::new(2), &offset_value());
    let key = RecordKey::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: PartitionId::new(2),
    };
    assert_eq!(decode_key(&record.key), Ok(key.clone()));
    assert_eq!(decode_offset(&record.value.unwrap()), Ok(offset_value()));
    assert_eq!(
        decode_key(&offset_tombstone("g", "t", PartitionId::new(2)).key),
        Ok(key)
    );

    let record = group_record("g", &group_value());
    assert_eq!(
        decode_key(&record.key),
        Ok(RecordKey::Group { group: "g".into() })
    );
    assert_eq!(decode_group(&record.value.unwrap()), Ok(group_value()));
    let none = OffsetValue {
        leader_epoch: None,
        ..offset_value()
    };
    let record = offset_record("g", "t", PartitionId::new(0), &none);
    assert_eq!(decode_offset(&record.value.unwrap()), Ok(none));
}

#[test]
fn older_and_newer_offset_values_are_read() {
    let plain = OffsetValue {
        leader_epoch: None,
        ..offset_value()
    };
    let head = b"\0\0\0\0\0\0\x01\x02";
    let text = b"\0\x03m\xc3\xa9\0\0\0\0\0\0\x03\xe8";
    for version in [0_u8, 1, 2] {
        let expire: &[u8] = if version == 1 { &[0; 8] } else { &[] };
        let bytes = [&[0, version][..], head, text, expire].concat();
        assert_eq!(
            decode_offset(&bytes),
            Ok(plain.clone()),
            "version {version}"
        );
    }
    let tags = [&b"\x01\0\x10"[..], &[9; 16]].concat();
    let flexible = [
        &b"\0\x04"[..],
        head,
        b"\0\0\0\x03",
        b"\x04m\xc3\xa9",
        &text[5..],
        &tags,
    ]
    .concat();
    let named = OffsetValue {
        topic_id: Some(TopicId::from_bytes([9; 16])),
        ..offset_value()
    };
    assert_eq!(decode_offset(&flexible), Ok(named));
}

#[test]
fn older_and_newer_group_values_are_read() {
    let head = b"\0\x08consumer\0\0\0\x04\0\x05range\0\x01a";
    let since = b"\0\0\0\0\0\0\0\x4d";
    let count = b"\0\0\0\x01";
    let names = b"\0\x01a\0\x01c\0\x02/h";
    let (rebalance, session) = (b"\0\0\xea\x60", b"\0\0\x27\x10");
    let tail = b"\0\0\0\x03sub\0\0\0\x04part";
    for version in [0_u8, 1, 2] {
        let since: &[u8] = if version >= 2 { since } else { &[] };
        let rebalance: &[u8] = if version >= 1 { rebalance } else { &[] };
        let parts = [
            &[0, version][..],
            head,
            since,
            count,
            names,
            rebalance,
            session,
            tail,
        ];
        let value = decode_group(&parts.concat()).unwrap();
        assert_eq!(value.since.is_some(), version >= 2);
        let timeout = if version == 0 { 10_000 } else { 60_000 };
        assert_eq!(value.members[0].rebalance_timeout_ms, timeout);
        assert_eq!(value.members[0].assignment, "part");
    }
    let flexible = [
        &b"\0\x04\x09consumer\0\0\0\x04\x06range\x02a"[..],
        since,
        b"\x02\x02a\0\x02c\x03/h",
        rebalance,
        session,
        b"\x04sub\x05part\0\0",
    ];
    let value = decode_group(&flexible.concat()).unwrap();
    assert_eq!(
        value,
        GroupValue {
            members: vec![member("a", None)],
            ..group_value()
        }
    );
}

#[test]
fn unknown_versions_are_told_apart_from_damage() {
    assert_eq!(
        decode_key(&[0, 3, 0, 1, b'g']),
        Err(RecordError::UnknownVersion(3))
    );
    assert_eq!(
        decode_key(&[0xff, 0xff]),
        Err(RecordError::UnknownVersion(-1))
    );
    assert_eq!(decode_offset(&[0, 5]), Err(RecordError::UnknownVersion(5)));
    assert_eq!(decode_group(&[]), Err(RecordError::Malformed));
    let negative = b"\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(decode_offset(negative), Err(RecordError::Malformed));
    let lying_count = b"\0\x03\0\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x7f\xff\xff\xff";
    assert_eq!(decode_group(lying_count), Err(RecordError::Malformed));
}

#[test]
fn no_cut_or_altered_record_does_harm() {
    let value = group_record("g", &group_value()).value.unwrap();
    for length in 0..value.len() {
        assert_eq!(
            decode_group(&value[..length]),
            Err(RecordError::Malformed),
            "{length}"
        );
    }
    let mut prng = Prng::new(11);
    for _ in 0..20_000 {
        let mut bytes = value.to_vec();
        for _ in 0..=prng.below(3) {
            let at = usize::try_from(prng.below(bytes.len() as u64)).unwrap();
            bytes[at] = prng.next_u64().to_le_bytes()[0];
        }
        // Whatever comes out, it came out without a panic.
        drop((
            decode_group(&bytes),
            decode_offset(&bytes),
            decode_key(&bytes),
        ));
    }
}
