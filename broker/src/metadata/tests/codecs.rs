//! Tests of the codec.
//!
//! Owns: round trips, damage, versions.
//! Never: applies decoded commands beyond what is needed to compare.
//! Invariants: no input makes a decoder panic.
//! Source: reliability.md 1.10.

use api::metadata::ConfigOp;
use model::ids::BrokerId;
use model::prng::Prng;
use raft_host::wire::{DecodeError, RecordKind, Writer};

use super::super::MetadataCommand;
use super::super::codec::{decode_command, decode_image, encode_command, encode_image};
use super::{Stop, World, broker_change, id, registration, spec, topic_change};

fn commands() -> Vec<MetadataCommand> {
    let mut internal = spec(super::super::OFFSETS_TOPIC, 4, 3);
    internal
        .configs
        .push(("cleanup.policy".to_owned(), "compact".to_owned()));
    vec![
        registration(1, 1, Stop::Clean),
        registration(2, 7, Stop::Unclean),
        MetadataCommand::CreateTopics(vec![spec("a", 1, 2), internal, spec("b", 2, 1)]),
        MetadataCommand::CreatePartitions(vec![(
            "a".to_owned(),
            vec![vec![BrokerId::new(1), BrokerId::new(2)]],
            2,
        )]),
        MetadataCommand::AlterConfigs(vec![
            topic_change("a", &[("retention.ms", ConfigOp::Set, Some("9"))]),
            broker_change(None, "log.retention.ms", Some("77")),
            broker_change(Some(1), "log.retention.ms", Some("78")),
        ]),
        MetadataCommand::AllocateProducerIds(BrokerId::new(1)),
        MetadataCommand::DeleteTopics(vec![id(2)]),
    ]
}

fn world() -> World {
    let mut world = World::default();
    commands()
        .iter()
        .for_each(|command| drop(world.apply(command)));
    world
}

#[test]
fn commands_read_back_as_they_were_written() {
    for command in commands() {
        let bytes = encode_command(&command).unwrap();
        assert_eq!(decode_command(&bytes), Ok(Some(command)));
    }
}

#[test]
fn an_image_reads_back_as_it_was_written() {
    let world = world();
    let bytes = encode_image(&world.image);
    let back = decode_image(&bytes).unwrap();
    assert_eq!(encode_image(&back), bytes);
    assert_eq!(back.index(), world.image.index());
    assert_eq!(back.partition_count(), world.image.partition_count());
    assert!(back.is_deleted(id(2)));
    assert_eq!(back.topic(id(1)), world.image.topic(id(1)));
    assert_eq!(back.colliding_topic("a"), Some("a"));
    assert_eq!(back.broker_configs(None), world.image.broker_configs(None));
}

#[test]
fn commands_over_a_bound_are_not_encoded() {
    let long = "x".repeat(40_000);
    let change = topic_change("a", &[("retention.ms", ConfigOp::Set, Some(&long))]);
    let refused = encode_command(&MetadataCommand::AlterConfigs(vec![change]));
    assert!(matches!(refused, Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_record_of_a_newer_release_is_refused_unless_it_may_be_skipped() {
    let newer = RecordKind {
        kind: 2,
        version: 9,
    };
    let mut mandatory = Writer::new();
    mandatory.record(newer, |out| out.u64(1));
    let refused = DecodeError::UnknownMandatory {
        kind: 2,
        version: 9,
    };
    assert_eq!(decode_command(&mandatory.into_bytes()), Err(refused));
    let mut optional = Writer::new();
    optional.optional_record(newer, |out| out.u64(1));
    assert_eq!(decode_command(&optional.into_bytes()), Ok(None));
}

#[test]
fn a_command_with_bytes_left_over_is_refused() {
    let mut bytes = encode_command(&registration(1, 1, Stop::Clean))
        .unwrap()
        .to_vec();
    bytes.push(0);
    assert_eq!(decode_command(&bytes), Err(DecodeError::TrailingBytes(1)));
}

#[test]
fn every_truncation_of_an_image_is_refused() {
    let bytes = encode_image(&world().image);
    for len in 0..bytes.len() {
        assert!(decode_image(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn mutated_bytes_never_panic_and_what_decodes_is_whole() {
    let mut prng = Prng::new(0x5eed);
    let image = encode_image(&world().image);
    let commands: Vec<_> = commands()
        .iter()
        .map(|command| encode_command(command).unwrap())
        .collect();
    for _ in 0..20_000 {
        let pick = prng.below(commands.len() as u64 + 1) as usize;
        let mut bytes = commands.get(pick).unwrap_or(&image).to_vec();
        for _ in 0..=prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next_u64() as u8;
        }
        if let Ok(image) = decode_image(&bytes) {
            let again = decode_image(&encode_image(&image)).unwrap();
            assert_eq!(encode_image(&again), encode_image(&image));
        }
        if let Ok(Some(command)) = decode_command(&bytes) {
            drop(World::with_broker().apply(&command));
        }
    }
}
