//! Tests of the mapping from commands to cores.

use std::sync::Arc;

use api::metadata::TopicKey;
use api::{Command, Ticket};
use broker::metadata::apply::StateMachine;
use broker::metadata::{
    Image, MetadataCommand, OFFSETS_TOPIC, TopicSpec, group_partition, shard_of,
};
use model::ids::{BrokerId, MetaIndex, PartitionId, ShardId, TopicId};

use super::Router;

const SHARDS: u16 = 3;

fn image(name: &str, id: TopicId, partitions: usize) -> Arc<Image> {
    let spec = TopicSpec {
        name: name.to_owned(),
        id,
        is_internal: false,
        assignment: vec![vec![BrokerId::new(1)]; partitions],
        configs: Vec::new(),
    };
    let create = MetadataCommand::CreateTopics(vec![spec]);
    Arc::new(StateMachine::apply(&Image::default(), MetaIndex::new(1), &create).0)
}

fn of_partition(topic: TopicKey, partition: u32) -> Command {
    Command::CancelFetch {
        topic,
        partition: PartitionId::new(partition),
        ticket: Ticket(1),
    }
}

fn router(image: Arc<Image>) -> Router {
    let mut router = Router::new(ShardId::new(1), SHARDS, Arc::default());
    router.replace_image(image);
    router
}

#[test]
fn partitions_go_to_their_owner_by_name_and_by_id() {
    let id = TopicId::from_bytes([5; 16]);
    let router = router(image("orders", id, 8));
    for partition in 0..8 {
        let owner = shard_of(id, PartitionId::new(partition), SHARDS);
        let name = TopicKey::Name("orders".to_owned());
        assert_eq!(router.owner(&of_partition(name, partition)), owner);
        assert_eq!(
            router.owner(&of_partition(TopicKey::Id(id), partition)),
            owner
        );
    }
}

#[test]
fn what_nobody_owns_is_answered_here() {
    let router = router(image("orders", TopicId::from_bytes([5; 16]), 8));
    let here = ShardId::new(1);
    let unknown = TopicKey::Name("other".to_owned());
    assert_eq!(router.owner(&of_partition(unknown, 0)), here);
    let beyond = TopicKey::Name("orders".to_owned());
    assert_eq!(router.owner(&of_partition(beyond, 8)), here);
    let group = Command::DescribeGroup {
        group: "g".to_owned(),
    };
    assert_eq!(router.owner(&group), here, "there is no offsets topic yet");
    let nowhere = Command::ListGroups {
        shard: ShardId::new(SHARDS),
    };
    assert_eq!(router.owner(&nowhere), here);
}

#[test]
fn groups_go_to_the_owner_of_their_offsets_partition() {
    let id = TopicId::from_bytes([9; 16]);
    let router = router(image(OFFSETS_TOPIC, id, 50));
    for name in ["a", "payments", "ü"] {
        let command = Command::DescribeGroup {
            group: name.to_owned(),
        };
        assert_eq!(
            router.owner(&command),
            shard_of(id, group_partition(name, 50), SHARDS)
        );
    }
}

#[test]
fn a_named_shard_is_asked() {
    let router = router(Arc::default());
    let command = Command::ListGroups {
        shard: ShardId::new(2),
    };
    assert_eq!(router.owner(&command), ShardId::new(2));
}
