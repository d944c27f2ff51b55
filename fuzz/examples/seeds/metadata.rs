//! Metadata commands and images.

use api::metadata::{ConfigChange, ConfigOp, ConfigResource};
use broker::metadata::codec::{encode_command, encode_image};
use broker::metadata::{Image, MetadataCommand, StateMachine, TopicSpec};
use model::ids::{BrokerId, MetaIndex, TopicId};

use crate::{Seed, chosen};

fn commands() -> Vec<(&'static str, MetadataCommand)> {
    let broker = BrokerId::new(1);
    let id = TopicId::from_bytes([7; 16]);
    let topic = TopicSpec {
        name: "topic".to_owned(),
        id,
        is_internal: false,
        assignment: vec![vec![broker], vec![broker]],
        configs: vec![("retention.ms".to_owned(), "1000".to_owned())],
    };
    let change = ConfigChange {
        resource: ConfigResource::Topic("topic".to_owned()),
        is_replacement: false,
        changes: vec![("retention.ms".to_owned(), ConfigOp::Delete, None)],
    };
    let register = MetadataCommand::RegisterBroker {
        broker,
        incarnation: [3; 16],
        host: "localhost".to_owned(),
        port: 9_092,
        rack: Some("a".to_owned()),
        is_clean: true,
    };
    let more = ("topic".to_owned(), vec![vec![broker]], 2);
    vec![
        ("register", register),
        ("create-topics", MetadataCommand::CreateTopics(vec![topic])),
        (
            "create-partitions",
            MetadataCommand::CreatePartitions(vec![more]),
        ),
        ("alter-configs", MetadataCommand::AlterConfigs(vec![change])),
        ("allocate", MetadataCommand::AllocateProducerIds(broker)),
        ("delete-topics", MetadataCommand::DeleteTopics(vec![id])),
    ]
}

pub(crate) fn commands_and_images() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut image = Image::default();
    seeds.push(("image-empty".to_owned(), chosen(1, &encode_image(&image))));
    for (index, (name, command)) in (1_u64..).zip(commands()) {
        let bytes = encode_command(&command).expect("the command is legal");
        seeds.push((format!("command-{name}"), chosen(0, &bytes)));
        (image, _, _) = StateMachine::apply(&image, MetaIndex::new(index), &command);
        seeds.push((format!("image-{name}"), chosen(1, &encode_image(&image))));
    }
    seeds
}
