//! Which core carries out a command.
//!
//! Owns: the mapping from [`Command::route`] to a shard, by the newest image this core was given.
//! Never: answers a command; what nobody owns goes to the local shard, which answers the error.
//! Invariants: the same image gives the same owner on every core.
//! Source: architecture.md section 6 step 4, kafka.md 4.8 (groups).

use std::sync::Arc;

use api::metadata::TopicKey;
use api::{Command, Route};
use broker::metadata::{Image, OFFSETS_TOPIC, group_partition, shard_of};
use model::ids::{PartitionId, ShardId};

#[cfg(test)]
mod tests;

/// Resolves commands to shards.
#[derive(Debug)]
pub(crate) struct Router {
    me: ShardId,
    shards: u16,
    image: Arc<Image>,
    offsets: TopicKey,
}

impl Router {
    /// A router of shard `me` among `shards`.
    pub(crate) fn new(me: ShardId, shards: u16, image: Arc<Image>) -> Self {
        assert!(me.get() < shards, "shard {me} of {shards}");
        Self {
            me,
            shards,
            image,
            offsets: TopicKey::Name(OFFSETS_TOPIC.to_owned()),
        }
    }

    /// This core.
    pub(crate) fn me(&self) -> ShardId {
        self.me
    }

    /// Takes a newer image.
    pub(crate) fn replace_image(&mut self, image: Arc<Image>) {
        self.image = image;
    }

    /// The shard that carries the command out.
    pub(crate) fn owner(&self, command: &Command) -> ShardId {
        match command.route() {
            Route::Here => self.me,
            Route::Shard(shard) if shard.get() < self.shards => shard,
            Route::Shard(_) => self.me,
            Route::Partition(topic, partition) => self.owner_of_partition(topic, partition),
            Route::Group(group) => self.owner_of_group(group),
        }
    }

    fn owner_of_partition(&self, topic: &TopicKey, partition: PartitionId) -> ShardId {
        match self.image.resolve(topic) {
            Some(topic) if topic.partitions.len() > partition.get() as usize => {
                shard_of(topic.id, partition, self.shards)
            }
            Some(_) | None => self.me,
        }
    }

    fn owner_of_group(&self, group: &str) -> ShardId {
        let Some(topic) = self.image.resolve(&self.offsets) else {
            return self.me;
        };
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        shard_of(topic.id, group_partition(group, count), self.shards)
    }
}
